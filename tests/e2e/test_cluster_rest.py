"""REST for operators, below /cluster: what it tells, what it orders, who may, and what is logged."""

import base64
import hashlib
import hmac
import json
import socket
import threading
import time

import pytest
import requests
from clients import Mqtt, metric_value
from cluster import DEVICE, OPERATOR, TENANT, is_alive, wait_until
from conftest import bring_up, take_down
from tenants import problem_of

pytestmark = pytest.mark.sanitizer

NODE = "eu-1"
SLOTS = 4096


class Operator:
    def __init__(self, gito):
        self.g = gito
        self.token = gito.login(*OPERATOR)

    def data(self, method, path, status=None):
        return self.g.api(method, "/cluster" + path, self.token, status=status)["data"]

    def problem(self, method, path, status):
        response = self.g.request(method, "/cluster" + path, self.token)
        assert response.status_code == status, response.text[:500]
        return problem_of(response)

    def audit(self):
        """The orders of the operator, newest last."""
        return self.g.sql("SELECT action, resource_id, ip_address FROM audit_logs "
                          "WHERE action LIKE 'cluster.%%' ORDER BY id")


@pytest.fixture(scope="module")
def one():
    gito = bring_up(nodes=NODE)
    yield Operator(gito)
    take_down(gito)


def test_everything_but_the_endpoints_is_for_operators(one):
    paths = [("GET", ""), ("GET", "/nodes"), ("GET", "/nodes/eu-1"), ("GET", "/ring"),
             ("GET", "/ring/slots/1"), ("GET", "/actors/%s/%s" % (TENANT, DEVICE)),
             ("POST", "/nodes/eu-1/drain"), ("POST", "/nodes/eu-1/cancel-drain"),
             ("POST", "/nodes/eu-1/evict"), ("POST", "/ring/plan"), ("POST", "/rebalance"),
             ("POST", "/actors/%s/%s/passivate" % (TENANT, DEVICE))]
    administrator = one.g.login()
    for method, path in paths:
        assert one.g.request(method, "/cluster" + path).status_code == 401, path
        assert one.g.request(method, "/cluster" + path, administrator).status_code == 403, path
    assert one.data("GET", "/nodes/eu-1")["state"] == "active"


def test_the_cluster_is_well(one):
    cluster = one.data("GET", "")
    assert cluster["version"] >= 1 and cluster["health"] == "ok"
    assert cluster["nodes"] == {"active": 1, "joining": 0, "draining": 0, "condemned": 0,
                                "late": 0}
    assert cluster["slots"] == {"total": SLOTS, "served": SLOTS, "moving": 0, "abroad": 0}
    assert cluster["regions"] == ["eu"]


def test_endpoints_are_public_and_can_be_connected_to(one):
    endpoints = one.g.api("GET", "/cluster/endpoints")["data"]
    assert [(entry["node_id"], entry["region"]) for entry in endpoints] == [(NODE, "eu")]
    urls = endpoints[0]["endpoints"]
    assert requests.get(urls["http"] + "/api/health", timeout=5).ok
    assert urls["mqtt"] == "mqtt://127.0.0.1:%d" % one.g.mqtt_port
    assert urls["mqtts"] == "mqtts://127.0.0.1:%d" % one.g.mqtts_port
    assert "mesh" not in urls


def test_a_node_is_told_with_what_it_holds(one):
    nodes = one.data("GET", "/nodes")
    assert [node["node_id"] for node in nodes] == [NODE]
    node = one.data("GET", "/nodes/" + NODE)
    assert node["region"] == "eu" and node["state"] == "active" and node["incarnation"] >= 1
    assert (node["slots"], node["moving_out"], node["moving_in"]) == (SLOTS, 0, 0)
    assert 0 < node["lease_left_ms"] <= 3000 and node["left_at"] is None
    assert node["endpoints"]["mesh"].startswith("tcp://127.0.0.1:")
    assert one.problem("GET", "/nodes/eu-9", 404)["code"] == "node_not_found"
    assert one.problem("GET", "/nodes/EU_9", 422)["code"] == "bad_id"
    assert one.problem("DELETE", "/nodes/eu-1", 405)["code"] == "method_not_allowed"


