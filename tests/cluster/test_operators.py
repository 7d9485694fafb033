"""REST below /cluster, with several nodes: every node tells the same, and carries orders out."""

import pytest

from cluster import TENANT, wait_until
from ledger import DEVICE_ID
from loads import prepare
from members import Operator, owners, wait_settled

SLOTS = 4096


@pytest.fixture(scope="module")
def at(shared):
    """at["eu-1"]: the operator at that node."""
    prepare(shared)
    return {node: Operator(shared.at(node)) for node in shared.running()}


def without_times(node):
    return {name: value for name, value in node.items() if name != "lease_left_ms"}


def test_every_node_tells_the_same(shared, at):
    """Nodes, ring, slots, actors and the cluster itself are the same, asked at whatever node."""
    paths = ["", "/ring", "/ring/slots/0", "/ring/slots/4095?region=us",
             "/actors/%s/%s" % (TENANT, DEVICE_ID % 0), "/actors/%s/%s" % (TENANT, DEVICE_ID % 1)]
    for path in paths:
        first, *rest = [operator.get(path) for operator in at.values()]
        assert rest == [first, first], path
    first, *rest = [[without_times(node) for node in operator.get("/nodes")]
                    for operator in at.values()]
    assert rest == [first, first]
    active = {node["node_id"]: node["slots"] for node in first if node["state"] == "active"}
    assert list(active) == shared.running()
    assert active["us-1"] == active["eu-1"] + active["eu-2"] == SLOTS


def test_the_cluster_is_well(at):
    """All slots of both regions are served, none is on its way or away from home."""
    cluster = at["us-1"].get()
    assert cluster["health"] == "ok" and cluster["regions"] == ["eu", "us"]
    assert cluster["slots"] == {"total": 2 * SLOTS, "served": 2 * SLOTS, "moving": 0, "abroad": 0}


def test_endpoints_lead_to_every_node(shared):
    """Anybody may ask where the nodes are, and each of the addresses answers."""
    told = shared.api("GET", "/cluster/endpoints")["data"]
    nodes = shared.running()
    assert [(entry["node_id"], entry["region"]) for entry in told] == [
        (node, node[:2]) for node in nodes]
    assert [entry["endpoints"]["http"] for entry in told] == [
        shared.at(node).http_url for node in nodes]


def test_the_owner_of_a_device_is_of_its_region(shared, at):
    """A device of region us is with the node of region us, others with one of eu."""
    assert at["eu-1"].owner_of(DEVICE_ID % 0) == "us-1"
    actor = at["us-1"].get("/actors/%s/%s" % (TENANT, DEVICE_ID % 1))
    assert actor["region"] == "eu" and actor["serves"] is True
    assert actor["owner"] == owners(shared)["eu", actor["slot"]] in ("eu-1", "eu-2")


def test_who_may(shared, at):
    """Without a token 401, as a tenant's administrator 403, at every node."""
    administrator = shared.login()
    for node in at:
        door = shared.at(node)
        for method, path in (("GET", "/nodes"), ("GET", "/events"), ("POST", "/rebalance")):
            assert door.request(method, "/cluster" + path).status_code == 401
            assert door.request(method, "/cluster" + path, administrator).status_code == 403


def test_a_plan_at_rest_is_empty(at):
    """Where all is where it should be, neither a plan nor a rebalance moves anything."""
    assert at["us-1"].post("/ring/plan") == {"count": 0, "moves": []}
    assert at["eu-2"].post("/rebalance") == {"moves": 0}


def owned_by(gito, node):
    return sum(owner == node for owner in owners(gito).values())


def wait_given_away(events, node, count):
    """Until the events told of so many slots that went from that node to others."""
    given = 0
    while given < count:
        event, data = events.take()
        if event == "slots" and data["from"] == node:
            assert data["to"] not in (None, node)
            given += data["count"]
    assert given == count


def test_a_drain_is_seen_at_another_node(shared, at):
    """A drain that is ordered at one node empties another, which then leaves and ends; the events
    of a third tell of it. It may come back, and gets its share."""
    count = owned_by(shared, "eu-2")
    with at["us-1"].events() as events:
        assert at["eu-1"].post("/nodes/eu-2/drain")["state"] == "draining"
        wait_given_away(events, "eu-2", count)
    wait_until(lambda: "eu-2" not in shared.running(), 30, "the end of the drained node")
    wait_settled(shared)
    assert at["us-1"].get("/nodes/eu-2")["state"] == "left"
    shared.start_node("eu-2")
    wait_settled(shared)
    assert at["us-1"].get("/nodes/eu-2")["slots"] > 0.4 * SLOTS


def test_a_drain_is_cancelled_at_another_node(shared, at):
    """A drain that has moved slots and is called off at another node before its end: the node
    stays, with its share."""
    pid, count = shared.node_pid("eu-2"), owned_by(shared, "eu-2")
    assert at["eu-1"].post("/nodes/eu-2/drain")["state"] == "draining"
    # It is over after most of a second: nothing is asked between this and the next order.
    wait_until(lambda: owned_by(shared, "eu-2") < count, 10, "a slot that has moved")
    assert at["us-1"].post("/nodes/eu-2/cancel-drain")["state"] == "active"
    wait_settled(shared)
    assert shared.node_pid("eu-2") == pid
    assert at["us-1"].get("/nodes/eu-2")["slots"] > 0.4 * SLOTS


def test_orders_are_logged(shared, at):
    """Who ordered what, at whatever node, is in the audit log."""
    logged = shared.sql("SELECT DISTINCT action FROM audit_logs WHERE action LIKE 'cluster.%%'")
    assert {"cluster.node.drain", "cluster.node.cancel-drain", "cluster.rebalance"} <= {
        row[0] for row in logged}
