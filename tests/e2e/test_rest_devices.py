"""Devices over REST: one by one and in bulk, their secrets, and what a body may hold."""

import json
import uuid

import pytest

from tenants import fields_of, make_tenant

pytestmark = pytest.mark.sanitizer


def test_a_device_is_made_read_changed_and_removed(t):
    made = t.data("POST", "/devices", {"name": "Röhre 1", "device_type": "pipe",
                                       "attributes": {"floor": 3, "x": 0.1}}, status=201)
    assert len(made["secret"]) >= 43
    assert made["mqtt_username"] == "%s:%s" % (t.id, made["id"])
    assert made["attributes"] == {"floor": 3, "x": 0.1} and made["status"] == "offline"
    read = t.data("GET", "/devices/" + made["id"])
    assert read["name"] == "Röhre 1" and "secret" not in read
    assert read["created_at"].endswith("+00:00")
    changed = t.data("PUT", "/devices/" + made["id"], {"name": "Röhre 2"})
    assert changed["name"] == "Röhre 2" and changed["device_type"] == "pipe"
    assert changed["attributes"] == {"floor": 3, "x": 0.1}
    t.data("DELETE", "/devices/" + made["id"])
    for method, body in (("GET", None), ("PUT", {"name": "x"}), ("DELETE", None)):
        assert t.problem(method, "/devices/" + made["id"], body, 404)["code"] == "device_not_found"


def test_a_device_may_have_a_region_of_its_own(t):
    """It is chosen when the device is made, among those of the cluster."""
    made = t.data("POST", "/devices", {"name": "far", "home_region": "eu"}, status=201)
    assert made["home_region"] == "eu"
    assert t.make_device()["home_region"] is None
    body = {"name": "farther", "home_region": "mars"}
    assert fields_of(t.problem("POST", "/devices", body, 422)) == {"home_region"}


def test_a_secret_is_stored_as_its_hash_and_rotates(g, t):
    made = t.make_device()
    stored = "SELECT encode(secret_hash, 'hex'), encode(sha256(%s::bytea), 'hex') FROM" \
             " device_credentials WHERE device_id = %s"
    assert len(set(g.sql(stored, (made["secret"], made["id"]))[0])) == 1
    rotated = t.data("POST", "/devices/%s/credentials" % made["id"])
    assert rotated["secret"] != made["secret"] and rotated["mqtt_username"] == made["mqtt_username"]
    assert len(set(g.sql(stored, (rotated["secret"], made["id"]))[0])) == 1
    t.problem("POST", "/devices/%s/credentials" % uuid.uuid4(), status=404)


def test_devices_are_paged_searched_and_filtered(g):
    mine = make_tenant(g)
    names = ["pump %d" % i for i in range(7)] + ["100% sure", "snake_case", "back\\slash"]
    ids = [mine.make_device(name)["id"] for name in names]
    found = []
    for page in (1, 2, 3, 4):
        answer = mine.api("GET", "/devices?page=%d&per_page=3" % page)
        assert answer["meta"] == {"page": page, "per_page": 3, "total": 10}
        found += [device["id"] for device in answer["data"]]
    assert found == ids
    assert mine.api("GET", "/devices?page=9")["data"] == []
    for search, count in (("PUMP", 7), ("ump 3", 1), ("%25", 1), ("_", 1), ("%5C", 1), ("zzz", 0)):
        answer = mine.api("GET", "/devices?search=" + search)
        assert len(answer["data"]) == answer["meta"]["total"] == count, search
    g.sql("UPDATE devices SET status = 'idle' WHERE id = %s", (ids[4],))
    assert [d["id"] for d in mine.data("GET", "/devices?status=idle")] == [ids[4]]