def test_the_ring_sums_the_slots_up(one):
    ring = one.data("GET", "/ring")
    region = ring["regions"][0]
    assert ring["version"] == one.data("GET", "")["version"]
    assert (region["region"], region["number"]) == ("eu", 0)
    assert (region["slots"], region["served"], region["moving"]) == (SLOTS, SLOTS, 0)
    assert region["epoch_max"] == one.g.sql("SELECT max(epoch) FROM cluster_slots")[0][0]
    assert region["nodes"] == [{"node_id": NODE, "slots": SLOTS, "moving_out": 0, "moving_in": 0}]


def test_a_slot_is_told_for_each_region_or_one(one):
    slot = one.data("GET", "/ring/slots/4095")[0]
    assert (slot["region"], slot["slot"], slot["owner"], slot["state"], slot["target"],
            slot["serves"]) == ("eu", 4095, NODE, "owned", None, True)
    assert one.data("GET", "/ring/slots/0?region=eu")[0]["slot"] == 0
    assert one.problem("GET", "/ring/slots/0?region=mars", 404)["code"] == "slot_not_found"
    assert one.problem("GET", "/ring/slots/4096", 404)["code"] == "slot_not_found"
    assert one.problem("GET", "/ring/slots/x", 422)["code"] == "bad_id"


def test_an_actor_is_found_by_its_device(one):
    actor = one.data("GET", "/actors/%s/%s" % (TENANT, DEVICE))
    assert (actor["tenant_id"], actor["device_id"]) == (TENANT, DEVICE)
    assert (actor["region"], actor["owner"], actor["serves"]) == ("eu", NODE, True)
    assert actor["status"] in ("online", "idle", "offline")
    slot = one.data("GET", "/ring/slots/%d" % actor["slot"])[0]
    assert actor["epoch"] == slot["epoch"]
    missing = "/actors/%s/%s" % (TENANT, TENANT)
    assert one.problem("GET", missing, 404)["code"] == "device_not_found"


def test_a_drain_is_ordered_cancelled_and_logged(one):
    version = one.data("GET", "")["version"]
    before = len(one.audit())
    assert one.data("POST", "/nodes/eu-1/drain", 202)["state"] == "draining"
    assert one.data("GET", "")["nodes"]["draining"] == 1
    assert one.data("POST", "/nodes/eu-1/cancel-drain", 202)["state"] == "active"
    assert one.problem("POST", "/nodes/eu-1/cancel-drain", 409)["code"] == "refused"
    assert one.problem("POST", "/nodes/eu-9/drain", 404)["code"] == "node_not_found"
    assert one.data("GET", "")["version"] >= version + 2
    assert one.audit()[before:] == [("cluster.node.drain", NODE, "127.0.0.1"),
                                    ("cluster.node.cancel-drain", NODE, "127.0.0.1")]
    logged = one.g.api("GET", "/tenants/%s/audit-logs?action=cluster.node.drain" % TENANT,
                       one.token)["data"][0]
    assert (logged["resource_type"], logged["resource_id"]) == ("node", NODE)


def test_the_last_node_is_not_evicted(one):
    before = one.audit()
    assert one.problem("POST", "/nodes/eu-1/evict", 409)["code"] == "refused"
    assert one.audit() == before
    assert one.data("GET", "/nodes/eu-1")["state"] == "active"


def test_a_plan_changes_nothing_and_a_rebalance_is_logged(one):
    before = one.audit()
    version = one.data("GET", "")["version"]
    assert one.data("POST", "/ring/plan", 200) == {"count": 0, "moves": []}
    assert (one.audit(), one.data("GET", "")["version"]) == (before, version)
    assert one.data("POST", "/rebalance", 202) == {"moves": 0}
    assert one.audit()[len(before):] == [("cluster.rebalance", None, "127.0.0.1")]


def hold_the_view(operator):
    """While the connection's transaction lasts nobody changes the view."""
    connection = operator.g.pg()
    connection.autocommit = False
    connection.cursor().execute("SELECT FROM cluster_version FOR UPDATE")
    return connection


