"""Readings by SQL, as reports and tools write them: what REST tells of them afterwards."""

import datetime
import json
import re
import uuid

import psycopg2
import pytest

from cluster import wait_until
from clients import Device
from tenants import UTC, iso, make_tenant

HOUR = datetime.datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def hours_ago(hours, minutes=0):
    return HOUR - datetime.timedelta(hours=hours) + datetime.timedelta(minutes=minutes)


def insert(device, at, **payload):
    device.g.sql("INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, payload)"
                 " VALUES (%s, %s, %s, %s)", [device.tenant.id, device.id, at, json.dumps(payload)])


def sums(device, since=hours_ago(100)):
    """{hours ago: (readings, highest temperature)} as REST has it from the rollup; the total of the
    raw pages agrees."""
    path = "/devices/%s/telemetry" % device.id
    buckets = device.tenant.data("GET", path + "/aggregated?bucket=1h&from=%s&to=%s"
                                 % (iso(since), iso(HOUR + datetime.timedelta(days=2))))
    total = device.tenant.api("GET", path + "?from=" + iso(since))["meta"]["total"]
    assert total == sum(bucket["sample_count"] for bucket in buckets)
    return {(HOUR - datetime.datetime.fromisoformat(b["time_bucket"])).total_seconds() // 3600:
            (b["sample_count"], b["temperature_max"]) for b in buckets}


def write(device, statement, *arguments, role="admin"):
    """One statement about a device's readings: its rows. `D` stands for the device."""
    connection = device.g.pg(role)
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT set_config('app.tenant_id', %s, false)", [device.tenant.id])
            cursor.execute(re.sub(r"\bD\b", "'%s'" % device.id, statement), arguments or None)
            return cursor.fetchall() if cursor.description else cursor.rowcount
    finally:
        connection.close()


INSERT = "INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, "
VALUES = ") VALUES (current_setting('app.tenant_id')::uuid, D, '%s', " % hours_ago(1).isoformat()


@pytest.mark.parametrize("payload", ['{"temperature": null, "humidity": 2}', '{}',
                                     '{"temperature": 21.50, "door": {"open": null}}',
                                     '{"rssi": 0.12345678901234567890123, "": [1]}'])
def test_a_payload_is_kept_as_it_was_given(device, payload):
    """And read back as the same text, by SQL and REST."""
    given, = write(device, INSERT + "payload" + VALUES + "%s) RETURNING payload::text", payload)
    read, = write(device, "SELECT payload::text FROM telemetry_hot WHERE device_id = D")
    assert given == read and json.loads(read[0]) == json.loads(payload)
    assert "21.50" in read[0] or "21.50" not in payload
    latest = device.tenant.data("GET", "/devices/%s/telemetry/latest" % device.id)
    assert latest["payload"] == json.loads(payload)


def test_returning_tells_what_was_stored(device):
    """Columns from the payload, the payload from columns, which count first, and the times."""
    write(device, INSERT + "temperature, payload" + VALUES + "1, '{\"humidity\": 2}')")
    found, = write(device, "INSERT INTO telemetry_hot (tenant_id, device_id, temperature, payload)"
                   " VALUES (%s, D, 3, '{\"temperature\": 4, \"humidity\": 5, \"x\": null}')"
                   " RETURNING temperature, humidity, payload, timestamp = now(), created_at = now()",
                   device.tenant.id)
    assert found == (3, 5, {"temperature": 3, "humidity": 5, "x": None}, True, True)
    assert write(device, "SELECT temperature, humidity, payload FROM telemetry_hot WHERE"
                 " device_id = D ORDER BY timestamp") == [
        (1, 2, {"temperature": 1, "humidity": 2}), found[:3]]


@pytest.mark.parametrize("columns, values, why", [
    ("payload", "'[1]'", "must be a JSON object"), ("payload", "'null'", "must be a JSON object"),
    ("payload", "'{\"rssi\": \"9\"}'", "metric rssi must be a number"),
    ("pressure", "'NaN'", "metric pressure must be a number")])
