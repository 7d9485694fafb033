#pragma once
/*
 * slots - which node owns which part of the devices: a copy of a region's rows of cluster_slots.
 *
 * In:    rows as read; nobody computes owners.
 * Out:   the owner of a device, as index into the view's list of nodes.
 * Owner: the thread that made it.
 * Bound: LIMIT_SLOTS.
 * Holds: a row read late never undoes a newer one: an epoch goes up only.
 */
#include "proto/limits.h"
#include "proto/uuid.h"

#define SLOT_NOBODY UINT16_MAX

enum slot_state { SLOT_FREE, SLOT_OWNED, SLOT_MOVING, SLOT_STATES };

struct slot {
    uint64_t epoch;  /* goes up with each change of the owner */
    uint16_t owner;  /* SLOT_NOBODY when free */
    uint16_t target; /* where it moves to, or SLOT_NOBODY */
    uint8_t state;   /* enum slot_state */
};

struct slots {
    struct slot at[LIMIT_SLOTS];
};

/* XXH64 of the id's 16 bytes, modulo LIMIT_SLOTS. The same for ever: rows of the database and
 * all nodes of a cluster rely on it. */
unsigned slot_of(const struct uuid *device);

/* All free. */
void slots_init(struct slots *self);
/* 0; ERR_MALFORMED: no such slot, or a state that its owner and target do not fit;
 * ERR_REFUSED: an older epoch than the one known. */
int slots_set(struct slots *self, unsigned slot, const struct slot *row) MUST_CHECK;
/* Index of the node, or SLOT_NOBODY. */
uint16_t slots_owner(const struct slots *self, const struct uuid *device);
/* How many slots `node` owns. */
unsigned slots_count(const struct slots *self, uint16_t node);
