"""A load at every node at once, on the same devices, and what must be true of it afterwards. Of
the devices every third lives in region us, the others in eu, the first of the regions."""

import os

from ledger import Load, check_alerts, check_stored, make_rules, provision, wait_for_rows
from members import settle_at_home

DEVICES = 60
RATE = 3000
# A dead node's devices are served again within this; a slow machine may be given more.
HEAL_S = float(os.environ.get("GITO_HEAL_S", "5"))


class Loads:
    """One gito-load per node, which begins there and goes to the next when it loses it."""

    def __init__(self, gito, nodes=None, rate=RATE, rules=True):
        self.gito, self.by_node = gito, {}
        nodes = nodes or list(gito.nodes)
        provision(gito, DEVICES)
        if len(gito.nodes) > 1:
            settle_at_home(gito, range(0, DEVICES, 3), "us")
        if rules:
            make_rules(gito, DEVICES)
        try:
            for k, node in enumerate(nodes):
                doors = [gito.at(name) for name in nodes[k:] + nodes[:k]]
                self.by_node[node] = Load(
                    gito, connections=DEVICES, doors=doors, together=True, rate=rate / len(nodes),
                    seq_start=k * 10 ** 9, keepalive=4, redial_timeout=1)
            wait_for_rows(gito, rate)
        except BaseException:
            self.kill()
            raise

    def kill(self):
        for load in self.by_node.values():
            load.kill()

    def finish(self, alerts=DEVICES):
        """Everything was acknowledged, is stored once and alerted once; {node: report}."""
        reports = {node: load.stop() for node, load in self.by_node.items()}
        for node, report in reports.items():
            assert (report["unacked"], report["refused"], report["unknown_acks"]) == (0, 0, 0), (
                node, report)
        check_stored(self.gito, *self.by_node.values())
        check_alerts(self.gito, at_least=alerts)
        return reports


def check_healed(reports, nodes=None):
    """No device waited too long for an acknowledgement, of the loads at these nodes."""
    gaps = {node: reports[node]["connection_gap_ms"] for node in nodes or reports}
    assert max(gaps.values()) < HEAL_S * 1000, "longest waits by node, ms: %s" % gaps
    return gaps
