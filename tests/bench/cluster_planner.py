"""How many slots move when a region grows by a node, and how evenly they lie: the planner alone."""

import json
import subprocess

from servers import program

NODES = 50
MORE = 0.005  # of all slots, above the fewest that can
UNEVEN = 1.05


def ask_planner(nodes):
    """The steps from 1 node to `nodes` and one more, each there, back and there again."""
    result = subprocess.run([program("gito-node", "GITO_NODE"), "--bench-planner", str(nodes)],
                            stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(result.stdout)["steps"]


def planner_part(table, results, _seconds):
    steps = ask_planner(NODES)
    for step in steps:
        step["fewest"] = 1 / (step["nodes"] + 1)
        step["above"] = max(step["moved"], step["moved_back"]) - step["fewest"]
    uneven = max(max(step["max_over_mean"], step["max_over_mean_back"]) for step in steps)
    above = max(step["above"] for step in steps)
    results["planner"] = {"steps": steps, "above_fewest": above, "max_over_mean": uneven}
    text = "1 to %d nodes and one more: " % NODES
    table.absolute(text + "slots moved above 1/(N+1), of all", above, "<=", MORE)
    table.absolute(text + "slots of a node, most over mean", uneven, "<=", UNEVEN)
    table.note("slots moved from 10 to 11 nodes, of all", steps[9]["moved"], steps[9]["fewest"],
               "fewest that can")
    table.note("time of the planner, longest", max(step["plan_us"] for step in steps) / 1000,
               unit="ms")
