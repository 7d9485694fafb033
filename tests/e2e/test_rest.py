"""The REST API of the contract: every route's good way, its refusals, and who may do what."""

import datetime
import json
import re
import threading
import uuid

import pytest

from cluster import DEVICE, OPERATOR, TENANT
from tenants import PASSWORD, UTC, fields_of, iso, make_tenant, problem_of, store

pytestmark = pytest.mark.sanitizer


# Signing in.

def test_login_gives_tokens_and_me_tells_who_they_belong_to(g):
    answer = g.api("POST", "/auth/login", json={"email": "ADMIN@gito.demo", "password": PASSWORD})
    tokens = answer["data"]
    assert tokens["token_type"] == "bearer" and tokens["expires_in"] > 0
    assert tokens["refresh_token"] and answer["access_token"] == tokens["access_token"]
    me = g.api("GET", "/auth/me", tokens["access_token"])["data"]
    assert me["email"] == "admin@gito.demo" and me["role"] == "TENANT_ADMIN"
    assert me["tenant_id"] == TENANT and "password_hash" not in me


@pytest.mark.parametrize("body, status", [
    ({"email": "admin@gito.demo", "password": "wrong-password"}, 401),
    ({"email": "nobody@gito.demo", "password": PASSWORD}, 401),
    ({"email": "admin@gito.demo"}, 422),
    ({"email": 7, "password": PASSWORD}, 422),
    ({}, 422),
])
def test_a_wrong_login_is_refused_without_telling_why(g, body, status):
    response = g.request("POST", "/auth/login", json=body)
    assert response.status_code == status
    problem_of(response)


def test_without_a_token_or_with_a_broken_one_nothing_is_told(g):
    for token in (None, "x", "a.b.c"):
        response = g.request("GET", "/tenants/%s/devices" % TENANT, token)
        assert response.status_code == 401
        assert problem_of(response)["code"]


def test_a_refresh_token_used_twice_ends_its_whole_family(g):
    tokens = g.api("POST", "/auth/login", json={"email": "admin@gito.demo", "password": PASSWORD})
    first = tokens["data"]["refresh_token"]
    second = g.api("POST", "/auth/refresh", json={"refresh_token": first})["data"]
    assert second["refresh_token"] != first
    g.api("GET", "/auth/me", second["access_token"])
    again = g.request("POST", "/auth/refresh", json={"refresh_token": first})
    assert again.status_code == 401 and problem_of(again)["code"] == "refresh_token_reused"
    after = g.request("POST", "/auth/refresh", json={"refresh_token": second["refresh_token"]})
    assert after.status_code == 401


def test_of_refreshes_at_the_same_time_one_wins_at_most(g):
    tokens = g.api("POST", "/auth/login", json={"email": "admin@gito.demo", "password": PASSWORD})
    token = tokens["data"]["refresh_token"]
    answers = []

    def refresh():
        answers.append(g.request("POST", "/auth/refresh", json={"refresh_token": token}))

    threads = [threading.Thread(target=refresh) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers].count(200) <= 1
    assert {answer.status_code for answer in answers} <= {200, 401, 503}


def test_logout_ends_the_session_but_not_others(g):
    login = {"email": "admin@gito.demo", "password": PASSWORD}
    one = g.api("POST", "/auth/login", json=login)["data"]
    two = g.api("POST", "/auth/login", json=login)["data"]
    g.api("POST", "/auth/logout", json={"refresh_token": one["refresh_token"]})
    ended = g.request("POST", "/auth/refresh", json={"refresh_token": one["refresh_token"]})
    assert ended.status_code == 401
    g.api("POST", "/auth/refresh", json={"refresh_token": two["refresh_token"]})
    assert g.request("POST", "/auth/logout", json={}).status_code == 401


# What every path has in common.

def test_unknown_paths_and_methods_are_told_apart(t):
    assert t.problem("GET", "/nothing", status=404)["code"] == "no_such_path"
    response = t.request("PATCH", "/devices")
    assert response.status_code == 405
    assert {"GET", "POST"} == set(response.headers["Allow"].replace(" ", "").split(","))
    problem_of(response)


