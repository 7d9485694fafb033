"""Readings over REST: raw, the latest, and in buckets that equal what the readings give."""

import datetime
import json
import math
import random
import uuid

import pytest

from clients import Mqtt
from tenants import METRICS, UTC, fields_of, iso, make_tenant, store, time_of

pytestmark = pytest.mark.sanitizer


@pytest.fixture(scope="module")
def measured(g, t):
    """A device with readings of 30 hours, some hours empty, some values missing: (id, readings)."""
    device = t.make_device("measured")["id"]
    source = random.Random(7)
    begin = datetime.datetime.now(UTC).replace(microsecond=0) - datetime.timedelta(hours=30)
    readings = []
    for minute in range(0, 30 * 60, 4):
        if 300 <= minute < 480:
            continue
        at = begin + datetime.timedelta(minutes=minute, seconds=source.randrange(60))
        reading = {"at": at, "temperature": round(source.uniform(-20, 40), 2)}
        if source.random() < 0.5:
            reading["humidity"] = source.uniform(0, 100)
        readings.append(reading)
    readings[-1]["extra"] = {"co2": 417.25}
    store(g, t.id, device, readings)
    return device, readings


def test_raw_readings_come_newest_first_in_pages(t, measured):
    device, readings = measured
    newest = sorted(readings, key=lambda r: r["at"], reverse=True)
    path = "/devices/%s/telemetry" % device
    answer = t.api("GET", path + "?per_page=50")
    assert answer["meta"]["total"] == len(readings) and len(answer["data"]) == 50
    assert [time_of(row["timestamp"]) for row in answer["data"]] == [r["at"] for r in newest[:50]]
    first = answer["data"][0]
    assert first["payload"]["co2"] == 417.25 and first["humidity"] == newest[0].get("humidity")
    assert first["temperature"] == first["payload"]["temperature"] == newest[0]["temperature"]
    second = t.api("GET", path + "?per_page=50&page=2")["data"]
    assert [time_of(row["timestamp"]) for row in second] == [r["at"] for r in newest[50:100]]


def test_a_cursor_walks_over_all_readings_once(g, t):
    device = t.make_device()["id"]
    at = datetime.datetime.now(UTC).replace(microsecond=123456) - datetime.timedelta(hours=2)
    store(g, t.id, device, [{"at": at, "temperature": float(i)} for i in range(25)])
    seen, cursor = [], ""
    while cursor is not None:
        answer = t.api("GET", "/devices/%s/telemetry?per_page=10&cursor=%s" % (device, cursor))
        seen += [row["temperature"] for row in answer["data"]]
        cursor = answer["meta"]["next_cursor"]
    assert seen == [float(i) for i in reversed(range(25))]
    t.problem("GET", "/devices/%s/telemetry?cursor=later" % device, status=422)


def test_a_range_has_what_lies_in_it(t, measured):
    device, readings = measured
    path = "/devices/%s/telemetry" % device
    begin, end = readings[40]["at"], readings[200]["at"]
    wanted = [r for r in readings if begin <= r["at"] <= end]
    for names in (("start_time", "end_time"), ("from", "to")):
        answer = t.api("GET", "%s?%s=%s&%s=%s&per_page=1000" % (path, names[0], iso(begin),
                                                                names[1], iso(end)))
        assert answer["meta"]["total"] == len(answer["data"]) == len(wanted)
    milliseconds = (int(begin.timestamp() * 1000), int(end.timestamp() * 1000))
    answer = t.api("GET", path + "?from=%d&to=%d" % milliseconds)
    assert answer["meta"]["total"] == len(wanted)
    seconds = (int(begin.timestamp()), int(end.timestamp()))
    naive = [moment.replace(tzinfo=None).isoformat(timespec="microseconds") for moment in (begin, end)]
    for pair in (seconds, naive, [text + "%2B0000" for text in naive]):
        assert t.api("GET", path + "?from=%s&to=%s" % tuple(pair))["meta"]["total"] == len(wanted)
    problem = t.problem("GET", path + "?from=yesterday&per_page=1001", status=422)
    assert fields_of(problem) == {"from", "per_page"}
    t.problem("GET", path + "?from=%s&to=%s" % (iso(end), iso(begin)), status=422)


