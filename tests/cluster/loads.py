"""A load at every node at once, on the same devices, and what must be true of it afterwards. Of
the devices every third lives in region us, the others in eu, the first of the regions."""

import itertools
import os
import time

import requests

from cluster import TENANT, wait_until
from ledger import (DEVICE_ID, Load, check_alerts, check_stored, make_rules, metric,
                    provision, wait_for_rows)
from members import SETTLE_S, Operator, settle_at_home

DEVICES = 60
RATE = int(os.environ.get("GITO_CLUSTER_RATE", "3000"))  # messages per second, at all nodes together
TIMED_RATE = RATE / 3  # where times are looked at: two processors are not BUSY with it
# A dead node's devices are served again within this. In the whole run other work may share the
# machine: it looks for loss, not for time.
HEAL_S = float(os.environ.get("GITO_HEAL_S", "30" if os.environ.get("GITO_TEST_WHOLE") else "5"))
# A device that moves as planned waits less than its next node does for a former owner that tells
# it nothing (1 s). Slots that were served after such a wait are counted as well, which sees it on a
# busy machine too: some are allowed, for a node that was not let run for so long (288 were seen so,
# and 1,498 or more where nobody told anything). Of the whole run nothing is known of the machine.
MOVE_S = HEAL_S / 5
UNHEARD_MAX = 4096 if os.environ.get("GITO_TEST_WHOLE") else 1000
# Where somebody waits for a processor nearly all the time, times say little: a limit is so many
# times longer, and no shorter than HEAL_S. For a node that is not let run for a lease is replaced,
# and its devices then wait as for a dead one, whatever else a test does.
BUSY, BUSY_TIMES = 0.8, 4

SEQS = 10 ** 7  # of a load; values of metrics end at 10 ** 10
FIRST_SEQS = itertools.count(0, SEQS)
UNSERVED = """
    SELECT device::text, first FROM unnest (%s::uuid[], %s::bigint[]) AS waiting (device, first)
    WHERE NOT EXISTS (SELECT FROM telemetry_hot t WHERE t.device_id = device AND t.timestamp > %s
        AND (t.payload ->> 'seq')::bigint BETWEEN first AND first + %s)"""


def waited_for_processors():
    """(seconds that somebody waited for one, seconds), both since some moment; 0 where the kernel
    does not tell."""
    try:
        with open("/proc/pressure/cpu", encoding="utf-8") as pressure:
            return int(pressure.readline().rpartition("total=")[2]) / 1e6, time.monotonic()
    except FileNotFoundError:
        return 0, time.monotonic()


def where(operator, device):
    """Where the actor is said to be, or why that is not told: for a slot without an owner the
    question has no answer."""
    try:
        return operator.get("/actors/%s/%s" % (TENANT, device), timeout=2)
    except (requests.RequestException, AssertionError) as error:
        return "not told (%s)" % error


def unheard(gito):
    """{node: slots that it served before their former owner had told it all}."""
    return {node: metric(gito.at(node), "gito_slots_unheard_total") for node in gito.running()}


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
        self.since = self.now()
        self.pressure = waited_for_processors()
        self.unheard = unheard(gito)
        self.first_seqs = {}
        nodes = gito.running()
        try:
            for k, node in enumerate(nodes):
                doors = [gito.at(name) for name in nodes[k:] + nodes[:k]]
                self.first_seqs[node] = next(FIRST_SEQS)
                self.by_node[node] = Load(
                    gito, connections=DEVICES, doors=doors, together=True, rate=rate / len(nodes),
                    seq_start=self.first_seqs[node], keepalive=4, redial_timeout=1)
            wait_for_rows(gito, rate)
        except BaseException:
            self.kill()
            raise

    def now(self):
        return self.gito.sql("SELECT clock_timestamp()")[0][0]

    def busy(self):
        """The share of the time since the load began in which somebody waited for a processor."""
        waited, now = waited_for_processors()
        return (waited - self.pressure[0]) / (now - self.pressure[1])

    def wait_all_served(self, deadline_s=SETTLE_S):
        """Until each device has, of each load, a reading that arrived after this call."""
        since = self.now()
        waiting = [(DEVICE_ID % device, first) for device in range(DEVICES)
                   for first in self.first_seqs.values()]

        def served():
            waiting[:] = self.gito.sql(UNSERVED, [*map(list, zip(*waiting)), since, SEQS - 1])
            return not waiting

        try:
            wait_until(served, deadline_s, "a new reading of every device from every load")
        except AssertionError as error:
            raise AssertionError("%s\n%s" % (error, self.tell(waiting))) from None

    def tell(self, waiting):
        """Which devices wait at which nodes, and where their actors are said to be. It never fails:
        that would hide the failure it tells of."""
        nodes = {first: node for node, first in self.first_seqs.items()}
        try:
            operator = Operator(self.gito.at(self.gito.running()[0]))
        except (requests.RequestException, AssertionError, IndexError) as error:
            return "no node tells where %s are: %s" % (waiting[:10], error)
        return "\n".join("%s at %s: %s" % (device, nodes[first], where(operator, device))
                         for device, first in waiting[:10])

    def kill(self):
        for load in self.by_node.values():
            load.kill()

    def finish(self):
        """Everything was acknowledged, is stored once and alerted once; {node: report}."""
        self.reports = {node: load.stop() for node, load in self.by_node.items()}
        for node, report in self.reports.items():
            assert (report["unacked"], report["refused"], report["unknown_acks"]) == (0, 0, 0), (
                node, report)
        self.busy_share = self.busy()
        check_stored(self.gito, *self.by_node.values(), since=self.since)
        check_alerts(self.gito, at_least=DEVICES)
        return self.reports

    def check_waits(self, limit_s, nodes=None):
        """After finish (): no device of the loads at these nodes waited too long for an
        acknowledgement."""
        waits = {node: self.reports[node]["connection_gap_ms"] for node in nodes or self.reports}
        if self.busy_share >= BUSY:
            limit_s = max(limit_s * BUSY_TIMES, HEAL_S)
        assert max(waits.values()) < limit_s * 1000, (
            "longest waits by node, ms: %s; processors were waited for %.0f %% of the time"
            % (waits, self.busy_share * 100))

    def check_moves(self):
        """After finish (), where slots moved as planned and nobody died: no device waited for long,
        and the slots' next owners had them given, instead of waiting in vain."""
        late = {node: count - self.unheard.get(node, 0)
                for node, count in unheard(self.gito).items()}
        assert max(late.values()) <= UNHEARD_MAX, "slots whose former owner told nothing: %s" % late
        self.check_waits(MOVE_S)
