#pragma once
/*
 * lanes - an edge's items on their way to the owners of their slots, kept until they are answered.
 *
 * In:    items for slots (lanes_add, lanes_say), answers (lanes_answered), what control and shards
 *        say of nodes and slots (lanes_take), the time (lanes_tick).
 * Out:   items to nodes, slots to tell anew (struct lanes_events).
 * Owner: the edge thread that made it. No I/O, no clock: the simulator runs it as it is.
 * Bound: what the edge takes in without an answer (LIMIT_EDGE_ITEMS, LIMIT_EDGE_BYTES).
 * Holds: 1. Items of a slot go to one owner at a time, in their order, each in the epoch in which
 * he owns it (an owner takes no other): so none overtakes another, and none is taken twice.
 *        2. An owner that gives a slot away says so behind all his answers (SLOT_CLEAN): what is
 *           unanswered then goes to the next owner as new.
 *        3. Of an owner that has died nobody knows what he stored: what is unanswered goes to the
 *           next one marked `again`, who asks the database.
 *        4. An answer counts once, whoever sends it.
 *
 * A change of the owner that control reads before he says so himself waits for him, LANES_WAIT_US
 * at most; then it is taken as if he had died, which costs questions and loses nothing.
 */
#include "proto/frame.h"

typedef struct lanes lanes_t;

#define LANES_WAIT_US 1000000

struct lanes_events {
    /* One whole item, as in a frame, for the shard of `slot` at node `number`. */
    void (*send)(void *context, uint16_t number, uint16_t slot, const void *item, size_t size);
    /* Another owner: lanes_say() anew whatever of the edge's concerns this slot. */
    void (*tell)(void *context, uint16_t slot);
    /* A node is there (or another incarnation of it): lanes_say_node() anew what concerns all. */
    void (*node)(void *context, uint16_t number, uint16_t life, unsigned shards);
    void *context;
};

struct lanes_config {
    uint16_t node, life;
    uint8_t edge;
};

lanes_t *lanes_new(const struct lanes_config *config, const struct lanes_events *events);
void lanes_destroy(lanes_t **self_p);

/* Sends an item for `slot`, or keeps it until it can, and keeps it until it is answered. The first
 * member of `fixed` is its struct msg_ref, of which conn, generation and packet_id are the caller's
 * and the rest is filled in. Returns its size (frame_item_size()). Aborts without memory. */
size_t lanes_add(lanes_t *self, uint16_t slot, enum msg_kind kind, const void *fixed,
                 const struct span *texts, size_t texts_count);
/* Says something that no answer follows. While the slot has no owner it is dropped: `tell` asks for
 * it again. */
void lanes_say(lanes_t *self, uint16_t slot, enum msg_kind kind, const void *fixed,
               const struct span *texts, size_t texts_count);
/* The reference of this edge, for what concerns no slot. */
struct msg_ref lanes_ref(const lanes_t *self);
/* The answer to `item` (msg_ref.item) came. Its size, or 0: it was answered before. */
size_t lanes_answered(lanes_t *self, uint32_t item);
/* The name of the item that was added last: nobody may wait for its answer any more, and then it
 * need not come (lanes_answered). */
uint32_t lanes_last(const lanes_t *self);
/* It is for the slot of the same number in another region: it goes there, behind what is there. */
void lanes_redirect(lanes_t *self, uint32_t item, unsigned region);
/* The device is at home in that region: all its readings go there, in their order, before any newer
 * one does. (Whoever got them for another region's slot stores none of them.) */
void lanes_redirect_device(lanes_t *self, const struct uuid *device, uint16_t slot,
                           unsigned region);
/* MSG_NODE or MSG_SLOT. */
void lanes_take(lanes_t *self, const struct item *item, int64_t now_us);
/* To be called every 100 ms or so. */
void lanes_tick(lanes_t *self, int64_t now_us);

/* Items that are unanswered; and those of them that wait for an owner. */
size_t lanes_unanswered(const lanes_t *self);
size_t lanes_waiting(const lanes_t *self);
/* As control says of nodes. */
bool lanes_alive(const lanes_t *self, uint16_t number);
/* MSG_NOBODY: none that is alive. */
uint16_t lanes_owner(const lanes_t *self, uint16_t slot);
