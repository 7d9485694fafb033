"""./gito as a user meets it: up, status, down, and what it does after everything was killed."""

import os
import signal
import stat
import subprocess

import cluster
from cluster import is_alive, wait_until


def pids(gito):
    return [gito.node_pid(), gito.postgres_pid(), gito.redis_pid()]


def test_a_second_up_changes_nothing(g):
    before = pids(g)
    g.up()
    assert pids(g) == before
    assert g.is_ready()


def test_status_tells_who_is_ready(g):
    result = g.launcher("status")
    for word in (g.nodes[0], "PostgreSQL", "Redis", str(g.node_pid()), str(g.mqtt_port)):
        assert word in result.stdout


def test_welcome_names_the_dashboard_and_a_line_to_publish(g):
    output = g.up().stdout
    assert "%s/" % g.http_url in output
    assert "mosquitto_pub -h 127.0.0.1 -p %d -u admin -P admin-password -q 1" % g.mqtt_port in output


def test_secrets_are_their_owners_alone(g):
    for name in (".env", "nodes/%s/env" % g.nodes[0], "tls/key.pem", "redis/redis.conf"):
        mode = stat.S_IMODE(os.stat(os.path.join(g.data, name)).st_mode)
        assert mode & 0o077 == 0, "%s has mode %o" % (name, mode)


def test_a_serving_node_never_has_the_administrators_address(g):
    with open("/proc/%d/environ" % g.node_pid(), "rb") as environ:
        names = [line.split(b"=")[0] for line in environ.read().split(b"\0")]
    assert b"DATABASE_URL" in names
    assert b"DATABASE_ADMIN_URL" not in names
    assert b"POSTGRES_PASSWORD" not in names


def test_postgres_is_durable_and_keeps_to_loopback(g):
    for setting, value in (("fsync", "on"), ("synchronous_commit", "on"), ("jit", "off"),
                           ("listen_addresses", "127.0.0.1"), ("wal_compression", "lz4")):
        assert g.sql("SELECT current_setting (%s)", [setting], role="super") == [(value,)], setting


def listens(pid):
    """(address in hexadecimal, port) of each port that a process listens on."""
    folder = "/proc/%d/fd" % pid
    sockets = {os.readlink(os.path.join(folder, fd)) for fd in os.listdir(folder)}
    found = set()
    for table in ("tcp", "tcp6"):
        with open("/proc/%d/net/%s" % (pid, table), encoding="ascii") as lines:
            for fields in (line.split() for line in lines):
                if fields[3] == "0A" and "socket:[%s]" % fields[9] in sockets:
                    address, port = fields[1].split(":")
                    found.add((address, int(port, 16)))
    return found


def test_a_node_keeps_to_loopback(g):
    settings = g.node_settings()
    ports = [int(settings[name + "_PORT"]) for name in ("MQTT", "MQTTS", "HTTP", "MESH")]
    assert listens(g.node_pid()) == {("0100007F", port) for port in ports}


def test_everything_comes_back_after_kill_9_of_everything(make_gito):
    gito = make_gito(nodes="eu-1")
    gito.sql("CREATE TABLE kept AS SELECT 42 AS answer")
    gito.kill_node()
    gito.kill_redis()
    gito.kill_postgres()
    assert gito.launcher("status", check=False).returncode == 3
    gito.up()
    assert gito.launcher("status").returncode == 0
    assert gito.sql("SELECT answer FROM kept") == [(42,)]


def test_down_stops_all_and_up_starts_again(make_gito):
    gito = make_gito(nodes="eu-1")
    before = pids(gito)
    gito.down()
    assert not [pid for pid in before if is_alive(pid)]
    assert gito.launcher("status", check=False).returncode == 3
    gito.up()
    assert gito.is_ready()


