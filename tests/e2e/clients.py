"""Clients for tests: MQTT by paho, with the answers that paho keeps to itself, and live WebSockets."""

import base64
import json
import os
import queue
import socket
import ssl
import struct
import threading
import uuid

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from cluster import wait_until


class Paho(paho.Client):
    """Notes reason codes and reason strings: {packet id: (code, reason)}, and the last DISCONNECT's."""

    def __init__(self, *arguments, **more):
        self.answers, self.disconnect_code = {}, None
        super().__init__(*arguments, **more)

    def note(self):
        packet = bytes(self._in_packet["packet"])
        code, reason = 0, None
        if len(packet) > 2:
            code = packet[2]
        if len(packet) > 3:
            properties = Properties(PacketTypes.PUBACK)
            properties.unpack(packet[3:])
            reason = getattr(properties, "ReasonString", None)
        self.answers[struct.unpack("!H", packet[:2])[0]] = (code, reason)

    def _handle_pubackcomp(self, cmd):
        self.note()
        return super()._handle_pubackcomp(cmd)

    def _handle_pubrec(self):
        if self._in_packet["packet"][2:3] >= b"\x80":  # refused: paho would go on
            self.note()
        return super()._handle_pubrec()

    def _handle_disconnect(self):
        self.disconnect_code = self._in_packet["packet"][0] if self._in_packet["packet"] else 0
        return super()._handle_disconnect()


class Mqtt:
    """One MQTT connection. code: of the CONNACK; take (): the next message; publish (): acked."""

    def __init__(self, gito, user, password, version=4, client_id=None, transport="tcp",
                 path="/mqtt", tls=False, keepalive=60, will=None, port=None, expect=0):
        self.arrived, self.connected, self.granted = queue.Queue(), queue.Queue(), {}
        self.closed = threading.Event()
        client_id = "test-%s" % uuid.uuid4().hex[:12] if client_id is None else client_id
        options = {} if version == 5 else {"clean_session": True}
        self.client = Paho(client_id, protocol=version, transport=transport, **options)
        self.client.username_pw_set(user, password)
        self.client.max_inflight_messages_set(1000)
        if transport == "websockets":
            self.client.ws_set_options(path=path)
            port = port or gito.http_port
        if tls:
            self.client.tls_set(gito.certificate, cert_reqs=ssl.CERT_REQUIRED)
            port = port or gito.mqtts_port
        if will:
            self.client.will_set(*will)
        self.client.on_connect = lambda c, u, flags, code, *more: self.connected.put(
            code if isinstance(code, int) else code.value)
        self.client.on_message = lambda c, u, message: self.arrived.put(message)
        self.client.on_disconnect = lambda *more: self.closed.set()
        self.client.on_subscribe = lambda c, u, mid, codes, *more: self.granted.__setitem__(
            mid, [x if isinstance(x, int) else x.value for x in codes])
        self.client.connect("localhost" if tls else gito.host, port or gito.mqtt_port, keepalive)
        self.client.loop_start()
        self.code = self.connected.get(timeout=10)
        assert expect is None or self.code == expect, "CONNACK %d" % self.code

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.client.disconnect()
        self.client.loop_stop()

    def drop(self):
        """As a device that loses its network: no DISCONNECT."""
        self.client.on_disconnect = None
        self.client.loop_stop()
        self.client.socket().shutdown(socket.SHUT_RDWR)
        self.client.socket().close()

    def subscribe(self, topic, qos=1, **options):
        """The granted QoS, or 0x80 and more. Options are those of MQTT 5, as paho names them."""
        how = {"options": SubscribeOptions(qos, **options)} if options else {"qos": qos}
        _, mid = self.client.subscribe(topic, **how)
        wait_until(lambda: mid in self.granted, 10, "a SUBACK")
        return self.granted.pop(mid)[0]

    def unsubscribe(self, topic):
        done = threading.Event()
        self.client.on_unsubscribe = lambda *more: done.set()
        self.client.unsubscribe(topic)
        assert done.wait(10), "no UNSUBACK"

    def publish(self, topic, payload, qos=1, retain=False, deadline_s=10, **says):
        """(reason code, reason string) of the answer, which is waited for. `says`: properties of
        MQTT 5, as paho names them."""
        if isinstance(payload, (dict, list)):
            payload = json.dumps(payload)
        properties = Properties(PacketTypes.PUBLISH) if says else None
        for name, value in says.items():
            setattr(properties, name, value)
        info = self.client.publish(topic, payload, qos, retain, properties)
        if qos == 0:
            info.wait_for_publish(deadline_s)
            return None
        wait_until(lambda: info.mid in self.client.answers, deadline_s, "the answer to a PUBLISH")
        return self.client.answers.pop(info.mid)

    def take(self, deadline_s=10):
        return self.arrived.get(timeout=deadline_s)

    def take_text(self, topic_end, deadline_s=10):
        """The payload of the next message whose topic ends so; others are passed over."""
        while True:
            message = self.take(deadline_s)
            if message.topic.endswith(topic_end):
                return message.payload.decode()


