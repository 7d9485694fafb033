"""MQTT 3.1.1 and 5, by TCP, TLS and WebSocket, as devices and service accounts use it."""

import datetime
import json
import os
import queue
import re
import struct
import subprocess
import time

import pytest

import packets
from clients import Device, Mqtt, make_account
from cluster import DEVICE, SERVICE_ACCOUNT, TENANT, wait_until
from tenants import UTC, iso, make_tenant

pytestmark = pytest.mark.sanitizer

VERSIONS = pytest.mark.parametrize("version", [4, 5])


@pytest.fixture
def watcher(g, t):
    """A service account that may see all of the tenant."""
    with Mqtt(g, *make_account(t), version=5) as client:
        yield client


def now_ms():
    return int(time.time() * 1000)


# Who may connect.

@VERSIONS
def test_the_right_secret_connects_and_a_wrong_one_is_told(g, t, device, version):
    """A device and a service account connect by their credentials, and by nothing else."""
    device.connect(version=version).close()
    Mqtt(g, *make_account(t), version=version).close()
    refused = 0x86 if version == 5 else 4
    for user, password in ((device.user, "wrong"), ("nobody", "x"), (device.user, ""),
                           ("%s:%s" % (TENANT, device.id), device.secret), ("admin", "wrong"),
                           ("%s:%s" % (t.id, "not-a-device"), device.secret)):
        Mqtt(g, user, password, version=version, expect=refused).close()


def test_a_rotated_secret_is_the_only_one(t, device):
    """After rotation the old secret is refused and the new one accepted."""
    fresh = t.data("POST", "/devices/%s/credentials" % device.id)
    device.connect(expect=4).close()
    device.secret = fresh["secret"]
    device.connect().close()


def test_tls(g, device):
    """The TLS port speaks the same MQTT, with the certificate of the data folder."""
    with device.connect(tls=True) as client:
        assert client.publish(device.topic(), {"temperature": 1})[0] == 0
    assert device.rows() == [({"temperature": 1},)]


@VERSIONS
def test_websocket(g, device, version):
    """MQTT over WebSocket at /mqtt does what TCP does."""
    with device.connect(transport="websockets", version=version) as client:
        assert client.subscribe(device.topic("commands")) == 1
        assert client.publish(device.topic(), {"temperature": 2})[0] == 0
        client.publish(device.topic("commands"), "x" * 100000)
        assert client.take_text("/commands") == "x" * 100000
    assert device.rows() == [({"temperature": 2},)]


def test_websocket_elsewhere_is_refused(g, device):
    """The sub-protocol mqtt belongs to /mqtt alone."""
    with pytest.raises(Exception):
        device.connect(transport="websockets", path="/api/v1/ws")


# Messages in and out.

@VERSIONS
@pytest.mark.parametrize("qos, granted", [(0, 0), (0, 1), (1, 2), (2, 1), (2, 2)])
def test_telemetry_of_every_qos_is_stored_once(device, version, qos, granted):
    """A reading of any QoS is stored once, and delivered with the lower of the QoS that it was
    published with and that of the subscription."""
    with device.connect(version=version) as client:
        assert client.subscribe(device.topic(), granted) == granted
        client.publish(device.topic(), {"temperature": 20 + qos, "other_metric": 1}, qos)
        message = client.take()
        assert json.loads(message.payload) == {"temperature": 20 + qos, "other_metric": 1}
        assert message.qos == min(qos, granted) and not message.retain
        wait_until(device.rows, 10, "the row")
    assert device.rows("payload, temperature") == [
        ({"temperature": 20 + qos, "other_metric": 1}, 20 + qos)]


@VERSIONS
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_commands_reach_the_device_with_their_qos(g, t, device, version, qos):
    """What a back end publishes to a device's commands arrives there."""
    with device.connect(version=version) as client, \
            Mqtt(g, *make_account(t), version=version) as back_end:
        assert client.subscribe(device.topic("commands"), 2) == 2
        back_end.publish(device.topic("commands"), "open", qos)
        message = client.take()
        assert (message.payload, message.qos) == (b"open", qos)


