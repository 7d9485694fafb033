"""Any node is a door to the whole cluster: what clients at different nodes have in common."""

import time
import uuid

import pytest

import packets
from clients import Device, Live, Mqtt, make_account
from cluster import wait_until
from members import hold
from tenants import make_tenant

TAKEN_OVER, REVOKED, LIMIT = 0x8E, 0x98, 1000
RULE_S = 1  # so long after the answer a rule may take to hold everywhere


@pytest.fixture(scope="module")
def t(shared):
    return make_tenant(shared)


@pytest.fixture
def device(t):
    return Device(t)


def connect(device, gito, **more):
    return Mqtt(gito, device.user, device.secret, **more)


@pytest.mark.parametrize("door", ["eu-1", "eu-2", "us-1"])
def test_a_reading_is_seen_at_every_node(shared, t, device, door):
    """What a device publishes at one node shows on a live WebSocket at each, by REST at each."""
    lives = [Live(shared.at(node), "/devices/" + device.id, t.tokens["VIEWER"])
             for node in shared.running()]
    for live in lives:
        live.synchronise()
    with connect(device, shared.at(door)) as client:
        assert client.publish(device.topic(), {"temperature": 21.5}) == (0, None)
    for live in lives:
        with live:
            assert live.take("telemetry")["data"]["payload"] == {"temperature": 21.5}
    for node in shared.running():
        latest = shared.at(node).api("GET", t.path("/devices/%s/telemetry/latest" % device.id),
                                     t.tokens["VIEWER"])["data"]
        assert latest["temperature"] == 21.5


def test_two_connections_of_a_device_at_two_nodes(shared, device):
    """A device that is connected at two nodes at once stores the readings of both."""
    with connect(device, shared.at("eu-1")) as one, connect(device, shared.at("us-1")) as two:
        for number in range(20):
            one.publish(device.topic(), {"n": number})
            two.publish(device.topic(), {"n": 100 + number})
    stored = [row[0]["n"] for row in device.rows()]
    assert sorted(stored) == list(range(20)) + list(range(100, 120))
    assert [n for n in stored if n < 100] == list(range(20))


def test_commands_reach_a_device_at_another_node(shared, device, t):
    """A command that a back end publishes at one node arrives at a device that is at another."""
    account = make_account(t)
    for at, door in (("us-1", "eu-1"), ("eu-1", "us-1"), ("eu-2", "eu-1")):
        with connect(device, shared.at(at)) as client, \
                Mqtt(shared.at(door), *account) as back_end:
            assert client.subscribe(device.topic("commands")) == 1
            assert back_end.publish(device.topic("commands"), '{"go": "%s"}' % at)[0] == 0
            assert client.take_text("/commands") == '{"go": "%s"}' % at


def test_what_a_message_says_of_itself_goes_to_every_node(shared, device, t):
    """MQTT 5's properties go over the mesh with their message."""
    with connect(device, shared.at("us-1"), version=5) as client, \
            Mqtt(shared.at("eu-1"), *make_account(t), version=5) as back_end:
        client.subscribe(device.topic("commands"))
        back_end.publish(device.topic("commands"), "open", MessageExpiryInterval=100,
                         UserProperty=[("trace", "1")], ResponseTopic="answers")
        properties = client.take().properties
        assert properties.UserProperty == [("trace", "1")]
        assert properties.ResponseTopic == "answers"
        assert 90 <= properties.MessageExpiryInterval <= 100


@pytest.mark.parametrize("at, door", [("us-1", "eu-1"), ("eu-2", "us-1"), ("eu-1", "eu-2")])
def test_who_has_his_suback_misses_nothing(shared, t, at, door):
    """A message that is published anywhere right behind a SUBACK reaches the subscriber."""
    account, devices = make_account(t), [Device(t) for _ in range(30)]
    with packets.Client(shared.at(door), account=account, client_id="back end") as back_end:
        for number, device in enumerate(devices):
            topic = device.topic("commands")
            with packets.Client(shared.at(at), account=(device.user, device.secret),
                                client_id=device.id) as client:
                assert client.subscribe(topic) == 0
                assert back_end.store(topic, "go", number + 1) == 0
                assert client.expect(packets.PUBLISH).endswith(b"go")