def masked(text):
    """A client's text frame."""
    data, mask = text.encode(), os.urandom(4)
    length = (struct.pack(">BB", 0x81, 0x80 | len(data)) if len(data) < 126
              else struct.pack(">BBH", 0x81, 0xFE, len(data)))
    return length + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


class Live:
    """A live WebSocket that reads only when it is asked to."""

    def __init__(self, gito, path, token=None, protocol=None, receive_bytes=None):
        self.socket = socket.socket()
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self.socket.settimeout(10)
        self.socket.connect((gito.host, gito.http_port))
        self.data = b""
        head = ("GET /api/v1/ws%s%s HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n"
                % (path, "?token=" + token if token else "",
                   base64.b64encode(os.urandom(16)).decode(),
                   "Sec-WebSocket-Protocol: %s\r\n" % protocol if protocol else ""))
        self.socket.sendall(head.encode())
        while b"\r\n\r\n" not in self.data:
            piece = self.socket.recv(4096)
            assert piece, "refused"
            self.data += piece
        answer, self.data = self.data.split(b"\r\n\r\n", 1)
        self.answer = answer.decode()
        assert self.answer.startswith("HTTP/1.1 101"), self.answer

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.socket.close()

    def bytes(self, n):
        while len(self.data) < n:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError("closed without a close frame")
            self.data += piece
        taken, self.data = self.data[:n], self.data[n:]
        return taken

    def frame(self):
        """(opcode, payload) of the next frame."""
        first, length = self.bytes(2)
        if length == 126:
            length, = struct.unpack(">H", self.bytes(2))
        elif length == 127:
            length, = struct.unpack(">Q", self.bytes(8))
        return first & 15, self.bytes(length)

    def take(self, kind=None, deadline_s=10):
        """The next message, or the next of that type."""
        self.socket.settimeout(deadline_s)
        while True:
            opcode, payload = self.frame()
            assert opcode == 1, "opcode %d %r" % (opcode, payload[:80])
            message = json.loads(payload)
            if kind in (None, message["type"]):
                return message

    def close_code(self, deadline_s=10):
        self.socket.settimeout(deadline_s)
        while True:
            opcode, payload = self.frame()
            if opcode == 8:
                return struct.unpack(">H", payload[:2])[0]

    def send(self, message):
        self.socket.sendall(masked(message if isinstance(message, str) else json.dumps(message)))

    def ask(self, message):
        """Sends it; the next message that is not an event."""
        self.send(message)
        while True:
            answer = self.take()
            if answer["type"] not in ("telemetry", "status", "alert"):
                return answer

    def synchronise(self):
        """All that was sent before is done with, and watched from now on."""
        assert self.ask({"type": "ping"})["type"] == "pong"


class Device:
    """A device of a tenant (tenants.Tenant), made for a test."""

    def __init__(self, tenant, name="a device"):
        made = tenant.make_device(name)
        self.tenant, self.g = tenant, tenant.g
        self.id, self.secret = made["id"], made["secret"]
        self.user = "%s:%s" % (tenant.id, self.id)

    def topic(self, rest="telemetry"):
        return "%s/devices/%s/%s" % (self.tenant.id, self.id, rest)

    def connect(self, **more):
        return Mqtt(self.g, self.user, self.secret, **more)

    def rows(self, what="payload"):
        return self.g.sql("SELECT %s FROM telemetry_hot WHERE device_id = %%s ORDER BY timestamp,"
                          " created_at" % what, [self.id])

    def rejected(self):
        return [row[0] for row in self.g.sql(
            "SELECT reason FROM telemetry_rejected WHERE device_id = %s ORDER BY received_at",
            [self.id])]

    def record(self):
        return self.tenant.data("GET", "/devices/%s" % self.id)


def make_account(tenant, publish="{#}", subscribe="{#}", mount_point=False):
    """(user, password) of a service account of the tenant."""
    name = "account-%s" % uuid.uuid4().hex[:12]
    tenant.g.sql("INSERT INTO service_accounts (tenant_id, username, password_hash,"
                 " publish_filters, subscribe_filters, mount_point) SELECT %s, %s, password_hash,"
                 " %s, %s, %s FROM service_accounts WHERE username = 'admin'",
                 [tenant.id, name, publish, subscribe, mount_point])
    return name, "admin-password"


def metric_value(gito, name):
    for line in gito.request("GET", "/metrics").text.splitlines():
        if line.startswith(name + " ") or line.startswith(name + "{"):
            return float(line.rsplit(" ", 1)[1])
    raise AssertionError("no metric " + name)
