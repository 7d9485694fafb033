"""One node in a network of its own: what a bad network alone may not break."""

import pytest

from ledger import wait_for_rows
from members import hold

pytestmark = pytest.mark.namespaces
CUT_S = 7  # beyond the keep-alive of the loads, so that they give their connections up


@pytest.fixture
def one(one_apart):
    return one_apart


def test_a_lossy_network_loses_nothing(one, start_loads):
    """Between devices and node, and node and database, one packet in fifty is lost: no reading is."""
    loads = start_loads(one, rate=1000)
    one.wan.link("client", "eu-1", delay=10, jitter=5, loss=2)
    one.wan.link("eu-1", "db", delay=2, loss=2)
    wait_for_rows(one, 3000)
    assert one.wan.count("client", "eu-1")["lost"] > 10 < one.wan.count("eu-1", "db")["lost"]
    one.wan.link("client", "eu-1")
    loads.finish()


def test_devices_that_are_cut_off_come_back(one, start_loads):
    """Devices lose their node and find it again: what they send again is stored once."""
    loads = start_loads(one, rate=1000)
    one.wan.cut("client", "eu-1")
    hold(CUT_S)
    one.wan.heal("client", "eu-1")
    wait_for_rows(one, 1000)
    reports = loads.finish()
    assert reports["eu-1"]["reconnected"] > 0 < reports["eu-1"]["resent"]


def test_a_node_that_is_cut_off_from_its_database_goes_on_afterwards(one, start_loads):
    """Cut off for longer than its lease, a node that nobody replaced goes on where it was."""
    loads = start_loads(one, rate=1000)
    before = one.node_pid()
    one.wan.cut("db", "eu-1")
    hold(CUT_S)
    one.wan.heal("db", "eu-1")
    wait_for_rows(one, 1000)
    loads.finish()
    assert one.running() == ["eu-1"] and one.node_pid() == before