def test_bad_bodies_and_parameters_name_what_is_wrong(t):
    assert t.problem("POST", "/devices", status=400, data=b"{\"name\":")["code"] == "bad_json"
    assert t.problem("POST", "/devices", status=400, data=b"[]")["code"] == "bad_json"
    assert t.problem("POST", "/devices", status=400, data=b"{\"name\":\"\xff\"}")
    problem = t.problem("POST", "/devices", {"name": "", "device_type": 4, "attributes": []}, 422)
    assert fields_of(problem) == {"name", "device_type", "attributes"}
    problem = t.problem("GET", "/devices?page=0&per_page=5000&status=up", status=422)
    assert fields_of(problem) == {"page", "per_page", "status"}
    assert fields_of(t.problem("GET", "/devices?&page=0", status=422)) == {"page"}
    assert t.problem("GET", "/devices/not-a-uuid", status=422)["code"] == "bad_id"


TIMES = {"timestamp", "created_at", "updated_at", "last_seen", "latest_at", "last_fired_at",
         "fired_at", "notification_sent_at", "last_login_at", "started_at", "left_at"}


def times_of(value):
    """(name, text) of every point in time in an answer."""
    if isinstance(value, list):
        return [time for item in value for time in times_of(item)]
    if not isinstance(value, dict):
        return []
    own = [(name, text) for name, text in value.items() if name in TIMES and text is not None]
    return own + [time for item in value.values() for time in times_of(item)]


def test_times_have_six_digits_of_a_second_everywhere(g):
    """Not every library reads four; and PostgreSQL leaves the zeros at the end out."""
    t = make_tenant(g)
    device, at = t.make_device()["id"], "2026-01-31T12:00:00.1234Z"
    rule = t.data("POST", "/alert-rules", {"device_id": device, "metric": "rssi", "operator": "<",
                                           "threshold": -90}, 201)["id"]
    store(g, t.id, device, [{"at": datetime.datetime(2026, 1, 31, 12, tzinfo=UTC), "rssi": -95.0}])
    t.data("POST", "/service-accounts", {"username": "times-" + uuid.uuid4().hex[:8]}, 201)
    for statement in (
            "UPDATE telemetry SET created_at = %s WHERE tenant_id = %s",
            "UPDATE devices SET (created_at, last_seen, latest_at) = (%s, '2026-01-31Z',"
            " '2026-01-31T12:00:00.5Z') WHERE tenant_id = %s",
            "UPDATE alert_rules SET (created_at, last_fired_at) = (%s, '2026-01-31Z')"
            " WHERE tenant_id = %s", "UPDATE users SET created_at = %s WHERE tenant_id = %s",
            "UPDATE service_accounts SET created_at = %s WHERE tenant_id = %s",
            "UPDATE audit_logs SET created_at = %s WHERE tenant_id = %s"):
        g.sql(statement, (at, t.id))
    g.sql("INSERT INTO alert_events (tenant_id, alert_rule_id, device_id, metric_name, fired_at,"
          " notification_sent_at) VALUES (%s, %s, %s, 'rssi', %s, '2026-01-31Z')",
          (t.id, rule, device, at))
    seen = [time for path in ("/devices", "/devices/%s/telemetry" % device, "/alert-rules",
                              "/alert-events", "/users", "/service-accounts", "/audit-logs")
            for time in times_of(t.data("GET", path))]
    seen += times_of(g.api("GET", "/auth/me", t.tokens["VIEWER"]))
    seen += times_of(g.api("GET", "/cluster/nodes", g.login(*OPERATOR)))
    assert {name for name, _ in seen} == TIMES - {"left_at"}
    for name, text in seen:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00", text), (name, text)