def test_latest_is_the_newest_reading_or_null(g, t, measured):
    device, readings = measured
    latest = t.data("GET", "/devices/%s/telemetry/latest" % device)
    assert time_of(latest["timestamp"]) == max(r["at"] for r in readings)
    silent = t.make_device("silent")["id"]
    assert t.data("GET", "/devices/%s/telemetry/latest" % silent) is None
    old = datetime.datetime.now(UTC) - datetime.timedelta(hours=3)
    store(g, t.id, silent, [{"at": old, "battery": 3.5}])
    path = "/devices/%s/telemetry/latest" % silent
    assert t.data("GET", path)["battery"] == 3.5
    assert t.data("GET", path + "?minutes=60") is None
    assert t.data("GET", path + "?minutes=240")["battery"] == 3.5
    t.problem("GET", path + "?minutes=soon", status=422)
    t.problem("GET", "/devices/%s/telemetry/latest" % uuid.uuid4(), status=404)


def expected_buckets(readings, begin, end, seconds):
    buckets = {}
    for reading in readings:
        if begin <= reading["at"] <= end:
            start = int(reading["at"].timestamp()) // seconds * seconds
            buckets.setdefault(start, []).append(reading)
    return buckets


def check_buckets(rows, buckets):
    assert [int(time_of(row["time_bucket"]).timestamp()) for row in rows] == sorted(buckets)
    for row in rows:
        inside = buckets[int(time_of(row["time_bucket"]).timestamp())]
        assert row["sample_count"] == len(inside)
        for metric in METRICS:
            values = [r[metric] for r in inside if metric in r]
            if not values:
                assert row[metric] is None and row[metric + "_last"] is None
                continue
            assert math.isclose(row[metric], sum(values) / len(values), rel_tol=1e-9, abs_tol=1e-9)
            assert (row[metric + "_min"], row[metric + "_max"]) == (min(values), max(values))
            assert row[metric + "_last"] == values[-1]


@pytest.mark.parametrize("bucket, seconds", [("5m", 300), ("1h", 3600), ("6h", 21600),
                                             ("1d", 86400), ("90m", 5400), ("7200", 7200)])
def test_aggregated_equals_what_the_readings_give(t, measured, bucket, seconds):
    device, readings = measured
    for begin, end in ((readings[0]["at"], readings[-1]["at"]),
                       (readings[17]["at"], readings[-30]["at"]),
                       (readings[50]["at"], readings[52]["at"])):
        rows = t.data("GET", "/devices/%s/telemetry/aggregated?start_time=%s&end_time=%s&bucket=%s"
                      % (device, iso(begin), iso(end), bucket))
        check_buckets(rows, expected_buckets(readings, begin, end, seconds))


def test_the_hours_come_from_the_rollup(g, t, measured):
    """Raised in the rollup alone, an hour shows that it is what was read."""
    device, readings = measured
    hour = (readings[0]["at"] + datetime.timedelta(hours=2)).replace(minute=0, second=0)
    g.sql("UPDATE telemetry_hourly SET temperature_max = 999 WHERE device_id = %s AND hour = %s",
          (device, hour))
    path = "/devices/%s/telemetry/aggregated?bucket=1d&from=%s" % (device, iso(readings[0]["at"]))
    assert max(row["temperature_max"] for row in t.data("GET", path)) == 999
    g.sql("SELECT rollup_rebuild(%s, %s, %s)", (hour, hour + datetime.timedelta(hours=1), device))
    assert max(row["temperature_max"] for row in t.data("GET", path)) < 999


def test_buckets_follow_the_length_of_the_range(t, measured):
    device, _ = measured
    now = datetime.datetime.now(UTC)
    for length, seconds in ((datetime.timedelta(minutes=50), 60), (datetime.timedelta(hours=23), 3600),
                            (datetime.timedelta(days=6), 21600), (datetime.timedelta(days=30), 86400)):
        answer = t.api("GET", "/devices/%s/telemetry/aggregated?from=%s&to=%s"
                       % (device, iso(now - length), iso(now)))
        assert answer["meta"]["bucket_seconds"] == seconds
    for bucket in ("0", "5x", "-1h", "1m2", "9999999999999"):
        t.problem("GET", "/devices/%s/telemetry/aggregated?bucket=%s" % (device, bucket), status=422)
    path = "/devices/%s/telemetry/aggregated?bucket=1s&from=%s" % (device, iso(now - length))
    assert fields_of(t.problem("GET", path, status=422)) == {"bucket"}


@pytest.mark.parametrize("hours, seconds, longer", [(1, 60, 3600), (24, 3600, 21600),
                                                    (7 * 24, 21600, 86400)])
