"""What membership costs, measured on clusters of a few nodes and drawn on to a hundred: leases,
polls, probes, changes of the view. scale_page.py makes a page of it."""

import os
import re
import time

from cluster_nodes import nodes, say
from cluster_owners import SLOTS
from cluster_planner import ask_planner
from members import hold, wait_settled
from servers import ROOT

SIZES = (1, 2, 4, 8)
HUNDRED = 100
CALM_S = 2  # what a node does after its start is over
CHANGES = {"empty": (0, 40, 0.1), "all": (SLOTS, 20, 0.25)}  # slots, how often, seconds apart
# What a node's control thread reads of a slot, as sql/membership_view has it.
VIEW = ("SELECT r.number::text, s.slot::text, o.number::text, t.number::text, s.epoch::text "
        "FROM cluster_slots s JOIN cluster_regions r USING (region) "
        "LEFT JOIN cluster_nodes o ON o.node_id = s.owner "
        "LEFT JOIN cluster_live t ON t.node_id = s.target")
# Not one statement of several parts: a part that nothing comes of may be left out, and be it NOTIFY.
CHANGE = ("UPDATE cluster_version SET version = version + 1; "
          "UPDATE cluster_slots SET changed = (SELECT version FROM cluster_version) WHERE slot < %s; "
          "SELECT pg_notify('gito_view', version::text) FROM cluster_version")


def constant(path, name):
    """The number of a #define."""
    with open(os.path.join(ROOT, path), encoding="utf-8") as file:
        return int(re.search(r"#define %s (\d+)" % name, file.read()).group(1))


def setting(name):
    """Its default."""
    with open(os.path.join(ROOT, "node/config.def"), encoding="utf-8") as file:
        return int(re.search(r'"%s", (\d+)' % name, file.read()).group(1))


def transactions(gito):
    return gito.sql("SELECT xact_commit FROM pg_stat_database WHERE datname = current_database()")[0][0]


def cpu_of(pid):
    """To the nanosecond, where /proc/PID/stat counts in ticks: of threads that are there."""
    total = 0
    for thread in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/schedstat" % (pid, thread), encoding="utf-8") as file:
            total += int(file.read().split()[0])
    return total / 1e9


def cpu_of_all(gito):
    """Of the sessions in the database those that stay: the nodes', not the benchmark's own."""
    postgres = gito.postgres_pid()
    with open("/proc/%d/task/%d/children" % (postgres, postgres), encoding="utf-8") as file:
        sessions = {int(word): 0 for word in file.read().split()}
    for pid in sessions:
        try:
            sessions[pid] = cpu_of(pid)
        except (FileNotFoundError, ProcessLookupError):
            pass
    return sum(cpu_of(gito.node_pid(node)) for node in gito.running()), sessions


def over(gito, seconds, work=lambda: None):
    """CPU seconds and transactions a second, of nodes and database, while that is done."""
    done, begin, (nodes_before, before) = transactions(gito), time.monotonic(), cpu_of_all(gito)
    work()
    hold(max(0, begin + seconds - time.monotonic()))
    nodes_after, after = cpu_of_all(gito)
    took = time.monotonic() - begin
    postgres = sum(value - before[pid] for pid, value in after.items() if pid in before)
    return {"seconds": took, "nodes": (nodes_after - nodes_before) / took,
            "postgres": postgres / took, "transactions": (transactions(gito) - done) / took}


def connections(gito):
    """Sessions of a node in the database: those that are always there, and what it may have."""
    rows = gito.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'eu-1/%'")
    threads = [setting("WRITER_THREADS"), setting("QUERY_THREADS")]  # each, when first used
    return {"always": rows[0][0], "most": rows[0][0] + sum(threads)}


def view_bytes(gito):
    """Of the slots' rows as PostgreSQL's protocol has them: 7 bytes a row, 4 a column."""
    rows = gito.sql(VIEW)
    return sum(7 + sum(4 + len(text or "") for text in row) for row in rows)


def change_views(gito, slots, count, pause):
    """So many changes of the view, each with so many slots that look new and are as they were."""
    connection = gito.pg()
    connection.autocommit = False
    with connection.cursor() as cursor:
        for _ in range(count):
            cursor.execute(CHANGE, (slots,))
            connection.commit()
            hold(pause)
    connection.close()


