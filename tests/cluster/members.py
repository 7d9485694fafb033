"""What the cluster says of itself: who is a member, who owns what, and whether all is at rest."""

import json
import time

import requests

from cluster import OPERATOR, TENANT, wait_until
from ledger import DEVICE_ID

LEASE_S = 3
SETTLE_S = 30
RESTING = ("SELECT count(*) FROM cluster_slots WHERE owner IS NULL OR NOT owner = ANY (%s) "
           "OR state <> 'owned'")


def states(gito):
    """{node: (state, incarnation)}, by the database."""
    rows = gito.sql("SELECT node_id, state, incarnation FROM cluster_nodes")
    return {node: (state, incarnation) for node, state, incarnation in rows}


def incarnations(gito):
    return {node: incarnation for node, (_, incarnation) in states(gito).items()}


def owners(gito):
    """{(region, slot): node}, by the database."""
    rows = gito.sql("SELECT region, slot, owner FROM cluster_slots")
    return {(region, slot): owner for region, slot, owner in rows}


def settle_at_home(gito, devices, region):
    """The devices of these numbers live in that region from now on. A region is fixed when a
    device is made, for its readings; these have none yet, so the trigger that says so is off."""
    connection = gito.pg("super")
    with connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        cursor.execute("UPDATE devices SET home_region = %s WHERE id = ANY (%s::uuid[])",
                       [region, [DEVICE_ID % device for device in devices]])
        assert cursor.rowcount == len(devices)
    connection.close()


def unsettled(gito):
    """What keeps the cluster from being at rest; empty when it is."""
    running = gito.running()
    reasons = []
    for node, (state, _) in dict(dict.fromkeys(running, ("unknown", 0)), **states(gito)).items():
        if state not in (("active",) if node in running else ("dead", "left")):
            reasons.append("%s is %s" % (node, state))
    rows = gito.sql(RESTING, [running])
    if rows[0][0]:
        reasons.append("%d slots without a living owner or on their way" % rows[0][0])
    reasons += ["%s is not ready" % node for node in running if not gito.at(node).is_ready()]
    return reasons


def wait_settled(gito, deadline_s=SETTLE_S):
    """Until every running node is an active member, the others are none, and each slot has one of
    the members as its owner and stays there."""
    reasons = []

    def settled():
        reasons[:] = unsettled(gito)
        return not reasons

    try:
        wait_until(settled, deadline_s, "rest")
    except AssertionError as error:
        raise AssertionError("%s: %s" % (error, "; ".join(reasons))) from None


def hold(seconds):
    """How long a fault lasts, or what a promise gives: the one thing here that is a time and not a condition."""
    end = time.monotonic() + seconds
    wait_until(lambda: time.monotonic() >= end, seconds + 10, "the time of the fault")


def ended_or_active(gito, node):
    """A node that was away: its process is gone, or the cluster has it as a member."""
    return node not in gito.running() or (
        states(gito)[node][0] == "active" and gito.at(node).is_ready())


class Operator:
    """The operator's REST, at one node."""

    def __init__(self, gito):
        self.gito, self.token = gito, gito.login(*OPERATOR)

    def get(self, path="", **more):
        return self.gito.api("GET", "/cluster" + path, self.token, **more)["data"]

    def post(self, path, body=None, **more):
        return self.gito.api("POST", "/cluster" + path, self.token, body, **more)["data"]

    def events(self):
        return Events(self.gito, self.token)

    def owner_of(self, device, tenant=TENANT):
        return self.get("/actors/%s/%s" % (tenant, device))["owner"]


class Events:
    """The stream of /cluster/events at a node; take () is the next event, decoded."""

    def __init__(self, gito, token):
        self.response = requests.get(gito.http_url + "/api/v1/cluster/events", stream=True,
                                     headers={"Authorization": "Bearer " + token}, timeout=20)
        assert self.response.status_code == 200, self.response.text
        # By single bytes: larger pieces are waited for until they are full.
        self.lines = self.response.iter_lines(chunk_size=1, decode_unicode=True)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.response.close()

    def take(self, deadline_s=20):
        """(event, data) of the next one; comments and other fields are passed over."""
        event, data, end = "message", [], time.monotonic() + deadline_s
        for line in self.lines:
            assert time.monotonic() < end, "no event within %s s" % deadline_s
            if line.startswith("event:"):
                event = line[6:].strip()
            elif line.startswith("data:"):
                data.append(line[5:].strip())
            elif not line and data:
                return event, json.loads("\n".join(data))
        raise AssertionError("the stream of events has ended")
