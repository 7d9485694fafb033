#pragma once
/*
 * rest_aggregate - readings and hours, oldest first, become buckets, oldest first. Pure.
 *
 * Bound: one bucket at a time; it ends, and is written out, when the next begins.
 */
#include "proto/buf.h"
#include "proto/metric.h"
#include <stdint.h>

/* What a bucket tells of each metric; ALL: all but the sum, the average under the metric's name. */
enum aggregate_function {
    AGGREGATE_AVG,
    AGGREGATE_MIN,
    AGGREGATE_MAX,
    AGGREGATE_SUM,
    AGGREGATE_LAST,
    AGGREGATE_FUNCTIONS,
    AGGREGATE_ALL = AGGREGATE_FUNCTIONS
};

extern const char *const aggregate_names[AGGREGATE_FUNCTIONS];

struct aggregate_value {
    int64_t count; /* 0: the rest means nothing */
    double min, max, sum, last;
};

struct aggregate {
    struct buf *out; /* elements of a JSON array, with commas between them */
    enum aggregate_function function;
    int64_t first, end; /* of all buckets, those that are written */
    int64_t width_us, start_us, samples;
    int64_t buckets; /* that ended so far */
    struct aggregate_value metric[METRICS];
};

void aggregate_begin(struct aggregate *self, struct buf *out, int64_t seconds,
                     enum aggregate_function function);
/* Of all buckets only `count` are to be written, from number `first` on; the first is number 0. */
void aggregate_page(struct aggregate *self, int64_t first, int64_t count);
/* Adds what was measured from `at_us` on; `at_us` never goes back. */
void aggregate_add(struct aggregate *self, int64_t at_us, int64_t samples,
                   const struct aggregate_value metric[static METRICS]);
void aggregate_end(struct aggregate *self);
