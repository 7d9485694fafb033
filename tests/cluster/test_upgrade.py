"""A rolling upgrade: nodes of this version and of the next one work together, under load."""

import os
import re
import subprocess

import pytest

from cluster import ROOT
from loads import HEAL_S
from members import Operator, wait_settled

# The next version differs in nothing but its number: what is tried is that it is spoken only where
# it is understood.
with open(os.path.join(ROOT, "proto", "msg.h"), encoding="utf-8") as header:
    VERSION = int(re.search(r"#define MSG_VERSION (\d+)", header.read()).group(1))


@pytest.fixture(scope="module")
def next_version():
    """gito-node, built with the next MSG_VERSION."""
    folder = os.path.join(ROOT, "build", "next")
    for command in (["cmake", "-S", ROOT, "-B", folder, "-G", "Ninja",
                     "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                     "-DCMAKE_C_FLAGS=-DMSG_VERSION=%d" % (VERSION + 1)],
                    ["cmake", "--build", folder, "--target", "gito-node"]):
        subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return os.path.join(folder, "gito-node")


def versions(gito):
    return {node["node_id"]: node["mesh_version"] for node in Operator(gito).get("/nodes")
            if node["state"] == "active"}


def test_nodes_are_upgraded_one_after_the_other(c, start_loads, next_version):
    """Each node is drained and comes back with the next version; nothing is lost, doubled or
    refused, and nobody says anything that another does not understand."""
    loads = start_loads(c)
    environment = dict(c.environment)
    try:
        for node in ("us-1", "eu-2", "eu-1"):
            c.down("--node", node)
            wait_settled(c.at(next(name for name in c.nodes if name != node)))
            c.environment["GITO_NODE"] = next_version
            c.start_node(node)
            wait_settled(c)
            loads.wait_all_served()
            assert versions(c)[node] == VERSION + 1
        assert set(versions(c).values()) == {VERSION + 1}
        loads.finish()
        loads.check_waits(HEAL_S)
        for node in c.nodes:
            for event in ("frame_refused", "mesh_version_refused", "mesh_version_unknown"):
                assert not c.logged(event, node)
    finally:
        c.environment.clear()
        c.environment.update(environment)
        for node in c.nodes:  # the tests that follow have the version that they were built with
            if versions(c.at(next(n for n in c.nodes if n != node))).get(node) == VERSION + 1:
                c.down("--node", node)
                c.start_node(node)
        wait_settled(c)
