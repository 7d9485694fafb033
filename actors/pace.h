#pragma once
/*
 * pace - when a shard's next batch goes to the writer
 *
 * In:    what was sent, when.
 * Out:   how long to wait.
 * Owner: one shard thread. Pure: the clock is the caller's, and monotonic.
 *
 * A batch at once gives the shortest wait when readings are few. When they are many, batches of a
 * millisecond each cost the node, PostgreSQL and the sockets twice the work a reading, and what is
 * left of two cores no longer makes up for a stall of the disk. So dense batches leave at most
 * every LIMIT_PACE_US.
 */
#include "proto/limits.h"
#include <stdbool.h>
#include <stdint.h>

struct pace {
    int64_t sent_us; /* when the last batch left */
    bool dense;
};

/* Microseconds until the next batch may leave; 0: now. */
int64_t pace_wait_us(const struct pace *self, int64_t now_us);
/* A batch of so many rows leaves now. */
void pace_sent(struct pace *self, uint32_t rows, int64_t now_us);
