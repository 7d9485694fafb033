"""CPU and memory of processes, and the load generator."""

import json
import os
import signal
import subprocess

from servers import ACCOUNT, TENANT, program

TICKS = os.sysconf("SC_CLK_TCK")
# As the peer's: 0.1 % of the readings break the rule temperature > 50. The clock is in
# microseconds modulo 10^10, as no reading may be larger than that.
PAYLOAD = ('{"temperature":{rand:15:35:2:1000:60},"humidity":{rand:20:80:1},'
           '"pressure":{rand:980:1040:1},"battery":{rand:20:100},"rssi":{rand:-110:-40},'
           '"seq":{seq},"t_us":{t_us}}')
CLOCK_MODULUS = 10 ** 10


def stat_fields(pid):
    """Of /proc/PID/stat, what follows the name: field 3 of proc(5) is the first."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        return file.read().rpartition(")")[2].split()


def cpu_seconds(pid):
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / TICKS


def cpu_seconds_of_tree(pid):
    """Its own, of the children it has, and of those that ended: the servers of PostgreSQL."""
    total = sum(int(value) for value in stat_fields(pid)[11:15]) / TICKS
    with open("/proc/%d/task/%d/children" % (pid, pid), encoding="utf-8") as file:
        children = [int(word) for word in file.read().split()]
    for child in children:
        try:
            total += cpu_seconds(child)
        except (FileNotFoundError, ProcessLookupError):
            pass  # it ended just now; what it used is in the parent's next figure
    return total


def cpu_of_cluster(pids):
    return {"node": cpu_seconds(pids["node"]), "redis": cpu_seconds(pids["redis"]),
            "postgres": cpu_seconds_of_tree(pids["postgres"])}


def difference(after, before):
    return {name: round(after[name] - before[name], 2) for name in after}


def resident_bytes(pid):
    with open("/proc/%d/status" % pid, encoding="utf-8") as file:
        for line in file:
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    raise RuntimeError("process %d has no resident memory" % pid)


def load_command(cluster, **options):
    """gito-load as the service account on 200 connections; options replace or add to that."""
    settings = {"port": cluster.mqtt_port, "tenant": TENANT, "user": ACCOUNT[0],
                "pass": ACCOUNT[1], "connections": 200, "devices": 10000, "window": 100,
                "payload": PAYLOAD, "connect_timeout": 120}
    settings.update(options)
    command = [program("tests/gito-load", "GITO_LOAD")]
    for name, value in settings.items():
        command.append("--" + name.replace("_", "-"))
        if value is not True:
            command.append(str(value))
    return command


def load(cluster, when_connected=lambda: None, **options):
    """The generator's report. What connecting costs (a password's hash each) is not in what is
    measured from when_connected () on."""
    process = subprocess.Popen(load_command(cluster, announce=True, **options),
                               stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    when_connected()
    output = process.communicate("\n")[0]
    if not output.strip():
        raise RuntimeError("gito-load ended with status %d" % process.returncode)
    report = json.loads(output)
    if report["connect_failed"] or report["connections_lost"] or report["unacked"]:
        raise RuntimeError("the load did not go through: %s" % json.dumps(report))
    return report


class IdleConnections:
    """Devices that are connected and say nothing."""

    def __init__(self, cluster, count):
        self.process = subprocess.Popen(
            load_command(cluster, idle=True, connections=count, devices=count,
                         user="{tenant}:{device}", **{"pass": "s{dev}"}, connect_timeout=300),
            stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline().split()
        if len(line) != 2 or line[0] != "connected" or int(line[1]) != count:
            self.close()
            raise RuntimeError("of %d idle connections: %s" % (count, " ".join(line)))

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.communicate()
