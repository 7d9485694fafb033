"""Crashes: of the node, of PostgreSQL, in the middle of a load and in the middle of a message."""

import os
import signal
import subprocess

import pytest

from cluster import ROOT, is_alive, wait_until
from ledger import (DEVICE_ID, Load, check_alerts, check_stored, make_rules, metric, provision,
                    wait_for_rows)
from packets import DISCONNECT, PUBACK, Client, telemetry_topic

ROUNDS = int(os.environ.get("GITO_FAULT_ROUNDS", "5"))
DEVICES = 20


@pytest.fixture
def load_on(make_gito):
    """load_on (environment, **options of the load): (a Gito with a rule a device, its load)."""
    loads = []

    def start(environment=None, **options):
        gito = make_gito(nodes="eu-1", environment=environment)
        provision(gito, DEVICES)
        make_rules(gito, DEVICES)
        loads.append(Load(gito, connections=DEVICES, **options))
        wait_for_rows(gito, 1000)
        return gito, loads[-1]

    yield start
    for load in loads:
        load.kill()


def check_all(gito, load):
    report = load.stop()
    assert (report["unacked"], report["refused"], report["unknown_acks"]) == (0, 0, 0), report
    check_stored(gito, load)
    check_alerts(gito, at_least=DEVICES)
    return report


@pytest.mark.parametrize("pace", [{"rate": 3000}, {"rate": 0, "window": 50}],
                         ids=["steady", "closed_loop"])
def test_kill_9_of_the_node_loses_and_doubles_nothing(load_on, pace):
    """The node is killed again and again in mid-load; what it acknowledged is stored once."""
    gito, load = load_on(**pace)
    for _ in range(ROUNDS):
        gito.kill_node()
        gito.start_node()
        wait_for_rows(gito, 1000)
        wait_until(lambda: metric(gito, "gito_mqtt_connections") == DEVICES, 30, "all connections")
    report = check_all(gito, load)
    assert report["reconnected"] >= ROUNDS * DEVICES


def children_of(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as file:
        return [int(word) for word in file.read().split()]


def kill_database(gito):
    """kill -9 of the server and of all its processes, at once."""
    postmaster = gito.postgres_pid()
    pids = [postmaster] + children_of(postmaster)
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it ended with the first
    wait_until(lambda: not any(is_alive(pid) for pid in pids), 30, "the end of PostgreSQL")


def test_kill_9_of_postgres_loses_and_doubles_nothing(load_on):
    """PostgreSQL is killed with all its processes again and again; no connection notices."""
    gito, load = load_on(rate=3000)
    for _ in range(ROUNDS):
        kill_database(gito)
        gito.start_postgres()
        wait_for_rows(gito, 1000)
    report = check_all(gito, load)
    assert report["connections_lost"] == 0
    assert not gito.logged("fenced")


def test_kill_9_of_both_at_once_loses_and_doubles_nothing(load_on):
    """Node and PostgreSQL die together, and come back together."""
    gito, load = load_on(rate=3000)
    for _ in range(max(1, ROUNDS // 2)):
        gito.kill_node()
        kill_database(gito)
        gito.start_postgres()
        gito.start_node()
        wait_for_rows(gito, 1000)
    check_all(gito, load)


# SIGTERM.

def own_node(gito):
    """The node again as a child of the test, which so learns its exit status."""
    gito.launcher("down", "--node", gito.nodes[0])
    home = os.path.join(gito.data, "nodes", gito.nodes[0])
    program = gito.environment.get("GITO_NODE") or os.path.join(ROOT, "build/release/gito-node")
    environment = dict(os.environ, **gito.node_settings())
    with open(os.path.join(home, "log"), "a", encoding="utf-8") as log:
        process = subprocess.Popen([os.path.abspath(program)], cwd=home, env=environment,
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                   start_new_session=True)
    with open(os.path.join(home, "pid"), "w", encoding="utf-8") as file:
        file.write("%d\n" % process.pid)
    gito.wait_ready()
    return process


@pytest.mark.parametrize("pace", [{"rate": 3000}, {"rate": 0, "window": 100}],
                         ids=["steady", "closed_loop"])
def test_sigterm_in_mid_load_ends_well(load_on, pace):
    """A node that is asked to end does so with status 0; all its clients go on at the next."""
    gito, load = load_on(**pace)
    process = own_node(gito)
    wait_for_rows(gito, 1000)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0, gito.node_log()
    gito.start_node()
    wait_for_rows(gito, 1000)
    check_all(gito, load)


def test_sigterm_tells_mqtt_5_clients(make_gito):
    """A quiet MQTT 5 client gets DISCONNECT with reason 0x8B, server shutting down."""
    gito = make_gito(nodes="eu-1")
    provision(gito, 1)
    process = own_node(gito)
    with Client(gito, device=0, version=5) as client:
        process.send_signal(signal.SIGTERM)
        assert client.expect(DISCONNECT)[0] == 0x8B
        with pytest.raises(ConnectionError):
            client.read_packet()
    assert process.wait(30) == 0


def seqs(gito, device=0):
    rows = gito.sql("SELECT (payload->>'seq')::int FROM telemetry_hot WHERE device_id = %s "
                    "ORDER BY 1", [DEVICE_ID % device])
    return [row[0] for row in rows]


def test_sigterm_while_postgres_is_away_ends_in_time(make_gito):
    """Without its database the node ends as well; nothing was acknowledged that is not stored."""
    gito = make_gito(nodes="eu-1")
    provision(gito, 1)
    process = own_node(gito)
    with Client(gito, device=0, client_id="waits") as client:
        client.store(telemetry_topic(0), '{"temperature":1,"seq":1}', 1)
        gito.stop_postgres("immediate")
        client.publish(telemetry_topic(0), '{"temperature":2,"seq":2}', 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, gito.node_log()
        with pytest.raises(ConnectionError):
            assert client.read_packet()[0] != PUBACK
            client.read_packet()
    gito.start_postgres()
    gito.start_node()
    assert seqs(gito) == [1]
    with Client(gito, device=0, client_id="waits") as client:
        assert client.store(telemetry_topic(0), '{"temperature":2,"seq":2}', 2, dup=True) == 0
    assert seqs(gito) == [1, 2]