def test_the_openapi_document_names_every_path(g):
    document = g.api("GET", "/openapi.json")
    assert document["openapi"].startswith("3.")
    paths = document["paths"]
    assert {"get", "post"} <= set(paths["/tenants/{tenant_id}/devices"])
    assert {"get", "put", "delete"} <= set(paths["/tenants/{tenant_id}/alert-rules/{rule_id}"])
    text = json.dumps(document)
    for name in {piece.split('"')[0] for piece in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"]


def test_the_cluster_tells_its_endpoints_to_everybody(g):
    assert g.api("GET", "/cluster/endpoints")["data"][0]["region"] == "eu"
    assert g.request("GET", "/cluster/nodes").status_code == 401
    assert g.request("GET", "/cluster/nodes", g.login()).status_code == 403


# Alert rules and events.

def test_rules_take_both_spellings_and_answer_the_symbol(t):
    device = t.make_device()["id"]
    spellings = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<=", "eq": "==", "neq": "!=",
                 ">": ">", ">=": ">=", "<": "<", "<=": "<=", "==": "==", "!=": "!="}
    for spelling, symbol in spellings.items():
        rule = t.data("POST", "/alert-rules", {"device_id": device, "metric": "temperature",
                                               "operator": spelling, "threshold": 20.5}, 201)
        assert rule["operator"] == symbol and rule["cooldown_minutes"] == 5
        assert rule["threshold"] == 20.5 and rule["active"] is True
    answer = t.api("GET", "/alert-rules?device_id=%s&per_page=5" % device)
    assert answer["meta"]["total"] == 12 and len(answer["data"]) == 5


def test_a_rule_is_changed_and_removed(t):
    device = t.make_device()["id"]
    rule = t.data("POST", "/alert-rules", {"device_id": device, "metric": "co2", "operator": "gt",
                                           "threshold": 1, "cooldown_minutes": 60}, 201)
    path = "/alert-rules/" + rule["id"]
    changed = t.data("PUT", path, {"threshold": -3, "active": False})
    assert changed["threshold"] == -3 and changed["active"] is False
    assert changed["metric"] == "co2" and changed["cooldown_minutes"] == 60
    assert t.data("GET", path) == changed
    nowhere = {"device_id": str(uuid.uuid4())}
    assert t.problem("PUT", path, nowhere, 404)["code"] == "device_not_found"
    missing = t.problem("PUT", "/alert-rules/%s" % uuid.uuid4(), {"threshold": 1}, 404)
    assert missing["code"] == "alert_rule_not_found" and t.data("GET", path) == changed
    of_device = "/alert-rules?device_id=%s" % device
    assert len(t.data("GET", of_device)) == 1
    assert t.data("GET", of_device + "&active_only=true") == []
    t.data("DELETE", path)
    assert t.problem("GET", path, status=404)["code"] == "alert_rule_not_found"


def test_a_bad_rule_names_its_fields(t):
    problem = t.problem("POST", "/alert-rules", {
        "device_id": "x", "metric": "a b", "operator": "~", "threshold": "high",
        "cooldown_minutes": 0, "active": "yes"}, 422)
    assert fields_of(problem) == {"device_id", "metric", "operator", "threshold",
                                  "cooldown_minutes", "active"}
    rule = {"device_id": str(uuid.uuid4()), "metric": "a", "operator": ">", "threshold": 1}
    assert t.problem("POST", "/alert-rules", rule, 404)["code"] == "device_not_found"
    for wrong in ({"cooldown_minutes": 1441}, {"cooldown_minutes": 1.5}, {"threshold": 1e11}):
        assert fields_of(t.problem("POST", "/alert-rules", {**rule, **wrong}, 422)) == set(wrong)


def test_alert_events_are_found_by_rule_device_and_time(g, t):
    device = t.make_device()["id"]
    rule = t.data("POST", "/alert-rules", {"device_id": device, "metric": "rssi", "operator": "<",
                                           "threshold": -90}, 201)["id"]
    now = datetime.datetime.now(UTC)
    for hours in range(5):
        g.sql("INSERT INTO alert_events (tenant_id, alert_rule_id, device_id, metric_name,"
              " metric_value, message, fired_at) VALUES (%s, %s, %s, 'rssi', %s, 'low', %s)",
              (t.id, rule, device, -90.0 - hours, now - datetime.timedelta(hours=hours)))
    answer = t.api("GET", "/alert-events?device_id=%s&per_page=2" % device)
    assert answer["meta"]["total"] == 5
    assert [event["metric_value"] for event in answer["data"]] == [-90.0, -91.0]
    assert answer["data"][0]["alert_rule_id"] == rule
    since = iso(now - datetime.timedelta(minutes=150))
    assert t.api("GET", "/alert-events?rule_id=%s&from=%s" % (rule, since))["meta"]["total"] == 3
    assert t.data("GET", "/alert-events?rule_id=%s" % uuid.uuid4()) == []


