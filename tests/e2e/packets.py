"""MQTT packet by packet, for tests that need what no client library does: a DUP of their own
choice, half a packet, silence."""

import socket
import struct

from cluster import TENANT
from ledger import DEVICE_ID, secret

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
PUBREC, PUBREL, PUBCOMP = 5, 6, 7
SUBSCRIBE, SUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 12, 13, 14


def text(value):
    data = value.encode() if isinstance(value, str) else value
    return struct.pack(">H", len(data)) + data


def packet(kind, body=b"", flags=0):
    length, rest = b"", len(body)
    while True:
        rest, digit = rest >> 7, rest & 0x7F
        length += bytes([digit | (0x80 if rest else 0)])
        if not rest:
            return bytes([kind << 4 | flags]) + length + body


def telemetry_topic(device):
    return "%s/devices/%s/telemetry" % (TENANT, DEVICE_ID % device)


class Client:
    """One connection; as a device by its number, or as a service account (user, password)."""

    def __init__(self, gito, device=None, account=None, client_id="raw", version=4, clean=True,
                 keepalive=0, timeout_s=30):
        self.socket = socket.create_connection((gito.host, gito.mqtt_port), timeout=timeout_s)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.version = version
        self.received = b""
        user, password = account or ("%s:%s" % (TENANT, DEVICE_ID % device), secret(device))
        properties = b"\0" if version == 5 else b""
        self.send(packet(CONNECT, text("MQTT") + bytes([version, 0xC2 if clean else 0xC0]) +
                         struct.pack(">H", keepalive) + properties + text(client_id) +
                         text(user) + text(password)))
        answer = self.expect(CONNACK)
        assert answer[1] == 0, "CONNACK 0x%02x" % answer[1]

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()

    def close(self):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def read_bytes(self, count):
        while len(self.received) < count:
            more = self.socket.recv(65536)
            if not more:
                raise ConnectionError("closed by the server")
            self.received += more
        data, self.received = self.received[:count], self.received[count:]
        return data

    def read_packet(self):
        """(type, flags, body); TimeoutError, ConnectionError."""
        first = self.read_bytes(1)[0]
        length, shift = 0, 0
        while True:
            digit = self.read_bytes(1)[0]
            length |= (digit & 0x7F) << shift
            shift += 7
            if digit < 0x80:
                return first >> 4, first & 15, self.read_bytes(length)

    def expect(self, kind):
        """The body of the next packet, which must be of this type."""
        got, _, body = self.read_packet()
        assert got == kind, "packet type %d instead of %d: %r" % (got, kind, body)
        return body

    def publish(self, topic, payload, packet_id, dup=False, qos=1):
        body = text(topic) + (struct.pack(">H", packet_id) if qos else b"")
        body += b"\0" if self.version == 5 else b""
        payload = payload.encode() if isinstance(payload, str) else payload
        self.send(packet(PUBLISH, body + payload, (8 if dup else 0) | qos << 1))

    def acknowledged(self):
        """(packet id, reason) of the PUBACK that comes next."""
        body = self.expect(PUBACK)
        return struct.unpack(">H", body[:2])[0], body[2] if len(body) > 2 else 0

    def store(self, topic, payload, packet_id, dup=False):
        """Publishes at QoS 1 and waits for the acknowledgement; its reason."""
        self.publish(topic, payload, packet_id, dup)
        got, reason = self.acknowledged()
        assert got == packet_id
        return reason

    def subscribe(self, topic, packet_id=1, qos=0):
        properties = b"\0" if self.version == 5 else b""
        self.send(packet(SUBSCRIBE, struct.pack(">H", packet_id) + properties + text(topic) +
                         bytes([qos]), 2))
        return self.expect(SUBACK)[-1]

    def ping(self):
        self.send(packet(PINGREQ))
        self.expect(PINGRESP)
