"""./gito up and the settings: checked before any is kept, then kept for every later up."""

import os
import subprocess

import cluster
import pytest
from cluster import DEVICE, SERVICE_ACCOUNT, TENANT, Gito
from conftest import bring_up, take_down


@pytest.fixture(scope="module")
def one():
    gito = bring_up(nodes="eu-1", demo=False)
    yield gito
    take_down(gito)


def up(gito, *options, **settings):
    """`up` with more settings than it was made with; its CompletedProcess."""
    before = gito.environment
    gito.environment = dict(before, **settings)
    try:
        return gito.launcher("up", "--detach", *options, check=False)
    finally:
        gito.environment = before


def last_line(result):
    return result.stdout.splitlines()[-1]


def check(**settings):
    program = os.environ.get("GITO_NODE") or os.path.join(cluster.ROOT, "build/release/gito-node")
    return subprocess.run([program, "--check"], env=settings, stdin=subprocess.DEVNULL, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def test_the_node_checks_its_settings_and_starts_nothing():
    right = {"DATABASE_URL": "postgresql://127.0.0.1:1/gito", "JWT_SECRET_KEY": "k" * 32}
    result = check(**right)
    assert (result.returncode, result.stdout) == (0, "")
    for name, value in (("DATABASE_URL", ""), ("JWT_SECRET_KEY", ""), ("LOG_LEVEL", "loud"),
                        ("MQTT_PORT", "8080"), ("REDIS_URL", "http://a")):
        result = check(**dict(right, **{name: value}))
        assert result.returncode == 2, name
        assert len(result.stdout.splitlines()) == 1 and "_" in result.stdout, result.stdout


def test_a_wrong_setting_is_told_and_nothing_of_it_is_kept(one):
    kept, pid = one.settings(), one.node_pid()
    for settings in ({"RATE_LIMIT_PER_MINUTE": "abc"}, {"WEB_ROOT": "/nope"},
                     {"SMTP_CA_FILE": "/nope"}, {"BIND_ADDRESS": "0.0.0.0"},
                     {"DATABASE_ADMIN_URL": "nonsense"}, {"SMTP_PASSWORD": "a\nLOG_LEVEL=b"},
                     {"CLUSTER_REGIONS": "us"}, {"NODE_WEIGHT": "1e3"}):
        result = up(one, LOG_LEVEL="debug", **settings)
        assert result.returncode == 2, result.stdout
        assert last_line(result).startswith("gito: "), result.stdout
        assert one.settings() == kept, settings
    assert up(one).returncode == 0
    assert one.node_pid() == pid


def test_a_node_that_cannot_be_is_not_listed(one):
    result = up(one, "--node", "ap-1", CLUSTER_REGIONS="eu,us")
    assert result.returncode == 2
    assert "CLUSTER_REGIONS" in last_line(result) and "ap" in last_line(result)
    assert "ap-1" not in one.launcher("status").stdout


def test_who_kept_a_wrong_setting_is_told_where(one):
    """As an older launcher may have left it; a right value mends it."""
    with open(os.path.join(one.data, ".env"), "a", encoding="utf-8") as env:
        env.write("RATE_LIMIT_PER_MINUTE=abc\n")
    result = up(one)
    assert result.returncode == 2
    assert "(kept in %s/.env)" % one.data in last_line(result)
    assert up(one, RATE_LIMIT_PER_MINUTE="500").returncode == 0
    assert one.settings()["RATE_LIMIT_PER_MINUTE"] == "500"


def test_no_demo_is_remembered_until_it_is_undone(one):
    tenants = "SELECT count(*) FROM tenants WHERE id = '%s'" % TENANT
    one.launcher("up", "--detach")
    assert one.sql(tenants) == [(0,)]
    result = up(one, GITO_DEMO="perhaps")
    assert result.returncode == 2 and "GITO_DEMO" in last_line(result)
    assert "Login" in up(one, GITO_DEMO="yes").stdout
    assert one.sql(tenants) == [(1,)]
    assert "Login" in one.launcher("up", "--detach").stdout
    assert "Login" not in up(one, "--no-demo").stdout


def test_files_are_named_from_where_the_user_is(one):
    path = os.path.relpath(one.certificate)
    assert up(one, SMTP_CA_FILE=path).returncode == 0
    assert one.settings()["SMTP_CA_FILE"] == os.path.abspath(path)


def test_an_env_file_of_the_user_is_not_read_by_nodes_of_the_launcher(one):
    """They have what `up` wrote down for them, and never the administrator's address."""
    one.down("--node", "eu-1")
    assert up(one, ENV_FILE=os.path.join(one.data, ".env")).returncode == 0
    with open("/proc/%d/environ" % one.node_pid(), "rb") as environ:
        assert b"ENV_FILE=" not in environ.read()


def test_a_cluster_on_ipv6_knows_its_nodes_addresses():
    """The launcher, clients and the mesh each build their URLs: IPv6 has brackets there."""
    gito = Gito(nodes="eu-1,eu-2", environment={"BIND_ADDRESS": "::1"})
    gito.host = "[::1]"
    try:
        welcome = gito.up().stdout
        assert gito.http_url + "/" in welcome and "mosquitto_pub -h ::1 -p" in welcome
        found = [node["endpoints"]["mqtt"] for node in gito.api("GET", "/cluster/endpoints")["data"]]
        assert found == ["mqtt://[::1]:%d" % gito.at(node).mqtt_port for node in gito.nodes]
        for node in gito.nodes:  # one of the two has the device's actor: the other asks by the mesh
            command = ["mosquitto_pub", "-h", "::1", "-p", str(gito.at(node).mqtt_port), "-u",
                       SERVICE_ACCOUNT[0], "-P", SERVICE_ACCOUNT[1], "-q", "1", "-m",
                       '{"temperature":21.5}', "-t", "%s/devices/%s/telemetry" % (TENANT, DEVICE)]
            assert subprocess.run(command, timeout=30).returncode == 0
    finally:
        gito.destroy()


def test_nodes_that_listen_everywhere_tell_where_they_are(make_gito):
    gito = make_gito(nodes="eu-1", environment={"BIND_ADDRESS": "0.0.0.0",
                                                "ADVERTISE_ADDRESS": "127.0.0.2"})
    endpoints = gito.api("GET", "/cluster/endpoints")["data"][0]["endpoints"]
    assert endpoints["http"] == "http://127.0.0.2:%d" % gito.http_port
