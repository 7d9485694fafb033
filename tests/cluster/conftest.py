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
from members import wait_settled  # noqa: E402
from running import bring_up, end_well_when_told, show_logs, take_down  # noqa: E402

NODES = "eu-1,eu-2,us-1"


def pytest_configure(config):
    end_well_when_told()
    config.addinivalue_line("markers", "namespaces: needs network namespaces and TUN devices")


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("namespaces")]
    reason = wan.why_not() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    show_logs(outcome.get_result())


def settled(gito):
    wait_settled(gito)
    return gito


@pytest.fixture
def make_cluster():
    """make_cluster (nodes="eu-1,eu-2,us-1", environment={}): by the launcher, on loopback."""
    made = []

    def make(nodes=NODES, **options):
        made.append(bring_up(nodes=nodes, **options))
        return settled(made[-1])

    yield make
    for gito in made:
        take_down(gito)


@pytest.fixture
def c(make_cluster):
    return make_cluster()


@pytest.fixture(scope="module")
def shared():
    """One cluster for the tests of a file, which leave it as it was."""
    gito = bring_up(nodes=NODES)
    try:
        yield settled(gito)
    finally:
        take_down(gito)


@pytest.fixture
def make_apart():
    """make_apart (nodes=…, between_ms=…): in namespaces; the test itself is inside of `client`."""
    made = []

    def make(nodes=NODES, **options):
        gito = Apart(nodes=nodes, **options)
        with contextlib.ExitStack() as undo:
            undo.enter_context(gito.wan.inside("client"))
            bring_up(lambda: gito)
            undo.callback(take_down, gito)
            made.append(undo.pop_all())
        return settled(gito)

    yield make
    for undo in reversed(made):
        undo.close()


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
