"""A dependency's outage is an outage of that dependency alone (P6): PostgreSQL away, its disk
full, Redis dead or hanging, while a load runs."""

import os
import shutil
import signal
import subprocess
import tempfile
import threading
import time

import paho.mqtt.client as mqtt
import pytest

from cluster import TENANT, is_alive, wait_until
from ledger import DEVICE_ID, Load, check_stored, metric, provision, secret, wait_for_rows
from packets import Client

OUTAGE_S = float(os.environ.get("GITO_OUTAGE_S", "10"))
RESIDENT_BYTES_MAX = 512 * 1024 * 1024
EDGE_ITEMS_MAX = 131072  # LIMIT_EDGE_ITEMS


def resident_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise AssertionError("process %d has no resident memory" % pid)


@pytest.fixture
def load_on():
    """load_on (gito, **options): a load that ends with the test."""
    loads = []

    def start(gito, **options):
        loads.append(Load(gito, **options))
        wait_for_rows(gito, 1000)
        return loads[-1]

    yield start
    for load in loads:
        load.kill()


def status_of(gito, path):
    return gito.request("GET", path, timeout=5).status_code


class Quiet:
    """A client of a library, connected and silent, with a keep-alive of 5 s."""

    def __init__(self, gito, device):
        self.lost = threading.Event()
        self.client = mqtt.Client(client_id="quiet")
        self.client.username_pw_set("%s:%s" % (TENANT, DEVICE_ID % device), secret(device))
        connected = threading.Event()
        self.client.on_connect = lambda *_: connected.set()
        self.client.on_disconnect = lambda *_: self.lost.set()
        self.client.connect("127.0.0.1", gito.mqtt_port, keepalive=5)
        self.client.loop_start()
        assert connected.wait(10)

    def close(self):
        self.client.loop_stop()
        self.client.disconnect()


def watch_outage(gito, seconds, pinger):
    """All that must hold while PostgreSQL is away, again and again."""
    acknowledged = metric(gito, "gito_readings_stored_total")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        begin = time.monotonic()
        pinger.ping()
        assert time.monotonic() - begin < 1, "PINGREQ was not answered in time"
        assert status_of(gito, "/livez") == 200
        assert resident_bytes(gito.node_pid()) < RESIDENT_BYTES_MAX
        time.sleep(0.1)  # the pace of looking
    assert status_of(gito, "/readyz") == 503
    assert metric(gito, "gito_readings_stored_total") == acknowledged


@pytest.mark.parametrize("pace", [
    {"rate": 3000}, {"rate": 0, "connections": 200, "window": 1000}], ids=["steady", "to_the_brim"])
def test_postgres_away_for_a_while(make_gito, load_on, pace):
    """Connections stay, acknowledgements wait, nobody is evicted, all goes on by itself; a load
    past all bounds is not read meanwhile."""
    gito = make_gito(nodes="eu-1")
    load = load_on(gito, **pace)
    provision(gito, 203)
    quiet = Quiet(gito, 201)
    with Client(gito, device=202, client_id="pinger") as pinger:
        if "window" in pace:
            wait_until(lambda: metric(gito, "gito_edge_paused_connections") > 0, 30, "a bound")
        gito.stop_postgres()
        wait_until(lambda: status_of(gito, "/readyz") == 503, 10, "readyz 503")
        watch_outage(gito, OUTAGE_S, pinger)
        if "window" in pace:
            assert metric(gito, "gito_edge_paused_connections") > 0
            assert metric(gito, "gito_edge_items_in_flight") <= 1.1 * EDGE_ITEMS_MAX
        gito.start_postgres()
        gito.wait_ready(15)
        wait_for_rows(gito, 1000)
        pinger.ping()
    report = load.stop()
    assert not quiet.lost.is_set()
    quiet.close()
    assert (report["connections_lost"], report["unacked"], report["refused"]) == (0, 0, 0), report
    assert report["ack_gap_ms"] >= OUTAGE_S * 1000 - 1000
    check_stored(gito, load)


def test_a_client_may_connect_again_when_postgres_is_back(make_gito):
    """Who connects during the outage is told to come later, and is let in afterwards."""
    gito = make_gito(nodes="eu-1")
    provision(gito, 1)
    gito.stop_postgres()
    with pytest.raises((AssertionError, ConnectionError)):
        Client(gito, device=0, timeout_s=15)
    gito.start_postgres()

    def is_let_in():
        """Each thread comes back to the database in its own time."""
        try:
            Client(gito, device=0).close()
            return True
        except (AssertionError, ConnectionError):
            return False

    wait_until(is_let_in, 30, "a connection that is let in")


