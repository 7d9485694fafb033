"""Fixtures of the cluster tests: clusters, and loads on them, that end with their test."""

import contextlib
import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wan  # noqa: E402
from apart import Apart  # noqa: E402
from loads import Loads  # noqa: E402
from keeper import Keeper, note_failure  # noqa: E402
from running import bring_up, end_well_when_told, show_logs, take_down  # noqa: E402

NODES = "eu-1,eu-2,us-1"


def pytest_configure(config):
    end_well_when_told()
    config.addinivalue_line("markers", "namespaces: needs network namespaces and TUN devices")


# What the whole test run takes of these: one of each kind. `./gito test cluster` takes them all.
IN_THE_WHOLE_RUN = (
    "test_doors.py", "test_operators.py", "test_wan.py",
    "test_a_live_socket_sees_every_reading_once[drain-eu]",
    "test_a_live_socket_sees_every_reading_once[kill-eu]",
    "test_members.py::test_a_node_joins_and_another_leaves",
    "test_crash.py::test_kill_9_of_a_node_heals_in_time[eu-1]",
    "test_crash.py::test_sigterm_moves_all_and_refuses_nothing",
    "test_partitions.py::test_a_cluster_of_two_regions_serves",
)


def pytest_collection_modifyitems(config, items):
    if os.environ.get("GITO_TEST_WHOLE"):
        left = [item for item in items
                if not any(name in item.nodeid for name in IN_THE_WHOLE_RUN)]
        items[:] = [item for item in items if item not in left]
        config.hook.pytest_deselected(items=left)
    marked = [item for item in items if item.get_closest_marker("namespaces")]
    reason = wan.why_not() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    show_logs(outcome.get_result())
    if outcome.get_result().failed:
        note_failure()


@pytest.fixture(scope="session")
def keep():
    """Clusters last from test to test, and are whole again for each: see keeper.py."""
    keeper = Keeper()
    yield keeper
    keeper.leave()


def on_loopback(undo):
    gito = bring_up(nodes=NODES)
    undo.callback(take_down, gito)
    return gito


def in_namespaces(undo, nodes=NODES):
    """This thread is inside of `client` until it is undone."""
    gito = Apart(nodes=nodes)
    with contextlib.ExitStack() as inside:
        inside.enter_context(gito.wan.inside("client"))
        bring_up(lambda: gito)
        inside.callback(take_down, gito)
        undo.push(inside.pop_all())
    return gito


@pytest.fixture
def c(keep):
    """Three nodes in two regions, on loopback, by the launcher."""
    return keep.get("loopback", on_loopback)


@pytest.fixture(scope="module")
def shared(keep):
    """The same for all the tests of a file, which leave it as it was."""
    return keep.get("loopback", on_loopback)


@pytest.fixture
def apart(keep):
    """Three nodes in two regions, in namespaces with a WAN between; the test is in `client`."""
    return keep.get("apart", in_namespaces)


@pytest.fixture
def one_apart(keep):
    """One node, its database and its clients in a namespace each; the test is in `client`."""
    return keep.get("one apart", lambda undo: in_namespaces(undo, "eu-1"))


@pytest.fixture
def start_loads():
    """start_loads (cluster, …): Loads, running and flowing."""
    started = []

    def start(gito, **options):
        started.append(Loads(gito, **options))
        return started[-1]

    yield start
    for loads in started:
        loads.kill()
