"""Planned moves under load: how long a slot is with nobody, what its devices wait for, and how long
it takes to move all that a node has."""

import time

from cluster import wait_until
from cluster_nodes import (DeviceLoad, account_load, add_devices, check_answered, nodes, say,
                           waits_figures)
from cluster_owners import SLOTS, metrics, owned_by, pause_figures, pauses, set_weights
from ledger import check_stored, wait_for_rows
from members import Operator, wait_settled

NODES = "eu-1,eu-2,eu-3"
DEVICES = 200
RATE = 2000
ACTORS = 100000
LIMIT_PAUSE_MS, LIMIT_ALL_S = 50, 10
DEADLINE_S = 60


def start_load(gito, at):
    load = DeviceLoad(gito, at, connections=DEVICES, rate=RATE)
    try:
        wait_for_rows(gito, RATE)
    except BaseException:
        load.kill()
        raise
    return load


def end_load(gito, load):
    report = load.stop()
    check_answered(report)
    check_stored(gito, load)
    gito.sql("TRUNCATE telemetry, telemetry_hourly")
    return load.waits(), report


def away_and_back(gito, node):
    """All slots of the node go to the others and come back, while devices publish everywhere."""
    say("the slots of %s go and come back" % node)
    load = start_load(gito, gito.nodes)
    try:
        before, owned = pauses(gito), owned_by(gito, node, DEVICES)
        for weight in (0, 100):
            set_weights(gito, {node: weight})
            wait_settled(gito)
        waits, report = end_load(gito, load)
    finally:
        load.kill()
    return {"pauses": pause_figures(before, pauses(gito)), "puback_us": report["puback_us"],
            "owned": waits_figures([waits[device] for device in owned]),
            "all": waits_figures(waits.values())}


def drain(gito, node):
    """The node is drained by order, and ends; devices are connected at the others."""
    say("drain of %s" % node)
    living = gito.at(next(name for name in gito.nodes if name != node))
    load = start_load(living, [name for name in gito.nodes if name != node])
    try:
        owned = owned_by(living, node, DEVICES)
        Operator(living).post("/nodes/%s/drain" % node)
        wait_until(lambda: node not in gito.running(), DEADLINE_S, "the end of " + node)
        wait_settled(living)
        waits, _ = end_load(living, load)
    finally:
        load.kill()
    return {"owned": waits_figures([waits[device] for device in owned]),
            "all": waits_figures(waits.values())}


def wake_actors(gito):
    """All slots are eu-1's, and nearly all devices have an actor there."""
    say("waking %d actors" % ACTORS)
    add_devices(gito, ACTORS)
    set_weights(gito, {node: 100 if node == "eu-1" else 0 for node in gito.nodes})
    wait_settled(gito)
    # Connections are not equally quick: see memory.py.
    account_load(gito, ["eu-1"], connections=20, devices=ACTORS, messages=ACTORS * 6 // 5)
    gito.sql("TRUNCATE telemetry, telemetry_hourly")
    return metrics(gito.at("eu-1"), "gito_actors")["gito_actors"]


def move_all(gito):
    """All 4096 slots with those actors to eu-2, while devices publish at eu-2."""
    actors = wake_actors(gito)
    say("%d slots with %d actors" % (SLOTS, actors))
    target = gito.at("eu-2")
    load = start_load(gito, ["eu-2"])
    try:
        before, begin = pauses(gito), time.monotonic()
        set_weights(gito, {"eu-1": 0, "eu-2": 100})
        wait_until(lambda: metrics(target, "gito_slots")["gito_slots"] == SLOTS, DEADLINE_S,
                   "all slots at eu-2")
        seconds = time.monotonic() - begin
        waits, report = end_load(gito, load)
    finally:
        load.kill()
    moved = metrics(target, "gito_actors")["gito_actors"]
    return {"seconds": seconds, "actors": actors, "actors_at_target": moved,
            "refused": report["refused"], "pauses": pause_figures(before, pauses(gito)),
            "waits": waits_figures(waits.values()), "puback_us": report["puback_us"]}


def report_pauses(table, name, figures):
    """The buckets' bounds, so a pause is said to be too long rather than too short."""
    table.note("%s, pause of a slot p50, at most" % name, figures["p50_ms_at_most"], unit="ms")
    table.absolute("%s, pause of a slot p99, at most" % name, figures["p99_ms_at_most"], "<=",
                   LIMIT_PAUSE_MS, unit="ms")
    table.note("%s, pause of a slot max, at most" % name, figures["max_ms_at_most"], unit="ms")


def move_part(table, results, _seconds):
    with nodes(NODES) as gito:
        moved = results["move"] = {"away_and_back": away_and_back(gito, "eu-3"),
                                   "all": move_all(gito)}
        set_weights(gito, {node: 100 for node in gito.nodes})
        wait_settled(gito)
        moved["drain"] = drain(gito, "eu-3")
    one, whole, drained = moved["away_and_back"], moved["all"], moved["drain"]
    report_pauses(table, "{:,} slots under load".format(one["pauses"]["slots"]), one["pauses"])
    table.note("longest wait of their devices p99", one["owned"]["p99_ms"],
               one["puback_us"]["p99"] / 1000, "PUBACK p99", unit="ms")
    table.note("drain by order, longest wait of its devices p99", drained["owned"]["p99_ms"],
               unit="ms")
    text = "{:,} slots with {:,.0f} actors".format(SLOTS, whole["actors_at_target"])
    table.absolute(text + " moved in", whole["seconds"], "<", LIMIT_ALL_S, unit="s")
    table.absolute(text + ", refused meanwhile", whole["refused"], "<=", 0)
    report_pauses(table, text, whole["pauses"])
    table.note(text + ", longest wait of a device p99", whole["waits"]["p99_ms"], unit="ms")
