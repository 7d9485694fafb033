"""Who connects by MQTT: devices by their secrets, service accounts by their passwords."""

import concurrent.futures
import subprocess
import time
import uuid

import pytest

from clients import Device, Mqtt, make_account
from cluster import SERVICE_ACCOUNT, TENANT
from tenants import make_tenant

pytestmark = pytest.mark.sanitizer


def connects(g, user, password, topic="x"):
    """Whether a QoS 1 message is accepted and acknowledged."""
    result = subprocess.run(
        ["mosquitto_pub", "-h", "127.0.0.1", "-p", str(g.mqtt_port), "-V", "5", "-q", "1", "-u", user,
         "-P", password, "-t", topic, "-m", "{\"temperature\": 21}"], timeout=20,
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return result.returncode == 0


def telemetry_of(tenant, device):
    return "%s/devices/%s/telemetry" % (tenant, device)


def test_a_device_connects_with_its_secret_alone(g, t):
    made = t.make_device()
    user, topic = made["mqtt_username"], telemetry_of(t.id, made["id"])
    assert connects(g, user, made["secret"], topic)
    assert not connects(g, user, made["secret"] + "x", topic)
    assert not connects(g, user, "", topic)
    assert not connects(g, "%s:%s" % (TENANT, made["id"]), made["secret"], topic)
    assert not connects(g, "%s:%s" % (t.id, uuid.uuid4()), made["secret"], topic)
    assert not connects(g, made["id"], made["secret"], topic)


def test_a_rotated_secret_ends_the_old_one(g, t):
    made = t.make_device()
    topic = telemetry_of(t.id, made["id"])
    new = t.data("POST", "/devices/%s/credentials" % made["id"])
    assert not connects(g, made["mqtt_username"], made["secret"], topic)
    assert connects(g, new["mqtt_username"], new["secret"], topic)
    t.data("DELETE", "/devices/" + made["id"])
    assert not connects(g, new["mqtt_username"], new["secret"], topic)


def test_a_device_made_in_bulk_connects_with_the_secret_it_brought(g, t):
    device = str(uuid.uuid4())
    body = "{\"id\":\"%s\",\"name\":\"bulk\",\"secret\":\"brought along\"}" % device
    assert t.request("POST", "/devices/bulk", data=body.encode()).ok
    assert connects(g, "%s:%s" % (t.id, device), "brought along", telemetry_of(t.id, device))


def test_a_service_account_connects_while_it_is_active(g, t):
    name = "bridge-" + uuid.uuid4().hex[:8]
    made = t.data("POST", "/service-accounts", {"username": name}, 201)
    topic = t.id + "/commands/x"
    assert connects(g, name, made["password"], topic)
    assert not connects(g, name, made["password"] + "x", topic)
    path = "/service-accounts/" + made["id"]
    t.data("PUT", path, {"active": False})
    assert not connects(g, name, made["password"], topic)
    t.data("PUT", path, {"active": True, "password": "a new password"})
    assert not connects(g, name, made["password"], topic)
    assert connects(g, name, "a new password", topic)
    t.data("DELETE", path)
    assert not connects(g, name, "a new password", topic)


def is_ended(client):
    """MQTT 5 is told why: administrative action."""
    client.client.reconnect_delay_set(60, 60)
    ended = client.closed.wait(5) and client.client.disconnect_code == 0x98
    client.client.loop_stop()
    return ended


@pytest.mark.parametrize("way", ["rest", "sql", "delete"])
def test_a_device_is_not_connected_by_what_holds_no_more(g, t, way):
    """A rotated secret ends the connections that the old one made, not those of the new one."""
    device, other = Device(t), Device(t)
    old, bystander = device.connect(version=5), other.connect(version=5)
    if way == "rest":
        device.secret = t.data("POST", "/devices/%s/credentials" % device.id)["secret"]
    elif way == "sql":
        g.sql("UPDATE device_credentials SET secret_hash = sha256('by sql') WHERE device_id = %s",
              [device.id])
        device.secret = "by sql"
    else:
        g.sql("DELETE FROM device_credentials WHERE device_id = %s", [device.id])
    new = device.connect(version=5) if way != "delete" else None
    assert is_ended(old)
    if new:
        assert new.publish(device.topic(), {"a": 1})[0] == 0
        assert not new.closed.is_set()
        new.close()
    assert bystander.publish(other.topic(), {"a": 1})[0] == 0
    bystander.close()


@pytest.mark.parametrize("change", [
    "UPDATE service_accounts SET active = false", "DELETE FROM service_accounts",
    "UPDATE service_accounts SET password_hash = password_hash || 'x'",
    "UPDATE service_accounts SET publish_filters = '{other/#}'",
    "UPDATE service_accounts SET subscribe_filters = '{other/#}'"])
def test_an_account_is_not_connected_by_what_holds_no_more(g, t, change):
    user, password = make_account(t)
    bystander = Mqtt(g, *make_account(t), version=5)
    with Mqtt(g, user, password, version=5) as client:
        g.sql("UPDATE service_accounts SET updated_at = now() WHERE username = %s", [user])
        assert client.publish(t.id + "/x", "lives on")[0] == 0
        g.sql(change + " WHERE username = %s", [user])
        assert is_ended(client)
    assert bystander.publish(t.id + "/x", "lives on")[0] == 0
    bystander.close()


def test_a_suspended_tenants_connections_end(g):
    mine = make_tenant(g)
    device, account = Device(mine), make_account(mine)
    clients = [device.connect(version=5), Mqtt(g, *account, version=5)]
    g.sql("UPDATE tenants SET status = 'suspended' WHERE id = %s", (mine.id,))
    assert all([is_ended(client) for client in clients])


def test_a_suspended_tenant_is_shut_out(g):
    mine = make_tenant(g)
    made = mine.make_device()
    g.sql("UPDATE tenants SET status = 'suspended' WHERE id = %s", (mine.id,))
    assert not connects(g, made["mqtt_username"], made["secret"], telemetry_of(mine.id, made["id"]))
    login = {"email": mine.emails["VIEWER"], "password": "admin123"}
    assert g.request("POST", "/auth/login", json=login).status_code == 401


def test_a_service_account_connects_two_hundred_times_at_once(g):
    user, password = SERVICE_ACCOUNT
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        done = list(pool.map(lambda _: connects(g, user, password, TENANT + "/x/y"), range(200)))
    assert all(done) and time.monotonic() - begin < 60
