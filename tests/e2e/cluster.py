"""A private Gito for tests: class Gito brings one up on its own data folder and ports, asks it
through every door a client has, kills and starts its parts, and takes it down again.

Waiting is always for a condition: wait_until (condition, deadline). Nothing sleeps a fixed time.
"""

import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg2
import redis
import requests

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PG_CTL = "/usr/lib/postgresql/15/bin/pg_ctl"

TENANT = "00000000-0000-0000-0000-000000000001"
DEVICE = "00000000-0000-0000-0000-000000000100"
ADMIN = ("admin@gito.demo", "admin123")
OPERATOR = ("ops@gito.demo", "ops123")
SERVICE_ACCOUNT = ("admin", "admin-password")

# All bases lie closer together than any two kinds of ports, so no two clusters can meet, and
# below the range from which the system takes ports for connections.
PORTS_OF_A_CLUSTER = (1883, 8883, 8080, 7400, 5433, 6380)
BASES = range(21000, 21660, 10)


def wait_until(condition, deadline_s, what="the condition"):
    """The first true value of condition (); AssertionError at the deadline."""
    end = time.monotonic() + deadline_s
    pause = 0.005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError("%s did not come true within %s s" % (what, deadline_s))
        time.sleep(pause)
        pause = min(pause * 2, 0.1)


def port_is_free(port):
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def claim_base():
    """(base, socket): a port base of which all ports are free. The socket, held as long as the
    cluster lives, keeps other test runs off the base."""
    start = os.getpid() % len(BASES)
    for base in list(BASES[start:]) + list(BASES[:start]):
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind("\0gito-tests-%d" % base)
        except OSError:
            claim.close()
            continue
        if all(port_is_free(port + base + k) for port in PORTS_OF_A_CLUSTER for k in range(6)):
            return base, claim
        claim.close()
    raise RuntimeError("no free range of ports")