def measure_size(gito, seconds):
    say("%d nodes at rest, and their views changed" % len(gito.nodes))
    hold(CALM_S)
    idle = over(gito, seconds)
    figures = {"nodes": len(gito.nodes), "idle": idle, "connections_of_a_node": connections(gito)}
    for name, (slots, count, pause) in CHANGES.items():
        gito.sql("VACUUM ANALYZE cluster_slots")
        busy = over(gito, 0, lambda: change_views(gito, slots, count, pause))
        more = {part: (busy[part] - idle[part]) * busy["seconds"] / count
                for part in ("nodes", "postgres")}
        figures[name] = dict(more, slots=slots, changes=count)
    return figures


def line(points):
    """(at zero, per unit) of the straight line through (x, y) with the least squares."""
    n, sx, sy = len(points), sum(x for x, _ in points), sum(y for _, y in points)
    slope = ((n * sum(x * y for x, y in points) - sx * sy)
             / (n * sum(x * x for x, _ in points) - sx * sx))
    return (sy - slope * sx) / n, slope


def extrapolate(sizes):
    """To HUNDRED nodes. The database's work grows with the nodes, that of one node for its probes
    with its peers, that of all for a change of the view with the nodes that read it."""
    def postgres(n):
        at_zero, slope = line([(size["nodes"], size["idle"]["postgres"]) for size in sizes])
        return at_zero + slope * n

    def of_a_node(n):
        at_zero, slope = line([(size["nodes"] - 1, size["idle"]["nodes"] / size["nodes"])
                               for size in sizes])
        return at_zero + slope * (n - 1)

    def change(name, part):
        _, slope = line([(size["nodes"], size[name][part]) for size in sizes])
        return slope * HUNDRED

    ttl = constant("cluster/lease.h", "LEASE_TTL_MS")
    period = constant("cluster/probe.h", "PROBE_PERIOD_US")
    per_node = line([(size["nodes"], size["idle"]["transactions"]) for size in sizes])[1]
    return {
        "nodes": HUNDRED,
        "renewals_per_s": HUNDRED * 4 * 1000 / ttl,
        "transactions_per_s": per_node * HUNDRED,
        "postgres_cores_idle": postgres(HUNDRED),
        "cores_of_a_node_idle": of_a_node(HUNDRED),
        "probes_per_s_of_a_node": 2 * (HUNDRED - 1) * 1e6 / period,
        "probes_per_s": 2 * HUNDRED * (HUNDRED - 1) * 1e6 / period,
        "connections": HUNDRED * sizes[-1]["connections_of_a_node"]["most"],
        "change": {name: {part: change(name, part) for part in ("nodes", "postgres")}
                   for name in CHANGES},
    }


def hundred_part(table, results, seconds):
    with nodes("eu-1") as gito:
        sizes = []
        for size in SIZES:
            for number in range(len(gito.nodes), size):
                gito.nodes.append("eu-%d" % (number + 1))
                gito.start_node(gito.nodes[-1])
            wait_settled(gito)
            sizes.append(measure_size(gito, seconds))
        view = view_bytes(gito)
    far = extrapolate(sizes)
    far["plan_ms"] = ask_planner(HUNDRED)[-1]["plan_us"] / 1000
    results["hundred"] = {"sizes": sizes, "view_bytes": view, "at": far}
    report(table, sizes[-1], view, far)


def report(table, largest, view, far):
    measured = "measured, {} nodes".format(largest["nodes"])
    idle = largest["idle"]
    table.note("100 nodes at rest: cores of PostgreSQL", far["postgres_cores_idle"],
               idle["postgres"], measured)
    table.note("100 nodes at rest: transactions/s", far["transactions_per_s"], idle["transactions"],
               measured)
    table.note("100 nodes at rest: cores of one node", far["cores_of_a_node_idle"],
               idle["nodes"] / largest["nodes"], measured)
    for name, slots in (("empty", "no slot"), ("all", "all slots of a region")):
        table.note("a change of the view with %s, read by 100 nodes: PostgreSQL" % slots,
                   far["change"][name]["postgres"], largest[name]["postgres"], measured,
                   unit="CPU-s")
    table.note("size of a view of one region's slots", view / 1000, unit="kB")
    table.note("database connections of 100 nodes, at most", far["connections"],
               largest["connections_of_a_node"]["most"], "of one node")
    table.note("time of the planner, 100 nodes", far["plan_ms"], unit="ms")
