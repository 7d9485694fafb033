"""What was acknowledged, held against what is stored: gito-load at a Gito, and its ledger.

A load publishes as the devices that `Load` provisions, each message with a `seq` of its own, and
writes down each (device, seq) that was acknowledged. `check_stored` finds every one of them in
telemetry_hot, and no message twice, acknowledged or not.
"""

import io
import json
import os
import signal
import subprocess
import threading

import requests

from builds import program
from cluster import TENANT, wait_until

DEVICE_ID = "00000000-0000-4000-8000-%012d"
MISSING = ("SELECT count(*) FROM acknowledged a WHERE NOT EXISTS (SELECT FROM stored s "
           "WHERE s.device_id = a.device_id AND s.seq = a.seq)")


def secret(device):
    return "secret-of-%d" % device


def provision(gito, devices):
    if devices <= gito.provisioned:
        return
    gito.provisioned = devices
    gito.launcher("provision", "--tenant", TENANT, "--devices", str(devices),
                  "--secret-template", secret(0)[:-1] + "{n}")


class Load:
    """gito-load, running; stop () ends it and has its report. Options override the usual ones.
    It connects to the door of each `door` (Gito.at) in turn, or of `gito`."""

    def __init__(self, gito, connections=20, doors=None, **options):
        provision(gito, connections)
        self.path = os.path.join(gito.data, "ledger-%d" % id(self))
        servers = ",".join("%s:%d" % (door.host, door.mqtt_port) for door in doors or [gito])
        given = {"host": servers, "any-host": gito.host != "127.0.0.1",
                 "tenant": TENANT, "user": "{tenant}:{device}",
                 "pass": secret(0)[:-1] + "{dev}", "connections": connections, "window": 20,
                 "rate": 2000, "seconds": 600, "drain": 60, "stall": 120, "ledger": self.path}
        given.update((name.replace("_", "-"), value) for name, value in options.items())
        given.setdefault("reconnect", True)
        command = [program("gito-load")]
        for name, value in given.items():
            if value is True:
                command.append("--" + name)
            elif value is not False:
                command += ["--" + name, str(value)]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, text=True,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.output = []
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        self.output = self.process.communicate()

    def stop(self, deadline_s=120):
        """Publishes no more, waits for what is unacknowledged; the report."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        self.reader.join(deadline_s)
        if self.reader.is_alive():
            self.process.kill()
            raise AssertionError("gito-load did not end within %s s" % deadline_s)
        assert self.output[0].startswith("{"), self.output
        return json.loads(self.output[0])

    def kill(self):
        if self.process.poll() is None:
            self.process.kill()
        self.reader.join(10)

    def acknowledged(self):
        with open(self.path, encoding="utf-8") as ledger:
            for line in ledger:
                device, seq = line.split()
                yield DEVICE_ID % int(device), int(seq)


def metric(gito, name):
    """A counter of this run of the node: it starts from 0 with the process."""
    for line in gito.request("GET", "/metrics", timeout=5).text.splitlines():
        if line.startswith(name + " "):
            return int(float(line.split()[1]))
    raise AssertionError("no metric %s" % name)


def stored_by_node(gito):
    """What each node has stored that answers; a paused one is not asked."""
    counts = {}
    for node in gito.running():
        try:
            counts[node] = metric(gito.at(node), "gito_readings_stored_total")
        except requests.RequestException:
            pass
    return counts


def wait_for_rows(gito, more, deadline_s=60):
    """Until so many readings more are stored, by all nodes together: the load flows."""
    last, arrived = stored_by_node(gito), 0

    def enough():
        nonlocal arrived
        for node, count in stored_by_node(gito).items():
            begin = last.get(node, 0)
            arrived += count - begin if count >= begin else count  # from 0 after a new start
            last[node] = count
        return arrived >= more

    wait_until(enough, deadline_s, "%d more stored readings" % more)


def check_stored(gito, *loads, since="-infinity"):
    """Of the loads (whose seqs must not overlap): acknowledged is stored, nothing is twice.
    Readings from before `since` are none of theirs."""
    text = io.StringIO()
    acknowledged = 0
    for load in loads:
        for line in load.acknowledged():
            text.write("%s\t%d\n" % line)
            acknowledged += 1
    text.seek(0)
    connection = gito.pg()
    with connection, connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE acknowledged (device_id uuid, seq bigint)")
        cursor.copy_from(text, "acknowledged")
        cursor.execute("CREATE TEMP TABLE stored AS SELECT device_id, (payload->>'seq')::bigint "
                       "AS seq FROM telemetry_hot WHERE timestamp >= %s AND payload ? 'seq'",
                       [since])
        cursor.execute("ANALYZE acknowledged; ANALYZE stored")
        cursor.execute("SELECT count(*) FROM (SELECT FROM stored GROUP BY device_id, seq "
                       "HAVING count(*) > 1) AS twice")
        twice = cursor.fetchone()[0]
        cursor.execute(MISSING)
        missing = cursor.fetchone()[0]
    connection.close()
    assert (missing, twice) == (0, 0), (
        "of %d acknowledged, %d are not stored; %d are stored more than once"
        % (acknowledged, missing, twice))
    assert acknowledged > 0
    return acknowledged


def make_rules(gito, devices, cooldown_minutes=1):
    """A rule a device that every reading breaks."""
    token = gito.login()
    for device in range(devices):
        gito.api("POST", "/tenants/%s/alert-rules" % TENANT, token, status=201, json={
            "device_id": DEVICE_ID % device, "metric": "temperature", "operator": "gt",
            "threshold": -100, "cooldown_minutes": cooldown_minutes})


def check_alerts(gito, at_least):
    """No two alerts of a rule are closer than its cooldown; so many fired at least."""
    close = gito.sql(
        "SELECT e.alert_rule_id, e.fired_at, e.before FROM (SELECT alert_rule_id, fired_at, "
        "lag (fired_at) OVER (PARTITION BY alert_rule_id ORDER BY fired_at) AS before "
        "FROM alert_events) AS e JOIN alert_rules r ON r.id = e.alert_rule_id "
        "WHERE e.fired_at - e.before < make_interval (mins => r.cooldown_minutes)")
    assert close == [], "alerts within the cooldown: %s" % close[:5]
    fired = gito.sql("SELECT count(*) FROM alert_events")[0][0]
    assert fired >= at_least, "%d alerts fired, at least %d are due" % (fired, at_least)