# Users, service accounts, audit.

def test_users_are_made_changed_and_removed(g, t):
    email = "%s@test.example" % uuid.uuid4().hex
    user = t.data("POST", "/users", {"email": email, "password": "long enough", "role": "VIEWER",
                                     "full_name": "Vera"}, 201)
    assert user["role"] == "VIEWER" and "password" not in json.dumps(user)
    assert t.problem("POST", "/users", {"email": email.upper(), "password": "long enough"},
                     409)["code"] == "duplicate"
    login = g.api("POST", "/auth/login", json={"email": email, "password": "long enough"})["data"]
    changed = t.data("PUT", "/users/" + user["id"], {"password": "another one", "role": "CLIENT"})
    assert changed["role"] == "CLIENT" and changed["full_name"] == "Vera"
    ended = g.request("POST", "/auth/refresh", json={"refresh_token": login["refresh_token"]})
    assert ended.status_code == 401
    g.login(email, "another one")
    t.data("PUT", "/users/" + user["id"], {"status": "disabled"})
    denied = g.request("POST", "/auth/login", json={"email": email, "password": "another one"})
    assert denied.status_code == 401
    t.data("DELETE", "/users/" + user["id"])
    t.problem("GET", "/users/" + user["id"], status=404)
    problem = t.problem("POST", "/users", {"email": "x", "password": "short", "role": "KING"}, 422)
    assert fields_of(problem) == {"email", "password", "role"}


@pytest.mark.parametrize("email", ["<a@b.c", "a@@b", "a@b@c", "a b@c.d", "@b.c", "a@", "abc",
                                   "a@b.c>", "a@b,c", "a\n@b.c"])
def test_a_user_has_an_address_that_mail_can_be_sent_to(t, email):
    body = {"email": email, "password": "long enough"}
    assert fields_of(t.problem("POST", "/users", body, 422)) == {"email"}
    user = t.data("GET", "/users")[0]["id"]
    assert fields_of(t.problem("PUT", "/users/" + user, {"email": email}, 422)) == {"email"}


def calls_of(t):
    """Calls that read, write, and open transactions of their own, in every way there is."""
    device, user = t.make_device()["id"], t.data("GET", "/users")[0]["id"]
    below = [("GET", "/devices", None), ("GET", "/devices/%s/telemetry" % device, None),
             ("GET", "/devices/%s/telemetry/aggregated" % device, None),
             ("POST", "/devices", {"name": "by nobody"}), ("PUT", "/users/" + user, {"full_name": "x"})]
    calls = [(method, t.path(path), body) for method, path, body in below]
    return calls + [("GET", "/auth/me", None), ("GET", "/cluster/nodes", None),
                    ("POST", "/cluster/ring/plan", {}), ("GET", "/cluster/events", None)]


@pytest.mark.parametrize("statement", [
    "UPDATE users SET status = 'disabled' WHERE id = %s", "DELETE FROM users WHERE id = %s",
    "UPDATE users SET role = 'TENANT_ADMIN' WHERE id = %s",
    "UPDATE tenants SET status = 'suspended' WHERE id = (SELECT tenant_id FROM users WHERE id = %s)"])
def test_a_token_ends_with_its_user(g, statement):
    """At once, not when it expires, and with his role; nothing of what it asked for is done."""
    mine = make_tenant(g)
    token, calls = mine.tokens["SUPER_ADMIN"], calls_of(mine)
    for method, path, body in calls:
        assert g.request(method, path, token, body, stream=True).ok, path
    user = next(u for u in mine.data("GET", "/users") if u["role"] == "SUPER_ADMIN")["id"]
    count = "SELECT count(*) FROM devices WHERE tenant_id = %s"
    before = g.sql(count, (mine.id,))
    g.sql(statement, (user,))
    for method, path, body in calls:
        response = g.request(method, path, token, body, stream=True)
        assert response.status_code == 401, path
        assert problem_of(response)["code"] == "unauthenticated"
    assert g.sql(count, (mine.id,)) == before


