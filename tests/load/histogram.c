#include "histogram.h"
#include <math.h>
#include <stddef.h>

enum { SUB = 1 << HISTOGRAM_SUB_BITS };

static size_t bucket_of(uint64_t ns)
{
    if (ns < SUB)
        return (size_t)ns;
    int exponent = 63 - __builtin_clzll(ns);
    int shift = exponent - HISTOGRAM_SUB_BITS;
    return (size_t)(shift + 1) * SUB + (size_t)((ns >> shift) & (SUB - 1));
}

static uint64_t upper_edge(size_t bucket)
{
    if (bucket < SUB)
        return bucket;
    size_t shift = bucket / SUB - 1;
    uint64_t first = (uint64_t)(SUB + bucket % SUB) << shift;
    return first + ((UINT64_C(1) << shift) - 1);
}

void histogram_add(struct histogram *self, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    self->bucket[bucket_of(value)]++;
    self->count++;
    self->sum_ns += (double)value;
    if (value > self->max_ns)
        self->max_ns = value;
}

double histogram_quantile_us(const struct histogram *self, double fraction)
{
    uint64_t rank = (uint64_t)ceil(fraction * (double)self->count), seen = 0;
    if (self->count == 0)
        return 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += self->bucket[i];
        if (seen >= rank && seen > 0)
            return fmin((double)upper_edge(i), (double)self->max_ns) / 1e3;
    }
    return (double)self->max_ns / 1e3;
}

double histogram_mean_us(const struct histogram *self)
{
    return self->count ? self->sum_ns / (double)self->count / 1e3 : 0;
}
