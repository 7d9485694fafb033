"""Crashes and pauses of nodes and of PostgreSQL, with a load at every node."""

import signal

import pytest

from clients import Device, Mqtt
from cluster import is_alive, wait_until
from ledger import wait_for_rows
from loads import DEVICES, HEAL_S, TIMED_RATE
from members import LEASE_S, Operator, ended_or_active, hold, incarnations, wait_settled
from tenants import make_tenant
from conftest import NODES


@pytest.mark.parametrize("victim", NODES.split(","))
def test_kill_9_of_a_node_heals_in_time(c, start_loads, victim):
    """A node is killed: every device is acknowledged again within 5 s, by whatever node it had."""
    loads = start_loads(c, rate=TIMED_RATE)
    c.kill_node(node=victim)
    loads.wait_all_served()
    wait_settled(c)
    c.start_node(victim)
    wait_settled(c)
    wait_for_rows(c, 1000)
    reports = loads.finish()
    loads.check_waits(HEAL_S)
    assert reports[victim]["reconnected"] >= DEVICES


def test_a_device_whose_owner_and_door_died_is_offline(c):
    """Its owner is the node that it was connected to: with both gone, somebody else notices."""
    device = Device(make_tenant(c))
    owner = Operator(c).owner_of(device.id, device.tenant.id)
    client = Mqtt(c.at(owner), device.user, device.secret)
    client.publish(device.topic(), {"temperature": 20})
    wait_until(lambda: device.record()["status"] == "online", 10, "online")
    c.kill_node(node=owner)
    client.client.loop_stop()  # it is gone too
    door = next(node for node in NODES.split(",") if node != owner)
    device.g = device.tenant.g = c.at(door)
    wait_until(lambda: device.record()["status"] == "offline", 30, "offline")
    c.start_node(owner)
    wait_settled(c)


def test_kill_9_of_two_nodes_at_once(c, start_loads):
    """All but one node are killed together: the one that is left serves every device."""
    loads = start_loads(c)
    for node in ("eu-1", "eu-2"):
        c.kill_node(node=node)
    loads.wait_all_served()
    wait_settled(c)
    loads.finish()
    loads.check_waits(2 * HEAL_S)  # devices of one of them try the other in vain


def test_kill_9_of_all_nodes_at_once(c, start_loads):
    """No node is left, and then all are there again: nothing that was acknowledged is lost."""
    loads = start_loads(c)
    nodes = c.running()
    for node in nodes:
        c.kill_node(node=node)
    for node in nodes:
        c.start_node(node)
    loads.wait_all_served()
    wait_settled(c)
    loads.finish()


def test_kill_9_of_a_node_again_and_again(c, start_loads):
    """A node is killed and started again at once, before the others may replace it, and again."""
    loads = start_loads(c)
    for _ in range(3):
        c.kill_node(node="eu-2")
        c.start_node("eu-2")
        loads.wait_all_served()
    wait_settled(c)
    loads.finish()
    loads.check_waits(HEAL_S)


@pytest.mark.parametrize("leases", [0.5, 1, 3])
def test_a_paused_node_doubles_nothing(c, start_loads, leases):
    """A node is stopped and goes on later: whether it was replaced meanwhile or not, it writes
    nothing twice, fires no second alert, and ends or is a member. The others' devices do not wait."""
    loads = start_loads(c)
    c.pause_node("eu-2")
    hold(leases * LEASE_S)
    c.resume_all()
    wait_until(lambda: ended_or_active(c, "eu-2"), 15, "the end or the return of the paused node")
    if not is_alive(c.node_pid("eu-2")):
        c.start_node("eu-2")
    loads.wait_all_served()
    wait_settled(c)
    loads.finish()
    loads.check_waits(HEAL_S, ["eu-1", "us-1"])


def test_an_outage_of_postgres_evicts_nobody(c, start_loads):
    """PostgreSQL is away for longer than a lease: no node is replaced, no connection is lost."""
    loads = start_loads(c)
    before, running = incarnations(c), c.running()
    c.stop_postgres("fast")
    hold(1.5 * LEASE_S)
    c.start_postgres()
    loads.wait_all_served()
    wait_settled(c)
    assert incarnations(c) == before
    assert c.running() == running
    reports = loads.finish()
    assert [report["connections_lost"] for report in reports.values()] == [0, 0, 0]


def test_a_node_dies_while_postgres_is_away(c, start_loads):
    """Node and database fail together: when the database is back the dead node is replaced, and
    the living ones are not."""
    loads = start_loads(c)
    before = incarnations(c)
    c.stop_postgres("immediate")
    c.kill_node(node="eu-2")
    hold(LEASE_S)
    c.start_postgres()
    loads.wait_all_served()
    wait_settled(c)
    assert incarnations(c) == before
    loads.finish()


def test_sigterm_moves_all_and_refuses_nothing(c, start_loads):
    """A node that is asked to end hands its devices over first: nobody waits as for a dead one."""
    loads = start_loads(c)
    c.kill_node(signal.SIGTERM, "eu-2")
    loads.wait_all_served()
    wait_settled(c)
    loads.finish()
    loads.check_moves()


def test_a_node_that_is_evicted_ends(c, start_loads):
    """Evicted by order under load, a node ends, its devices are served as after a death, and it may
    come back."""
    loads = start_loads(c)
    pid = c.node_pid("eu-2")
    assert Operator(c).post("/nodes/eu-2/evict")["state"] in ("condemned", "dead")
    wait_until(lambda: not is_alive(pid), 10, "the end of the evicted node")
    loads.wait_all_served()
    c.start_node("eu-2")
    wait_settled(c)
    loads.wait_all_served()
    loads.finish()
    loads.check_waits(HEAL_S)
