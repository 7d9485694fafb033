#pragma once
/*
 * bench_planner - how many slots move, and how even they lie, as a region grows node by node.
 *
 * Prints one line of JSON; asks nobody. From `nodes` to `nodes` + 1 and back: `moved` and
 * `moved_back` as parts of all slots, `max_over_mean` of what the nodes then hold, `plan_us` the
 * planner's time.
 */

/* Up to `nodes_max` nodes, below LIMIT_NODES. 0, or ERR_* after a line on standard error. */
int bench_planner_run(int nodes_max);
