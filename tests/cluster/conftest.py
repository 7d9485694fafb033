"""Fixtures of the cluster tests."""

import os
import sys

import pytest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import wan  # noqa: E402


def pytest_configure(config):
    config.addinivalue_line("markers", "namespaces: needs network namespaces and TUN devices")


def pytest_collection_modifyitems(items):
    marked = [item for item in items if item.get_closest_marker("namespaces")]
    reason = wan.why_not() if marked else None
    for item in marked if reason else []:
        item.add_marker(pytest.mark.skip(reason=reason))
