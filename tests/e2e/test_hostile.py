"""Clients that mean ill or are broken: no crash, others served meanwhile, memory bounded,
descriptors given back."""

import base64
import json
import os
import random
import resource
import socket
import struct
import time

import pytest

from cluster import SERVICE_ACCOUNT, TENANT, wait_until
from conftest import bring_up, take_down
from ledger import DEVICE_ID, Load, check_stored, metric, provision, secret, wait_for_rows
from packets import (CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBLISH, Client, packet,
                     telemetry_topic, text)

CONNECT_TIMEOUT_S = 10  # of the node, for a CONNECT or an HTTP request to come
LATENCY_S_MAX = 1.0
GROWTH_BYTES_MAX = 256 * 1024 * 1024
PAYLOAD_MAX = 256 * 1024


@pytest.fixture(scope="module")
def gito():
    gito = bring_up(nodes="eu-1")
    provision(gito, 40)
    yield gito
    take_down(gito)


def descriptors(gito):
    return len(os.listdir("/proc/%d/fd" % gito.node_pid()))


def resident_bytes(gito):
    with open("/proc/%d/statm" % gito.node_pid(), encoding="utf-8") as statm:
        return int(statm.read().split()[1]) * resource.getpagesize()


@pytest.fixture(autouse=True)
def unharmed(gito):
    """Around each test: the same process serves before and after it, and gets all back."""
    with Client(gito, device=39, client_id="neighbour") as neighbour:
        neighbour.store(telemetry_topic(39), '{"rssi":-1}', 1)
        before = gito.node_pid(), descriptors(gito), resident_bytes(gito)
        yield
        neighbour.store(telemetry_topic(39), '{"rssi":-2}', 2)
        assert gito.node_pid() == before[0]
        assert resident_bytes(gito) < before[2] + GROWTH_BYTES_MAX
        wait_until(lambda: descriptors(gito) <= before[1] + 8, 3 * CONNECT_TIMEOUT_S,
                   "the end of all connections")
        assert gito.is_ready()


def raw(port):
    return socket.create_connection(("127.0.0.1", port), timeout=30)


def is_closed(connection):
    """The server has closed it; what it said before is not looked at."""
    connection.setblocking(False)
    try:
        while connection.recv(65536):
            pass
        return True
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
    finally:
        connection.setblocking(True)


def connect_packet(client_id="hostile", level=4):
    account = [text(word) for word in SERVICE_ACCOUNT]
    properties = b"\0" if level == 5 else b""
    return packet(CONNECT, text("MQTT") + bytes([level, 0xC2, 0, 0]) + properties +
                  text(client_id) + b"".join(account))


