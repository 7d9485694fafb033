"""Fixtures of the end-to-end tests.

`g` is one Gito for the whole run; `make_gito` brings up more, with settings of their own. When a
test failed, the end of every node's log is shown with it. `t`, `other` and `device` are what most
tests need in it.
"""

import os
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from clients import Device  # noqa: E402
from running import bring_up, end_well_when_told, show_logs, take_down  # noqa: E402
from tenants import make_tenant  # noqa: E402


def pytest_configure(config):
    end_well_when_told()
    config.addinivalue_line("markers", "sanitizer: run again with the asan and tsan builds")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    show_logs(outcome.get_result())


@pytest.fixture(scope="session")
def g():
    gito = bring_up()
    yield gito
    take_down(gito)


@pytest.fixture(scope="module")
def t(g):
    """A tenant of the module's own, in `g`."""
    return make_tenant(g)


@pytest.fixture(scope="module")
def other(g):
    """Another one, for what is not to be seen of it."""
    return make_tenant(g)


@pytest.fixture
def device(t):
    return Device(t)


@pytest.fixture
def make_gito():
    """make_gito (environment={...}, nodes="eu-1", demo=True): a Gito for this test alone."""
    made = []

    def make(**options):
        made.append(bring_up(**options))
        return made[-1]

    yield make
    for gito in made:
        take_down(gito)
