"""Telemetry: how much becomes durable, at what cost, and how soon it is acknowledged and shown."""

import json
import os
import signal
import subprocess
import sys

import measure
import peers
from servers import TENANT, device

DEVICES = 10000
WATCHED = 25  # devices at half of the highest rate: few enough that the client is not measured
# At half of the highest rate some ten messages are due each time the generator looks. One connection
# sends them, as a gateway would: one system call a message would make the generator the largest load.
BURST = 10
# What came before a phase is written to disk first; the full images of the pages that the checkpoint
# asks for (full_page_writes) are written in these seconds at the phase's rate, before it is measured.
WARM_SECONDS = 3
HERE = os.path.dirname(os.path.abspath(__file__))


def say(text):
    print(text, file=sys.stderr, flush=True)


def prepare(cluster):
    say("provisioning %d devices with two rules each" % DEVICES)
    cluster.provision(DEVICES)
    cluster.provision_account()
    cluster.sql("""INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold, cooldown_minutes)
        SELECT tenant_id, id, metric, operator, threshold, 5 FROM devices,
            (VALUES ('temperature', '>', 50), ('battery', '<', 0)) AS rule (metric, operator, threshold)
        WHERE tenant_id = %s AND NOT EXISTS (SELECT FROM alert_rules WHERE device_id = devices.id)""",
                (TENANT,))


def empty(cluster):
    """Tables as new for the raw limit and for the load: the age of a table costs both the same."""
    cluster.sql("TRUNCATE telemetry, telemetry_hourly")
    cluster.checkpoint()


def raw_limit(cluster, seconds):
    """The writer's own statement, fed from memory."""
    say("raw limit: the writer alone, %d s" % seconds)
    empty(cluster)
    postgres = cluster.pids()["postgres"]
    before = measure.cpu_seconds_of_tree(postgres)
    report = cluster.run_node_program("--bench-writer", str(seconds))
    report["postgres_cpu_seconds"] = measure.cpu_seconds_of_tree(postgres) - before
    stored = cluster.sql("SELECT count(*) FROM telemetry")[0]  # its warm-up too
    report["postgres_cpu_per_million"] = report["postgres_cpu_seconds"] / stored * 1e6
    return report


def throughput(cluster, seconds):
    measure.load(cluster, seconds=2)  # actors are activated, connections of PostgreSQL are warm
    empty(cluster)
    say("load: as fast as acknowledged, %d s" % seconds)
    pids = cluster.pids()
    before = {}
    report = measure.load(cluster, lambda: before.update(measure.cpu_of_cluster(pids)),
                          seconds=seconds)
    cpu = measure.difference(measure.cpu_of_cluster(pids), before)
    rows = cluster.sql("SELECT count(*) FROM telemetry")[0]
    if rows < report["acked"]:
        raise RuntimeError("lost: %d acknowledged, %d stored" % (report["acked"], rows))
    return {"load": report, "rows": rows, "rows_per_s": rows / report["seconds"],
            "cpu_seconds": cpu, "seconds": report["seconds"],
            "cpu_per_million": {name: value / rows * 1e6 for name, value in cpu.items()},
            "alert_events": cluster.sql("SELECT count(*) FROM alert_events")[0]}


