"""Cuts between nodes, database and regions, with a load at every node: what is acknowledged is
stored once whoever cannot see whom, and when the cut is healed all is served again."""

import pytest

from cluster import is_alive
from loads import HEAL_S
from members import LEASE_S, hold, wait_settled

pytestmark = pytest.mark.namespaces
CUT_S = 2 * LEASE_S


@pytest.fixture
def c(apart):
    return apart


def start_again(c):
    """Who was replaced has ended, and is started again as its supervisor would."""
    for node in c.nodes:
        if not is_alive(c.node_pid(node)):
            c.start_node(node)


def heal(c, loads):
    c.wan.heal("all", "all")
    loads.wait_all_served()
    start_again(c)
    wait_settled(c)


def test_a_cluster_of_two_regions_serves(c, start_loads):
    """Nothing is cut: regions 20 ms apart serve every device from every node."""
    loads = start_loads(c)
    loads.wait_all_served()
    loads.finish()
    loads.check_waits(2)


def test_cut_node_from_database(c, start_loads):
    """A node that cannot reach the database is replaced: devices at other nodes wait no longer
    than for a dead one, and the node itself does no harm when it is back."""
    loads = start_loads(c)
    c.wan.cut("eu-2", "db")
    hold(CUT_S)
    heal(c, loads)
    loads.finish()
    loads.check_waits(HEAL_S, ["eu-1", "us-1"])


def test_cut_node_from_node(c, start_loads):
    """Two nodes cannot reach each other, all else can: nothing is lost or doubled."""
    loads = start_loads(c)
    c.wan.cut("eu-1", "eu-2")
    hold(CUT_S)
    heal(c, loads)
    loads.finish()


@pytest.mark.parametrize("one, other", [("eu-1", "eu-2"), ("us-1", "eu-1")])
def test_one_way_cut(c, start_loads, one, other):
    """A node hears another, which does not hear it: nothing is lost or doubled."""
    loads = start_loads(c)
    c.wan.cut_path(one, other)
    hold(CUT_S)
    heal(c, loads)
    loads.finish()


def test_one_way_cut_to_the_database(c, start_loads):
    """What a node says to the database is lost, or what the database answers: both in turn."""
    loads = start_loads(c)
    for one, other in (("eu-2", "db"), ("db", "eu-2")):
        c.wan.cut_path(one, other)
        hold(CUT_S)
        heal(c, loads)
    loads.finish()


def test_a_whole_region_is_cut_off(c, start_loads):
    """Region us loses the rest, its clients see both: the rest serves every device, and region us
    does no harm when it is back."""
    loads = start_loads(c)
    for place in ("db", "eu-1", "eu-2"):
        c.wan.cut("us-1", place)
    loads.wait_all_served()
    hold(CUT_S)
    heal(c, loads)
    loads.finish()
    loads.check_waits(HEAL_S, ["eu-1", "eu-2"])


def test_a_region_dies_and_comes_back(c, start_loads):
    """The only node of region us is killed: the other region serves its devices, and gives them
    back when it is there again."""
    loads = start_loads(c)
    c.kill_node(node="us-1")
    loads.wait_all_served()
    c.start_node("us-1")
    wait_settled(c)
    loads.finish()
    loads.check_waits(HEAL_S)


def test_a_short_cut_of_everything(c, start_loads):
    """No node reaches another or the database for less than a lease: nobody is replaced."""
    loads = start_loads(c)
    pids = [c.node_pid(node) for node in c.nodes]
    places = c.nodes + ["db"]
    for k, place in enumerate(places):
        for other in places[k + 1:]:
            c.wan.cut(place, other)
    hold(LEASE_S / 3)
    heal(c, loads)
    loads.finish()
    assert [c.node_pid(node) for node in c.nodes] == pids


def test_a_bad_network_between_the_nodes(c, start_loads):
    """Between regions one packet in a hundred is lost and the others come late and unevenly: the
    cluster stays whole, and nothing is lost or doubled."""
    loads = start_loads(c, rate=1500)
    for place in ("db", "eu-1", "eu-2"):
        c.wan.link("us-1", place, delay=40, jitter=20, loss=1)
    c.wan.link("eu-1", "eu-2", delay=5, jitter=5, loss=1)
    hold(CUT_S)
    loads.wait_all_served()
    wait_settled(c)
    loads.finish()