def is_alive(pid):
    """A killed process that nobody has waited for yet is dead all the same."""
    try:
        with open("/proc/%d/stat" % pid, encoding="utf-8") as stat:
            return stat.read().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Gito:
    """One cluster, entered through its first node; at (node) through another. Environment
    overrides reach the launcher and the nodes."""

    host = "127.0.0.1"

    def __init__(self, environment=None, nodes="eu-1", demo=True):
        self.data = tempfile.mkdtemp(prefix="gito-test-")
        os.chmod(self.data, 0o755)  # user postgres must reach its folder below
        self.base, self.claim = claim_base()
        self.nodes = nodes.split(",")
        self.door = self.nodes[0]
        self.demo = demo
        self.environment = dict(os.environ)
        for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "REDIS_URL"):
            self.environment.pop(name, None)
        self.environment.update(environment or {})
        self.environment.update(GITO_DATA=self.data, GITO_PORT_BASE=str(self.base))
        self.stopped = set()
        self.provisioned = 0

    # The launcher.

    def launcher(self, *arguments, deadline_s=300, check=True):
        """Runs ./gito; its CompletedProcess, with the output of both streams in stdout."""
        result = subprocess.run(
            [os.path.join(ROOT, "gito"), *arguments], env=self.environment, timeout=deadline_s,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if check and result.returncode != 0:
            raise AssertionError("gito %s: exit status %d\n%s"
                                 % (" ".join(arguments), result.returncode, result.stdout))
        return result

    def up(self, *options):
        demo = () if self.demo else ("--no-demo",)
        return self.launcher("up", "--detach", "--nodes", ",".join(self.nodes), *demo, *options)

    def down(self, *options):
        return self.launcher("down", *options)

    def destroy(self):
        """Stops all and removes the data; what does not stop by itself is killed and told."""
        self.resume_all()
        result = self.launcher("down", check=False)
        if result.returncode != 0:
            self.launcher("down", "--now", check=False)
        self.claim.close()
        shutil.rmtree(self.data, ignore_errors=True)
        assert result.returncode == 0, "gito down: " + result.stdout

    # Where it is.

    def at(self, node):
        """The same cluster by the door of another node: its ports, its process, its log."""
        view = copy.copy(self)
        view.door = node
        return view

    def port(self, first):
        return first + self.base + self.nodes.index(self.door)

    def settings(self, path=".env"):
        with open(os.path.join(self.data, path), encoding="utf-8") as env:
            return dict(line.rstrip("\n").split("=", 1) for line in env if "=" in line)

    def node_settings(self, node=None):
        return self.settings("nodes/%s/env" % (node or self.door))

    @property
    def mqtt_port(self):
        return self.port(1883)

    @property
    def mqtts_port(self):
        return self.port(8883)

    @property
    def http_port(self):
        return self.port(8080)

    @property
    def http_url(self):
        return "http://%s:%d" % (self.host, self.http_port)

    @property
    def ws_url(self):
        return "ws://%s:%d" % (self.host, self.http_port)

    @property
    def certificate(self):
        return os.path.join(self.data, "tls/cert.pem")

    # REST.

    def request(self, method, path, token=None, json=None, **more):
        """A requests.Response. A path that begins with /api or is public is taken as it is;
        any other is below /api/v1."""
        public = path.startswith(("/api", "/livez", "/readyz", "/metrics"))
        headers = dict(more.pop("headers", {}))
        if token:
            headers["Authorization"] = "Bearer " + token
        more.setdefault("timeout", 30)
        url = self.http_url + ("" if public else "/api/v1") + path
        return requests.request(method, url, headers=headers, json=json, **more)

    def api(self, method, path, token=None, json=None, status=None, **more):
        """The decoded body of an answer; `status` is the expected one, else any 2xx."""
        response = self.request(method, path, token, json, **more)
        right = response.status_code == status if status else response.ok
        assert right, "%s %s: %d %s" % (method, path, response.status_code, response.text[:500])
        return response.json() if response.content else None

    def login(self, email=ADMIN[0], password=ADMIN[1]):
        answer = self.api("POST", "/auth/login", json={"email": email, "password": password})
        return answer["data"]["access_token"]

    # Its servers.

    def pg(self, role="admin"):
        """A connection as gito_admin ('admin'), gito_app ('app') or postgres ('super')."""
        settings = self.settings()
        if role == "super":
            connection = psycopg2.connect(host="127.0.0.1", port=5433 + self.base, user="postgres",
                                          dbname="gito", password=settings["POSTGRES_PASSWORD"])
        else:
            connection = psycopg2.connect(
                settings["DATABASE_URL" if role == "app" else "DATABASE_ADMIN_URL"])
        connection.autocommit = True
        return connection

    def sql(self, statement, arguments=(), role="admin"):
        """The rows of one statement in a connection of its own; None when it has no rows."""
        connection = self.pg(role)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments or None)
                return cursor.fetchall() if cursor.description else None
        finally:
            connection.close()

    def redis(self):
        return redis.Redis.from_url(self.settings()["REDIS_URL"], decode_responses=True)

    def postgres_pid(self):
        with open(os.path.join(self.data, "pg/postmaster.pid"), encoding="utf-8") as file:
            return int(file.readline())

    def pg_ctl(self, *arguments):
        command = [PG_CTL, "-D", os.path.join(self.data, "pg"), "-w", "-t", "60", *arguments]
        if os.geteuid() == 0:
            command = ["runuser", "-u", "postgres", "--"] + command
        return subprocess.run(command, cwd="/", stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode

    def stop_postgres(self, mode="fast"):
        assert self.pg_ctl("-m", mode, "stop") == 0

    def kill_postgres(self):
        """kill -9 of the server and, by itself, of all its processes."""
        self.kill_pid(self.postgres_pid())

    def start_postgres(self, deadline_s=60):
        """Tried again: after a kill the dead server's processes may still hold its memory."""
        pid_file = os.path.join(self.data, "pg/postmaster.pid")

        def try_start():
            if os.path.exists(pid_file) and not is_alive(self.postgres_pid()):
                os.unlink(pid_file)  # or a dead server nobody waited for looks alive
            return self.pg_ctl("-l", os.path.join(self.data, "pg/server.log"), "start") == 0

        wait_until(try_start, deadline_s, "the start of PostgreSQL")

    def start_servers(self):
        """Those that do not run."""
        if self.pg_ctl("status") != 0:
            self.start_postgres()

    def mend_network(self):
        """Loopback is never broken."""

    def redis_pid(self):
        with open(os.path.join(self.data, "redis/pid"), encoding="utf-8") as file:
            return int(file.read())

    def kill_redis(self):
        self.kill_pid(self.redis_pid())

    def start_redis(self):
        subprocess.run(["redis-server", os.path.join(self.data, "redis/redis.conf")], check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

        def answers():
            try:
                return self.redis().ping()
            except redis.ConnectionError:
                return False

        wait_until(answers, 15, "an answer of Redis")

    # Its nodes.

    def node_pid(self, node=None):
        with open(os.path.join(self.data, "nodes", node or self.door, "pid"),
                  encoding="utf-8") as file:
            return int(file.read())

    def running(self):
        """The nodes whose process lives and is not paused."""
        found = []
        for node in self.nodes:
            try:
                pid = self.node_pid(node)
            except FileNotFoundError:
                continue  # never started, or stopped by the launcher
            if is_alive(pid) and pid not in self.stopped:
                found.append(node)
        return found

    def kill_pid(self, pid, sig=signal.SIGKILL, deadline_s=30):
        os.kill(pid, sig)
        wait_until(lambda: not is_alive(pid), deadline_s, "the end of process %d" % pid)

    def kill_node(self, sig=signal.SIGKILL, node=None):
        """Sends the signal and waits for the process to end."""
        self.kill_pid(self.node_pid(node), sig)

    def pause_node(self, node=None):
        pid = self.node_pid(node)
        os.kill(pid, signal.SIGSTOP)
        self.stopped.add(pid)

    def resume_all(self):
        for pid in self.stopped:
            if is_alive(pid):
                os.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    def start_node(self, node=None):
        """Starts a node again and waits until it is ready."""
        self.launcher("up", "--detach", "--node", node or self.door,
                      *(() if self.demo else ("--no-demo",)))

    def is_ready(self):
        try:
            return self.request("GET", "/readyz", timeout=2).status_code == 200
        except requests.RequestException:
            return False

    def wait_ready(self, deadline_s=60):
        wait_until(self.is_ready, deadline_s, "readiness")

    def node_log(self, node=None, lines=200):
        path = os.path.join(self.data, "nodes", node or self.door, "log")
        if not os.path.exists(path):
            return ""
        with open(path, encoding="utf-8", errors="replace") as log:
            return "".join(log.readlines()[-lines:])

    def logged(self, event, node=None):
        """The log's JSON lines of that event."""
        found = []
        for line in self.node_log(node, lines=100000).splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and entry.get("event") == event:
                found.append(entry)
        return found