@VERSIONS
def test_filters_past_the_limit_are_refused_one_by_one(g, t, version):
    """1,030 filters in one SUBSCRIBE: the last six are refused, and the others hold."""
    with Mqtt(g, *make_account(t), version=version) as client:
        filters = ["%s/x/%d" % (t.id, number) for number in range(1030)]
        _, mid = client.client.subscribe([(name, 0) for name in filters])
        wait_until(lambda: mid in client.granted, 10, "a SUBACK")
        refused = 0x97 if version == 5 else 0x80
        assert client.granted[mid] == 1024 * [0] + 6 * [refused]
        client.client.unsubscribe(filters)
        client.subscribe("%s/y" % t.id, 0)
        client.publish("%s/x/1023" % t.id, "gone")
        client.publish("%s/y" % t.id, "there")
        assert client.take().payload == b"there"


def test_hundreds_in_flight_are_all_acknowledged_and_stored(device):
    """A window of 500 publishes is acknowledged whole, each stored once and in order."""
    with device.connect() as client:
        mids = [client.client.publish(device.topic(), json.dumps({"temperature": n}), 1).mid
                for n in range(500)]
        wait_until(lambda: all(mid in client.client.answers for mid in mids), 20, "all answers")
    assert [row[0] for row in device.rows("temperature")] == list(range(500))


def test_a_3_1_1_client_has_no_receive_maximum(g, device):
    """More QoS 2 messages than MQTT 5's Receive Maximum, sent at once, are all taken and stored."""
    count = 1100
    with packets.Client(g, account=(device.user, device.secret)) as client:
        for mid in range(1, count + 1):
            client.publish(device.topic(), '{"n": %d}' % mid, mid, qos=2)
        for kind in (packets.PUBREC, packets.PUBCOMP):
            for mid in range(1, count + 1):
                assert client.expect(kind) == struct.pack(">H", mid)
            if kind == packets.PUBREC:
                for mid in range(1, count + 1):
                    client.send(packets.packet(packets.PUBREL, struct.pack(">H", mid), 2))
    assert [row[0]["n"] for row in device.rows()] == list(range(1, count + 1))


def test_wildcards_of_a_service_account(g, t, device):
    """+ and # show a service account its tenant's devices, until it unsubscribes."""
    second = Device(t)
    with Mqtt(g, *make_account(t)) as client, device.connect() as one, second.connect() as two:
        assert client.subscribe("%s/devices/+/telemetry" % t.id) == 1
        one.publish(device.topic(), {"a": 1})
        two.publish(second.topic(), {"a": 2})
        seen = {client.take().topic for _ in range(2)}
        assert seen == {device.topic(), second.topic()}
        client.unsubscribe("%s/devices/+/telemetry" % t.id)
        assert client.subscribe("%s/#" % t.id) == 1
        two.publish(second.topic("events/door"), "open")
        assert client.take_text("/events/door") == "open"


def test_a_mount_point_hides_the_tenant(g, t, device):
    """An account with a mount point writes and reads topics without its tenant."""
    with Mqtt(g, *make_account(t, mount_point=True)) as client, device.connect() as own:
        assert own.subscribe(device.topic("commands")) == 1
        assert client.subscribe("devices/+/telemetry") == 1
        client.publish("devices/%s/commands" % device.id, "go")
        assert own.take_text("/commands") == "go"
        own.publish(device.topic(), {"a": 1})
        assert client.take().topic == "devices/%s/telemetry" % device.id


def test_retained_status_comes_on_subscribing(device, watcher):
    """Who subscribes to …/status is told the present one, retained; then changes as they happen."""
    assert watcher.subscribe(device.topic("status")) == 1
    first = watcher.take()
    assert (first.payload, first.retain) == (b"offline", True)
    with device.connect() as client:
        client.publish(device.topic(), {"a": 1})
        message = watcher.take()
        assert (message.payload, message.retain) == (b"online", False)


def cpu_seconds(g):
    with open("/proc/%d/stat" % g.node_pid(), encoding="utf-8") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_a_large_retained_message_costs_its_bytes_alone(g, t):
    """256 KiB of every value arrive whole at each new subscriber, at next to no cost for the node."""
    topic, payload = "%s/firmware" % t.id, bytes(range(256)) * 1024
    account = make_account(t)
    with Mqtt(g, *account) as client:
        client.publish(topic, payload, retain=True)
    before = cpu_seconds(g)
    for _ in range(10):
        with Mqtt(g, *account) as client:
            client.subscribe(topic)
            message = client.take()
            assert message.retain and message.payload == payload
    assert cpu_seconds(g) - before < 3


