"""Who owns which devices, how that is changed by order, and how long slots were with nobody."""

import math

import cluster_nodes  # noqa: F401  (the way to the modules of tests/)
from ledger import DEVICE_ID
from members import Operator

SLOTS = 4096
PRIME = (11400714785074694791, 14029467366897019727, 1609587929392839161, 9650029242287828579,
         2870177450012600261)
WORD = 2 ** 64 - 1


def rotate(value, bits):
    return (value << bits | value >> 64 - bits) & WORD


def slot_of_bytes(data):
    """XXH64 of 16 bytes with seed 0, modulo the slots, as cluster/slots.h has it."""
    value = (PRIME[4] + 16) & WORD
    for at in (0, 8):
        word = int.from_bytes(data[at:at + 8], "little") * PRIME[1] & WORD
        value ^= rotate(word, 31) * PRIME[0] & WORD
        value = (rotate(value, 27) * PRIME[0] + PRIME[3]) & WORD
    value = (value ^ value >> 33) * PRIME[1] & WORD
    value = (value ^ value >> 29) * PRIME[2] & WORD
    return (value ^ value >> 32) % SLOTS


def slot_of(device):
    return slot_of_bytes(bytes.fromhex((DEVICE_ID % device).replace("-", "")))


def owned_by(gito, node, devices):
    """Of the devices below that number those whose slots are the node's; of the first region."""
    rows = gito.sql("SELECT slot FROM cluster_slots JOIN cluster_regions USING (region) "
                    "WHERE number = 0 AND owner = %s", (node,))
    slots = {row[0] for row in rows}
    owned = [device for device in range(devices) if slot_of(device) in slots]
    for device in owned[:1]:
        said = Operator(gito).owner_of(DEVICE_ID % device)
        if said != node:
            raise RuntimeError("device %d is said to be %s's, not %s's" % (device, said, node))
    return owned


def set_weights(gito, weights):
    """What NODE_WEIGHT says at a start is said now, {node: weight}: slots move, and who had them
    lives."""
    for node, weight in weights.items():
        gito.sql("UPDATE cluster_nodes SET weight = %s WHERE node_id = %s", (weight, node))
    return Operator(gito).post("/rebalance")


# What nodes count.

def metrics(gito, prefix):
    """{name with labels: value} of the door's node."""
    lines = gito.request("GET", "/metrics", timeout=5).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if line.startswith(prefix))
    return {name: float(value) for name, value in pairs}


PAUSE = "gito_slot_pause_seconds"


def pauses(gito):
    """{upper bound in ms, or inf: slots whose pause was at most that}, all nodes together."""
    total = {}
    for node in gito.running():
        for name, value in metrics(gito.at(node), PAUSE + "_bucket").items():
            bound = float(name.split('"')[1]) * 1000
            total[bound] = total.get(bound, 0) + value
    return total


def pause_figures(before, after):
    """Quantiles as upper bounds of the buckets they are in; None: longer than all of these."""
    counts = sorted((bound, after[bound] - before.get(bound, 0)) for bound in after)
    slots = counts[-1][1]

    def bound_of(fraction):
        bound = next(bound for bound, count in counts if count >= fraction * slots)
        return None if bound == math.inf else bound

    return {"slots": int(slots), "p50_ms_at_most": bound_of(0.5), "p99_ms_at_most": bound_of(0.99),
            "max_ms_at_most": bound_of(1)}
