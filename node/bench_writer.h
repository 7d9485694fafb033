#pragma once
/*
 * bench_writer - how fast the writer stores readings, with no device and no shard before it.
 *
 * Registers a node of its own in cluster_nodes, executes batches of 1,000 readings of 10,000
 * devices for `seconds`, prints one line of JSON, removes the node.
 */
struct config;

/* 0, or ERR_* after a line on standard error. */
int bench_writer_run(const struct config *config, int seconds);