def test_nobody_rises_above_himself(g, t):
    body = {"email": "%s@test.example" % uuid.uuid4().hex, "password": "long enough",
            "role": "SUPER_ADMIN"}
    t.problem("POST", "/users", body, 403)
    above = next(u for u in t.data("GET", "/users") if u["role"] == "SUPER_ADMIN")
    t.problem("PUT", "/users/" + above["id"], {"password": "taken over"}, 403)
    t.problem("DELETE", "/users/" + above["id"], status=403)
    made = t.data("POST", "/users", body, 201, role="SUPER_ADMIN")
    t.data("DELETE", "/users/" + made["id"], role="SUPER_ADMIN")


def test_who_has_more_rights_than_his_token_keeps_it(t):
    """A token ends when its user has lost its role, not when he has won another."""
    viewer = next(u for u in t.data("GET", "/users") if u["role"] == "VIEWER")["id"]
    t.data("PUT", "/users/" + viewer, {"role": "SITE_ADMIN"})
    t.data("GET", "/devices", role="VIEWER")
    t.problem("POST", "/devices", {"name": "x"}, 403, role="VIEWER")
    t.data("PUT", "/users/" + viewer, {"role": "VIEWER"})


def test_the_last_administrator_stays(g):
    mine = make_tenant(g)
    admin = next(u for u in mine.data("GET", "/users") if u["role"] == "TENANT_ADMIN")["id"]
    for method, body in (("DELETE", None), ("PUT", {"role": "VIEWER"}), ("PUT", {"status": "disabled"})):
        assert mine.problem(method, "/users/" + admin, body, 409)["code"] == "last_admin"
    assert mine.data("GET", "/users/" + admin)["role"] == "TENANT_ADMIN"
    mine.data("PUT", "/users/" + admin, {"full_name": "Still here"})


def test_service_accounts_are_made_changed_and_removed(g, t):
    name = "bridge-" + uuid.uuid4().hex[:8]
    made = t.data("POST", "/service-accounts", {
        "username": name, "publish_filters": [], "subscribe_filters": ["devices/+/telemetry"],
        "mount_point": True}, 201)
    assert len(made["password"]) >= 43 and made["publish_filters"] == []
    assert made["subscribe_filters"] == ["devices/+/telemetry"] and made["mount_point"] is True
    path = "/service-accounts/" + made["id"]
    assert "password" not in t.data("GET", path)
    assert t.problem("POST", "/service-accounts", {"username": name}, 409)["code"] == "duplicate"
    changed = t.data("PUT", path, {"active": False, "publish_filters": ["#"]})
    assert changed["active"] is False and changed["publish_filters"] == ["#"]
    assert changed["subscribe_filters"] == ["devices/+/telemetry"]
    rotated = t.data("POST", path + "/credentials")
    assert rotated["password"] != made["password"]
    given = t.data("POST", "/service-accounts", {"username": name + "-2", "password": "my password"})
    assert "password" not in given and given["publish_filters"] == ["#"]
    problem = t.problem("POST", "/service-accounts", {"username": "a:b", "publish_filters": ["a/#/b"],
                                                      "mount_point": 1}, 422)
    assert fields_of(problem) == {"username", "publish_filters", "mount_point"}
    t.data("DELETE", path)
    t.problem("GET", path, status=404)
    hashed = g.sql("SELECT password_hash FROM service_accounts WHERE username = %s", (name + "-2",))
    assert hashed[0][0].startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_every_change_is_in_the_audit_log(g):
    mine = make_tenant(g)
    device = mine.make_device("audited")["id"]
    mine.data("PUT", "/devices/" + device, {"name": "renamed"})
    mine.problem("PUT", "/devices/%s" % uuid.uuid4(), {"name": "x"}, 404)
    mine.data("POST", "/devices/%s/credentials" % device)
    rule = mine.data("POST", "/alert-rules", {"device_id": device, "metric": "a", "operator": ">",
                                              "threshold": 1}, 201)["id"]
    mine.data("DELETE", "/alert-rules/" + rule)
    mine.data("DELETE", "/devices/" + device)
    answer = mine.api("GET", "/audit-logs?per_page=1000")
    actions = [row["action"] for row in answer["data"] if row["action"] != "auth.login"]
    assert actions == ["device.delete", "alert_rule.delete", "alert_rule.create",
                       "device.rotate_credentials", "device.update", "device.create"]
    row = answer["data"][0]
    assert row["resource_id"] == device and row["user_id"] and row["ip_address"]
    assert len(mine.data("GET", "/audit-logs?action=device.update")) == 1
    assert "secret" not in json.dumps(answer)