def test_what_is_no_reading_is_refused(device, columns, values, why):
    """Not stored as something else."""
    with pytest.raises(psycopg2.Error, match=why):
        write(device, INSERT + columns + VALUES + values + ")")
    assert device.rows() == []


@pytest.mark.parametrize("role", ["admin", "app"])
@pytest.mark.parametrize("whose", ["nobody's", "another tenant's"])
def test_only_a_device_of_the_tenant(g, t, device, role, whose):
    """No reading and no rule by SQL for a device that the tenant does not have."""
    foreign = Device(make_tenant(g)).id if whose == "another tenant's" else str(uuid.uuid4())
    rule = ("INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold) VALUES"
            " (%s, %s, 'rssi', '>', 1)")
    for statement in (INSERT + "rssi" + VALUES.replace("D", "%s") + "1)", rule):
        ids = [t.id, foreign] if statement is rule else [foreign]
        with pytest.raises(psycopg2.errors.ForeignKeyViolation, match="has no device"):
            write(device, statement, *ids, role=role)
    write(device, rule, t.id, device.id, role=role)
    with pytest.raises(psycopg2.errors.ForeignKeyViolation):
        write(device, "UPDATE alert_rules SET device_id = %s", foreign, role="app")
    assert write(device, INSERT + "rssi" + VALUES + "1)", role=role) == 1
    assert t.data("GET", "/alert-rules?device_id=" + device.id)[0]["metric"] == "rssi"


@pytest.mark.parametrize("change, values, payload", [
    ("temperature = 5", (5, 2), '{"temperature": 5, "humidity": 2.0, "x": {"a": 1}}'),
    ("temperature = NULL, humidity = NULL", (None, None), '{"x": {"a": 1}}'),
    ("payload = payload || '{\"x\": 9, \"humidity\": null}'", (1, None),
     '{"temperature": 1, "humidity": null, "x": 9}'),
    ("payload = '{\"y\": 1}', humidity = 7", (None, 7), '{"humidity": 7, "y": 1}'),
    ("timestamp = timestamp - interval '90 days'", (1, 2),
     '{"temperature": 1, "humidity": 2.0, "x": {"a": 1}}')])
def test_a_reading_is_changed_by_sql(device, change, values, payload):
    """Its metrics, its payload, its time: the reading of the same time beside it stays."""
    for given in ('{"temperature": 1, "humidity": 2.0, "x": {"a": 1}}', '{"temperature": 2}'):
        write(device, INSERT + "payload" + VALUES + "%s)", given)
    returned, = write(device, "UPDATE telemetry_hot SET " + change + " WHERE device_id = D AND"
                      " payload ? 'x' RETURNING temperature, humidity, payload::text, timestamp")
    read = write(device, "SELECT temperature, humidity, payload::text, timestamp FROM telemetry_hot"
                 " WHERE device_id = D ORDER BY temperature = 2 IS TRUE")
    assert read[0] == returned and read[0][:2] == values
    assert json.loads(read[0][2]) == json.loads(payload)
    assert read[1][:3] == (2, None, '{"temperature": 2}')


def test_a_changed_reading_is_summed_up_anew(device):
    """Where it was and where it went, which may be the newest hour of all."""
    for minute in (10, 20):
        insert(device, hours_ago(5, minute), temperature=minute)
    insert(device, hours_ago(3), temperature=3)
    assert sums(device) == {5: (2, 20), 3: (1, 3)}
    write(device, "UPDATE telemetry_hot SET temperature = 30 WHERE device_id = D AND temperature = 10")
    assert sums(device) == {5: (2, 30), 3: (1, 3)}
    write(device, "UPDATE telemetry_hot SET timestamp = %s WHERE device_id = D AND temperature = 20",
          hours_ago(1))
    assert sums(device) == {5: (1, 30), 3: (1, 3), 1: (1, 20)}