# Redis.

class Listener:
    """Counts what comes by the telemetry channels."""

    def __init__(self, gito):
        self.pubsub = gito.redis().pubsub(ignore_subscribe_messages=True)
        self.pubsub.psubscribe("telemetry:%s:*" % TENANT)

    def hears(self):
        return self.pubsub.get_message(timeout=0.1) is not None


def check_redis_came_back(gito, load, dropped):
    listener = Listener(gito)
    wait_until(listener.hears, 20, "a message on the channel")
    assert metric(gito, "gito_redis_dropped_total") > dropped
    report = load.stop()
    assert (report["connections_lost"], report["unacked"], report["refused"]) == (0, 0, 0), report
    assert report["ack_gap_ms"] < 1500, report
    check_stored(gito, load)


def test_redis_dead_and_back(make_gito, load_on):
    """Only its channels are silent; what they lose is counted; they speak again by themselves."""
    gito = make_gito(nodes="eu-1")
    load = load_on(gito)
    wait_until(Listener(gito).hears, 10, "a message on the channel")
    dropped = metric(gito, "gito_redis_dropped_total")
    gito.kill_redis()
    wait_for_rows(gito, 5000)
    assert status_of(gito, "/readyz") == 200
    wait_until(lambda: gito.logged("redis_away"), 10, "a line in the log")
    gito.start_redis()
    check_redis_came_back(gito, load, dropped)
    assert len(gito.logged("redis_away")) == len(gito.logged("redis_back")) == 1


def test_redis_hangs(make_gito, load_on):
    """A Redis that takes connections and answers nothing delays nobody."""
    gito = make_gito(nodes="eu-1")
    load = load_on(gito)
    dropped = metric(gito, "gito_redis_dropped_total")
    pid = gito.redis_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: metric(gito, "gito_redis_dropped_total") > dropped + 2000, 30,
                   "counted drops")
        wait_for_rows(gito, 5000)
    finally:
        os.kill(pid, signal.SIGCONT)
    check_redis_came_back(gito, load, dropped)


# The disk.

@pytest.fixture
def small_disk():
    """A file system of 300 MB."""
    path = tempfile.mkdtemp(prefix="gito-disk-")
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300M,mode=0755", "tmpfs", path],
                          check=False, capture_output=True, text=True)
    if done.returncode != 0:
        os.rmdir(path)
        pytest.skip("a file system of its own cannot be mounted here: " + done.stderr.strip())
    yield path
    subprocess.run(["umount", "-l", path], check=True)
    os.rmdir(path)


def move_database(gito, disk):
    """PostgreSQL's folder moves to another disk; a link tells where."""
    gito.stop_postgres()
    home = os.path.join(gito.data, "pg")
    subprocess.run(["cp", "-a", home, os.path.join(disk, "pg")], check=True)
    shutil.rmtree(home)
    os.symlink(os.path.join(disk, "pg"), home)
    gito.start_postgres()
    gito.wait_ready()


def fill(path):
    """The file that takes all the room there is."""
    name = os.path.join(path, "filler")
    with open(name, "wb") as file:
        try:
            while True:
                file.write(bytes(1 << 16))
                file.flush()
        except OSError:
            pass
    return name


def postgres_runs(gito):
    pid_file = os.path.join(gito.data, "pg/postmaster.pid")
    return os.path.exists(pid_file) and is_alive(gito.postgres_pid())


def refusals(gito):
    with open(os.path.join(gito.data, "pg/server.log"), encoding="utf-8") as log:
        return log.read().count("No space left on device")


def test_disk_full(small_disk, make_gito, load_on):
    """No room in PostgreSQL: nothing is acknowledged, the log says why; with room all goes on."""
    gito = make_gito(nodes="eu-1")
    move_database(gito, small_disk)
    load = load_on(gito, rate=0, window=100)
    pinger = Client(gito, device=0, client_id="pinger")  # nobody new is let in without a database
    filler = fill(small_disk)
    wait_until(lambda: [line for line in gito.logged("database_away")
                        if "No space left on device" in line["reason"]], 60, "a line in the log")
    wait_until(lambda: refusals(gito) >= 3 or not postgres_runs(gito), 30, "more attempts")
    pinger.ping()
    pinger.close()
    assert status_of(gito, "/livez") == 200
    os.unlink(filler)
    if not postgres_runs(gito):
        gito.start_postgres()
    gito.wait_ready()
    wait_for_rows(gito, 1000)
    report = load.stop()
    assert (report["connections_lost"], report["unacked"], report["refused"]) == (0, 0, 0), report
    check_stored(gito, load)