def test_a_plan_names_the_moves(one):
    """Slots that nobody owns are to be the only node's, which then sees to it by itself."""
    connection = hold_the_view(one)
    one.g.sql("UPDATE cluster_slots SET owner = NULL, state = 'free' WHERE slot IN (7, 9)")
    assert one.data("GET", "")["health"] == "critical"
    assert one.data("GET", "/ring/slots/7")[0]["serves"] is False
    assert one.data("POST", "/ring/plan") == {
        "count": 2, "moves": [{"region": "eu", "from": None, "to": NODE, "slots": [7, 9]}]}
    connection.close()
    wait_until(lambda: one.data("GET", "")["health"] == "ok", 10, "a healthy cluster")
    assert one.data("GET", "/ring/slots/7")[0]["owner"] == NODE


def test_while_the_view_is_being_changed_an_order_waits_for_its_turn(one):
    connection = hold_the_view(one)
    response = one.g.request("POST", "/cluster/rebalance", one.token)
    assert response.status_code == 503 and response.headers["Retry-After"] == "1"
    assert problem_of(response)["code"] == "busy"
    threading.Timer(0.3, connection.rollback).start()
    assert one.data("POST", "/rebalance", 202) == {"moves": 0}
    connection.close()


def test_an_actor_is_seen_and_dropped_when_it_is_at_rest(one):
    """What its owner says of it; busy, or with something to write, it stays."""
    path = "/actors/%s/%s" % (TENANT, DEVICE)
    with Mqtt(one.g, "admin", "admin-password") as client:
        client.publish("%s/devices/%s/telemetry" % (TENANT, DEVICE), {"temperature": 20})
    actor = one.data("GET", path)
    assert (actor["state"], actor["mailbox"]) == ("live", 0)
    assert actor["owner"] == one.g.nodes[0] and actor["epoch"] > 0
    # Until its last sign of life is written, it stays.
    wait_until(lambda: one.g.request("POST", "/cluster" + path + "/passivate",
                                     one.token).status_code != 409, 30, "an actor at rest")
    assert one.data("GET", path)["state"] == "none"
    assert one.audit()[-1][0] == "cluster.actor.passivate"
    assert one.problem("POST", path + "/passivate", 404)["code"] == "no_actor"


def test_reports_of_tenants_are_not_mixed_up_with_orders(one):
    """An order borrows the connection: afterwards it shows a tenant what it did before."""
    token = one.g.login()
    for _ in range(8):  # more than there are query threads
        one.data("POST", "/rebalance")
        devices = one.g.api("GET", "/tenants/%s/devices" % TENANT, token)["data"]
        assert {device["tenant_id"] for device in devices} == {TENANT}


def test_the_document_tells_every_route_and_its_captures(one):
    paths = one.g.api("GET", "/openapi.json")["paths"]
    assert not [path for path in paths if ":" in path]
    drain = paths["/cluster/nodes/{node_id}/drain"]["post"]
    assert drain["parameters"][0]["name"] == "node_id"
    assert "format" not in drain["parameters"][0]["schema"]


def test_an_evicted_node_ends(make_gito):
    gito = make_gito(nodes="eu-1,us-1")
    operator = Operator(gito)
    pid = gito.node_pid("us-1")
    assert operator.data("POST", "/nodes/us-1/evict", 202)["state"] in ("condemned", "dead")
    assert operator.data("GET", "")["health"] != "ok"
    wait_until(lambda: not is_alive(pid), 10, "the end of the evicted node")
    assert gito.logged("deposed", "us-1")
    assert operator.data("GET", "/nodes/us-1")["state"] in ("condemned", "dead")
    assert operator.problem("POST", "/nodes/eu-1/evict", 409)["code"] == "refused"
    assert operator.audit() == [("cluster.node.evict", "us-1", "127.0.0.1")]


# Events.

class Events:
    """The server-sent events of a stream, one after the other, as (name, data)."""

    def __init__(self, operator, token=None):
        self.response = requests.get(
            operator.g.http_url + "/api/v1/cluster/events", stream=True, timeout=20,
            headers={"Authorization": "Bearer " + (token or operator.token)})
        self.lines = self.response.iter_lines(chunk_size=1)
        self.deadline = time.monotonic() + 60

    def next(self):
        event, data = None, None
        for line in self.lines:
            line = line.decode()
            assert time.monotonic() < self.deadline, "the event did not come"
            name, _, value = line.partition(": ")
            if name == "event":
                event = value
            elif name == "data":
                data = json.loads(value)
            elif line == "" and event:
                return event, data
        raise EOFError("the stream has ended")

    def until(self, event, **members):
        """The data of the next such event that has these members."""
        while True:
            name, data = self.next()
            if name == event and members.items() <= data.items():
                return data

    def close(self):
        self.response.close()