class Dashboard:
    def __init__(self, cluster, path, devices=()):
        url = "ws://127.0.0.1:%d%s?token=%s" % (cluster.http_port, path, cluster.token())
        self.process = subprocess.Popen(
            [sys.executable, os.path.join(HERE, "ws_watch.py"), url, *devices],
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            self.process.wait()
            raise RuntimeError("the WebSocket at %s did not open" % path)

    def latencies_ms(self):
        """Sorted; ends the watching."""
        self.process.send_signal(signal.SIGTERM)
        return sorted(value / 1000 for value in json.loads(self.process.communicate()[0]))


def quantile(ordered, fraction):
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else None


def latency(cluster, rate, seconds, watched, burst=1):
    """`watched`: of the dashboard, its path and the devices it asks for."""
    say("latency: %d messages/s, %d s" % (rate, seconds))
    cluster.checkpoint()
    measure.load(cluster, rate=rate, seconds=WARM_SECONDS, burst=burst)
    dashboard = Dashboard(cluster, *watched)
    report = measure.load(cluster, rate=rate, seconds=seconds, burst=burst)
    shown = dashboard.latencies_ms()
    return {"rate": rate, "acked": report["acked"], "puback_us": report["puback_us"],
            "acked_per_s": report["rate"],
            "load_cpu_us_per_message": report["cpu_us_per_message"], "websocket_messages": len(shown),
            "websocket_ms": {"p50": quantile(shown, 0.5), "p99": quantile(shown, 0.99),
                             "max": shown[-1] if shown else None}}


def latencies(cluster, rate_max, seconds):
    everything = ("/api/v1/ws/tenants/%s" % TENANT,)
    few = ("/api/v1/ws", [device(i * 100) for i in range(WATCHED)])
    return {"low": latency(cluster, 500, seconds, everything),
            "half": latency(cluster, int(rate_max / 2), seconds, few, BURST)}


def report_throughput(table, ours, raw, predecessors):
    faithful, batched = predecessors["faithful"], predecessors["batched"]
    rate, cpu = ours["rows_per_s"], ours["cpu_per_million"]
    table.against("durable rows/s", rate, peers.rows_per_s(faithful), "predecessor", ">=", 100)
    table.against("durable rows/s", rate, peers.rows_per_s(batched), "tuned predecessor", ">=", 5)
    table.against("durable rows/s", rate, raw["rows_per_s"], "raw limit", ">=", 0.5)
    table.absolute("CPU-s per million rows: node", cpu["node"], "<=", 4)
    table.against("CPU-s per million rows: PostgreSQL", cpu["postgres"],
                  raw["postgres_cpu_per_million"], "raw limit", "<=", 1.2)
    table.note("CPU-s per million rows: Redis", cpu["redis"])
    table.against("CPU-s per million rows: all", sum(cpu.values()), peers.cpu_per_million(batched),
                  "tuned predecessor", "<=", 1 / 6)
    table.note("CPU of the load generator", ours["load"]["cpu_us_per_message"], unit="us a message")
    table.note("acknowledged and not stored", max(0, ours["load"]["acked"] - ours["rows"]))


def report_latencies(table, figures, predecessors):
    peer = predecessors["batched"]
    for name, figure in (("500/s", figures["low"]),
                         ("half rate, {:,}/s".format(figures["half"]["rate"]), figures["half"])):
        shown = figure["websocket_ms"]
        low = figure is figures["low"]
        table.note("PUBLISH to PUBACK p50 at " + name, figure["puback_us"]["p50"] / 1000, unit="ms")
        table.absolute("PUBLISH to PUBACK p99 at " + name, figure["puback_us"]["p99"] / 1000, "<",
                       25, unit="ms")
        reference = "tuned predecessor, to Redis" if low else ""
        table.note("PUBLISH to WebSocket p50 at " + name, shown["p50"],
                   peers.latency_ms(peer, "p50") if low else None, reference, unit="ms")
        table.absolute("PUBLISH to WebSocket p99 at " + name, shown["p99"], "<", 50, unit="ms")


def throughput_part(cluster, table, results, seconds):
    results["raw_limit"] = raw_limit(cluster, seconds)
    results["throughput"] = throughput(cluster, seconds)
    report_throughput(table, results["throughput"], results["raw_limit"], results["predecessors"])


def latency_part(cluster, table, results, seconds):
    if "throughput" not in results:
        results["throughput"] = throughput(cluster, seconds)
    results["latency"] = latencies(cluster, results["throughput"]["rows_per_s"], seconds)
    report_latencies(table, results["latency"], results["predecessors"])
