"""./gito with several nodes: together up and down, one by one, and what is said of each."""

import os
import signal
import subprocess

import cluster
import pytest
from cluster import is_alive, wait_until
from conftest import bring_up, take_down

NODES = ["eu-1", "us-1"]


@pytest.fixture(scope="module")
def two():
    gito = bring_up(nodes=",".join(NODES))
    yield gito
    take_down(gito)


def table(gito):
    """The rows of status by name, as words."""
    output = gito.launcher("status", check=False).stdout
    return {line.split()[0]: line.split() for line in output.splitlines()}


def signals(gito, node):
    return [entry["text"] for entry in gito.logged("stopping", node)]


def test_all_nodes_come_up_and_each_dashboard_is_named(two):
    output = two.up().stdout
    for index, name in enumerate(NODES):
        assert is_alive(two.node_pid(name))
        assert "http://127.0.0.1:%d/" % (8080 + index + two.base) in output
    assert "us-1 http://" in output


def test_status_tells_what_each_node_is_in_the_cluster(two):
    rows = table(two)
    assert rows["NAME"][:8] == ["NAME", "PID", "STATE", "REGION", "CLUSTER", "INCARNATION",
                                "SLOTS", "MOVING"]
    for name in NODES:
        incarnation = two.sql("SELECT incarnation FROM cluster_nodes WHERE node_id = %s", [name])
        assert rows[name][1:8] == [str(two.node_pid(name)), "ready", name[:2], "active",
                                   str(incarnation[0][0]), "4096", "0"]
    assert rows["PostgreSQL"][2] == rows["Redis"][2] == "ready"


def test_status_goes_on_without_the_database(make_gito):
    gito = make_gito(nodes="eu-1")
    gito.stop_postgres("immediate")
    rows = table(gito)
    assert rows["eu-1"][1] == str(gito.node_pid())
    assert rows["eu-1"][3:8] == ["-"] * 5
    assert rows["PostgreSQL"][2] == "stopped"


def test_regions_have_the_order_of_their_first_mention(two):
    for name in NODES:
        assert two.node_settings(name)["CLUSTER_REGIONS"] == "eu,us"
        assert two.node_settings(name)["NODE_REGION"] == name[:2]


def test_a_new_name_joins_the_list_and_gets_the_next_ports(two):
    before = [two.node_pid(name) for name in NODES]
    two.environment["NODE_WEIGHT"] = "50"
    output = two.launcher("up", "--detach", "--node", "ap-1").stdout
    del two.environment["NODE_WEIGHT"]
    settings = two.node_settings("ap-1")
    assert "Login" not in output  # it adds a node, and nothing to the database
    assert settings["MQTT_PORT"] == str(1883 + 2 + two.base)
    assert settings["MESH_PORT"] == str(7400 + 2 + two.base)
    assert settings["CLUSTER_REGIONS"] == "eu,us,ap"
    assert table(two)["ap-1"][2:5] == ["ready", "ap", "active"]
    two.launcher("down", "--node", "ap-1")
    assert table(two)["ap-1"][2:5] == ["stopped", "ap", "left"]
    two.launcher("up", "--detach", "--node", "ap-1")
    assert two.node_settings("ap-1")["NODE_WEIGHT"] == "50"
    assert "NODE_WEIGHT" not in two.node_settings("eu-1")
    two.launcher("down", "--node", "ap-1", "--now")
    assert [two.node_pid(name) for name in NODES] == before
    two.launcher("up", "--detach", "--nodes", ",".join(NODES))
    assert "ap-1" not in table(two) or table(two)["ap-1"][2] == "elsewhere"


def test_a_running_node_keeps_its_ports(two):
    for names in ("us-1,eu-1", "eu-1"):
        result = two.launcher("up", "--detach", "--nodes", names, check=False)
        assert result.returncode == 1 and "would lose its ports" in result.stdout, names
    assert list(table(two))[1:3] == NODES


def test_down_of_a_node_drains_and_down_of_all_does_not(make_gito):
    """SIGTERM asks a node to hand its devices over first, SIGINT does not; both leave."""
    gito = make_gito(nodes=",".join(NODES))
    gito.down("--node", "us-1")
    gito.down()
    assert signals(gito, "us-1") == ["signal %d" % signal.SIGTERM]
    assert signals(gito, "eu-1") == ["signal %d" % signal.SIGINT]
    assert [gito.logged("left", name) != [] for name in NODES] == [True, True]
    gito.up()
    assert all(is_alive(gito.node_pid(name)) for name in NODES)


def foreground(gito, *options):
    return subprocess.Popen(
        [os.path.join(cluster.ROOT, "gito"), "up", *options], env=gito.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))


def read_until(process, text):
    for line in process.stdout:
        if text in line:
            return
    raise AssertionError("it ended without saying %s" % text)


def test_in_the_foreground_an_end_is_told_and_the_others_go_on(make_gito):
    gito = make_gito(nodes=",".join(NODES))
    gito.down()
    process = foreground(gito)
    read_until(process, "Ctrl-C stops all")
    gito.kill_node(node="us-1")
    read_until(process, "us-1 ended")
    assert is_alive(gito.node_pid("eu-1"))
    gito.start_node("us-1")
    read_until(process, "us-1 is back")
    running = [gito.node_pid(name) for name in NODES]
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(60) == 130
    assert not [pid for pid in running if is_alive(pid)]
    assert signals(gito, "eu-1")[-1] == "signal %d" % signal.SIGINT


def test_the_foreground_ends_with_an_order_from_elsewhere(make_gito):
    gito = make_gito(nodes="eu-1")
    gito.down()
    process = foreground(gito)
    read_until(process, "Ctrl-C stops all")
    gito.down()
    output = process.stdout.read()
    assert "eu-1 was stopped" in output and "the end of" not in output
    assert process.wait(60) == 0


def test_the_foreground_ends_when_no_node_is_left(make_gito):
    gito = make_gito(nodes=",".join(NODES))
    gito.down()
    process = foreground(gito)
    read_until(process, "Ctrl-C stops all")
    servers = [gito.postgres_pid(), gito.redis_pid()]
    for name in NODES:
        gito.kill_node(node=name)
    read_until(process, "no node is left")
    process.stdout.read()
    assert process.wait(60) == 1
    wait_until(lambda: not [pid for pid in servers if is_alive(pid)], 10, "the servers' end")
