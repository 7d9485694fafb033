"""A live WebSocket at one node, a device at another, its owner a third, which goes away."""

import json
import threading

import pytest

from clients import Device, Live
from cluster import wait_until
from ledger import Load
from members import Operator, wait_settled
from tenants import make_tenant

RATE = 200
FAR_MS = 300  # one way; in this time the owner hands a slot over and a load publishes 60 readings


def publish(door, device):
    """A load of that device at that node: readings 0, 1, 2, …"""
    return Load(door, connections=1, rate=RATE, tenant=device.tenant.id, topic=device.topic(),
                user=device.user, **{"pass": device.secret})


class Watcher:
    """Reads a live WebSocket in a thread and keeps every reading's seq, in order."""

    def __init__(self, gito, device):
        self.live = Live(gito, "/devices/" + device.id, device.tenant.tokens["VIEWER"])
        self.live.synchronise()
        self.seqs, self.error, self.last = [], None, None
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        try:
            while True:
                message = self.live.take("telemetry", deadline_s=60)
                with self.changed:
                    self.seqs.append(message["data"]["payload"]["seq"])
                    self.changed.notify_all()
        except (OSError, EOFError, AssertionError, json.JSONDecodeError) as error:
            with self.changed:
                self.error = error
                self.changed.notify_all()

    def wait(self, seq, deadline_s=30):
        """Until that reading, or a later one, was shown."""
        with self.changed:
            seen = self.changed.wait_for(
                lambda: self.error or (self.seqs and self.seqs[-1] >= seq), deadline_s)
            assert seen and not self.error, "no reading %d: %s, %s" % (
                seq, self.error, self.seqs[-3:])

    def close(self):
        self.live.socket.shutdown(2)
        self.thread.join(10)
        self.live.socket.close()


@pytest.mark.parametrize("home", ["eu", "us"])
@pytest.mark.parametrize("end", ["drain", "kill"])
def test_a_live_socket_sees_every_reading_once(c, end, home):
    """A device publishes at one node, its WebSocket is at another, and its owner is drained or
    killed: the readings come without gap, twice or out of order."""
    tenant = make_tenant(c, home)
    device = Device(tenant)
    owner = Operator(c).owner_of(device.id, tenant.id)
    at, seen_at = [node for node in ("eu-1", "us-1", "eu-2") if node != owner][:2]
    operator = Operator(c.at(at))
    watcher = Watcher(c.at(seen_at), device)
    load = publish(c.at(at), device)
    try:
        watcher.wait(RATE)
        if end == "drain":
            operator.post("/nodes/%s/drain" % owner)
        else:
            c.kill_node(node=owner)
        wait_until(lambda: owner not in c.running(), 30, "the end of the owner")
        wait_settled(c)
        assert operator.owner_of(device.id, tenant.id) != owner
        watcher.wait(watcher.seqs[-1] + RATE)
        sent = load.stop()["sent"]
        watcher.wait(sent - 1)
        assert watcher.seqs == list(range(sent))
        assert [row[0]["seq"] for row in device.rows()] == watcher.seqs
    finally:
        load.kill()
        watcher.close()


@pytest.mark.namespaces
def test_a_far_live_socket_sees_every_reading_once(apart):
    """The watcher's node is slow to reach the one that follows the drained owner, so its own word
    that it watches comes too late: the owner must have given its watchers with the slot."""
    tenant = make_tenant(apart, "eu")
    operator = Operator(apart.at("eu-1"))
    device = Device(tenant)
    while operator.owner_of(device.id, tenant.id) != "eu-2":
        device = Device(tenant)
    watcher = Watcher(apart.at("us-1"), device)
    load = publish(apart.at("eu-1"), device)
    try:
        watcher.wait(RATE)
        apart.wan.path("us-1", "eu-1", delay=FAR_MS)
        operator.post("/nodes/eu-2/drain")
        wait_until(lambda: "eu-2" not in apart.running(), 30, "the end of the owner")
        assert operator.owner_of(device.id, tenant.id) == "eu-1"
        watcher.wait(watcher.seqs[-1] + RATE)
        sent = load.stop()["sent"]
        watcher.wait(sent - 1)
        assert watcher.seqs == list(range(sent))
    finally:
        load.kill()
        watcher.close()
