"""Tenants of their own for tests of the REST API, with a user of every role."""

import datetime
import json
import uuid

UTC = datetime.timezone.utc
METRICS = ("temperature", "humidity", "pressure", "battery", "rssi")
PASSWORD = "admin123"


class Tenant:
    """One tenant's door to the API: paths are below its own, tokens are of its users."""

    def __init__(self, g, tenant, emails):
        self.g, self.id = g, tenant
        self.tokens = {role: g.login(email, PASSWORD) for role, email in emails.items()}
        self.emails = emails

    def path(self, path):
        return "/tenants/%s%s" % (self.id, path)

    def request(self, method, path, json=None, role="TENANT_ADMIN", **more):
        return self.g.request(method, self.path(path), self.tokens[role], json, **more)

    def api(self, method, path, json=None, status=None, role="TENANT_ADMIN", **more):
        return self.g.api(method, self.path(path), self.tokens[role], json, status, **more)

    def data(self, method, path, json=None, status=None, role="TENANT_ADMIN", **more):
        return self.api(method, path, json, status, role, **more)["data"]

    def problem(self, method, path, json=None, status=None, role="TENANT_ADMIN", **more):
        response = self.request(method, path, json, role, **more)
        assert response.status_code == status, response.text[:500]
        return problem_of(response)

    def make_device(self, name="a device"):
        return self.data("POST", "/devices", {"name": name}, status=201)


def problem_of(response):
    assert response.headers["Content-Type"].startswith("application/problem+json")
    body = response.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body)
    assert body["status"] == response.status_code
    return body


def make_tenant(g, home=None):
    """A tenant with a user of every role; all have the demo administrator's password. `home` is the
    region of its devices, None: the cluster's first."""
    tenant = g.sql("INSERT INTO tenants (name, home_region) VALUES ('Test', %s) RETURNING id",
                   [home])[0][0]
    emails = {}
    for role in ("TENANT_ADMIN", "SITE_ADMIN", "CLIENT", "VIEWER", "SUPER_ADMIN"):
        emails[role] = "%s-%s@test.example" % (role.lower(), uuid.uuid4().hex[:12])
        g.sql("INSERT INTO users (tenant_id, email, full_name, password_hash, role) SELECT %s, %s,"
              " 'Test', password_hash, %s FROM users WHERE email = 'admin@gito.demo'",
              (tenant, emails[role], role))
    return Tenant(g, tenant, emails)


def fields_of(problem):
    return {error["field"] for error in problem["errors"]}


def store(g, tenant, device, readings):
    """Readings as a node stores them: rows, and the hours before the newest one's."""
    connection = g.pg()
    with connection.cursor() as cursor:
        cursor.execute("SELECT partitions_ensure(%s, %s)",
                       (min(r["at"] for r in readings).date(),
                        max(r["at"] for r in readings).date()))
        for number, reading in enumerate(readings):
            cursor.execute(
                "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq, temperature, humidity,"
                " pressure, battery, rssi, extra) VALUES (%s,%s,%s,%s,%s,%s,%s,%s,%s,%s)",
                (tenant, device, reading["at"], number, *(reading.get(m) for m in METRICS),
                 json.dumps(reading["extra"]) if "extra" in reading else None))
        newest = max(r["at"] for r in readings).replace(minute=0, second=0, microsecond=0)
        cursor.execute("SELECT rollup_rebuild(%s, %s, %s)",
                       (min(r["at"] for r in readings), newest, device))
    connection.close()


def time_of(text):
    return datetime.datetime.fromisoformat(text)


def iso(moment):
    return moment.isoformat().replace("+00:00", "Z")
