"""./gito bench [NAME]: measures clusters of its own, prints a table, writes JSON. README.md says
what the figures mean. `ingest` and `cluster` are all parts of their kind, any other name one."""

import argparse
import json
import os
import subprocess
import sys

import cluster_distance
import cluster_hundred
import cluster_kill
import cluster_move
import cluster_planner
import cluster_scale
import cluster_wan
import ingest
import memory
import peers
import rest
import running
from servers import ROOT, Cluster
from table import Table

# On one node, which they share.
INGEST = {"throughput": ingest.throughput_part, "latency": ingest.latency_part,
          "memory": memory.memory_part, "rest": rest.rest_part}
# Each brings up the nodes that it needs.
CLUSTER = {"cluster-kill": cluster_kill.kill_part, "cluster-move": cluster_move.move_part,
           "cluster-planner": cluster_planner.planner_part,
           "cluster-distance": cluster_distance.distance_part,
           "cluster-scale": cluster_scale.scale_part,
           "cluster-wan": cluster_wan.wan_part,
           "cluster-hundred": cluster_hundred.hundred_part}
GROUPS = {"ingest": INGEST, "cluster": CLUSTER}
CORES = 2


def arguments():
    parser = argparse.ArgumentParser(prog="gito bench")
    parser.add_argument("name", nargs="?", default="ingest", choices=[*GROUPS, *INGEST, *CLUSTER])
    parser.add_argument("--json", help="default: build/bench/NAME.json")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("BENCH_SECONDS", "0")),
                        help="of a phase; default: 20, of clusters 8")
    parser.add_argument("--port-base", type=int, default=20000)
    return parser.parse_args()


def keep_to_cores():
    """The same two cores for the load, the nodes, PostgreSQL and Redis, and for the peers."""
    allowed = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def write_json(path, results):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def run_parts(chosen, results, *arguments):
    """A part that fails is told and does not take the others with it."""
    results["failed"] = {}
    for name, part in chosen.items():
        try:
            part(*arguments)
        except (RuntimeError, AssertionError, OSError, subprocess.SubprocessError) as error:
            print("%s failed: %s" % (name, error), file=sys.stderr, flush=True)
            results["failed"][name] = str(error)


def run_ingest(chosen, table, results, options):
    needs_peers = "throughput" in chosen or "latency" in chosen
    results["predecessors"] = peers.measure_all() if needs_peers else {}
    cluster = Cluster(options.port_base)
    try:
        cluster.up()
        ingest.prepare(cluster)
        run_parts(chosen, results, cluster, table, results, options.seconds or 20)
    finally:
        cluster.down()


def run(options, table, results):
    name = options.name
    chosen = GROUPS.get(name) or {name: INGEST.get(name) or CLUSTER[name]}
    if name in GROUPS["cluster"] or name == "cluster":
        run_parts(chosen, results, table, results, options.seconds or 8)
    else:
        run_ingest(chosen, table, results, options)


def main():
    options = arguments()
    # What else the machine was doing before is told with the figures.
    results = {"name": options.name, "cores": keep_to_cores(), "load_before": os.getloadavg()[0]}
    running.end_well_when_told()
    table = Table()
    try:
        run(options, table, results)
    finally:
        results["table"] = table.rows
        write_json(options.json or os.path.join(ROOT, "build", "bench", options.name + ".json"),
                   results)
        print(table.text())
    missed = table.missed() + ["%s (failed)" % name for name in results["failed"]]
    if missed:
        print("\nnot met: %s" % "; ".join(missed))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
