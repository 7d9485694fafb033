"""A private cluster for a benchmark: one node, PostgreSQL and Redis on ports and data of their own."""

import json
import os
import shutil
import subprocess
import tempfile
import time

import jwt
import psycopg2
import redis

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NODE = "eu-1"
TENANT = "00000000-0000-4000-a000-000000000000"
USER = "00000000-0000-4000-b000-000000000001"
ACCOUNT = ("bench", "bench-password")
UP_DEADLINE_S = 900  # it may have to build
# Nothing of a benchmark may be turned away by the tenant's limit of requests.
RATE_LIMIT = "100000000"


def device(number):
    return "00000000-0000-4000-8000-%012d" % number


def program(name, variable):
    return os.environ.get(variable) or os.path.join(ROOT, "build", "release", name)


class Cluster:
    def __init__(self, port_base):
        self.port_base = port_base
        self.data = tempfile.mkdtemp(prefix="gito-bench-")
        os.chmod(self.data, 0o755)  # user postgres must reach its folder below
        self.environment = dict(os.environ, GITO_DATA=self.data, GITO_PORT_BASE=str(port_base),
                                RATE_LIMIT_PER_MINUTE=RATE_LIMIT)
        for name in ("DATABASE_URL", "DATABASE_ADMIN_URL", "DATABASE_READ_URL", "REDIS_URL"):
            self.environment.pop(name, None)

    def launcher(self, *arguments):
        result = subprocess.run([os.path.join(ROOT, "gito"), *arguments], env=self.environment,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                stderr=subprocess.STDOUT, text=True, timeout=UP_DEADLINE_S)
        if result.returncode != 0:
            raise RuntimeError("gito %s: exit status %d\n%s" %
                               (" ".join(arguments), result.returncode, result.stdout))
        return result.stdout

    def up(self):
        self.launcher("up", "--detach", "--no-demo", "--nodes", NODE)

    def restart_node(self):
        self.launcher("down", "--node", NODE)
        self.launcher("up", "--detach", "--no-demo", "--node", NODE)

    def down(self):
        try:
            self.launcher("down")
        except (RuntimeError, subprocess.TimeoutExpired):
            self.launcher("down", "--now")
        finally:
            away = os.path.realpath(os.path.join(self.data, "pg"))
            shutil.rmtree(self.data, ignore_errors=True)
            shutil.rmtree(away, ignore_errors=True)  # where PostgreSQL's data had to go elsewhere

    # What it holds.

    def provision(self, devices):
        self.launcher("provision", "--tenant", TENANT, "--devices", str(devices),
                      "--secret-template", "s{n}")

    def provision_account(self):
        self.launcher("provision", "--tenant", TENANT, "--service-account", ACCOUNT[0],
                      "--password", ACCOUNT[1])

    def settings(self):
        with open(os.path.join(self.data, ".env"), encoding="utf-8") as file:
            return dict(line.rstrip("\n").split("=", 1) for line in file if "=" in line)

    def sql(self, statement, values=None, url=None):
        """The first row of the answer, or None. A connection each: none stays to be measured."""
        connection = psycopg2.connect(url or self.settings()["DATABASE_ADMIN_URL"])
        connection.autocommit = True
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement, values)
                return cursor.fetchone() if cursor.description else None
        finally:
            connection.close()

    def checkpoint(self):
        """What was written before is not to be paid for by what is measured next."""
        self.sql("CHECKPOINT", url="postgresql://postgres:%s@127.0.0.1:%d/postgres" % (
            self.settings()["POSTGRES_PASSWORD"], 5433 + self.port_base))

    def token(self):
        """Of a user that there is, for a token is of no use without: of a provisioned tenant's."""
        self.sql("INSERT INTO users (id, tenant_id, email, password_hash, role) VALUES"
                 " (%s, %s, 'bench@gito.demo', '', 'TENANT_ADMIN') ON CONFLICT DO NOTHING",
                 (USER, TENANT))
        now = int(time.time())
        claims = {"sub": USER, "tenant_id": TENANT, "role": "TENANT_ADMIN", "iat": now,
                  "exp": now + 6 * 3600}
        return jwt.encode(claims, self.settings()["JWT_SECRET_KEY"], algorithm="HS256")

    # Where it is.

    @property
    def mqtt_port(self):
        return 1883 + self.port_base

    @property
    def http_port(self):
        return 8080 + self.port_base

    def pids(self):
        with open(os.path.join(self.data, "nodes", NODE, "pid"), encoding="utf-8") as file:
            node = int(file.read())
        with open(os.path.join(self.data, "pg", "postmaster.pid"), encoding="utf-8") as file:
            postgres = int(file.readline())
        url = self.settings()["REDIS_URL"]
        return {"node": node, "postgres": postgres,
                "redis": redis.Redis.from_url(url).info("server")["process_id"]}

    def run_node_program(self, *arguments):
        """The JSON that a benchmark inside the node's program prints, run beside the cluster."""
        environment = dict(os.environ, **self.settings())
        result = subprocess.run([program("gito-node", "GITO_NODE"), *arguments], env=environment,
                                stdout=subprocess.PIPE, text=True, check=True)
        return json.loads(result.stdout.strip().splitlines()[-1])
