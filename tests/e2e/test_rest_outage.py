"""The database goes away and comes back: REST says so at once, and resumes by itself."""

import concurrent.futures
import socket
import threading
import time

from clients import Device
from cluster import TENANT, wait_until
from tenants import make_tenant


def test_rest_says_that_the_database_is_away_and_resumes(make_gito):
    g = make_gito(nodes="eu-1")
    token = g.login()
    path = "/tenants/%s/devices" % TENANT

    def ask(_=None):
        return g.request("GET", path, token)

    assert ask().status_code == 200
    g.kill_postgres()
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, range(40)))
    assert time.monotonic() - begin < 10
    for answer in answers:
        assert answer.status_code == 503 and answer.headers["Retry-After"] == "1"
        assert answer.headers["Content-Type"].startswith("application/problem+json")
        assert answer.json()["code"] == "database_unavailable"
    assert g.request("POST", "/auth/login", json={"email": "a@b.c", "password": "x"}).status_code == 503
    g.start_postgres()
    wait_until(lambda: ask().status_code == 200, 15, "an answer of REST")
    assert [answer.status_code for answer in map(ask, range(20))].count(200) >= 16
    wait_until(lambda: all(ask().status_code == 200 for _ in range(10)), 15, "steady answers")


def test_a_copy_that_hangs_is_asked_seldom(make_gito):
    """DATABASE_READ_URL takes connections and says nothing: history comes from the original, and
    nobody who signs in, or asks for something else, waits behind who asks for it."""
    with socket.create_server(("127.0.0.1", 0), backlog=100) as silent:
        url = "postgresql://gito_app@127.0.0.1:%d/gito" % silent.getsockname()[1]
        g = make_gito(environment={"DATABASE_READ_URL": url, "QUERY_THREADS": "4"})
        t = make_tenant(g)
        device, stop = Device(t), threading.Event()
        history = "/devices/%s/telemetry" % device.id

        def ask_for_history():
            while not stop.wait(0.1):
                assert t.request("GET", history).status_code == 200

        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            asking = [pool.submit(ask_for_history) for _ in range(6)]
            try:
                wait_until(lambda: len(g.logged("database_away")) == 4, 30, "a try of each thread")
                for _ in range(20):
                    begin = time.monotonic()
                    t.data("GET", "/devices")
                    device.connect().close()
                    assert time.monotonic() - begin < 2
            finally:
                stop.set()
            for one in asking:
                one.result()
