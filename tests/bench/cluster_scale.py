"""The same load on one node and spread over five: what more nodes cost on the same machine."""

from cluster_distance import MODERATE, summary
from cluster_nodes import add_devices, add_rules, cost_of_load, empty, nodes, say
from ingest import BURST
from members import wait_settled

DEVICES = 10000
MANY = ["eu-1", "eu-2", "eu-3", "eu-4", "eu-5"]
LIMIT = 1.3


def measure(gito, at, rates, seconds):
    """{name: figures} of each rate (0: as fast as acknowledged), connections dealt to the nodes."""
    figures = {}
    for name, rate in rates.items():
        say("%d nodes, %s rate" % (len(at), name))
        empty(gito)
        more = {"rate": rate, "burst": BURST if rate > MODERATE else 1} if rate else {}
        run = cost_of_load(gito, at, devices=DEVICES, seconds=seconds, **more)
        rows = gito.sql("SELECT count(*) FROM telemetry")[0][0]
        if rows < run["load"]["acked"]:
            raise RuntimeError("lost: %d acknowledged, %d stored" % (run["load"]["acked"], rows))
        figures[name] = summary([run])
    return figures


def warm(gito, at):
    cost_of_load(gito, at, devices=DEVICES, seconds=2)


def scale_part(table, results, seconds):
    with nodes(MANY[0]) as gito:
        add_devices(gito, DEVICES)
        add_rules(gito)
        warm(gito, MANY[:1])
        one = measure(gito, MANY[:1], {"high": 0}, seconds)
        rates = {"half": int(one["high"]["rate"] / 2), "moderate": MODERATE}
        one.update(measure(gito, MANY[:1], rates, seconds))
        grow(gito)
        warm(gito, MANY)
        five = measure(gito, MANY, {"high": 0, **rates}, seconds)
    results["scale"] = {"one": one, "five": five}
    for name in one:
        report(table, name, one[name], five[name])


def grow(gito):
    gito.nodes = list(MANY)
    for node in MANY[1:]:
        say("starting %s" % node)
        gito.start_node(node)
    wait_settled(gito)


def report(table, name, one, five):
    text = "CPU-s per million at %s rate, {:,.0f}/s: five nodes, ".format(five["rate"]) % name
    for part in ("nodes", "postgres"):
        table.note(text + part, five["cpu_per_million"][part], one["cpu_per_million"][part],
                   "one node, {:,.0f}/s".format(one["rate"]))
    table.against(text + "all", five["cpu_per_million_all"], one["cpu_per_million_all"],
                  "one node", "<=", LIMIT)
