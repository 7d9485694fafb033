"""The same load on one node and spread over five: what more nodes cost on the same machine."""

from cluster_distance import MODERATE, summary
from cluster_nodes import add_devices, add_rules, cost_of_load, empty, nodes, say
from ingest import BURST
from members import wait_settled

DEVICES = 10000
MANY = ["eu-1", "eu-2", "eu-3", "eu-4", "eu-5"]
# 200 connections: 100,000 messages unacknowledged, so that each of five nodes has as many at a time
# as the one of the ingest benchmark, and makes batches as large.
FULL = {"window": 500}
LIMIT = 1.3


def measure(gito, at, loads, seconds):
    """{name: figures} of each load, connections dealt to the nodes."""
    figures = {}
    for name, load in loads.items():
        say("%d nodes, %s" % (len(at), name))
        empty(gito)
        run = cost_of_load(gito, at, devices=DEVICES, seconds=seconds, **load)
        rows = gito.sql("SELECT count(*) FROM telemetry")[0][0]
        if rows < run["load"]["acked"]:
            raise RuntimeError("lost: %d acknowledged, %d stored" % (run["load"]["acked"], rows))
        figures[name] = summary([run])
    return figures


def warm(gito, at):
    cost_of_load(gito, at, devices=DEVICES, seconds=2)


def grow(gito):
    gito.nodes = list(MANY)
    for node in MANY[1:]:
        say("starting %s" % node)
        gito.start_node(node)
    wait_settled(gito)


def scale_part(table, results, seconds):
    with nodes(MANY[0]) as gito:
        add_devices(gito, DEVICES)
        add_rules(gito)
        warm(gito, MANY[:1])
        one = measure(gito, MANY[:1], {"full load": FULL}, seconds)
        rates = {"half of that": {"rate": int(one["full load"]["rate"] / 2), "burst": BURST},
                 "moderate rate": {"rate": MODERATE}}
        one.update(measure(gito, MANY[:1], rates, seconds))
        grow(gito)
        warm(gito, MANY)
        five = measure(gito, MANY, {"full load": FULL, **rates}, seconds)
    results["scale"] = {"one": one, "five": five}
    for name in one:
        report(table, name, one[name], five[name])


def report(table, name, one, five):
    text = "CPU-s per million, five nodes, %s, {:,.0f}/s: ".format(five["rate"]) % name
    for part in ("nodes", "postgres"):
        table.note(text + part, five["cpu_per_million"][part], one["cpu_per_million"][part],
                   "one node, {:,.0f}/s".format(one["rate"]))
    if name == "full load":
        table.against(text + "all", five["cpu_per_million_all"], one["cpu_per_million_all"],
                      "one node", "<=", LIMIT)
    else:
        table.note(text + "all", five["cpu_per_million_all"], one["cpu_per_million_all"],
                   "one node")
