"""Live WebSockets: what they show, whom they let in, how they end, and what a slow one costs."""

import base64
import hashlib
import hmac
import json
import signal
import socket
import time

import pytest

from clients import Device, Live, Mqtt, masked, metric_value
from cluster import DEVICE, SERVICE_ACCOUNT, TENANT, wait_until
from tenants import make_tenant

pytestmark = pytest.mark.sanitizer


@pytest.fixture(scope="module")
def token(t):
    return t.tokens["VIEWER"]


def make_token(gito, tenant, expires_in_s, algorithm="HS256", key=None):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    text = part({"alg": algorithm, "typ": "JWT"}) + b"." + part(
        {"sub": "00000000-0000-0000-0000-000000000010", "tenant_id": tenant, "role": "VIEWER",
         "iat": now, "exp": now + expires_in_s})
    key = key or gito.settings()["JWT_SECRET_KEY"]
    sign = hmac.new(key.encode(), text, hashlib.sha256).digest()
    return (text + b"." + base64.urlsafe_b64encode(sign).rstrip(b"=")).decode()


def test_a_devices_socket_shows_telemetry_status_and_alerts(g, t, token, device):
    """Reading, status and alert of a device arrive in the contract's shapes."""
    rule = t.data("POST", "/alert-rules", {"device_id": device.id, "metric": "temperature",
                                           "operator": "gt", "threshold": 50})["id"]
    with Live(g, "/devices/" + device.id, token) as live:
        live.synchronise()  # before the device comes: its status is told once
        with device.connect() as client:
            client.publish(device.topic(), {"temperature": 60.5, "x": None})
            seen = {}
            while len(seen) < 3:
                message = live.take()
                seen[message["type"]] = message["data"]
                assert set(message) == {"type", "data"}
        telemetry = seen["telemetry"]
        assert set(telemetry) == {"device_id", "payload", "timestamp"}
        assert telemetry["device_id"] == device.id
        assert telemetry["payload"] == {"temperature": 60.5, "x": None}
        assert set(seen["status"]) == {"device_id", "status", "last_seen"}
        assert seen["status"]["status"] == "online"
        alert = seen["alert"]
        assert set(alert) == {"alert_rule_id", "device_id", "metric", "value", "message",
                              "timestamp"}
        assert (alert["alert_rule_id"], alert["metric"], alert["value"]) == (
            rule, "temperature", 60.5)


@pytest.mark.parametrize("way", ["query", "protocol", "one of several protocols"])
def test_every_way_to_bring_the_token(g, token, device, way):
    """The token comes in the query or as sub-protocol, which the answer then confirms."""
    protocol = {"query": None, "protocol": "bearer." + token}.get(way, "json, bearer." + token)
    with Live(g, "/devices/" + device.id, None if protocol else token, protocol) as live:
        live.synchronise()
        answered = [line.split(": ", 1)[1] for line in live.answer.split("\r\n")
                    if line.lower().startswith("sec-websocket-protocol")]
        assert answered == (["bearer." + token] if protocol else [])


def test_a_sub_protocol_that_is_none_of_ours_does_no_harm(g, token, device):
    """A client that offers one is served without, as RFC 6455 has it."""
    with Live(g, "/devices/" + device.id, token, "json, chat") as live:
        live.synchronise()
        assert "sec-websocket-protocol" not in live.answer.lower()


