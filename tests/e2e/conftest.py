"""Fixtures of the end-to-end tests.

`g` is one Gito for the whole run; `make_gito` brings up more, with settings of their own. When a
test failed, the end of every node's log is shown with it.
"""

import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from cluster import Gito  # noqa: E402

RUNNING = []


def end_as_by_ctrl_c(signum, frame):
    raise KeyboardInterrupt("signal %d" % signum)


def pytest_configure(config):
    # A run that is ended from outside still takes its clusters down.
    signal.signal(signal.SIGTERM, end_as_by_ctrl_c)
    config.addinivalue_line("markers", "sanitizer: run again with the asan and tsan builds")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for gito in RUNNING:
        for node in gito.nodes:
            log = gito.node_log(node, lines=60)
            if log:
                report.sections.append(("log of %s" % node, log))


def bring_up(**options):
    gito = Gito(**options)
    RUNNING.append(gito)
    try:
        gito.up()
    except BaseException:
        take_down(gito)
        raise
    return gito


def take_down(gito):
    try:
        gito.destroy()
    finally:
        RUNNING.remove(gito)


@pytest.fixture(scope="session")
def g():
    gito = bring_up()
    yield gito
    take_down(gito)


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
