"""Makes SCALE.md of a result of ./gito bench cluster: scale_page.py build/bench/cluster.json >
tests/bench/SCALE.md. Every figure on the page is from there. Of several files the later ones count,
so that a part that was measured again replaces what it was."""

import json
import sys

from cluster_owners import SLOTS

PAGE = """# A hundred nodes

What membership of 100 nodes in one region would cost, drawn on from clusters of {sizes} nodes that
`./gito bench cluster-hundred` measured on one machine of {cores} cores. `scale_page.py` made this page of the
benchmark's JSON; no figure on it was written by hand. The machine's load average before was {load:.1f}: above
{cores} others worked on it too, and the figures are to be measured again.

| what | grows with | {last} nodes, measured | 100 nodes |
|---|---|---|---|
| renewals of leases, all nodes | nodes | {renewals_last:.1f}/s | {renewals:.0f}/s |
| transactions of nodes at rest (leases, polls) | nodes | {transactions_last:.0f}/s | {transactions:.0f}/s |
| PostgreSQL for nodes at rest | nodes | {pg_last:.3f} cores | {pg:.2f} cores |
| probes and their answers, at one node | peers | {probes_last:.0f}/s | {probes:.0f}/s |
| one node at rest, its probes with it | peers | {node_last:.4f} cores | {node:.3f} cores |
| connections of the mesh, at one node | peers | {mesh_last} | {mesh} |
| connections to the database, at most | nodes | {connections_last} | {connections} |
| slots of a node, of {slots} | 1 / nodes | {slots_last:.0f} | {slots_of:.0f} |
| the planner | slots, nodes | | {plan:.1f} ms |

A change of the view is told by one NOTIFY to every node, and each reads what is new: the nodes of the
cluster and the slots that changed. All of a region's slots are {view:.0f} kB.

| change of the view, all nodes together | {last} nodes, measured: PostgreSQL | 100 nodes: PostgreSQL | the nodes |
|---|---|---|---|
| of members alone | {empty_last:.1f} CPU-ms | {empty:.0f} CPU-ms | {empty_nodes:.1f} CPU-ms |
| of all slots of a region | {all_last:.0f} CPU-ms | {all:.0f} CPU-ms | {all_nodes:.0f} CPU-ms |
| a node dies: {slots_of:.0f} slots, one change | | {death:.0f} CPU-ms | |
| a node is drained: {slots_of:.0f} slots, each to another node | | {drain:.1f} CPU-s in {slots_of:.0f} changes | |
| every node is replaced in turn, drained and started | | {roll:.0f} CPU-s in {roll_changes:,.0f} changes | |

Readings: of 100 nodes 99 in 100 messages have their owner elsewhere, and at moderate rates frames do
not fill. A frame of one item costs {frame:.1f} us of CPU in the mesh of both sides together, a full one
{item:.2f} us an item (`gito-mesh-bench`); a message makes one, its answer another.

## What would end first

1. Connections: {connections} to one PostgreSQL. A node keeps {always} sessions for itself, the others are its
   threads that write and answer requests; with `QUERY_THREADS=1` they are {connections_few}.
2. Changes of the view are one after the other, each under one lock for three round trips to the
   database: a drained node's hand-overs wait for each other, as do those of nodes drained together.
3. PostgreSQL itself, for readings: that limit is no other with 100 nodes than with one.

## Assumptions

- Costs grow as straight lines: in the nodes for the database and for changes of the view, in the
  peers for a node. The lines are those of the least squares through the measured sizes.
- One region, weights equal. More regions add {slots} slots each to a full view, and nothing to a
  change of the others'.
- Nodes at rest, one writer and four query threads each; statements cost what they cost here, where
  all share {cores} cores; the network between nodes and database is near.
- A drain moves each slot to another node, so that none shares a transaction: the worst case.
- Probes are two messages each {period:.1f} s and peer, leases are renewed four times in {ttl:.0f} s.
"""


def figures(result):
    hundred, mesh = result["hundred"], result["distance"]["mesh"]
    at, last = hundred["at"], hundred["sizes"][-1]
    nodes = last["nodes"]
    change, slots_of = at["change"], SLOTS / at["nodes"]
    a_slot = (change["all"]["postgres"] - change["empty"]["postgres"]) / SLOTS
    of_one = change["empty"]["postgres"] + a_slot
    most, always = (last["connections_of_a_node"][name] for name in ("most", "always"))
    renewals = at["renewals_per_s"] / at["nodes"]
    probes = at["probes_per_s_of_a_node"] / (at["nodes"] - 1)
    return {
        "sizes": ", ".join(str(size["nodes"]) for size in hundred["sizes"]),
        "cores": result["cores"], "load": result["load_before"], "last": nodes,
        "renewals_last": renewals * nodes, "renewals": at["renewals_per_s"],
        "transactions_last": last["idle"]["transactions"], "transactions": at["transactions_per_s"],
        "pg_last": last["idle"]["postgres"], "pg": at["postgres_cores_idle"],
        "probes_last": probes * (nodes - 1), "probes": at["probes_per_s_of_a_node"],
        "node_last": last["idle"]["nodes"] / nodes, "node": at["cores_of_a_node_idle"],
        "mesh_last": 4 * (nodes - 1), "mesh": 4 * (at["nodes"] - 1),
        "connections_last": nodes * most, "connections": at["connections"], "always": always,
        "connections_few": at["nodes"] * (always + 2),
        "slots": SLOTS, "slots_last": SLOTS / nodes, "slots_of": slots_of, "plan": at["plan_ms"],
        "view": hundred["view_bytes"] / 1000,
        "empty_last": last["empty"]["postgres"] * 1000, "empty": change["empty"]["postgres"] * 1000,
        "empty_nodes": change["empty"]["nodes"] * 1000,
        "all_last": last["all"]["postgres"] * 1000, "all": change["all"]["postgres"] * 1000,
        "all_nodes": change["all"]["nodes"] * 1000,
        "death": (change["empty"]["postgres"] + a_slot * slots_of) * 1000,
        "drain": of_one * slots_of,
        # Drained, and filled again by as many hand-overs; its coming and going besides.
        "roll": (of_one * 2 * slots_of + 3 * change["empty"]["postgres"]) * at["nodes"],
        "roll_changes": (2 * slots_of + 3) * at["nodes"],
        "frame": 1e6 / mesh["frames of one item"]["items_per_cpu_s"],
        "item": 1e6 / mesh["greatest rate"]["items_per_cpu_s"],
        "period": 2 * (at["nodes"] - 1) / at["probes_per_s_of_a_node"],
        "ttl": 4 / renewals,
    }


def main():
    result = {}
    for path in sys.argv[1:]:
        with open(path, encoding="utf-8") as file:
            result.update(json.load(file))
    print(PAGE.format(**figures(result)), end="")


if __name__ == "__main__":
    main()