def test_one_byte_at_a_time(g, token):
    """A header that comes in single bytes is understood as one that comes whole."""
    head = ("GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n"
            "Sec-WebSocket-Protocol: bearer.%s\r\n\r\n" % token).encode()
    with socket.create_connection(("127.0.0.1", g.http_port), timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in head:
            connection.sendall(bytes([byte]))
        assert connection.recv(12) == b"HTTP/1.1 101"


def test_subscribe_and_unsubscribe(g, t, token, device):
    """One socket takes up and leaves devices; each is confirmed, and only they are shown."""
    second = Device(t)
    with Live(g, "", token) as live, device.connect() as one, second.connect() as two:
        for wanted in (device, second):
            assert live.ask({"type": "subscribe", "device_id": wanted.id}) == {
                "type": "subscription_confirmed", "device_id": wanted.id}
        one.publish(device.topic(), {"a": 1})
        two.publish(second.topic(), {"a": 2})
        seen = [live.take("telemetry")["data"] for _ in range(2)]
        assert {x["device_id"]: x["payload"]["a"] for x in seen} == {device.id: 1, second.id: 2}
        assert live.ask({"type": "unsubscribe", "device_id": device.id})["device_id"] == device.id
        one.publish(device.topic(), {"a": 3})
        two.publish(second.topic(), {"a": 4})
        assert live.take("telemetry")["data"]["payload"] == {"a": 4}


def test_many_devices_at_once(g, t, token):
    """A dashboard asks for three hundred devices in one breath, and is shown them all."""
    wanted = [t.make_device()["id"] for _ in range(300)]
    with Live(g, "", token) as live:
        live.socket.sendall(b"".join(
            masked(json.dumps({"type": "subscribe", "device_id": each})) for each in wanted))
        confirmed = [live.take("subscription_confirmed")["device_id"] for _ in wanted]
        assert sorted(confirmed) == sorted(wanted)
        live.synchronise()


def test_a_whole_tenant(g, t, token, device):
    """The tenant's socket shows every device, named in each message, and no other tenant's."""
    foreign = Device(make_tenant(g))
    with Live(g, "/tenants/" + t.id, token) as live, device.connect() as client, \
            foreign.connect() as other:
        live.synchronise()
        other.publish(foreign.topic(), {"a": 0})
        client.publish(device.topic(), {"a": 1})
        message = live.take("telemetry")
        assert set(message) == {"type", "device_id", "data"}
        assert message["device_id"] == device.id and message["data"]["payload"] == {"a": 1}
        # One of its devices, besides: it is shown already, and once.
        assert live.ask({"type": "subscribe", "device_id": device.id})[
            "type"] == "subscription_confirmed"
        client.publish(device.topic(), {"a": 2})
        client.publish(device.topic(), {"a": 3})
        shown = [live.take("telemetry") for _ in range(2)]
        assert [message["data"]["payload"]["a"] for message in shown] == [2, 3]
        assert all(message["device_id"] == device.id for message in shown)


def test_nonsense_is_answered_and_the_socket_lives(g, token, device):
    """What cannot be understood gets an error message; a foreign device is not shown."""
    foreign = Device(make_tenant(g))
    with Live(g, "/devices/" + device.id, token) as live:
        for message in ("x", "[]", "{}", '{"type": "dance"}', {"type": "subscribe"},
                        {"type": "subscribe", "device_id": "7"},
                        {"type": "subscribe", "device_id": foreign.id}):
            assert live.ask(message)["type"] == "error", message
        live.synchronise()


@pytest.mark.parametrize("path, code", [
    ("/devices/not-a-device", 1003), ("/devices/%s" % DEVICE, 1003), ("/nothing", 1003),
    ("/devices/00000000-0000-0000-0000-000000000000", 1003),
    ("/tenants/%s" % TENANT, 1008)])
def test_bad_addresses_close_with_their_code(g, token, path, code):
    """1003: no such device of the tenant; 1008: another tenant's."""
    with Live(g, path, token) as live:
        assert live.close_code() == code


def test_bad_tokens_close_with_1008(g, t, device):
    """No token, a broken, foreign, unsigned or expired one: 1008, as query and as sub-protocol."""
    bad = [make_token(g, t.id, -10), make_token(g, t.id, 60, key="x" * 32),
           make_token(g, t.id, 60, algorithm="none").rsplit(".", 1)[0] + ".", "abc"]
    for token in bad:
        with Live(g, "/devices/" + device.id, token) as live:
            assert live.close_code() == 1008, token
        with Live(g, "/devices/" + device.id, protocol="bearer." + token) as live:
            assert live.close_code() == 1008, token
    with Live(g, "/devices/" + device.id) as live:
        assert live.close_code() == 1008


def test_a_token_that_expires_closes_its_socket(g, t, device):
    """When the token expires the socket closes with 1008."""
    with Live(g, "/devices/" + device.id, make_token(g, t.id, 2)) as live:
        live.synchronise()
        assert live.close_code(deadline_s=5) == 1008


def test_a_client_that_reads_nothing_is_closed_in_time(g, t, device):
    """An expired token ends its socket also where the client does not take the close frame."""
    before = metric_value(g, "gito_ws_connections")
    conflated = metric_value(g, "gito_ws_conflated_total")
    filler = json.dumps({"m%d" % n: 123456.5 for n in range(200)})
    with Live(g, "/devices/" + device.id, make_token(g, t.id, 5), receive_bytes=4096) as live, \
            device.connect() as client:
        live.synchronise()
        for _ in range(20000):
            if metric_value(g, "gito_ws_conflated_total") > conflated:
                break
            for _ in range(100):
                client.publish(device.topic(), filler)
        wait_until(lambda: metric_value(g, "gito_ws_connections") == before, 15, "its end")


def test_a_slow_client_is_conflated_and_a_fast_one_gets_all(g, token, device):
    """A client that reads late gets the newest reading, the others are counted; a fast one gets all."""
    before = metric_value(g, "gito_ws_conflated_total")
    count, filler = 400, {"m%d" % n: 123456.5 for n in range(200)}
    with Live(g, "/devices/" + device.id, token, receive_bytes=4096) as slow, \
            Live(g, "/devices/" + device.id, token) as fast, device.connect() as client:
        slow.synchronise()
        fast.synchronise()
        sent = 0
        while metric_value(g, "gito_ws_conflated_total") == before or sent < count:
            assert sent < 20000, "nothing was conflated"
            for _ in range(100):
                client.client.publish(device.topic(), json.dumps(dict(filler, n=sent)), 1)
                sent += 1
            got = [fast.take("telemetry")["data"]["payload"]["n"] for _ in range(100)]
            assert got == list(range(sent - 100, sent))
        conflated = metric_value(g, "gito_ws_conflated_total") - before
        seen = []
        while not seen or seen[-1] != sent - 1:
            seen.append(slow.take("telemetry")["data"]["payload"]["n"])
        assert seen == sorted(set(seen))
        assert len(seen) + conflated == sent


def test_a_device_that_is_made_again_in_another_region_is_seen(make_gito):
    """Who had it in its former region has it in its new one: its readings, and that it is there."""
    gito = make_gito(nodes="eu-1,us-1")
    t = make_tenant(gito)
    device = Device(t)
    t.api("DELETE", "/devices/" + device.id)
    for n, region in enumerate(("us", None, "us")):
        line = json.dumps({"id": device.id, "secret": device.secret, "name": "again",
                           "home_region": region})
        assert '"status":201' in t.request("POST", "/devices/bulk", data=line.encode()).text

        def stored():
            """Not within a second of its former life, whose end its actor knows of."""
            client.publish(device.topic(), {"n": n})
            return ({"n": n},) in device.rows()

        with Live(gito, "/devices/" + device.id, t.tokens["VIEWER"]) as live:
            live.synchronise()
            with device.connect() as client:
                wait_until(stored, 10, "a reading")
                assert live.take("telemetry")["data"]["payload"] == {"n": n}
                wait_until(lambda: gito.sql("SELECT connected FROM devices WHERE id = %s",
                                            [device.id]) == [(True,)], 10, "its connection")
                t.api("DELETE", "/devices/" + device.id)


def test_sigterm_closes_with_1012(make_gito):
    """A node that goes away says so: 1012, so that the dashboard connects elsewhere."""
    gito = make_gito(nodes="eu-1")
    with Live(gito, "/devices/" + DEVICE, gito.login()) as live:
        live.synchronise()
        with Mqtt(gito, *SERVICE_ACCOUNT) as client:
            client.publish("%s/devices/%s/telemetry" % (TENANT, DEVICE), {"temperature": 1})
        live.take("telemetry")
        gito.kill_node(signal.SIGTERM)
        assert live.close_code() == 1012
    wait_until(lambda: not gito.is_ready(), 5, "the end of readiness")
