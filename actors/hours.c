#include "actors/hours.h"
#include <stdlib.h>

static void count_in(struct hour_stats *stats, const struct batch_row *row)
{
    stats->samples++;
    for (unsigned i = 0; i < METRICS; i++) {
        if (!(row->present & 1U << i))
            continue;
        double value = row->value[i];
        if (stats->metric[i].count == 0 || value < stats->metric[i].min)
            stats->metric[i].min = value;
        if (stats->metric[i].count == 0 || value > stats->metric[i].max)
            stats->metric[i].max = value;
        stats->metric[i].count++;
        stats->metric[i].sum += value;
        stats->metric[i].last = value;
    }
}

static struct batch_rollup *add_rollup(struct batch *batch, const struct batch_row *row,
                                       int64_t hour_us, bool is_rebuild)
{
    struct batch_rollup *rollup = batch_add_rollups(batch);
    if (rollup != NULL) {
        rollup->tenant = row->tenant;
        rollup->device = row->device;
        rollup->hour_us = hour_us;
        rollup->rebuild = is_rebuild;
        batch->rebuilds += is_rebuild;
    }
    return rollup;
}

/* Once a batch and hour is enough: it runs after all rows. Late readings come in runs, so the
 * last few rollups tell nearly always; doing one twice is waste, not wrong. */
static int rebuild(struct batch *batch, const struct batch_row *row, int64_t hour_us)
{
    uint32_t n = batch->rollups_count, from = n > 8 ? n - 8 : 0;
    for (uint32_t i = from; i < n; i++)
        if (batch->rollups[i].rebuild && batch->rollups[i].hour_us == hour_us &&
            uuid_equal(&batch->rollups[i].device, &row->device))
            return 0;
    return add_rollup(batch, row, hour_us, true) == NULL ? ERR_MEMORY : 0;
}

static int close_hour(const struct hours *self, struct batch *batch, const struct batch_row *row,
                      int64_t hour_us)
{
    if (self == NULL)
        return rebuild(batch, row, hour_us);
    struct batch_rollup *rollup = add_rollup(batch, row, hour_us, false);
    if (rollup == NULL)
        return ERR_MEMORY;
    rollup->stats = self->stats;
    return 0;
}

int hours_rebuild(struct batch *batch, const struct batch_row *row)
{
    return rebuild(batch, row, hour_of(row->timestamp_us));
}

int hours_add(struct hours **self_p, struct batch *batch, const struct batch_row *row,
              int64_t newest_us)
{
    int64_t hour = hour_of(row->timestamp_us), newest_hour = hour_of(newest_us);
    struct hours *self = *self_p;
    if (newest_us != 0 && hour < newest_hour)
        return rebuild(batch, row, hour);
    if (newest_us != 0 && hour == newest_hour) {
        if (self != NULL && row->timestamp_us < newest_us) {
            /* Its sums would do, but not its last values: let the close rebuild it. */
            free(self);
            *self_p = NULL;
        } else if (self != NULL) {
            count_in(&self->stats, row);
        }
        return 0;
    }
    struct hours *fresh = calloc(1, sizeof *fresh);
    if (fresh == NULL || (newest_us != 0 && close_hour(self, batch, row, newest_hour) != 0)) {
        free(fresh);
        return ERR_MEMORY;
    }
    fresh->hour_us = hour;
    count_in(&fresh->stats, row);
    free(self);
    *self_p = fresh;
    return 0;
}
