"""Redis channels: telemetry and alerts, in the shapes that their consumers know."""

import json
import signal
import socket

import pytest

from clients import Device, metric_value
from cluster import wait_until
from tenants import make_tenant, time_of

pytestmark = pytest.mark.sanitizer


class Channel:
    def __init__(self, g, pattern):
        self.pubsub = g.redis().pubsub(ignore_subscribe_messages=False)
        self.pubsub.psubscribe(pattern)
        assert self.pubsub.get_message(timeout=5)["type"] == "psubscribe"

    def take(self):
        message = wait_until(lambda: self.pubsub.get_message(timeout=1), 10, "a message")
        return message["channel"], json.loads(message["data"])


def test_telemetry_channel(g, t):
    """Each reading is published once on telemetry:{tenant}:{device}, whole and in order."""
    device = Device(t)
    channel = Channel(g, "telemetry:%s:*" % t.id)
    before = metric_value(g, "gito_redis_published_total")
    with device.connect() as client:
        client.publish(device.topic(), {"temperature": 21.5, "door": None})
        client.publish(device.topic(), [{"a": 1}, {"a": 2}])
    name, first = channel.take()
    assert name == "telemetry:%s:%s" % (t.id, device.id)
    assert set(first) == {"device_id", "payload", "timestamp"}
    assert first["device_id"] == device.id
    assert first["payload"] == {"temperature": 21.5, "door": None}
    assert time_of(first["timestamp"].replace("Z", "+00:00")) == device.rows("timestamp")[0][0]
    assert [channel.take()[1]["payload"]["a"] for _ in range(2)] == [1, 2]
    assert metric_value(g, "gito_redis_published_total") >= before + 3


def test_alert_channel(g, t):
    """A fired alert is published on alerts:{tenant}:{device} with the fields of the contract."""
    device = Device(t)
    rule = t.data("POST", "/alert-rules", {"device_id": device.id, "metric": "humidity",
                                           "operator": "lt", "threshold": 10})["id"]
    channel = Channel(g, "alerts:*")
    with device.connect() as client:
        client.publish(device.topic(), {"humidity": 5.5})
    name, alert = channel.take()
    assert name == "alerts:%s:%s" % (t.id, device.id)
    assert set(alert) == {"alert_rule_id", "device_id", "metric", "value", "message", "timestamp"}
    assert (alert["alert_rule_id"], alert["device_id"], alert["metric"], alert["value"]) == (
        rule, device.id, "humidity", 5.5)
    assert alert["message"] and time_of(alert["timestamp"].replace("Z", "+00:00"))
    event = g.sql("SELECT message FROM alert_events WHERE alert_rule_id = %s", [rule])
    assert event == [(alert["message"],)]


def test_rejected_telemetry_is_not_published(g, t):
    """What is refused reaches nobody."""
    device = Device(t)
    channel = Channel(g, "telemetry:%s:%s" % (t.id, device.id))
    with device.connect() as client:
        client.publish(device.topic(), "bad")
        client.publish(device.topic(), {"a": 1})
    assert channel.take()[1]["payload"] == {"a": 1}


def test_a_user_of_its_own(make_gito):
    """REDIS_URL may name a user, who may do little more than publish."""
    g = make_gito(nodes="eu-1")
    g.redis().execute_command("ACL", "SETUSER", "bridge", "on", ">its-own", "+publish", "&*")
    channel = Channel(g, "telemetry:*")
    g.kill_node(signal.SIGTERM)
    server = g.settings()["REDIS_URL"].rpartition("@")[2]
    g.environment["REDIS_URL"] = "redis://bridge:its-own@" + server
    g.start_node()
    g.wait_ready()
    device = Device(make_tenant(g))
    with device.connect() as client:
        client.publish(device.topic(), {"a": 1})
    assert channel.take()[1]["payload"] == {"a": 1}


def test_a_server_that_takes_connections_and_says_nothing(make_gito):
    """With a password the first answer is waited for before anything is published: not for ever. What
    is lost meanwhile is counted, and the node ends when it is told to."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = "redis://:secret@127.0.0.1:%d" % silent.getsockname()[1]
        g = make_gito(environment={"REDIS_URL": url})
        device = Device(make_tenant(g))
        with device.connect() as client:
            client.publish(device.topic(), {"a": 1})
            wait_until(lambda: metric_value(g, "gito_redis_dropped_total") > 0, 10, "a drop")
        assert g.logged("redis_away")
        g.kill_node(signal.SIGTERM)