def test_a_range_of_a_whole_length_is_not_a_longer_one(t, measured, hours, seconds, longer):
    """Both ends lie in the range; one that ends now may have been on its way for a moment."""
    now = datetime.datetime.now(UTC)
    begin = now - datetime.timedelta(hours=hours)
    path = "/devices/%s/telemetry/aggregated?from=%s" % (measured[0], iso(begin))
    later = iso(now + datetime.timedelta(seconds=1))
    for end, wanted in (("&to=" + iso(now), seconds), ("", seconds), ("&to=" + later, longer)):
        assert t.api("GET", path + end)["meta"]["bucket_seconds"] == wanted


@pytest.mark.parametrize("function", ["avg", "min", "max", "sum", "last"])
def test_telemetry_gives_one_function_of_its_buckets(t, measured, function):
    device, readings = measured
    begin, end = readings[0]["at"], readings[-1]["at"]
    rows = t.data("GET", "/devices/%s/telemetry?aggregation=%s&from=%s&to=%s&bucket=6h"
                  % (device, function, iso(begin), iso(end)))
    buckets = expected_buckets(readings, begin, end, 21600)
    of = {"avg": lambda v: sum(v) / len(v), "min": min, "max": max, "sum": sum,
          "last": lambda v: v[-1]}[function]
    assert len(rows) == len(buckets)
    for row in rows:
        inside = buckets[int(time_of(row["time_bucket"]).timestamp())]
        values = [r["temperature"] for r in inside]
        assert math.isclose(row["temperature"], of(values), rel_tol=1e-9, abs_tol=1e-9)
        assert set(row) == {"time_bucket", "sample_count", *METRICS}
    for path, allowed in (("telemetry", "raw, avg, min, max, sum or last"),
                          ("telemetry/aggregated", "avg, min, max, sum or last")):
        problem = t.problem("GET", "/devices/%s/%s?aggregation=median" % (device, path), status=422)
        assert problem["errors"] == [{"field": "aggregation", "message": "must be " + allowed}]
    t.problem("GET", "/devices/%s/telemetry/aggregated?aggregation=raw" % device, status=422)


@pytest.mark.parametrize("path", ["telemetry?bucket=1h&aggregation=max",
                                  "telemetry/aggregated?bucket=1h"])
def test_buckets_come_in_pages_to_who_asks_for_them(t, measured, path):
    device, readings = measured
    path = "/devices/%s/%s&from=%s&to=%s" % (device, path, iso(readings[0]["at"]),
                                             iso(readings[-1]["at"]))
    whole = t.api("GET", path)
    total = len(whole["data"])
    assert total > 20 and whole["meta"]["total"] == total and whole["meta"]["page"] == 1
    paged = []
    for page in range(1, 5):
        answer = t.api("GET", path + "&per_page=10&page=%d" % page)
        meta = {name: answer["meta"][name] for name in ("page", "per_page", "total")}
        assert meta == {"page": page, "per_page": 10, "total": total}
        paged += answer["data"]
    assert paged == whole["data"]
    assert fields_of(t.problem("GET", path + "&per_page=0&page=x", status=422)) == {"page", "per_page"}


@pytest.mark.parametrize("minute", [5, 25])
def test_a_device_that_changes_hands_begins_anew(g, minute):
    """One tenant deletes a device, another makes it again under its id: it sees what it measures
    there, before and behind the readings of its former life in the same hour, and nothing of those."""
    former, mine = make_tenant(g), make_tenant(g)
    device, secret = former.make_device()["id"], "burnt into the device"
    now = datetime.datetime.now(UTC)
    hour = now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=3)
    store(g, former.id, device, [{"at": hour + datetime.timedelta(minutes=15), "temperature": 99.0}])
    former.data("DELETE", "/devices/" + device)
    again = json.dumps({"name": "again", "id": device, "secret": secret})
    assert mine.request("POST", "/devices/bulk", data=again).json()["status"] == 201
    topic = "%s/devices/%s/telemetry" % (mine.id, device)
    with Mqtt(g, "%s:%s" % (mine.id, device), secret) as client:
        at = iso(hour + datetime.timedelta(minutes=minute))
        client.publish(topic, {"temperature": 1.0, "timestamp": at})
        client.publish(topic, {"temperature": 2.0})
    rows = mine.data("GET", "/devices/%s/telemetry/aggregated?bucket=1h" % device)
    assert [(row["temperature_max"], row["sample_count"]) for row in rows] == [(1.0, 1), (2.0, 1)]
