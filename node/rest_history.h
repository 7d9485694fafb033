#pragma once
/*
 * rest_history - what telemetry reads share: the range asked for, and what a device has.
 */
#include "node/rest_bucket.h"
#include "node/rest_call.h"

/* A timestamp as microseconds since the Unix epoch. */
#define EPOCH_US(column) "(extract(epoch FROM " column ") * 1000000)::bigint"

struct history {
    bool any;                     /* the device has readings */
    int64_t oldest_us, newest_us; /* timestamps of its first and last reading */
};

/* start_time|from and end_time|to, both included in the range. `ret_given`: from was there. */
struct bucket_range history_range(struct call *call, bool *ret_given);
/* False: answered (404: no such device). */
bool history_read(struct call *call, struct history *ret_history);

/* The answer of …/telemetry?aggregation=… and of …/aggregated, which has all functions where it is
 * not asked for one. `others`: what else `aggregation` may be there, as "raw, ", for who mistypes.
 */
void history_aggregate(struct call *call, const char *others);
