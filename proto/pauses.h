#pragma once
/*
 * pauses - how long slots on their way from a living owner to the next were with nobody: counted
 * in buckets by their upper bounds.
 */
#include <stdint.h>

/* Milliseconds; one more bucket is for what is longer. */
static const int64_t pauses_bound_ms[] = {1,  2,  5,  10,  15,  20,  25,  30,
                                          40, 50, 75, 100, 250, 500, 1000};
#define PAUSES_BOUNDS (sizeof pauses_bound_ms / sizeof *pauses_bound_ms)

struct pauses {
    int64_t count[PAUSES_BOUNDS + 1];
    int64_t sum_us;
};

static inline void pauses_add(struct pauses *self, int64_t us)
{
    unsigned i = 0;
    while (i < PAUSES_BOUNDS && us > pauses_bound_ms[i] * 1000)
        i++;
    self->count[i]++;
    self->sum_us += us;
}
