#include "node/rest_aggregate.h"
#include "node/rest_bucket.h"
#include "proto/timestamp.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOT_STARTED INT64_MIN

const char *const aggregate_names[AGGREGATE_FUNCTIONS] = {"avg", "min", "max", "sum", "last"};

void aggregate_begin(struct aggregate *self, struct buf *out, int64_t seconds,
                     enum aggregate_function function)
{
    *self = (struct aggregate){.out = out,
                               .function = function,
                               .end = INT64_MAX,
                               .width_us = seconds * 1000000,
                               .start_us = NOT_STARTED};
}

void aggregate_page(struct aggregate *self, int64_t first, int64_t count)
{
    self->first = first;
    self->end = first + count;
}

/* Most of what is measured has few digits. Whole / 10^n is rounded correctly (both are exact), so
 * where it gives the value back, its decimal text does so too. */
static bool put_short(struct buf *out, double value)
{
    static const double powers[] = {1, 10, 100, 1e3, 1e4};
    if (!(fabs(value) < 1e9))
        return false;
    for (int digits = 0; digits < 5; digits++) {
        double whole = nearbyint(value * powers[digits]);
        if (whole / powers[digits] != value)
            continue;
        int64_t units = (int64_t)fabs(whole), power = (int64_t)powers[digits];
        if (whole < 0)
            buf_putc(out, '-');
        buf_printf(out, "%ld", (long)(units / power));
        if (digits > 0)
            buf_printf(out, ".%0*ld", digits, (long)(units % power));
        return true;
    }
    return false;
}

/* What was measured is written as short as it reads back the same; an average or a sum, which is
 * computed, with the digits that a double surely holds. */
static void put_number(struct buf *out, double value, bool measured)
{
    char text[32];
    if (put_short(out, value))
        return;
    snprintf(text, sizeof text, "%.15g", value);
    if (measured && strtod(text, NULL) != value)
        snprintf(text, sizeof text, "%.17g", value);
    buf_puts(out, text);
}

static void put_value(struct buf *out, enum metric metric, const char *suffix,
                      const struct aggregate_value *value, enum aggregate_function function)
{
    buf_puts(out, ",\"");
    buf_puts(out, metric_names[metric]);
    buf_puts(out, suffix);
    buf_puts(out, "\":");
    if (value->count == 0)
        buf_puts(out, "null");
    else if (function == AGGREGATE_AVG)
        put_number(out, value->sum / (double)value->count, false);
    else if (function == AGGREGATE_SUM)
        put_number(out, value->sum, false);
    else
        put_number(out,
                   function == AGGREGATE_MIN   ? value->min
                   : function == AGGREGATE_MAX ? value->max
                                               : value->last,
                   true);
}

static void write_bucket(struct aggregate *self)
{
    char start[TIMESTAMP_TEXT_SIZE];
    int64_t number = self->buckets++;
    if (number < self->first || number >= self->end)
        return;
    timestamp_format(self->start_us, start);
    if (number > self->first)
        buf_putc(self->out, ',');
    buf_printf(self->out, "{\"time_bucket\":\"%.19s+00:00\"", start);
    for (enum metric m = 0; m < METRICS; m++) {
        const struct aggregate_value *value = &self->metric[m];
        bool all = self->function == AGGREGATE_ALL;
        put_value(self->out, m, "", value, all ? AGGREGATE_AVG : self->function);
        if (!all)
            continue;
        put_value(self->out, m, "_min", value, AGGREGATE_MIN);
        put_value(self->out, m, "_max", value, AGGREGATE_MAX);
        put_value(self->out, m, "_last", value, AGGREGATE_LAST);
    }
    buf_printf(self->out, ",\"sample_count\":%ld}", (long)self->samples);
}

static void merge(struct aggregate_value *into, const struct aggregate_value *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0) {
        *into = *from;
        return;
    }
    into->count += from->count;
    into->sum += from->sum;
    into->last = from->last;
    if (from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
}

void aggregate_add(struct aggregate *self, int64_t at_us, int64_t samples,
                   const struct aggregate_value metric[static METRICS])
{
    int64_t start = bucket_start(at_us, self->width_us);
    if (start != self->start_us) {
        aggregate_end(self);
        self->start_us = start;
    }
    self->samples += samples;
    for (unsigned m = 0; m < METRICS; m++)
        merge(&self->metric[m], &metric[m]);
}

void aggregate_end(struct aggregate *self)
{
    if (self->start_us != NOT_STARTED)
        write_bucket(self);
    self->start_us = NOT_STARTED;
    self->samples = 0;
    memset(self->metric, 0, sizeof self->metric);
}
