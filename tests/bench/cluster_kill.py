"""A node is killed under load: how long its devices wait until they are acknowledged again."""

import os

from cluster import TENANT, wait_until
from cluster_nodes import DeviceLoad, check_answered, nodes, say, waits_figures
from cluster_owners import owned_by
from ledger import DEVICE_ID, check_stored, wait_for_rows
from members import LEASE_S, wait_settled

NODES = "eu-1,eu-2,eu-3"
DEVICES = 600
RATE = 3000
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "4"))
LIMIT_P99_MS, LIMIT_MAX_MS = 4000, 5000


def wait_all_served(gito, devices, deadline_s=60):
    """Until each of these has a reading that arrived after this call."""
    since = gito.sql("SELECT clock_timestamp()")[0][0]
    ids = [DEVICE_ID % device for device in devices]

    def served():
        rows = gito.sql("SELECT count(DISTINCT device_id) FROM telemetry WHERE tenant_id = %s AND "
                        "device_id = ANY (%s::uuid[]) AND timestamp > %s", (TENANT, ids, since))
        return rows[0][0] == len(ids)

    wait_until(served, deadline_s, "a new reading of every device")


def kill(gito, victim):
    """{device: its longest wait, ms} of all devices, and those that the victim owned. Every device
    is connected at a node that lives on."""
    say("kill -9 of %s" % victim)
    load = DeviceLoad(gito, [node for node in gito.nodes if node != victim], connections=DEVICES,
                      rate=RATE)
    try:
        wait_for_rows(gito, RATE)
        owned = owned_by(gito, victim, DEVICES)
        gito.kill_node(node=victim)
        wait_all_served(gito, range(DEVICES))
        check_answered(load.stop())
    finally:
        load.kill()
    check_stored(gito, load)
    return load.waits(), owned


def rounds(gito):
    for number in range(ROUNDS):
        victim = gito.nodes[number % len(gito.nodes)]
        living = gito.at(next(node for node in gito.nodes if node != victim))
        waits, owned = kill(living, victim)
        yield {"victim": victim, "owned": [waits[device] for device in owned],
               "others": [wait for device, wait in waits.items() if device not in set(owned)]}
        gito.start_node(victim)
        wait_settled(living)
        gito.sql("TRUNCATE telemetry, telemetry_hourly")


def kill_part(table, results, _seconds):
    with nodes(NODES) as gito:
        measured = list(rounds(gito))
    owned = waits_figures([wait for one in measured for wait in one["owned"]])
    others = waits_figures([wait for one in measured for wait in one["others"]])
    results["kill"] = {"rounds": [{"victim": one["victim"], "owned": waits_figures(one["owned"]),
                                   "others": waits_figures(one["others"])} for one in measured],
                       "owned": owned, "others": others}
    text = "kill -9, wait of the owner's {:,} devices".format(owned["connections"])
    lease = {"reference": LEASE_S * 1000, "name": "its lease"}
    table.note(text + " p50", owned["p50_ms"], unit="ms")
    table.absolute(text + " p99", owned["p99_ms"], "<=", LIMIT_P99_MS, unit="ms", **lease)
    table.absolute(text + " max", owned["max_ms"], "<=", LIMIT_MAX_MS, unit="ms", **lease)
    table.note("kill -9, wait of the others' devices p99", others["p99_ms"], unit="ms")
