"""REST with a month of history: eight clients, each a process that asks again when it is answered.

A request's time is the client's: it includes Python's http.client and JSON is not parsed in it."""

import http.client
import json
import multiprocessing
import os
import random
import sys
import time

from ingest import quantile
from servers import TENANT, device

CLIENTS = 8
DEVICES = 1000
READINGS = int(os.environ.get("BENCH_READINGS", "10000"))  # of each device
DAYS = 30
LIMIT_MS = 20


def fill(cluster):
    """In order of time, as they would have come: a device's readings are on pages far apart."""
    print("REST: storing %d readings of %d devices" % (READINGS, DEVICES), file=sys.stderr, flush=True)
    cluster.sql("TRUNCATE telemetry, telemetry_hourly")
    cluster.sql("""INSERT INTO telemetry (tenant_id, device_id, timestamp, seq, temperature, humidity,
                                          pressure, battery, rssi, extra, created_at)
        SELECT %(tenant)s, id, at, n * 1000 + d, 15 + (n * 7 + d) %% 200 / 10.0, 20 + (n + d) %% 60,
            980 + (n * 3 + d) %% 60, 20 + d %% 80, -40 - n %% 70, jsonb_build_object('seq', n), at
        FROM generate_series(0, %(readings)s - 1) n,
            LATERAL (SELECT now() - %(days)s * interval '1 day' * (%(readings)s - n) / %(readings)s AS at) t,
            (SELECT row_number() OVER (ORDER BY id) AS d, id FROM devices WHERE tenant_id = %(tenant)s
             ORDER BY id LIMIT %(devices)s) AS chosen""",
                {"tenant": TENANT, "readings": READINGS, "days": DAYS, "devices": DEVICES})
    cluster.sql("SELECT rollup_rebuild(now() - interval '31 days', now() + interval '1 hour')")
    cluster.sql("VACUUM (ANALYZE) telemetry")
    cluster.sql("VACUUM (ANALYZE) telemetry_hourly")
    cluster.checkpoint()


def span(days):
    end = time.time()
    return "from=%s&to=%s" % tuple(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at))
                                   for at in (end - days * 86400, end))


def queries():
    """Name and path below a device."""
    return (("raw page of 100", "/telemetry?per_page=100&" + span(DAYS)),
            ("latest", "/telemetry/latest"),
            ("24 h aggregated", "/telemetry/aggregated?" + span(1)),
            ("30 d aggregated", "/telemetry/aggregated?" + span(DAYS)))


def ask(connection, token, path):
    connection.request("GET", path, headers={"Authorization": "Bearer " + token})
    answer = connection.getresponse()
    return answer.status, answer.read()


def client(port, token, path, seconds, seed, results):
    pick = random.Random(seed)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    latencies, refused = [], 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        url = "/api/v1/tenants/%s/devices/%s%s" % (TENANT, device(pick.randrange(DEVICES)), path)
        start = time.perf_counter()
        status, _ = ask(connection, token, url)
        latencies.append((time.perf_counter() - start) * 1000)
        refused += status != 200
    results.put((latencies, refused))


def check(cluster, token, name, path):
    """An empty or wrong answer would be a fast one."""
    connection = http.client.HTTPConnection("127.0.0.1", cluster.http_port, timeout=30)
    status, body = ask(connection, token,
                       "/api/v1/tenants/%s/devices/%s%s" % (TENANT, device(0), path))
    if status != 200 or not json.loads(body).get("data"):
        raise RuntimeError("%s: status %d, %s" % (name, status, body[:300]))
    return body


def measure_query(cluster, token, path, seconds):
    results = multiprocessing.Queue()
    clients = [multiprocessing.Process(target=client, args=(cluster.http_port, token, path, seconds,
                                                            seed, results))
               for seed in range(CLIENTS)]
    for process in clients:
        process.start()
    answers = [results.get(timeout=seconds + 60) for _ in clients]
    for process in clients:
        process.join()
    ordered = sorted(value for latencies, _ in answers for value in latencies)
    if sum(refused for _, refused in answers):
        raise RuntimeError("requests were refused: %s" % path)
    return {"requests_per_s": len(ordered) / seconds, "p50_ms": quantile(ordered, 0.5),
            "p95_ms": quantile(ordered, 0.95), "max_ms": ordered[-1]}


def rest_part(cluster, table, results, seconds):
    fill(cluster)
    token = cluster.token()
    results["rest"] = {"readings": DEVICES * READINGS}
    for name, path in queries():
        body = check(cluster, token, name, path)
        measure_query(cluster, token, path, 1)
        figure = measure_query(cluster, token, path, min(seconds, 8))
        results["rest"][name] = dict(figure, answer_bytes=len(body))
        table.note("REST %s p50" % name, figure["p50_ms"], unit="ms")
        table.absolute("REST %s p95, 8 clients" % name, figure["p95_ms"], "<", LIMIT_MS, unit="ms")