def test_no_local_keeps_from_a_client_what_it_published_itself(g, t, device):
    """No Local leaves out one's own messages and readings, whoever one is, and nobody else's; what
    is kept comes on subscribing all the same."""
    account = make_account(t)
    with device.connect(version=5) as own, Mqtt(g, *account, version=5) as one, \
            Mqtt(g, *account, version=5) as two:
        everyone = {"own": own, "one": one, "two": two}
        one.publish(device.topic("kept"), "kept by one", retain=True)
        for client in everyone.values():
            client.subscribe(device.topic("#"), noLocal=True)
            assert client.take_text("/kept") == "kept by one"
        for name, client in everyone.items():
            client.publish(device.topic("words"), name)
            client.publish(device.topic("words"), name, retain=True)
            client.publish(device.topic("telemetry"), {name: 1})
        for name, client in everyone.items():
            expected = {(n, of) for n in everyone if n != name for of in ("words", "telemetry")}
            seen = set()
            while not seen >= expected:
                message = client.take()
                seen.add((re.sub(r'[^a-z]', "", message.payload.decode()),
                          message.topic.rpartition("/")[2]))
            assert not [who for who, _ in seen if who == name]


# Who may see what.

@VERSIONS
def test_a_device_keeps_to_itself(g, t, device, version):
    """A device is refused another's topics, both ways, and stays connected."""
    second = Device(t)
    with device.connect(version=version) as client:
        for filter in (second.topic("commands"), "#", "%s/#" % t.id, "+/devices/+/telemetry",
                       "%s/devices/+/telemetry" % t.id, "$SYS/#", "$share/x/#"):
            assert client.subscribe(filter) >= 0x80, filter
        code, reason = client.publish(second.topic(), {"temperature": 1})
        assert code == (0x87 if version == 5 else 0)
        assert (reason is not None) == (version == 5)
        client.publish(device.topic("status"), "online", qos=2)
        client.publish(second.topic("x"), "y", qos=0)
        assert client.subscribe(device.topic("#")) == 1
        assert client.publish(device.topic(), {"temperature": 1})[0] == 0
    assert second.rows() == [] and len(device.rows()) == 1
    wait_until(lambda: len(device.rejected()) == 3, 10, "the rows of what was refused")
    assert second.rejected() == []
    assert g.sql("SELECT topic, payload FROM telemetry_rejected WHERE device_id = %s ORDER BY topic",
                 [device.id]) == sorted([(second.topic(), '{"temperature": 1}'),
                                         (device.topic("status"), "online"),
                                         (second.topic("x"), "y")])


def test_nobody_crosses_tenants(g, t, other, device):
    """No filter of one tenant's account shows it another tenant's messages."""
    foreign = Device(other)
    with Mqtt(g, *make_account(t), version=5) as spy, foreign.connect() as victim:
        for filter in ("%s/#" % other.id, "+/devices/+/telemetry", foreign.topic(), "$SYS/#",
                       "$share/g/%s/#" % other.id):
            assert spy.subscribe(filter) >= 0x80, filter
        spy.subscribe("#")  # all of its own, or refused: never others'
        assert spy.publish(foreign.topic(), {"a": 1})[0] == 0x87
        assert g.sql("SELECT tenant_id::text, device_id FROM telemetry_rejected WHERE topic = %s",
                     [foreign.topic()]) == [(t.id, None)]
        victim.publish(foreign.topic(), {"secret": 1})
        with device.connect() as own:
            own.publish(device.topic(), {"a": 1})
        with pytest.raises(queue.Empty):
            while True:
                assert other.id not in spy.take(deadline_s=0.5).topic
    assert foreign.rows() == [({"secret": 1},)]


def test_an_accounts_filters_bound_it(g, t, device):
    """A service account publishes and subscribes only what its filters allow."""
    account = make_account(t, publish="{devices/+/commands}",
                           subscribe="{devices/+/status}")
    with Mqtt(g, *account, version=5) as client:
        assert client.publish(device.topic("commands"), "x")[0] in (0, 0x10)
        assert client.publish(device.topic(), {"a": 1})[0] == 0x87
        assert client.subscribe("%s/devices/+/status" % t.id) == 1
        assert client.subscribe("%s/devices/+/telemetry" % t.id) >= 0x80


