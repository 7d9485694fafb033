"""A cluster of several nodes for a benchmark: the one of tests/e2e and tests/cluster, and what is
measured of it."""

import contextlib
import os
import sys

TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path += [os.path.join(TESTS, "e2e"), os.path.join(TESTS, "cluster")]

import ledger  # noqa: E402
import measure  # noqa: E402
import running  # noqa: E402
from cluster import SERVICE_ACCOUNT, TENANT  # noqa: E402
from ingest import quantile  # noqa: E402
from members import wait_settled  # noqa: E402
from servers import RATE_LIMIT, program  # noqa: E402


def say(text):
    print(text, file=sys.stderr, flush=True)


def settings(more=None):
    """The node is built already (gito bench), and nothing here needs a dashboard."""
    return dict({"RATE_LIMIT_PER_MINUTE": RATE_LIMIT,
                 "GITO_NODE": program("gito-node", "GITO_NODE")}, **(more or {}))


@contextlib.contextmanager
def nodes(names, **options):
    """The cluster, up and at rest; gone at the end."""
    say("starting %s" % names)
    gito = running.bring_up(nodes=names, environment=settings(), **options)
    try:
        wait_settled(gito)
        yield gito
    finally:
        running.take_down(gito)


def add_devices(gito, count):
    """Devices that only the service account speaks for, and have no rules."""
    gito.sql("""INSERT INTO devices (id, tenant_id, name, device_type)
        SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, %s, 'device ' || n, 'sensor'
        FROM generate_series(0, %s - 1) n ON CONFLICT DO NOTHING""", (TENANT, count))


def add_rules(gito):
    """Two a device, as in the benchmark of one node."""
    gito.sql("""INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold, cooldown_minutes)
        SELECT tenant_id, id, metric, operator, threshold, 5 FROM devices,
            (VALUES ('temperature', '>', 50), ('battery', '<', 0)) AS rule (metric, operator, threshold)
        WHERE tenant_id = %s AND NOT EXISTS (SELECT FROM alert_rules WHERE device_id = devices.id)""",
             (TENANT,))


def empty(gito):
    """Tables as new: their age costs the same in each phase that is compared."""
    gito.sql("TRUNCATE telemetry, telemetry_hourly")
    gito.sql("CHECKPOINT", role="super")


def account_load(gito, nodes_of=None, when_connected=lambda: None, **options):
    """The report of a load of the service account at these nodes, its connections in turn."""
    hosts = ["127.0.0.1:%d" % gito.at(node).mqtt_port for node in nodes_of or [gito.door]]
    options.update({"host": ",".join(hosts), "tenant": TENANT, "user": SERVICE_ACCOUNT[0],
                    "pass": SERVICE_ACCOUNT[1]})
    return measure.load(gito, when_connected, **options)


# What it costs.

def cpu(gito):
    """CPU seconds so far of all nodes that run, of PostgreSQL and of Redis."""
    return {"nodes": sum(measure.cpu_seconds(gito.node_pid(node)) for node in gito.running()),
            "postgres": measure.cpu_seconds_of_tree(gito.postgres_pid()),
            "redis": measure.cpu_seconds(gito.redis_pid())}


def cost_of_load(gito, nodes_of, **options):
    """A load as its report, with CPU seconds of all per million messages."""
    before = {}
    report = account_load(gito, nodes_of, lambda: before.update(cpu(gito)), **options)
    used = measure.difference(cpu(gito), before)
    return {"load": report, "cpu_seconds": used,
            "cpu_per_million": {name: value / report["acked"] * 1e6 for name, value in used.items()},
            "cpu_per_million_all": sum(used.values()) / report["acked"] * 1e6}


# What devices wait for.

def read_waits(path):
    """{device: milliseconds}: each connection's longest wait."""
    with open(path, encoding="utf-8") as file:
        return {int(device): float(ms) for device, ms in (line.split() for line in file)}


def waits_figures(values):
    ordered = sorted(values)
    return {"connections": len(ordered), "p50_ms": quantile(ordered, 0.5),
            "p99_ms": quantile(ordered, 0.99), "max_ms": ordered[-1] if ordered else None}


class DeviceLoad(ledger.Load):
    """Devices with their own credentials at these nodes; waits () after stop ()."""

    def __init__(self, gito, at, **options):
        self.waits_path = os.path.join(gito.data, "waits-%d" % id(self))
        super().__init__(gito, doors=[gito.at(node) for node in at], waits=self.waits_path,
                         **options)

    def waits(self):
        return read_waits(self.waits_path)


def check_answered(report):
    """Nothing was refused, nothing is left without its answer."""
    if report["unacked"] or report["refused"]:
        raise RuntimeError("%d unacknowledged, %d refused: %s" % (
            report["unacked"], report["refused"], report["first_error"]))