def test_what_a_tenants_tool_may_change(device):
    """gito_app deletes readings and alert events of its tenant; what is logged and stored, stays."""
    insert(device, hours_ago(5), rssi=1)
    insert(device, hours_ago(3), rssi=2)
    assert sums(device)[5][0] == 1
    write(device, "INSERT INTO alert_rules (id, tenant_id, device_id, metric, operator, threshold)"
          " VALUES (D, %s, D, 'rssi', '>', 1)", device.tenant.id)
    write(device, "INSERT INTO alert_events (tenant_id, alert_rule_id, device_id, metric_name)"
          " VALUES (%s, D, D, 'rssi')", device.tenant.id)
    assert write(device, "DELETE FROM telemetry_hot WHERE device_id = D AND rssi = 1",
                 role="app") == 1
    assert write(device, "DELETE FROM alert_events WHERE device_id = D", role="app") == 1
    assert sums(device) == {3: (1, None)}
    for statement in ("DELETE FROM audit_logs", "UPDATE telemetry_hot SET rssi = 1"):
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            write(device, statement, role="app")


def test_deleted_readings_are_counted_no_more(device):
    """Of an hour in part, of a whole hour, of the newest hour, of all hours."""
    for hour in (5, 4, 3, 2):
        for minute in (10, 20, 30):
            insert(device, hours_ago(hour, minute), temperature=hour * 10 + minute)
    assert sums(device) == {5: (3, 80), 4: (3, 70), 3: (3, 60), 2: (3, 50)}
    delete = "DELETE FROM telemetry_hot WHERE device_id = %s AND timestamp "
    device.g.sql(delete + "= %s", [device.id, hours_ago(4, 30)])
    device.g.sql(delete + "BETWEEN %s AND %s", [device.id, hours_ago(5), hours_ago(4)])
    assert sums(device) == {4: (2, 60), 3: (3, 60), 2: (3, 50)}
    device.g.sql(delete + "> %s", [device.id, hours_ago(2)])
    assert sums(device) == {4: (2, 60), 3: (3, 60)}
    device.g.sql(delete + "< now()", [device.id])
    assert sums(device) == {}
    insert(device, hours_ago(0), temperature=1)
    assert sums(device) == {0: (1, 1)}


def test_deleted_from_the_hour_that_a_node_fills(device):
    """The node closes its hour with sums of its own, which still count what was deleted."""
    with device.connect() as client:
        for hour, minute in ((3, 10), (3, 20)):
            client.publish(device.topic(), {"temperature": minute, "timestamp": iso(
                hours_ago(hour, minute))})
        device.g.sql("DELETE FROM telemetry_hot WHERE device_id = %s AND temperature = 20",
                     [device.id])
        assert sums(device) == {3: (1, 10)}
        client.publish(device.topic(), {"temperature": 1, "timestamp": iso(hours_ago(2, 1))})
        assert sums(device) == {3: (1, 10), 2: (1, 1)}


def test_a_reading_ahead_hides_none_of_a_node(device):
    """What a tool wrote for next week makes the hours that a node still fills look complete."""
    with device.connect() as client:
        for count, (hour, minute) in enumerate(((1, 10), (1, 20), (1, 30), (0, 0)), 1):
            client.publish(device.topic(), {"temperature": minute, "timestamp": iso(
                hours_ago(hour, minute))})
            if count == 1:
                insert(device, HOUR + datetime.timedelta(days=10), temperature=7)
            found = sums(device)
        assert found == {1: (3, 30), 0: (1, 0)}


def test_readings_of_a_deleted_device_go(t, device):
    """A node deletes them, within a minute or so."""
    insert(device, hours_ago(5), rssi=1)
    t.request("DELETE", "/devices/" + device.id)
    wait_until(lambda: device.rows() == [], 90, "the end of its readings")
