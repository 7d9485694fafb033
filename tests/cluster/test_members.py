"""Nodes join and leave a cluster under load, as planned."""

import os

from ledger import wait_for_rows
from loads import HEAL_S
from members import owners, states, wait_settled

ROUNDS = int(os.environ.get("GITO_CLUSTER_ROUNDS", "3"))


def begin(c, node):
    if node not in c.nodes:
        c.nodes.append(node)  # as the launcher's list: its place gives it its ports
    c.start_node(node)


def join(c, node):
    begin(c, node)
    wait_settled(c)


def leave(c, node):
    c.down("--node", node)
    wait_settled(c)


def share_moved(before, after):
    """Of the slots of region eu, those with another owner."""
    slots = [slot for slot in before if slot[0] == "eu"]
    return sum(before[slot] != after[slot] for slot in slots) / len(slots)


def test_a_node_joins_and_another_leaves(c, start_loads):
    """`up --node eu-3` and `down --node eu-2` under load lose, double and refuse nothing, and move
    no more than they must: to the third node of a region at most 1/3 + 0.5 % of its slots."""
    loads = start_loads(c)
    before = owners(c)
    join(c, "eu-3")
    joined = owners(c)
    assert set(joined.values()) == {"eu-1", "eu-2", "eu-3", "us-1"}
    assert 0.25 < share_moved(before, joined) <= 1 / 3 + 0.005
    assert all(joined[slot] in (before[slot], "eu-3") for slot in before)
    wait_for_rows(c, 1000)
    leave(c, "eu-2")
    left = owners(c)
    assert set(left.values()) == {"eu-1", "eu-3", "us-1"}
    assert all(left[slot] == joined[slot] for slot in left if joined[slot] != "eu-2")
    assert states(c)["eu-2"][0] == "left"
    loads.wait_all_served()
    loads.finish()
    loads.check_moves()


def test_joins_and_leaves_again_and_again(c, start_loads):
    """Nodes come and go under load, each time another: nothing is lost, doubled or refused."""
    loads = start_loads(c)
    names = ["eu-3", "us-2", "eu-4"]
    for number in range(ROUNDS):
        node = names[number % len(names)]
        join(c, node)
        wait_for_rows(c, 1000)
        leave(c, node)
        wait_for_rows(c, 1000)
    loads.wait_all_served()
    loads.finish()
    loads.check_moves()


def test_two_nodes_join_at_once_and_one_is_killed(c, start_loads):
    """Moves to two new nodes are under way when one of them dies: all comes to rest, all is stored."""
    loads = start_loads(c)
    for node in ("eu-3", "eu-4"):
        begin(c, node)
    c.kill_node(node="eu-4")
    loads.wait_all_served()
    wait_settled(c)
    assert "eu-3" in owners(c).values()
    loads.finish()
    loads.check_waits(HEAL_S)
