"""Rules and alerts from outside: every operator, by REST and by SQL; cooldowns; the demo's steps."""

import datetime
import json
import time

import pytest

from clients import Device, Mqtt
from cluster import DEVICE, SERVICE_ACCOUNT, TENANT, wait_until
from tenants import UTC, make_tenant

pytestmark = pytest.mark.sanitizer

# symbol, word, a value that fires against 50, one that does not
OPERATORS = [(">", "gt", 50.5, 50), (">=", "gte", 50, 49.5), ("<", "lt", 49.5, 50),
             ("<=", "lte", 50, 50.5), ("==", "eq", 50, 50.5), ("!=", "neq", 50.5, 50)]


def events(device):
    return device.g.sql("SELECT alert_rule_id::text, metric_name, metric_value FROM alert_events"
                        " WHERE device_id = %s ORDER BY fired_at", [device.id])


def insert_rule(device, operator=">", threshold=50, cooldown=5, metric="temperature"):
    return device.g.sql(
        "INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold,"
        " cooldown_minutes) VALUES (%s, %s, %s, %s, %s, %s) RETURNING id::text",
        [device.tenant.id, device.id, metric, operator, threshold, cooldown])[0][0]


def publish_until_fired(client, device, reading, count=1, deadline_s=1.0):
    """Publishes until the rule, made just now, is known; it may take a second."""
    end = time.monotonic() + deadline_s
    while len(events(device)) < count:
        assert time.monotonic() < end, "no alert within %s s" % deadline_s
        client.publish(device.topic(), reading)


@pytest.mark.parametrize("symbol, word, firing, silent", OPERATORS)
@pytest.mark.parametrize("way", ["REST", "SQL"])
def test_every_operator(t, device, way, symbol, word, firing, silent):
    """A rule of each operator fires within a second of being made, and only where it should."""
    with device.connect() as client:
        client.publish(device.topic(), {"temperature": silent})  # the actor is awake
        if way == "SQL":
            rule = insert_rule(device, symbol)
        else:
            rule = t.data("POST", "/alert-rules", {
                "device_id": device.id, "metric": "temperature", "operator": word,
                "threshold": 50}, status=201)["id"]
        publish_until_fired(client, device, {"temperature": firing})
        assert events(device) == [(rule, "temperature", firing)]
        other = insert_rule(device, symbol, metric="humidity")
        third = insert_rule(device, "<", 1e9, metric="pressure")
        client.publish(device.topic(), {"humidity": silent})
        publish_until_fired(client, device, {"humidity": silent, "pressure": 1}, count=2)
        assert [event[0] for event in events(device)] == [rule, third], other


def test_a_changed_rule_counts_within_a_second(t, device):
    """A threshold changed by SQL, a rule switched off by REST, a rule deleted: each is heeded."""
    rule = insert_rule(device, ">", 1000)
    with device.connect() as client:
        client.publish(device.topic(), {"temperature": 60})
        assert events(device) == []
        device.g.sql("UPDATE alert_rules SET threshold = 50 WHERE id = %s", [rule])
        publish_until_fired(client, device, {"temperature": 60})
        second = insert_rule(device, ">", 50, metric="humidity")
        t.api("PUT", "/alert-rules/" + second, {"active": False})
        third = insert_rule(device, ">", 50, metric="pressure")
        publish_until_fired(client, device, {"humidity": 60, "pressure": 60}, count=2)
        assert [event[0] for event in events(device)] == [rule, third]


def test_an_alert_fires_once_a_cooldown(t, device):
    """A hundred readings past the threshold, of several connections, give one alert."""
    rule = insert_rule(device)
    clients = [device.connect() for _ in range(4)]
    publish_until_fired(clients[0], device, {"temperature": 60})
    for _ in range(25):
        for client in clients:
            client.client.publish(device.topic(), '{"temperature": 61}', 1)
    for client in clients:
        assert client.publish(device.topic(), {"temperature": 62})[0] == 0
        client.close()
    assert [event[0] for event in events(device)] == [rule]
    fired = t.data("GET", "/alert-events?device_id=" + device.id)
    assert len(fired) == 1
    last = device.g.sql("SELECT last_fired_at, now() FROM alert_rules WHERE id = %s", [rule])[0]
    assert last[0] is not None and last[1] - last[0] < datetime.timedelta(seconds=60)


def test_after_its_cooldown_it_fires_again(device):
    """When the cooldown is over the next reading past the threshold fires."""
    rule = insert_rule(device, cooldown=1)
    with device.connect() as client:
        publish_until_fired(client, device, {"temperature": 60})
        device.g.sql("UPDATE alert_rules SET last_fired_at = now() - interval '2 minutes'"
                     " WHERE id = %s", [rule])
        publish_until_fired(client, device, {"temperature": 60}, count=2, deadline_s=2)


def test_a_cooldown_survives_kill_9(make_gito):
    """After kill -9 and a restart, the cooldown of an alert still holds."""
    gito = make_gito(nodes="eu-1")
    device = Device(make_tenant(gito))
    rule = insert_rule(device)
    with device.connect() as client:
        publish_until_fired(client, device, {"temperature": 60})
    gito.kill_node()
    gito.start_node()
    with device.connect() as client:
        other = insert_rule(device, metric="humidity")
        publish_until_fired(client, device, {"temperature": 60, "humidity": 60}, count=2)
        client.publish(device.topic(), {"temperature": 60, "humidity": 60})
    assert [event[0] for event in events(device)] == [rule, other]


def test_an_alert_reaches_mqtt(g, t, device):
    """A fired alert is published on the device's alerts topic."""
    rule = insert_rule(device)
    with device.connect() as client:
        assert client.subscribe(device.topic("alerts")) == 1
        publish_until_fired(client, device, {"temperature": 60})
        alert = json.loads(client.take_text("/alerts"))
    assert (alert["alert_rule_id"], alert["device_id"], alert["value"]) == (rule, device.id, 60)


def test_the_steps_of_the_demo(g):
    """As admin of the demo tenant: publish, find the row, add a rule by SQL, get the alert, online."""
    topic = "%s/devices/%s/telemetry" % (TENANT, DEVICE)
    reading = {"temperature": 85.5, "humidity": 40, "vibration": 0.25}
    began = datetime.datetime.now(UTC)
    with Mqtt(g, *SERVICE_ACCOUNT) as client:
        client.publish(topic, reading)
        assert g.sql("SELECT payload, temperature, humidity FROM telemetry_hot WHERE device_id = %s"
                     " AND timestamp >= %s ORDER BY timestamp DESC LIMIT 1",
                     [DEVICE, began]) == [(reading, 85.5, 40)]
        rule = g.sql("INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold,"
                     " cooldown_minutes) VALUES (%s, %s, 'temperature', '>', 80, 5) RETURNING id",
                     [TENANT, DEVICE])[0][0]

        def fired():
            client.publish(topic, reading)
            return g.sql("SELECT metric_name, metric_value FROM alert_events"
                         " WHERE alert_rule_id = %s", [rule])

        assert wait_until(fired, 2, "the alert") == [("temperature", 85.5)]
    assert g.sql("SELECT status FROM devices WHERE id = %s", [DEVICE]) == [("online",)]
    g.sql("DELETE FROM alert_rules WHERE id = %s", [rule])