# Who may do what.

@pytest.mark.parametrize("role, allowed", [
    ("VIEWER", {"read"}), ("CLIENT", {"read", "rules"}), ("SITE_ADMIN", {"read", "rules", "devices"}),
    ("TENANT_ADMIN", {"read", "rules", "devices", "users"}),
    ("SUPER_ADMIN", {"read", "rules", "devices", "users"})])
def test_roles_bound_what_is_done(t, role, allowed):
    device = t.make_device()["id"]
    tries = {
        "read": [("GET", "/devices", None), ("GET", "/devices/%s/telemetry" % device, None),
                 ("GET", "/alert-rules", None), ("GET", "/alert-events", None)],
        "rules": [("POST", "/alert-rules", {"device_id": device, "metric": "m", "operator": "<",
                                            "threshold": 0, "active": False})],
        "devices": [("POST", "/devices", {"name": "of " + role})],
        "users": [("GET", "/users", None), ("GET", "/service-accounts", None),
                  ("GET", "/audit-logs", None)],
    }
    for kind, calls in tries.items():
        for method, path, body in calls:
            response = t.request(method, path, body, role)
            if kind in allowed:
                assert response.ok, (role, path, response.text)
            else:
                assert response.status_code == 403, (role, path)
                assert problem_of(response)["code"] == "role_too_low"


def test_a_tenant_sees_its_own_alone(g, t, other):
    device = t.make_device("mine")["id"]
    rule = t.data("POST", "/alert-rules", {"device_id": device, "metric": "m", "operator": "<",
                                           "threshold": 0}, 201)["id"]
    user = t.data("GET", "/users")[0]["id"]
    for path in ("/devices", "/devices/" + device, "/alert-rules", "/users", "/audit-logs"):
        for role in ("TENANT_ADMIN", "SUPER_ADMIN"):
            response = g.request("GET", t.path(path), other.tokens[role])
            assert response.status_code == 403 and problem_of(response)["code"] == "other_tenant"
    for method, path, body in (
            ("GET", "/devices/" + device, None), ("PUT", "/devices/" + device, {"name": "stolen"}),
            ("DELETE", "/devices/" + device, None), ("POST", "/devices/%s/credentials" % device, None),
            ("GET", "/devices/%s/telemetry" % device, None),
            ("GET", "/devices/%s/telemetry/latest" % device, None),
            ("GET", "/devices/%s/telemetry/aggregated" % device, None),
            ("GET", "/alert-rules/" + rule, None), ("DELETE", "/alert-rules/" + rule, None),
            ("PUT", "/alert-rules/" + rule, {"active": False}), ("GET", "/users/" + user, None),
            ("DELETE", "/users/" + user, None)):
        other.problem(method, path, body, 404)
    body = {"device_id": device, "metric": "m", "operator": "<", "threshold": 0}
    other.problem("POST", "/alert-rules", body, 404)
    own = other.make_device()["id"]
    theirs = other.data("POST", "/alert-rules", {**body, "device_id": own}, 201)["id"]
    other.problem("PUT", "/alert-rules/" + theirs, {"device_id": device}, 404)
    assert t.data("GET", "/devices/" + device)["name"] == "mine"
    assert other.data("GET", "/devices?search=mine") == []
    assert g.request("GET", "/tenants/%s/devices/%s" % (t.id, DEVICE),
                     t.tokens["VIEWER"]).status_code == 404