def test_a_client_id_is_taken_over_by_another_node(shared, device):
    """A client that connects again elsewhere ends its former connection there: 0x8E for MQTT 5."""
    client_id = "roams-%s" % uuid.uuid4().hex[:8]
    former = connect(device, shared.at("eu-1"), version=5, client_id=client_id)
    for node in ("us-1", "eu-2", "eu-1"):
        client = connect(device, shared.at(node), version=5, client_id=client_id)
        assert former.closed.wait(10), "the former connection lives on"
        assert former.client.disconnect_code == TAKEN_OVER
        former.client.loop_stop()
        assert client.publish(device.topic(), {"a": 1})[0] == 0
        former = client
    former.close()


def test_a_revoked_secret_ends_connections_at_every_node(shared, t, device):
    """A secret that is rotated by one node ends what it let in at the others."""
    clients = [connect(device, shared.at(node), version=5) for node in ("eu-1", "eu-2", "us-1")]
    for client in clients:
        client.client.reconnect_delay_set(60, 60)
    device.secret = shared.at("us-1").api("POST", t.path("/devices/%s/credentials" % device.id),
                                          t.tokens["TENANT_ADMIN"])["data"]["secret"]
    for client in clients:
        assert client.closed.wait(5), "the old secret's connection lives on"
        assert client.client.disconnect_code == REVOKED
        client.client.loop_stop()
    with connect(device, shared.at("eu-1")) as client:
        assert client.publish(device.topic(), {"a": 1})[0] == 0


def test_a_status_is_the_devices_wherever_it_is(shared, device):
    """A device that goes from one node to another stays online; when it leaves it is offline."""
    def status():
        return device.record()["status"]

    with connect(device, shared.at("eu-1")) as one:
        one.publish(device.topic(), {"a": 1})
        wait_until(lambda: status() == "online", 10, "online")
        with connect(device, shared.at("us-1")) as two:
            one.close()
            two.publish(device.topic(), {"a": 2})
            assert status() == "online"
    wait_until(lambda: status() == "offline", 15, "offline")


def test_a_rule_made_at_one_node_fires_at_another(shared, t, device):
    """A rule that is made at one node holds, a second later, for the very next reading at another,
    where the device is known already."""
    with connect(device, shared.at("eu-1")) as client:
        assert client.publish(device.topic(), {"temperature": 20}) == (0, None)
    made = shared.at("us-1").api("POST", t.path("/alert-rules"), t.tokens["TENANT_ADMIN"], {
        "device_id": device.id, "metric": "temperature", "operator": "gt", "threshold": 50},
        status=201)["data"]
    answered = time.monotonic()
    with Live(shared.at("eu-2"), "/devices/" + device.id, t.tokens["VIEWER"]) as live, \
            connect(device, shared.at("eu-1")) as client:
        live.synchronise()
        hold(answered + RULE_S - time.monotonic())
        assert client.publish(device.topic(), {"temperature": 60}) == (0, None)
        wait_until(lambda: shared.sql("SELECT 1 FROM alert_events WHERE alert_rule_id = %s",
                                      [made["id"]]), 10, "the alert of one reading")
        assert live.take("alert")["data"]["alert_rule_id"] == made["id"]


def ask_in_turn(gito, tenant, requests):
    """(answers 200, answers 429) of so many requests, at all nodes in turn."""
    counts, nodes = {200: 0, 429: 0}, gito.running()
    for number in range(requests):
        door = gito.at(nodes[number % len(nodes)])
        answer = door.request("GET", tenant.path("/devices?per_page=1"), tenant.tokens["VIEWER"])
        counts[answer.status_code] += 1
        if answer.status_code == 429:
            assert int(answer.headers["Retry-After"]) > 0
    return counts[200], counts[429]


def test_the_rate_limit_is_one_budget(shared):
    """A tenant has its requests a minute at all nodes together, not at each."""
    for _ in range(2):
        begin = time.monotonic()
        passed, refused = ask_in_turn(shared, make_tenant(shared), LIMIT * 13 // 10)
        if time.monotonic() - begin < 60:  # else it had a second minute's budget
            break
    assert (passed, refused) == (LIMIT, LIMIT * 13 // 10 - LIMIT)


def test_an_order_of_readings_is_kept_on_the_way(shared, device):
    """Readings of one connection are stored in its order, also by an owner in another region."""
    with connect(device, shared.at("us-1")) as client:
        for number in range(500):
            client.client.publish(device.topic(), '{"n": %d}' % number, 1)
        wait_until(lambda: len(device.rows()) == 500, 20, "all readings")
    assert [row[0]["n"] for row in device.rows()] == list(range(500))
