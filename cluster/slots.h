#pragma once
/*
 * slots - which node owns which part of the devices: a copy of the rows of cluster_slots.
 *
 * In:    rows as read; nobody computes owners.
 * Out:   the owner of a slot, by the number of its node.
 * Owner: the thread that made it.
 * Bound: LIMIT_SLOTS a region, LIMIT_REGIONS.
 * Holds: a row read late never undoes a newer one: an epoch goes up only.
 */
#include "proto/msg.h"

struct slot {
    uint32_t epoch;  /* goes up with each change of the owner; 0: nothing is known */
    uint16_t owner;  /* MSG_NOBODY when free */
    uint16_t target; /* where it moves to, or MSG_NOBODY */
};

struct slots {
    struct slot *region[LIMIT_REGIONS]; /* LIMIT_SLOTS each; NULL: no row of it */
};

/* XXH64 of the id's 16 bytes, modulo LIMIT_SLOTS. The same for ever: rows of the database and
 * all nodes of a cluster rely on it. */
unsigned slot_of(const struct uuid *device);

void slots_free(struct slots *self);
/* 1: the row says something new; 0: it does not; ERR_REFUSED: an older epoch than the one known;
 * ERR_MALFORMED: it moves to its owner, or from nobody. Aborts without memory. */
int slots_set(struct slots *self, uint16_t slot, const struct slot *row) MUST_CHECK;
/* Of a slot without a row: epoch 0. */
struct slot slots_get(const struct slots *self, uint16_t slot);
/* How many slots `node` owns. */
unsigned slots_count(const struct slots *self, uint16_t node);