@pytest.mark.parametrize("name", ["abc", "", "00000000-0000-0000-0000-00000000000"])
def test_telemetry_of_no_device_is_refused(g, t, name):
    """Telemetry whose topic has no device's id where it belongs is told so, and leaves a row."""
    topic = "%s/devices/%s/telemetry" % (t.id, name)
    with Mqtt(g, *make_account(t), version=5) as client:
        code, reason = client.publish(topic, {"a": 1})
        assert code == 0x90 and "device" in reason
        assert client.publish(topic + "/more", {"a": 1})[0] in (0, 0x10)  # a message like others
        assert g.sql("SELECT tenant_id::text, device_id, reason FROM telemetry_rejected"
                     " WHERE topic = %s", [topic]) == [(t.id, None, reason)]
    with Mqtt(g, *make_account(t, mount_point=True)) as client:
        assert client.publish("devices/%s/telemetry" % name, {"a": 1}, qos=2) == (0, None)
    assert len(g.sql("SELECT 1 FROM telemetry_rejected WHERE topic = %s", [topic])) == 2


# The life of a connection.

@VERSIONS
def test_the_second_connection_of_a_client_id_takes_over(g, device, version):
    """A client id that connects again ends the first connection; MQTT 5 hears 0x8E."""
    first = device.connect(version=version, client_id="twin-%d-%s" % (version, device.id))
    first.client.reconnect_delay_set(60, 60)
    second = device.connect(version=version, client_id="twin-%d-%s" % (version, device.id))
    assert first.closed.wait(10)
    if version == 5:
        assert first.client.disconnect_code == 0x8E
    assert second.publish(device.topic(), {"a": 1})[0] == 0
    first.client.loop_stop()
    second.close()


@VERSIONS
def test_a_last_will_is_published_when_the_connection_breaks(device, watcher, version):
    """The will comes when a connection is lost, and not after DISCONNECT."""
    assert watcher.subscribe(device.topic("events/#")) == 1
    device.connect(version=version, will=(device.topic("events/will"), "polite", 1)).close()
    device.connect(version=version, will=(device.topic("events/will"), "lost", 1)).drop()
    assert watcher.take_text("/events/will") == "lost"


def test_keep_alive_ends_a_silent_connection(g, device, watcher):
    """Silence for one and a half keep-alives ends the connection and sends its will."""
    assert watcher.subscribe(device.topic("events/#")) == 1
    client = device.connect(keepalive=1, will=(device.topic("events/will"), "silent", 1))
    client.client.loop_stop()  # it pings no more; the socket stays open
    assert watcher.take_text("/events/will", deadline_s=5) == "silent"


# Bad input.

BAD = [("", "empty"), ("not json", ""), ("[]", ""), ("7", ""), ("{}", ""),
       ('{"temperature": "warm"}', ""), ('{"temperature": 1e11}', ""), ('{"a b": 1}', ""),
       ('{"temperature": 1', ""), ('{"temperature": NaN}', ""), ('{"a": {"b": 1}}', ""),
       ('{"temperature": 1, "timestamp": "yesterday"}', ""), (b"\xff\xfe", "")]


def test_bad_payloads_are_told_to_mqtt_5(device):
    """Bad telemetry gets 0x99 with a reason, leaves a row with it, and the connection lives."""
    with device.connect(version=5) as client:
        reasons = []
        for payload, _ in BAD:
            code, reason = client.publish(device.topic(), payload)
            assert code == 0x99 and reason, payload
            reasons.append(reason)
        assert client.publish(device.topic(), '{"a": 1}', qos=2)[0] == 0
        assert client.publish(device.topic(), "bad", qos=1)[0] == 0x99
    assert sorted(device.rejected()[:len(BAD)]) == sorted(reasons)
    assert device.rows() == [({"a": 1},)]


def test_bad_payloads_get_a_plain_puback_in_mqtt_3(device):
    """MQTT 3.1.1 has no reasons: the PUBACK comes, the reason stands in telemetry_rejected."""
    with device.connect() as client:
        for payload, _ in BAD:
            assert client.publish(device.topic(), payload) == (0, None)
        client.publish(device.topic(), "bad", qos=0)
        assert client.publish(device.topic(), {"a": 1})[0] == 0
    wait_until(lambda: len(device.rejected()) == len(BAD) + 1, 10, "the rows")
    assert device.rows() == [({"a": 1},)]