def test_a_thousand_devices_come_in_one_request(t):
    lines = [json.dumps({"name": "bulk %d" % i}) for i in range(1000)]
    response = t.request("POST", "/devices/bulk", data="\n".join(lines).encode())
    results = [json.loads(line) for line in response.text.splitlines()]
    assert response.status_code == 200 and len(results) == 1000
    assert all(result["status"] == 201 for result in results)
    assert [result["line"] for result in results] == list(range(1, 1001))
    assert len({result["secret"] for result in results}) == 1000
    assert t.data("GET", "/devices/" + results[500]["id"])["name"] == "bulk 500"


def test_a_bulk_line_that_fails_harms_no_other(g, t, other):
    mine, theirs, fresh = t.make_device()["id"], other.make_device()["id"], str(uuid.uuid4())
    lines = [json.dumps({"id": fresh, "name": "one", "secret": "given-secret-1"}),
             json.dumps({"id": mine, "name": "there already"}),
             json.dumps({"id": theirs, "name": "another tenant's"}),
             "", "{\"name\":", json.dumps({"name": ""}), json.dumps({"id": "x", "name": "y"}),
             json.dumps({"id": fresh, "name": "the same again"}),
             json.dumps({"name": "last", "attributes": {"a": [1]}, "device_type": "odd"})]
    response = t.request("POST", "/devices/bulk", data="\n".join(lines).encode())
    results = {r["line"]: r for r in map(json.loads, response.text.splitlines())}
    assert {line: r["status"] for line, r in results.items()} == {
        1: 201, 2: 409, 3: 409, 5: 422, 6: 422, 7: 422, 8: 409, 9: 201}
    assert "secret" not in results[1] and results[9]["secret"]
    assert t.data("GET", "/devices/" + fresh)["name"] == "one"
    last = t.data("GET", "/devices/" + results[9]["id"])
    assert last["attributes"] == {"a": [1]} and last["device_type"] == "odd"
    stored = g.sql("SELECT secret_hash = sha256('given-secret-1') FROM device_credentials"
                   " WHERE device_id = %s", (fresh,))
    assert stored == [(True,)]


def test_a_bulk_line_is_read_as_a_single_device_is(t):
    """A name is counted in characters, and a device may have a region of its own."""
    device = str(uuid.uuid4())
    lines = [json.dumps({"name": "é" * 200, "home_region": "eu"}, ensure_ascii=False),
             json.dumps({"name": "é" * 201}, ensure_ascii=False),
             json.dumps({"id": device, "name": "farther", "home_region": "mars"}),
             json.dumps({"name": "x", "home_region": 7}),
             json.dumps({"id": device, "name": "near", "home_region": None})]
    response = t.request("POST", "/devices/bulk", data="\n".join(lines).encode())
    results = [json.loads(line) for line in response.text.splitlines()]
    assert [result["status"] for result in results] == [201, 422, 422, 422, 201]
    assert "home_region" in results[2]["detail"] and "home_region" in results[3]["detail"]
    first = t.data("GET", "/devices/" + results[0]["id"])
    assert first["name"] == "é" * 200 and first["home_region"] == "eu"
    assert t.data("GET", "/devices/" + device)["home_region"] is None


def nested(levels):
    """A body of so many objects in each other."""
    return '{"name":"deep","attributes":%s1%s}' % ('{"a":' * (levels - 1), "}" * (levels - 1))


def test_what_is_nested_deeper_than_libraries_read_is_refused(t):
    made = t.data("POST", "/devices", status=201, data=nested(64).encode())
    for method, path in (("POST", "/devices"), ("PUT", "/devices/" + made["id"])):
        problem = t.problem(method, path, status=400, data=nested(65).encode())
        assert problem["code"] == "bad_json" and "64" in problem["detail"]
    lists = b'{"name":"deep","attributes":{"a":%s%s}}' % (b"[" * 1000, b"]" * 1000)
    t.problem("POST", "/devices", status=400, data=lists)
    lines = "\n".join([nested(64), nested(65)]).encode()
    results = t.request("POST", "/devices/bulk", data=lines).text.splitlines()
    assert [json.loads(line)["status"] for line in results] == [201, 422]