def test_garbage(gito):
    """Random bytes, before and after a good CONNECT, on every port."""
    source = random.Random(11)
    for n in range(300):
        port = (gito.mqtt_port, gito.mqtts_port, gito.http_port)[n % 3]
        connection = raw(port)
        try:
            if n % 2 and port == gito.mqtt_port:
                connection.sendall(connect_packet("garbage-%d" % n, 4 + n % 4 // 2))
            connection.sendall(source.randbytes(source.randrange(1, 5000)))
        except ConnectionError:
            pass  # it was refused before all was sent
        connection.close()


def test_random_packets(gito):
    """Well-framed packets of every type with senseless bodies."""
    source = random.Random(12)
    for n in range(500):
        connection = raw(gito.mqtt_port)
        try:
            connection.sendall(connect_packet("packets-%d" % n, 4 + n % 2))
            for _ in range(5):
                connection.sendall(packet(source.randrange(16), source.randbytes(
                    source.randrange(40)), source.randrange(16)))
        except ConnectionError:
            pass
        connection.close()


def test_a_connect_that_is_never_whole(gito):
    """Half a CONNECT, byte by byte or all but one byte of a large one, is closed in time."""
    large = packet(CONNECT, bytes(PAYLOAD_MAX))
    halves = [raw(gito.mqtt_port) for _ in range(300)]
    for n, half in enumerate(halves):
        half.sendall(connect_packet()[:1 + n % 20] if n % 3 else large[:-1])

    wait_until(lambda: all(is_closed(half) for half in halves), 2 * CONNECT_TIMEOUT_S,
               "the end of half connections")
    for half in halves:
        half.close()


def test_a_publish_that_is_never_whole(gito):
    """Half a PUBLISH holds nobody else up, and is gone with its connection."""
    whole = packet(PUBLISH, text(telemetry_topic(0)) + b"\0\1" + bytes(PAYLOAD_MAX), 2)
    halves = [Client(gito, device=0, client_id="half-%d" % n) for n in range(100)]
    for n, half in enumerate(halves):
        half.send(whole[:len(whole) // (n % 4 + 1) - 1])
    with Client(gito, device=1) as other:
        begin = time.monotonic()
        other.store(telemetry_topic(1), '{"rssi":-50}', 1)
        assert time.monotonic() - begin < LATENCY_S_MAX
    for half in halves:
        half.close()


def test_silent_connections(gito):
    """10,000 connections that say nothing are closed in time, and others are served meanwhile."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(10000, hard - 1000)
    try:
        silent, slowest = [], 0.0
        with Client(gito, device=1, client_id="busy") as busy:
            for n in range(count):
                silent.append(raw((gito.mqtt_port, gito.http_port)[n % 10 == 9]))
                if n % 100 == 0:
                    slowest = max(slowest, latency(busy))
            wait_until(lambda: metric(gito, "gito_mqtt_connections") <= 2, 3 * CONNECT_TIMEOUT_S,
                       "the end of silent connections")
            wait_until(lambda: all(is_closed(one) for one in silent), 3 * CONNECT_TIMEOUT_S,
                       "the end of silent connections")
            slowest = max(slowest, latency(busy))
        assert slowest < LATENCY_S_MAX
    finally:
        for one in silent:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def latency(client):
    begin = time.monotonic()
    client.store(telemetry_topic(1), '{"rssi":-50}', 1)
    return time.monotonic() - begin


# Large ones.

def rejected(gito, device):
    return gito.sql("SELECT reason FROM telemetry_rejected WHERE device_id = %s ORDER BY id",
                    [DEVICE_ID % device])


def test_the_largest_payload(gito):
    """256 KiB of good readings are stored; one byte more leaves a row with the reason."""
    readings = [{"n": n, "temperature": 20.5} for n in range(8000)]
    payload = json.dumps(readings, separators=(",", ":")).ljust(PAYLOAD_MAX)
    assert len(payload) == PAYLOAD_MAX
    with Client(gito, device=2, version=5) as client:
        assert client.store(telemetry_topic(2), payload, 1) == 0
        assert client.store(telemetry_topic(2), payload + " ", 2) >= 0x80
        assert client.store(telemetry_topic(2), "x" * PAYLOAD_MAX, 3) == 0x99
        client.ping()
    assert gito.sql("SELECT count(*) FROM telemetry_hot WHERE device_id = %s",
                    [DEVICE_ID % 2]) == [(8000,)]
    assert len(rejected(gito, 2)) == 2


def test_large_payloads_of_an_old_client(gito):
    """MQTT 3.1.1 knows no reason: it is acknowledged, the row has the reason, it stays."""
    with Client(gito, device=3) as client:
        assert client.store(telemetry_topic(3), "x" * (PAYLOAD_MAX + 1), 1) == 0
        assert client.store(telemetry_topic(3), "[" * PAYLOAD_MAX, 2) == 0
        client.ping()
    assert len(rejected(gito, 3)) == 2


@pytest.mark.parametrize("version", [4, 5])
def test_a_packet_past_all_limits(gito, version):
    """A packet of 1 MiB ends its connection; MQTT 5 is told why: 0x95."""
    with Client(gito, device=4, version=version) as client:
        try:
            client.publish(telemetry_topic(4), "x" * (1 << 20), 1)
        except ConnectionError:
            pass  # closed before all was taken
        try:
            kind, _, body = client.read_packet()
            assert version == 5 and (kind, body[0]) == (DISCONNECT, 0x95)
            client.read_packet()
        except ConnectionError:
            return
    raise AssertionError("the connection was not closed")


# Those that do not read.

def test_wills_of_many_readings(gito):
    """Two hundred clients go at once, each with a will of 8,190 readings: what there is no room for
    is refused, with a row."""
    will = "[%s]" % ",".join(['{"n":1}'] * 8190)
    gone = [raw(gito.mqtt_port) for _ in range(200)]
    for n, client in enumerate(gone):
        client.sendall(packet(CONNECT, text("MQTT") + bytes([4, 0xC6, 0, 0]) + text("will-%d" % n) +
                              text(telemetry_topic(6)) + text(will) +
                              text("%s:%s" % (TENANT, DEVICE_ID % 6)) + text(secret(6))))
        assert client.recv(4) == b"\x20\2\0\0"
    for client in gone:
        client.close()
    wait_until(lambda: rejected(gito, 6), 60, "a row")
    wait_until(lambda: metric(gito, "gito_edge_items_in_flight") == 0, 60, "the end of all wills")
    assert metric(gito, "gito_mqtt_connections") == 1


def test_a_subscriber_that_never_reads(gito):
    """Its messages are dropped and counted, or it is disconnected; the load notices nothing."""
    dropped = metric(gito, "gito_mqtt_dropped_total")
    deaf = []
    for n, qos in enumerate((0, 0, 1, 1)):
        client = Client(gito, account=SERVICE_ACCOUNT, client_id="deaf-%d" % n)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.subscribe(TENANT + "/devices/+/telemetry", qos=qos)
        deaf.append(client)
    padding = '"pad_%s":1' % ("x" * 50)
    load = Load(gito, connections=20, rate=2000, payload='{"temperature":20,"seq":{seq},%s}'
                % ",".join(padding.replace("pad_", "pad%d_" % n) for n in range(20)))
    try:
        wait_until(lambda: metric(gito, "gito_mqtt_dropped_total") > dropped + 1000, 60,
                   "counted drops")
        wait_for_rows(gito, 1000)
        report = load.stop()
    finally:
        load.kill()
    assert (report["connections_lost"], report["unacked"], report["refused"]) == (0, 0, 0), report
    check_stored(gito, load)
    for client in deaf:
        client.close()


def test_a_client_that_reads_late(gito):
    """Who leaves so many messages unread that nothing more is taken of him is answered when he
    reads on, though he says nothing more."""
    topic = "%s/devices/%s/commands" % (TENANT, DEVICE_ID % 7)
    dropped = metric(gito, "gito_mqtt_dropped_total")
    with Client(gito, account=SERVICE_ACCOUNT, client_id="late", timeout_s=10) as late, \
            Client(gito, account=SERVICE_ACCOUNT, client_id="talker") as talker:
        late.subscribe(topic)
        for n in range(1, 1000):
            talker.store(topic, bytes(110000), n)
            if metric(gito, "gito_mqtt_dropped_total") > dropped:
                break
        late.send(packet(PINGREQ))
        while late.read_packet()[0] != PINGRESP:
            pass


def test_a_publisher_that_never_reads(gito):
    """Who takes no acknowledgement is not read any more; the others are."""
    with Client(gito, device=5, client_id="deaf-publisher") as deaf:
        deaf.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.socket.settimeout(2)
        sent = 0
        try:
            while sent < 2000000:
                block = b"".join(
                    packet(PUBLISH, text(telemetry_topic(5)) + struct.pack(">H", n % 60000 + 1) +
                           b"{}x", 2) for n in range(sent, sent + 500))
                deaf.send(block)
                sent += 500
        except (TimeoutError, ConnectionError):
            pass
        with Client(gito, device=1, client_id="busy") as busy:
            assert latency(busy) < LATENCY_S_MAX
    assert sent < 2000000, "the node took all that was sent"


def websocket(gito, path):
    connection = raw(gito.http_port)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.sendall(("GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
                        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                        "Sec-WebSocket-Key: %s\r\n\r\n"
                        % (path, base64.b64encode(os.urandom(16)).decode())).encode())
    assert connection.recv(12) == b"HTTP/1.1 101"
    return connection


def test_dashboards_that_never_read(gito):
    """Slow dashboards get the newest value of a device, and cost a bounded memory."""
    token = gito.login()
    conflated = metric(gito, "gito_ws_conflated_total")
    slow = [websocket(gito, "/api/v1/ws/tenants/%s?token=%s" % (TENANT, token)) for _ in range(20)]
    load = Load(gito, connections=20, rate=3000, seq_start=10 ** 9)
    try:
        wait_until(lambda: metric(gito, "gito_ws_conflated_total") > conflated + 1000, 90,
                   "conflated frames")
        report = load.stop()
    finally:
        load.kill()
    assert (report["connections_lost"], report["unacked"]) == (0, 0), report
    check_stored(gito, load)
    for one in slow:
        one.close()


def test_half_requests(gito):
    """HTTP requests that never end are closed in time."""
    halves = [raw(gito.http_port) for _ in range(500)]
    for n, half in enumerate(halves):
        half.sendall(b"GET /livez HTTP/1.1\r\nX-Header: " [:5 + n % 30])
    assert gito.request("GET", "/livez", timeout=LATENCY_S_MAX).status_code == 200
    wait_until(lambda: all(is_closed(half) for half in halves), 3 * CONNECT_TIMEOUT_S,
               "the end of half requests")
    for half in halves:
        half.close()
