"""./gito bench [ingest|throughput|latency|memory|rest]: measures a cluster of its own, prints a
table, writes JSON. README.md says what the figures mean."""

import argparse
import json
import os
import subprocess
import sys

import ingest
import memory
import peers
import rest
from servers import ROOT, Cluster
from table import Table

PARTS = {"throughput": ingest.throughput_part, "latency": ingest.latency_part,
         "memory": memory.memory_part, "rest": rest.rest_part}
CORES = 2


def arguments():
    parser = argparse.ArgumentParser(prog="gito bench")
    parser.add_argument("name", nargs="?", default="ingest", choices=["ingest", *PARTS])
    parser.add_argument("--json", help="default: build/bench/NAME.json")
    parser.add_argument("--seconds", type=int, default=int(os.environ.get("BENCH_SECONDS", "20")))
    parser.add_argument("--port-base", type=int, default=20000)
    return parser.parse_args()


def keep_to_cores():
    """The same two cores for the load, the node, PostgreSQL and Redis, and for the peers."""
    allowed = sorted(os.sched_getaffinity(0))[:CORES]
    os.sched_setaffinity(0, allowed)
    return len(allowed)


def write_json(path, results):
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(results, file, indent=1)
        file.write("\n")


def run_parts(chosen, cluster, table, results, seconds):
    """A part that fails is told and does not take the others with it."""
    results["failed"] = {}
    for name, part in chosen.items():
        try:
            part(cluster, table, results, seconds)
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            print("%s failed: %s" % (name, error), file=sys.stderr, flush=True)
            results["failed"][name] = str(error)


def main():
    options = arguments()
    chosen = PARTS if options.name == "ingest" else {options.name: PARTS[options.name]}
    results = {"name": options.name, "cores": keep_to_cores()}
    needs_peers = "throughput" in chosen or "latency" in chosen
    results["predecessors"] = peers.measure_all() if needs_peers else {}
    table = Table()
    cluster = Cluster(options.port_base)
    try:
        cluster.up()
        ingest.prepare(cluster)
        run_parts(chosen, cluster, table, results, options.seconds)
    finally:
        cluster.down()
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