def test_one_node_is_stopped_and_started_by_name(make_gito):
    gito = make_gito(nodes="eu-1")
    before = pids(gito)
    gito.down("--node", "eu-1")
    assert [is_alive(pid) for pid in before] == [False, True, True]
    gito.start_node("eu-1")
    assert pids(gito)[0] != before[0] and pids(gito)[1:] == before[1:]
    pid = gito.node_pid()
    gito.down("--node", "eu-1", "--now")
    assert not is_alive(pid)


def test_ctrl_c_in_the_foreground_stops_all(make_gito):
    gito = make_gito(nodes="eu-1")
    gito.down()
    process = subprocess.Popen(
        [os.path.join(cluster.ROOT, "gito"), "up", "--nodes", "eu-1"], env=gito.environment,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler))
    wait_until(gito.is_ready, 120, "readiness")
    for line in process.stdout:
        if "Ctrl-C stops all" in line:
            break
    running = pids(gito)
    process.send_signal(signal.SIGINT)
    process.stdout.read()
    assert process.wait(60) == 130
    assert not [pid for pid in running if is_alive(pid)]


def test_given_servers_are_used_and_none_is_started(make_gito):
    other = make_gito(nodes="eu-1")
    other.down("--node", "eu-1")
    names = ("DATABASE_URL", "DATABASE_ADMIN_URL", "REDIS_URL")
    urls = {name: other.settings()[name] for name in names}
    gito = make_gito(nodes="eu-1", environment=urls)
    assert {name: gito.settings()[name] for name in urls} == urls
    assert not os.path.exists(os.path.join(gito.data, "pg"))
    assert not os.path.exists(os.path.join(gito.data, "redis"))
    assert gito.is_ready()


WRONG_WORDS = [
    [], ["fly"], ["fly", "--help"], ["down", "--node"], ["status", "x"], ["test", "nothing"],
    ["up", "--fast"], ["up", "--nodes"], ["up", "--node", "eu-1,eu-2"],
    ["provision"], ["provision", "--version"], ["provision", "--migrate"],
    ["provision", "--tenant"], ["provision", "--tenant", "t", "--devices", "1"],
    ["provision", "--tenant=t", "--service-account=a", "--password=p", "more"]]
WRONG_LISTS = ["Bad Name", "eu-1,,eu-2", "eu-1,", ",eu-1", "eu-1 eu-2", "eu-1\neu-2", "eu-1,eu-1"]


def test_wrong_words_are_told_with_exit_status_2(g):
    for words in WRONG_WORDS + [["up", "--detach", "--nodes", names] for names in WRONG_LISTS]:
        result = g.launcher(*words, check=False)
        assert result.returncode == 2, words
        assert "usage: ./gito" in result.stdout, words


def test_help_is_given_for_every_command(g):
    for command in ("up", "down", "status", "test", "bench", "provision"):
        assert "usage: ./gito" in g.launcher(command, "--help").stdout
    assert g.launcher("--help").stdout == g.launcher("status", "-h").stdout


def test_provision_tells_what_it_made(make_gito):
    gito = make_gito(nodes="eu-1", demo=False)
    devices = ["provision", "--tenant", cluster.TENANT, "--secret-template", "s{n}", "--devices"]
    assert "3 devices" in gito.launcher(*devices, "3").stdout
    assert "5 devices" in (output := gito.launcher(*devices, "5").stdout)
    assert "2 of them new" in output.splitlines()[-1]
    assert gito.sql("SELECT count(*) FROM devices") == [(5,)]
    account = ["--service-account=load", "--password=pw"]
    output = gito.launcher("provision", "--tenant", cluster.TENANT, *account).stdout
    assert "service account load" in output.splitlines()[-1]
    for number in ("3x", "0", "-1", "1e3", "10000001", ""):
        result = gito.launcher(*devices, number, check=False)
        assert result.returncode == 2, number
        assert "--devices: " in result.stdout and "usage" not in result.stdout
    result = gito.launcher("provision", "--tenant", "x", *account, check=False)
    assert result.returncode == 2 and "not a UUID" in result.stdout
