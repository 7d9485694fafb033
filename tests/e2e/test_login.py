"""Who connects by MQTT: devices by their secrets, service accounts by their passwords."""

import concurrent.futures
import subprocess
import time
import uuid

import pytest

from cluster import SERVICE_ACCOUNT, TENANT
from tenants import make_tenant

pytestmark = pytest.mark.sanitizer


@pytest.fixture(scope="module")
def t(g):
    return make_tenant(g)


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
