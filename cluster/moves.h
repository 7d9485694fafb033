#pragma once
/*
 * moves - the slots that this node gives away: which is released, committed and given when.
 *
 * In:    rows of its slots (moves_row), what its shards released (moves_released), what the
 *        database answered (moves_answered).
 * Out:   orders (moves_next): to the shards, and for the database.
 * Owner: the control thread. No I/O, no clock: the simulator runs it as it is.
 * Bound: MOVES_GROUP slots take nothing at a time.
 * Holds: 1. A slot is committed to its target only when its shard has said that it is at rest.
 *        2. Slots go in groups of one region and target: released together, committed together, and
 *           then the next. So none waits for more than its group and one transaction.
 *        3. A slot that was released and is to stay gets a new epoch, in which its shard takes it
 *           up again: what came meanwhile is sent anew.
 *        4. At one time one order for the database is out.
 *
 *   IDLE ──row: moves──> WANTED ──RELEASE──> RELEASING ──released──> RESTING ──HAND_OVER──> IDLE
 *                          row: stays │ IDLE         row: stays, and released ──KEEP──> IDLE
 */
#include "proto/err.h"
#include "proto/msg.h"

typedef struct moves moves_t;

#define MOVES_GROUP 24

enum moves_kind {
    MOVES_NONE,
    MOVES_RELEASE,   /* to the shard of slot[0] */
    MOVES_HAND_OVER, /* in one transaction: owner = target; moves_answered() follows */
    MOVES_KEEP,      /* in one transaction: they stay, in their next epoch; the same */
};

struct moves_order {
    enum moves_kind kind;
    uint16_t target;
    uint32_t epoch; /* RELEASE: of the slot */
    uint32_t count;
    uint16_t slot[MOVES_GROUP]; /* all of one region */
};

moves_t *moves_new(uint16_t node); /* NULL: out of memory */
void moves_destroy(moves_t **self_p);

/* A row as it is now. */
void moves_row(moves_t *self, uint16_t slot, uint32_t epoch, uint16_t owner, uint16_t target);
void moves_released(moves_t *self, uint16_t slot, uint32_t epoch);
/* What is to be done now, or MOVES_NONE. */
void moves_next(moves_t *self, struct moves_order *ret_order);
/* Only what is for the database: slots at rest are nobody's until then. */
void moves_next_rested(moves_t *self, struct moves_order *ret_order);
/* The answer to an order for the database: the slots' new epochs (0: the row was another, or its
 * target is not there now), or NULL: it could not be asked, and is tried again. */
void moves_answered(moves_t *self, const struct moves_order *order, const uint64_t *epochs);
/* Once a second: what was answered with 0 is tried again (a new row does so as well), and slots at
 * rest do not wait for the others of their group any longer. */
void moves_retry(moves_t *self);
/* Slots that are on their way out, or are to be. */
uint32_t moves_count(const moves_t *self);
