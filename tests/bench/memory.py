"""Memory of the node: by connection, by device actor, and with many of both."""

import os
import sys

import ingest
import measure
from servers import TENANT

CONNECTIONS = int(os.environ.get("BENCH_CONNECTIONS", "19000"))
ACTORS = int(os.environ.get("BENCH_ACTORS", "1000000"))


def say(text):
    print(text, file=sys.stderr, flush=True)


def add_devices(cluster):
    """Devices that only the service account speaks for: they need no secret of their own."""
    cluster.sql("""INSERT INTO devices (id, tenant_id, name, device_type)
        SELECT ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid, %s, 'device ' || n, 'sensor'
        FROM generate_series(0, %s - 1) n ON CONFLICT DO NOTHING""", (TENANT, ACTORS))
    cluster.sql("ANALYZE devices")


def idle(cluster):
    say("memory: %d idle connections, %d actors" % (CONNECTIONS, ACTORS))
    cluster.provision(CONNECTIONS)
    add_devices(cluster)
    ingest.empty(cluster)
    cluster.restart_node()
    pid = cluster.pids()["node"]
    fresh = measure.resident_bytes(pid)
    connections = measure.IdleConnections(cluster, CONNECTIONS)
    try:
        connected = measure.resident_bytes(pid)
        # Connections are not equally quick, and each has its share of the devices: a fifth more
        # messages than devices reaches nearly all, and the rows tell how many.
        measure.load(cluster, connections=100, devices=ACTORS, messages=ACTORS * 6 // 5)
        activated = measure.resident_bytes(pid)
    finally:
        connections.close()
    actors = cluster.sql("SELECT count(DISTINCT device_id) FROM telemetry")[0]
    return {"connections": CONNECTIONS, "actors": actors, "fresh_bytes": fresh,
            "connected_bytes": connected, "activated_bytes": activated,
            "bytes_per_connection": (connected - fresh) / CONNECTIONS,
            "bytes_per_activated_actor": (activated - connected) / actors}


def memory_part(cluster, table, results, _seconds):
    pure = cluster.run_node_program("--bench-actors", str(ACTORS))
    whole = idle(cluster)
    results["memory"] = {"actors_alone": pure, "node": whole}
    table.absolute("memory per idle actor, of {:,}".format(ACTORS), pure["bytes_per_actor"], "<=",
                   256, unit="bytes")
    table.note("devices with an actor in the node, besides those connected", whole["actors"])
    table.note("growth of the node per actor that was spoken to", whole["bytes_per_activated_actor"],
               unit="bytes")
    table.absolute("memory per idle connection, of {:,}".format(CONNECTIONS),
                   whole["bytes_per_connection"], "<=", 2048, unit="bytes")
    table.absolute("node with both", whole["activated_bytes"] / 1e6, "<", 500, unit="MB")
