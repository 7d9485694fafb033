"""What it costs when a device is connected at another node than its owner: CPU and time.

Two nodes, of which eu-2 owns every slot: what comes in at eu-2 stays there, what comes in at eu-1
makes one way through the mesh, and its answer another. All else is the same."""

import json
import subprocess

from cluster_nodes import add_devices, add_rules, cost_of_load, empty, nodes, say
from cluster_owners import set_weights
from ingest import BURST
from members import wait_settled
from servers import program

DEVICES = 10000
DOORS = {"local": "eu-2", "remote": "eu-1"}
MODERATE = 2000
LIMIT_CPU, LIMIT_P50_US, LIMIT_P99_US = 1.6, 200, 2000
ROUNDS = 2  # of each, in turn: what else the machine does hits both


def mesh_alone(seconds):
    """Two mesh threads in one process, with nothing before and behind them."""
    say("the mesh alone")
    result = subprocess.run([program("tests/gito-mesh-bench", "GITO_MESH_BENCH"), str(seconds)],
                            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                            check=True)
    phases = [json.loads(line) for line in result.stdout.splitlines()]
    return {phase["phase"]: phase for phase in phases}


def median(values):
    return sorted(values)[len(values) // 2]


def summary(runs):
    """Of runs with the same load: what each of their messages cost, and the middle of waits."""
    acked = sum(run["load"]["acked"] for run in runs)
    used = {name: sum(run["cpu_seconds"][name] for run in runs) for name in runs[0]["cpu_seconds"]}
    waits = [run["load"]["puback_us"] for run in runs]
    return {"runs": runs, "rate": sum(run["load"]["rate"] for run in runs) / len(runs),
            "cpu_per_million": {name: value / acked * 1e6 for name, value in used.items()},
            "cpu_per_million_all": sum(used.values()) / acked * 1e6,
            "puback_us": {name: median([wait[name] for wait in waits]) for name in ("p50", "p99")}}


def compare(gito, **options):
    """{"local", "remote"}: the same load at either door, in turn."""
    runs = {name: [] for name in DOORS}
    for _ in range(ROUNDS):
        for name, node in DOORS.items():
            say("load at %s: %s" % (node, name))
            empty(gito)
            runs[name].append(cost_of_load(gito, [node], devices=DEVICES, **options))
    return {name: summary(of_door) for name, of_door in runs.items()}


def measure_all(seconds):
    with nodes("eu-1,eu-2") as gito:
        add_devices(gito, DEVICES)
        add_rules(gito)
        set_weights(gito, {"eu-1": 0})
        wait_settled(gito)
        for node in DOORS.values():  # actors are awake, connections warm
            cost_of_load(gito, [node], devices=DEVICES, seconds=2)
        high = compare(gito, seconds=seconds)
        half = int(high["remote"]["rate"] / 2)
        return {"high": high, "half": compare(gito, seconds=seconds, rate=half, burst=BURST),
                "moderate": compare(gito, seconds=seconds, rate=MODERATE)}


def report_cost(table, name, figures):
    local, remote = figures["local"], figures["remote"]
    text = "CPU-s per million at %s, {:,.0f}/s: ".format(remote["rate"]) % name
    for part in ("nodes", "postgres"):
        table.note(text + "owner elsewhere, " + part, remote["cpu_per_million"][part],
                   local["cpu_per_million"][part], "owner here")
    table.against(text + "owner elsewhere, all", remote["cpu_per_million_all"],
                  local["cpu_per_million_all"], "owner here", "<=", LIMIT_CPU)


def report_mesh(table, phases):
    table.note("mesh alone, items/s at the greatest rate", phases["greatest rate"]["items_per_s"])
    plain = phases["TCP alone, 2000 frames/s"]
    for name in ("200 frames/s", "2000 frames/s"):
        for part, limit in (("p50_us", LIMIT_P50_US), ("p99_us", LIMIT_P99_US)):
            table.absolute("mesh alone, one way at %s %s" % (name, part[:3]), phases[name][part],
                           "<=", limit, unit="us", reference=plain[part], name="TCP alone")
    for part in ("p50_us", "p99_us"):
        table.note("mesh alone, one way at 10000 frames/s %s" % part[:3],
                   phases["10000 frames/s"][part], unit="us")


def distance_part(table, results, seconds):
    mesh = mesh_alone(min(seconds, 3))
    figures = measure_all(seconds)
    results["distance"] = {"mesh": mesh, **figures}
    for name in ("high", "half", "moderate"):
        report_cost(table, name + " rate", figures[name])
    for name in ("moderate", "half"):
        local, remote = figures[name]["local"]["puback_us"], figures[name]["remote"]["puback_us"]
        for part in ("p50", "p99"):
            table.note("PUBACK %s at %s rate, owner elsewhere" % (part, name), remote[part] / 1000,
                       local[part] / 1000, "owner here", unit="ms")
    report_mesh(table, mesh)
