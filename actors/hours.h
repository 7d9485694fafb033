#pragma once
/*
 * hours - the hour of a device's newest reading, summed up in memory as it fills.
 *
 * Every hour before that of the newest reading has its row in telemetry_hourly, written by the
 * transaction of the reading that made it so:
 *   1. a reading in a newer hour closes the old one: with the sums in memory when they are
 *      complete, else rebuilt from the readings (after a crash, a passivation);
 *   2. a late reading, in an older hour, has that hour rebuilt.
 * So a reader takes rows for the hours before the newest and readings from there on.
 *
 * Owner: the device's actor; NULL: not complete in memory.
 */
#include "proto/batch.h"

struct hours {
    int64_t hour_us;
    struct hour_stats stats;
};

#define HOUR_US 3600000000LL

static inline int64_t hour_of(int64_t timestamp_us)
{
    return timestamp_us - timestamp_us % HOUR_US;
}

/* Counts `row` in, whose device's newest reading so far is of newest_us (0: none), and adds what
 * is to be written to `batch`. 0 or ERR_MEMORY: then the batch is as it was. */
int hours_add(struct hours **self_p, struct batch *batch, const struct batch_row *row,
              int64_t newest_us) MUST_CHECK;
/* Adds to `batch` that the hour of `row` is summed up from the readings. 0 or ERR_MEMORY. */
int hours_rebuild(struct batch *batch, const struct batch_row *row) MUST_CHECK;
