"""Readings by SQL, as reports and tools write them: what REST tells of them afterwards."""

import datetime
import json

import pytest

from clients import Device
from tenants import UTC, iso, make_tenant

HOUR = datetime.datetime.now(UTC).replace(minute=0, second=0, microsecond=0)


def hours_ago(hours, minutes=0):
    return HOUR - datetime.timedelta(hours=hours) + datetime.timedelta(minutes=minutes)


@pytest.fixture(scope="module")
def t(g):
    return make_tenant(g)


@pytest.fixture
def device(t):
    return Device(t)


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
