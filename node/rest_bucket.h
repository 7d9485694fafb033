#pragma once
/*
 * rest_bucket - ranges of time, their buckets, and which hours of them come from the rollup. Pure.
 *
 * Times are microseconds since the Unix epoch, UTC; ranges are half open.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>

#define SECOND_US INT64_C(1000000)
#define HOUR_US (3600 * SECOND_US)
#define DAY_US (24 * HOUR_US)
#define BUCKETS_MAX 10000

struct bucket_range {
    int64_t from_us, end_us;
};

/* [from, hours_from) and [hours_end, end) come from the readings, what lies between from the
 * hours: from <= hours_from <= hours_end <= end. */
struct bucket_pieces {
    int64_t from_us, hours_from_us, hours_end_us, end_us;
};

/* `90`, `90s`, `5m`, `1h`, `1d`: seconds, 1 s to 366 days. 0 or ERR_MALFORMED. */
int bucket_parse(const char *text, int64_t *ret_seconds) MUST_CHECK;
/* What the contract gives to a range where none is asked for; one that is longer than it says by
 * no more than `slack_us` counts as not longer. */
int64_t bucket_automatic(const struct bucket_range *range, int64_t slack_us);
/* Where the bucket begins that holds `at_us`: buckets of `width_us` are counted from a Monday on,
 * 2001-01-01, UTC. */
int64_t bucket_start(int64_t at_us, int64_t width_us);
/* How many buckets touch the range. */
int64_t bucket_count(const struct bucket_range *range, int64_t seconds);
/* Every hour before the one of `newest_us` has its row; `use_hours` false: readings only. */
struct bucket_pieces bucket_split(const struct bucket_range *range, bool use_hours,
                                  int64_t newest_us);
