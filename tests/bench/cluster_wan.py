"""Two regions with a wide area network between them: what devices near their owner feel of it, and
whether anything is lost on the way to an owner far away."""

import contextlib
from statistics import median

import running
import wan
from apart import Apart
from cluster_nodes import check_answered, say, settings
from ledger import Load, check_stored, provision, wait_for_rows
from members import hold, incarnations, settle_at_home, wait_settled

NODES = "eu-1,eu-2,us-1"
DEVICES = 40  # at each place, of each region
RATE = 200  # of each load
ROUNDS = 3  # of each, in turn; the middle counts: one stall of the disk is not the network's
# A round trip of 80 ms; a packet in a hundred is lost each way.
FAR = {"delay": 40, "loss": 1}
NEAR = {"delay": 0.5, "loss": 0}
LIMIT_P50, LIMIT_P99 = 1.25, 2
# name: where the devices are connected, and their home
LOADS = {"eu at eu": ("eu-1", "eu"), "us at us": ("us-1", "us"),
         "eu at us": ("us-1", "eu"), "us at eu": ("eu-1", "us")}


@contextlib.contextmanager
def regions():
    """The cluster in namespaces, this process inside of `client`."""
    say("starting %s apart" % NODES)
    with contextlib.ExitStack() as undo:
        gito = Apart(settings(), nodes=NODES, between_ms=NEAR["delay"])
        undo.enter_context(gito.wan.inside("client"))
        running.bring_up(lambda: gito)
        undo.callback(running.take_down, gito)
        wait_settled(gito)
        yield gito


def make_devices(gito):
    provision(gito, DEVICES * len(LOADS))
    for number, (_, home) in enumerate(LOADS.values()):
        settle_at_home(gito, range(number * DEVICES, (number + 1) * DEVICES), home)


def set_between(gito, setting):
    places = [name for name in gito.nodes if gito.region(name) == "eu"] + ["db"]
    for place in places:
        gito.wan.link("us-1", place, **setting)


def measure(gito, phase, seconds):
    """{load: report} of all at once, and what the ledgers say."""
    loads = {}
    say("loads at both regions, %s" % phase)
    try:
        for number, (name, (node, _)) in enumerate(LOADS.items()):
            loads[name] = Load(gito, connections=DEVICES, doors=[gito.at(node)], rate=RATE,
                               first=number * DEVICES, seq_start=number * 10 ** 9)
        wait_for_rows(gito, RATE)
        hold(seconds)
        reports = {name: load.stop() for name, load in loads.items()}
    finally:
        for load in loads.values():
            load.kill()
    for report in reports.values():
        check_answered(report)
    acknowledged = check_stored(gito, *loads.values())
    gito.sql("TRUNCATE telemetry, telemetry_hourly")
    return {"loads": reports, "acknowledged": acknowledged}


def wan_part(table, results, seconds):
    reason = wan.why_not()
    if reason:
        raise RuntimeError("no network namespaces here: %s" % reason)
    with regions() as gito:
        make_devices(gito)
        measure(gito, "warm", 2)
        before = incarnations(gito)
        near, far = [], []
        for _ in range(ROUNDS):
            set_between(gito, NEAR)
            near.append(measure(gito, "no WAN between", seconds))
            set_between(gito, FAR)
            far.append(measure(gito, "80 ms and 1 % loss between", seconds))
        if incarnations(gito) != before:
            raise RuntimeError("a node was replaced meanwhile")
        lost = sum(gito.wan.count(a, b)["lost"] for a, b in (("us-1", "eu-1"), ("eu-1", "us-1")))
    results["wan"] = {"near": near, "far": far, "packets_lost": lost}
    report(table, waits(near), waits(far), sum(phase["acknowledged"] for phase in far))


def waits(rounds):
    """{load: {"p50", "p99"}} of PUBACK in milliseconds, the middle of the rounds'."""
    return {load: {part: median([phase["loads"][load]["puback_us"][part] for phase in rounds]) / 1000
                   for part in ("p50", "p99")} for load in LOADS}


def report(table, near, far, acknowledged):
    name = "without the WAN"
    for part, limit in (("p50", LIMIT_P50), ("p99", LIMIT_P99)):
        table.against("80 ms beside: eu's devices at eu, PUBACK %s, ms" % part,
                      far["eu at eu"][part], near["eu at eu"][part], name, "<=", limit)
    for load, text in (("us at us", "us's devices at us (the database is at eu)"),
                       ("eu at us", "eu's devices at us"), ("us at eu", "us's devices at eu")):
        for part in ("p50", "p99"):
            table.note("80 ms between: %s, PUBACK %s" % (text, part),
                       far[load][part], near[load][part], name, unit="ms")
    # check_stored has found each of them once, or there would be no figures.
    table.absolute("80 ms, 1 % loss: lost of {:,} acknowledged".format(acknowledged), 0, "<=", 0)