def test_nulls_and_limits_are_good(device):
    """Null, the largest values and the longest names are taken as they are."""
    reading = {"temperature": None, "a" * 64: 1e10, "b": -1e10, "humidity": 0.1}
    with device.connect(version=5) as client:
        assert client.publish(device.topic(), reading) == (0, None)
    assert device.rows("payload, temperature, humidity") == [(reading, None, 0.1)]


# Time.

def test_an_array_is_stored_reading_by_reading(device):
    """An array, oldest first, gives a row each, with its own timestamps in either form."""
    at = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(minutes=10)
    second = at + datetime.timedelta(seconds=1)
    batch = [{"temperature": 1, "timestamp": iso(at)},
             {"temperature": 2, "timestamp": int(second.timestamp() * 1000)},
             {"temperature": 3}]
    with device.connect(version=5) as client:
        assert client.publish(device.topic(), batch)[0] == 0
    rows = device.rows("timestamp, temperature")
    assert [row[1] for row in rows] == [1, 2, 3]
    assert [row[0] for row in rows[:2]] == [at, second]
    assert abs((rows[2][0] - datetime.datetime.now(UTC)).total_seconds()) < 60


def test_timestamps_far_away_are_refused(device):
    """A timestamp older than 31 days or more than a day ahead is refused, with the whole message."""
    day = 86400 * 1000
    with device.connect(version=5) as client:
        for at in (now_ms() - 32 * day, now_ms() + 2 * day, 0, 1):
            code, reason = client.publish(device.topic(), {"a": 1, "timestamp": at})
            assert code == 0x99 and "timestamp" in reason, at
        batch = [{"a": 1}, {"a": 2, "timestamp": now_ms() + 2 * day}]
        assert client.publish(device.topic(), batch)[0] == 0x99
        assert client.publish(device.topic(), {"a": 1, "timestamp": now_ms() - 30 * day})[0] == 0
    assert len(device.rows()) == 1


def test_what_retention_would_drop_is_refused_at_the_door(make_gito):
    """With RETENTION_DAYS set there is no place for older readings: they are told so before they get
    into a batch, which the database would refuse with all that is in it."""
    gito = make_gito(environment={"RETENTION_DAYS": "2"})
    device = Device(make_tenant(gito))
    with device.connect(version=5) as client:
        for days, answer in ((1.9, (0, None)), (5, (0x99, "timestamp is older than readings are kept"))):
            reading = {"a": 1, "timestamp": now_ms() - int(days * 86400 * 1000)}
            assert client.publish(device.topic(), reading) == answer
    assert len(device.rows()) == 1 and len(device.rejected()) == 1


def test_a_late_reading_does_not_replace_a_newer_one(t, device):
    """A reading from the past is stored, and the latest value stays the newer one's."""
    with device.connect() as client:
        client.publish(device.topic(), {"temperature": 30})
        client.publish(device.topic(), {"temperature": 10, "timestamp": now_ms() - 3600000})
    assert len(device.rows()) == 2

    def latest():
        return (device.record()["latest"] or {}).get("temperature")

    assert wait_until(latest, 30, "a latest value") == 30


# Other people's client.

def test_mosquitto_publishes_and_subscribes(g):
    """The line that `up` prints works, and mosquitto_sub sees it, with either version."""
    topic = "%s/devices/%s/telemetry" % (TENANT, DEVICE)
    who = ["-h", "127.0.0.1", "-p", str(g.mqtt_port), "-u", SERVICE_ACCOUNT[0], "-P",
           SERVICE_ACCOUNT[1], "-t", topic]
    for version in ("mqttv311", "mqttv5"):
        subscriber = subprocess.Popen(
            ["stdbuf", "-oL", "mosquitto_sub", *who, "-V", version, "-C", "1", "-d", "-W", "20"],
            stdout=subprocess.PIPE, text=True)
        lines = iter(subscriber.stdout.readline, "")
        assert any("SUBACK" in line for line in lines)
        value = now_ms() % 100000 / 1000
        subprocess.run(["mosquitto_pub", *who, "-V", version, "-q", "1", "-m",
                        json.dumps({"temperature": value})], check=True, timeout=20)
        assert any(json.loads(line) == {"temperature": value}
                   for line in lines if line.startswith("{"))
        assert subscriber.wait(20) == 0
