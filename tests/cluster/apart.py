"""A cluster whose nodes are apart: each in a network namespace of its own, `db` with PostgreSQL and
Redis, `client` for who asks and loads, and a WAN between them all (wan.Wan).

The launcher makes the database and a node in `db`; its settings are those of every node, which
are then started here, one process each. Whoever speaks to a node does so inside of `client`.
"""

import os
import signal
import subprocess

from cluster import ROOT, Gito, wait_until
from wan import Wan


class Apart(Gito):
    """Regions are what stands before the node's last `-`; nodes of one are 0.5 ms apart, regions
    `between_ms`, and the database is in the first one."""

    def __init__(self, environment=None, nodes="eu-1,eu-2,us-1", between_ms=20):
        super().__init__(environment, nodes)
        self.processes = {}
        self.between_ms = between_ms
        self.wan = Wan("db", "client", *self.nodes)
        self.mend_network()

    @staticmethod
    def region(node):
        return node.rpartition("-")[0]

    def mend_network(self):
        """As it was at first: nothing is cut or lost, clients are near to every node."""
        self.wan.heal("all", "all")
        self.wan.link("all", "all")
        home = self.region(self.nodes[0])
        places = dict({node: self.region(node) for node in self.nodes}, db=home)
        for one in places:
            for other in places:
                near = places[one] == places[other]
                self.wan.path(one, other, delay=0.5 if near else self.between_ms)

    @property
    def host(self):
        return self.wan.address[self.door]

    # The launcher and the servers are at home in `db`.

    def launcher(self, *arguments, **more):
        with self.wan.inside("db"):
            return super().launcher(*arguments, **more)

    def pg(self, role="admin"):
        with self.wan.inside("db"):
            return super().pg(role)

    def pg_ctl(self, *arguments):
        with self.wan.inside("db"):
            return super().pg_ctl(*arguments)

    def open_servers(self):
        """The launcher's servers listen on loopback alone: these must be reached over the WAN."""
        self.sql("ALTER SYSTEM SET listen_addresses = '*'", role="super")
        with open(os.path.join(self.data, "pg/pg_hba.conf"), "a", encoding="utf-8") as hba:
            hba.write("host all all 198.18.0.0/24 scram-sha-256\n")
        self.stop_postgres()
        self.start_postgres()
        with self.wan.inside("db"):
            self.redis().config_set("bind", "*")

    def up(self, *options):
        first = self.nodes[0]
        self.launcher("up", "--detach", "--nodes", first, *options)
        self.launcher("down", "--node", first)
        self.common = self.node_settings(first)
        self.open_servers()
        for node in self.nodes:
            self.spawn(node)
        for node in self.nodes:
            self.wait_begun(node)

    # The nodes.

    def settings_of(self, node):
        address, k = self.wan.address[node], self.nodes.index(node) + self.base
        regions = ",".join(dict.fromkeys(self.region(name) for name in self.nodes))
        settings = {name: value.replace("@127.0.0.1:", "@%s:" % self.wan.address["db"])
                    for name, value in self.common.items()}
        settings.update(
            GITO_NODE_HOME=os.path.join(self.data, "nodes", node), NODE_ID=node,
            NODE_REGION=self.region(node), CLUSTER_REGIONS=regions, BIND_ADDRESS=address,
            MQTT_PORT=str(1883 + k), MQTTS_PORT=str(8883 + k), HTTP_PORT=str(8080 + k),
            MESH_PORT=str(7400 + k))
        return settings

    def spawn(self, node):
        """Starts the process and leaves what the launcher would: pid, log and env."""
        settings = self.settings_of(node)
        home = settings["GITO_NODE_HOME"]
        os.makedirs(home, exist_ok=True)
        with open(os.path.join(home, "env"), "w", encoding="utf-8") as file:
            os.fchmod(file.fileno(), 0o600)
            file.writelines("%s=%s\n" % pair for pair in settings.items())
        program = self.environment.get("GITO_NODE") or os.path.join(ROOT, "build/release/gito-node")
        with open(os.path.join(home, "log"), "a", encoding="utf-8") as log, \
                self.wan.inside(node):
            process = subprocess.Popen([os.path.abspath(program)], cwd=home, stdout=log,
                                       env=dict(os.environ, **settings), stderr=log,
                                       stdin=subprocess.DEVNULL, start_new_session=True)
        self.processes[node] = process
        with open(os.path.join(home, "pid"), "w", encoding="utf-8") as file:
            file.write("%d\n" % process.pid)

    def start_node(self, node=None):
        self.spawn(node or self.door)
        self.wait_begun(node or self.door)

    def wait_begun(self, node):
        door = self.at(node)
        wait_until(lambda: door.is_ready() or self.node_ended(node) is not None, 60,
                   "readiness of " + node)
        assert self.node_ended(node) is None, "%s has ended: %s" % (node, self.node_log(node, 5))

    def node_ended(self, node):
        """Its exit status, None while it runs."""
        return self.processes[node].poll()

    def destroy(self):
        self.resume_all()
        for process in self.processes.values():
            process.send_signal(signal.SIGINT)
        try:
            for node in self.processes:
                wait_until(lambda: self.node_ended(node) is not None, 30, "the end of " + node)
        finally:
            for process in self.processes.values():
                process.kill()
                process.wait()
            try:
                super().destroy()
            finally:
                self.wan.close()
