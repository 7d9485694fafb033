#include "cluster/moves.h"
#include "proto/check.h"
#include <stdlib.h>

#define SLOTS_ALL (LIMIT_REGIONS * LIMIT_SLOTS)

enum state { IDLE, WANTED, RELEASING, RESTING, REFUSED, STATES };

struct move {
    uint32_t epoch;
    uint16_t target; /* MSG_NOBODY: it is to stay after all */
    uint8_t state;
};

struct moves {
    uint16_t node;
    uint32_t counts[STATES];
    uint32_t at;             /* where the search for the next one goes on */
    bool asked;              /* the database is */
    bool hurry;              /* what is at rest goes without the rest of its group */
    uint16_t region, target; /* of the group that was released last */
    struct move move[SLOTS_ALL];
};

moves_t *moves_new(uint16_t node)
{
    struct moves *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->node = node;
    self->counts[IDLE] = SLOTS_ALL;
    return self;
}

void moves_destroy(moves_t **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

static void set_state(struct moves *self, struct move *move, enum state state)
{
    self->counts[move->state]--;
    self->counts[state]++;
    move->state = (uint8_t)state;
}

void moves_row(moves_t *self, uint16_t slot, uint32_t epoch, uint16_t owner, uint16_t target)
{
    struct move *move = &self->move[slot];
    if (epoch < move->epoch)
        return;
    if (owner != self->node || epoch > move->epoch)
        set_state(self, move, IDLE); /* another's, or anew this node's: its shard is told that */
    move->epoch = epoch;
    move->target = target;
    if (owner != self->node)
        return;
    if (move->state == REFUSED)
        set_state(self, move, RESTING);
    if (target != MSG_NOBODY && move->state == IDLE)
        set_state(self, move, WANTED);
    else if (target == MSG_NOBODY && move->state == WANTED)
        set_state(self, move, IDLE);
}

void moves_released(moves_t *self, uint16_t slot, uint32_t epoch)
{
    struct move *move = &self->move[slot];
    if (move->state == RELEASING && move->epoch == epoch)
        set_state(self, move, RESTING);
}

/* The next slot in a state, from where the last search ended; SLOTS_ALL: none. */
static uint32_t find(struct moves *self, enum state state)
{
    if (self->counts[state] == 0)
        return SLOTS_ALL;
    while (self->move[self->at].state != state)
        self->at = (self->at + 1) % SLOTS_ALL;
    return self->at;
}

/* All that go the same way, from the first on. */
static void gather(struct moves *self, uint32_t first, struct moves_order *order)
{
    uint32_t region = first >> MSG_SLOT_BITS, end = (region + 1) << MSG_SLOT_BITS;
    order->target = self->move[first].target;
    order->kind = order->target == MSG_NOBODY ? MOVES_KEEP : MOVES_HAND_OVER;
    for (uint32_t i = region << MSG_SLOT_BITS; i < end && order->count < MOVES_GROUP; i++)
        if (self->move[i].state == RESTING && self->move[i].target == order->target)
            order->slot[order->count++] = (uint16_t)i;
}

void moves_next_rested(moves_t *self, struct moves_order *ret_order)
{
    uint32_t slot;
    ret_order->kind = MOVES_NONE;
    ret_order->count = 0;
    if (self->asked || (self->counts[RELEASING] > 0 && !self->hurry) ||
        (slot = find(self, RESTING)) == SLOTS_ALL)
        return;
    gather(self, slot, ret_order);
    self->asked = true;
}

/* The next one of the group that is being released, or the first of a new group. */
static uint32_t find_for_group(struct moves *self)
{
    uint32_t slot = find(self, WANTED);
    if (self->counts[RELEASING] == 0 || self->hurry || slot == SLOTS_ALL)
        return slot;
    for (uint32_t n = 0; n < SLOTS_ALL; n++, slot = (slot + 1) % SLOTS_ALL)
        if (self->move[slot].state == WANTED && self->move[slot].target == self->target &&
            slot >> MSG_SLOT_BITS == self->region)
            return slot;
    return SLOTS_ALL;
}

void moves_next(moves_t *self, struct moves_order *ret_order)
{
    uint32_t slot;
    moves_next_rested(self, ret_order);
    if (ret_order->kind != MOVES_NONE || self->counts[RESTING] > 0 ||
        self->counts[RELEASING] + self->counts[REFUSED] >= MOVES_GROUP ||
        (slot = find_for_group(self)) == SLOTS_ALL)
        return;
    struct move *move = &self->move[slot];
    self->region = (uint16_t)(slot >> MSG_SLOT_BITS);
    self->target = move->target;
    self->hurry = false;
    set_state(self, move, RELEASING);
    ret_order->kind = MOVES_RELEASE;
    ret_order->target = move->target;
    ret_order->epoch = move->epoch;
    ret_order->slot[ret_order->count++] = (uint16_t)slot;
}

void moves_answered(moves_t *self, const struct moves_order *order, const uint64_t *epochs)
{
    CHECK(self->asked);
    self->asked = false;
    for (uint32_t i = 0; epochs != NULL && i < order->count; i++) {
        struct move *move = &self->move[order->slot[i]];
        bool newer = epochs[i] == 0 || epochs[i] > move->epoch;
        if (move->state != RESTING || !newer)
            continue; /* a row that came meanwhile says as much, or more */
        set_state(self, move, epochs[i] == 0 ? REFUSED : IDLE);
        if (epochs[i] != 0)
            move->epoch = (uint32_t)epochs[i];
    }
}

void moves_retry(moves_t *self)
{
    self->hurry = true;
    for (uint32_t i = 0; i < SLOTS_ALL && self->counts[REFUSED] > 0; i++)
        if (self->move[i].state == REFUSED)
            set_state(self, &self->move[i], RESTING);
}

uint32_t moves_count(const moves_t *self)
{
    return SLOTS_ALL - self->counts[IDLE];
}
