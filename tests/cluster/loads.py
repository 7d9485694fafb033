"""A load at every node at once, on the same devices, and what must be true of it afterwards. Of
the devices every third lives in region us, the others in eu, the first of the regions."""

import itertools
import os

from ledger import Load, check_alerts, check_stored, make_rules, provision, wait_for_rows
from members import settle_at_home

DEVICES = 60
RATE = 3000
# A dead node's devices are served again within this; a slow machine may be given more.
HEAL_S = float(os.environ.get("GITO_HEAL_S", "5"))


SEQS = itertools.count(0, 10 ** 7)  # where the next load begins: values end at 10 ** 10


def prepare(gito):
    """Devices, at home, and a rule each that every reading breaks; once for a cluster."""
    if gito.provisioned >= DEVICES:
        return
    provision(gito, DEVICES)
    if len(gito.nodes) > 1:
        settle_at_home(gito, range(0, DEVICES, 3), "us")
    make_rules(gito, DEVICES)


class Loads:
    """One gito-load per node, which begins there and goes to the next when it loses it."""

    def __init__(self, gito, rate=RATE):
        self.gito, self.by_node = gito, {}
        prepare(gito)
        self.since = gito.sql("SELECT clock_timestamp()")[0][0]
        nodes = gito.running()
        try:
            for k, node in enumerate(nodes):
                doors = [gito.at(name) for name in nodes[k:] + nodes[:k]]
                self.by_node[node] = Load(
                    gito, connections=DEVICES, doors=doors, together=True, rate=rate / len(nodes),
                    seq_start=next(SEQS), keepalive=4, redial_timeout=1)
            wait_for_rows(gito, rate)
        except BaseException:
            self.kill()
            raise

    def kill(self):
        for load in self.by_node.values():
            load.kill()

    def finish(self):
        """Everything was acknowledged, is stored once and alerted once; {node: report}."""
        reports = {node: load.stop() for node, load in self.by_node.items()}
        for node, report in reports.items():
            assert (report["unacked"], report["refused"], report["unknown_acks"]) == (0, 0, 0), (
                node, report)
        check_stored(self.gito, *self.by_node.values(), since=self.since)
        check_alerts(self.gito, at_least=DEVICES)
        return reports


def check_healed(reports, nodes=None):
    """No device waited too long for an acknowledgement, of the loads at these nodes."""
    gaps = {node: reports[node]["connection_gap_ms"] for node in nodes or reports}
    assert max(gaps.values()) < HEAL_S * 1000, "longest waits by node, ms: %s" % gaps
    return gaps