@pytest.fixture
def events(one):
    stream = Events(one)
    yield stream
    stream.close()


def test_a_stream_begins_with_the_version_and_tells_each_change(one, events):
    assert events.response.headers["Content-Type"] == "text/event-stream"
    assert events.response.headers["Transfer-Encoding"] == "chunked"
    assert events.next() == ("version", {"version": one.data("GET", "")["version"]})
    one.data("POST", "/nodes/eu-1/drain")
    drain = events.until("node")
    one.data("POST", "/nodes/eu-1/cancel-drain")
    cancel = events.until("node")
    assert (drain["node_id"], drain["region"], drain["state"]) == (NODE, "eu", "draining")
    assert (cancel["node_id"], cancel["state"]) == (NODE, "active")
    assert drain["version"] < cancel["version"]
    assert events.until("version")["version"] >= cancel["version"]


def test_a_client_of_http_1_0_gets_no_chunks(one):
    with socket.create_connection(("127.0.0.1", one.g.http_port), timeout=10) as client:
        client.sendall(b"GET /api/v1/cluster/events HTTP/1.0\r\nAuthorization: Bearer %s\r\n\r\n"
                       % one.token.encode())
        answer = b""
        while b"event: version" not in answer:
            answer += client.recv(4096)
    header, _, body = answer.partition(b"\r\n\r\n")
    assert b"transfer-encoding" not in header.lower()
    assert body.startswith(b"retry: 2000\n\nevent: version\n")


def test_nodes_that_come_and_go_are_events(make_gito):
    gito = make_gito(nodes="eu-1")
    operator = Operator(gito)
    events = Events(operator)
    gito.launcher("up", "--detach", "--node", "us-1")
    assert events.until("node", node_id="us-1", state="active")["region"] == "us"
    assert events.until("slots", region="us", to="us-1")["from"] is None
    gito.down("--node", "us-1")
    events.until("node", node_id="us-1", state="draining")
    events.until("slots", region="us", **{"from": "us-1", "to": "eu-1"})
    events.until("node", node_id="us-1", state="left")
    events.close()


def test_streams_are_for_operators_and_few(one):
    for token, status in ((None, 401), (one.g.login(), 403)):
        assert one.g.request("GET", "/cluster/events", token).status_code == status
    streams = [Events(one) for _ in range(64)]
    try:
        assert one.g.request("GET", "/cluster/events", one.token).status_code == 503
    finally:
        for stream in streams:
            stream.close()
    wait_until(lambda: metric_value(one.g, "gito_event_streams") == 0, 10, "the end of all streams")
    head = one.g.request("HEAD", "/cluster/events", one.token)
    assert head.status_code == 200 and head.headers["Content-Type"] == "text/event-stream"


def test_a_stream_ends_with_its_token(one):
    header, claims, _ = one.token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(claims + "=="))
    claims["exp"] = int(time.time()) + 2
    body = header + "." + base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    key = one.g.settings()["JWT_SECRET_KEY"].encode()
    signature = hmac.new(key, body.encode(), hashlib.sha256).digest()
    token = body + "." + base64.urlsafe_b64encode(signature).decode().rstrip("=")
    events = Events(one, token)
    assert events.next()[0] == "version"
    with pytest.raises((EOFError, requests.RequestException)):
        events.until("node", node_id="nobody")
    assert time.time() >= claims["exp"]


def test_orders_wait_for_no_budget(make_gito):
    """A tenant that has used its requests up does not keep its operator from acting."""
    gito = make_gito(nodes=NODE, environment={"RATE_LIMIT_PER_MINUTE": "5"})
    operator = Operator(gito)
    path = "/tenants/%s/devices" % TENANT
    wait_until(lambda: gito.request("GET", path, operator.token).status_code == 429, 10, "429")
    for _ in range(8):
        assert operator.data("GET", "/nodes/eu-1")["state"] == "active"
