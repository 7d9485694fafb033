#pragma once
/*
 * metrics - the node's counters and gauges (metrics.def) and the pauses of moved slots, for
 * /metrics.
 *
 * Any thread adds; relaxed atomics, no lock.
 */
#include "proto/buf.h"
#include "proto/pauses.h"
#include <stdint.h>

enum metric_id {
#define COUNTER(id, name, help) METRIC_##id,
#define GAUGE(id, name, help) METRIC_##id,
#include "node/metrics.def"
#undef COUNTER
#undef GAUGE
    METRIC_IDS
};

void metrics_add(enum metric_id id, int64_t n);
int64_t metrics_get(enum metric_id id);
/* What `now` counts more than `told`. */
void metrics_add_pauses(const struct pauses *now, const struct pauses *told);
/* Prometheus text format 0.0.4. */
void metrics_print(struct buf *out);
