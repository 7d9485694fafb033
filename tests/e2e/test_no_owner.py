"""A region without a node whose slots nobody takes yet: who asks for its tenants is told so, and costs
the others nothing."""

import socket

import pytest
import requests

from clients import metric_value
from cluster import wait_until
from tenants import make_tenant

REQUESTS = 300


@pytest.fixture
def gito(make_gito):
    return make_gito(nodes="eu-1,us-1", environment={"REGION_HOLD_DOWN_SECONDS": "600"})


def hangs(t):
    """Nodes read where a tenant is at home each second."""
    try:
        t.request("GET", "/devices", role="VIEWER", timeout=1)
        return False
    except requests.exceptions.Timeout:
        return True


def test_requests_that_nobody_answers_are_forgotten(gito):
    """Each is refused in time; and what was asked for it is taken back, also for clients that have
    gone: it would hold the credit of those who publish until the region has a node again."""
    t = make_tenant(gito, home="us")
    head = "GET /api/v1%s HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\n\r\n" % (
        t.path("/devices"), t.tokens["VIEWER"])
    gito.kill_node(node="us-1")
    wait_until(lambda: hangs(t), 10, "a request that nobody answers")
    gone = [socket.create_connection((gito.host, gito.http_port)) for _ in range(REQUESTS)]
    for one in gone:
        one.sendall(head.encode())
    wait_until(lambda: metric_value(gito, "gito_edge_items_in_flight") >= REQUESTS, 5, "them all")
    for one in gone[1:]:
        one.close()
    gone[0].settimeout(20)
    assert gone[0].recv(4096).startswith(b"HTTP/1.1 503")
    wait_until(lambda: metric_value(gito, "gito_edge_items_in_flight") == 0, 10, "their end")
    gone[0].close()
