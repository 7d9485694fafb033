#pragma once
/*
 * histogram - latencies in nanoseconds, in buckets that are linear within each power of two.
 *
 * A quantile is the upper edge of its bucket: at most 1/64 above the true value, never below.
 */
#include <stdint.h>

enum { HISTOGRAM_SUB_BITS = 6, HISTOGRAM_BUCKETS = (64 - HISTOGRAM_SUB_BITS + 1) << 6 };

struct histogram {
    uint64_t bucket[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t max_ns;
    double sum_ns;
};

/* A negative latency (the clock is monotonic, but a due time may lie just ahead) counts as 0. */
void histogram_add(struct histogram *self, int64_t ns);
/* Microseconds below which the given fraction of the latencies lie; 0 when there are none. */
double histogram_quantile_us(const struct histogram *self, double fraction);
double histogram_mean_us(const struct histogram *self);
