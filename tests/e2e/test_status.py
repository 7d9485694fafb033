"""A device's status: online by its readings, idle by silence, offline by absence."""

import pytest

from clients import Live, Mqtt, make_account
from cluster import wait_until
from tenants import make_tenant

pytestmark = pytest.mark.sanitizer

# Seconds, short enough to be waited for.
SETTINGS = {"DEVICE_IDLE_SECONDS": "2", "DEVICE_OFFLINE_SECONDS": "4", "DEVICE_GRACE_SECONDS": "1",
            "DEVICE_TOUCH_SECONDS": "0"}


@pytest.fixture(scope="module")
def t():
    from conftest import bring_up, take_down
    gito = bring_up(nodes="eu-1", environment=SETTINGS)
    yield make_tenant(gito)
    take_down(gito)


def status(device):
    return device.g.sql("SELECT status FROM devices WHERE id = %s", [device.id])[0][0]


def wait_for(device, wanted, deadline_s=8):
    wait_until(lambda: status(device) == wanted, deadline_s, "status " + wanted)


def test_online_then_idle_while_connected(t, device):
    """A connected device that sends nothing becomes idle, and online again with a reading."""
    with device.connect() as client, Live(t.g, "/devices/" + device.id, t.tokens["VIEWER"]) as live:
        live.synchronise()
        client.publish(device.topic(), {"a": 1})
        heard = [live.take("status")["data"]["status"]]
        if heard == ["online"]:  # it may have been so before there was somebody to hear it
            heard.append(live.take("status")["data"]["status"])
        assert heard[-1] == "idle"
        wait_for(device, "idle")
        client.publish(device.topic(), {"a": 2})
        assert live.take("status")["data"]["status"] == "online"
        wait_for(device, "online")


def test_a_lost_connection_is_offline_after_its_grace(device):
    """A device whose connection is gone is offline when the grace is over."""
    client = device.connect()
    client.publish(device.topic(), {"a": 1})
    client.drop()
    wait_for(device, "offline")


def test_a_connection_that_comes_back_in_time_stays_online(t, device):
    """Within the grace a new connection keeps the device online: nobody sees it offline."""
    with Mqtt(t.g, *make_account(t)) as watcher:
        watcher.subscribe(device.topic("status"))
        assert watcher.take_text("/status") == "offline"
        client = device.connect()
        client.publish(device.topic(), {"a": 1})
        assert watcher.take_text("/status") == "online"
        client.drop()
        with device.connect() as client:
            assert watcher.take_text("/status") == "idle"  # and not offline before it
        assert watcher.take_text("/status") == "offline"


def test_without_a_connection_of_its_own(t, device):
    """A device that a bridge speaks for goes from online by idle to offline, by time alone."""
    with Mqtt(t.g, *make_account(t)) as bridge:
        bridge.subscribe(device.topic("status"))
        assert bridge.take_text("/status") == "offline"
        bridge.publish(device.topic(), {"a": 1})
        assert [bridge.take_text("/status") for _ in range(3)] == ["online", "idle", "offline"]
    wait_for(device, "offline")
    record = device.record()
    assert record["status"] == "offline" and record["last_seen"] and record["latest"] == {"a": 1}
