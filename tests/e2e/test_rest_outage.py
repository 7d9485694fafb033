"""The database goes away and comes back: REST says so at once, and resumes by itself."""

import concurrent.futures
import time

from cluster import TENANT, wait_until


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
