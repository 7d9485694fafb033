#pragma once
/*
 * shard_inside - what the files of the shard share: shard.c (actors, batches, timers), shard_in.c
 * (items in), shard_device.c (the actions of device.def), shard_answer.c (what the writer
 * answered), shard_slots.c (which slots it holds), shard_give.c (a slot's way to another node).
 */
#include "actors/early.h"
#include "actors/interest.h"
#include "actors/shard.h"
#include "actors/tenant.h"
#include "proto/check.h"

#define CHUNK_DEVICES 1024
/* What one turn makes for an edge: events of all that every edge has credit for, at the worst. */
#define FRAME_BYTES_MAX (4UL * LIMIT_EDGES * LIMIT_EDGE_BYTES)

/* A slot of a dead owner waits for what every edge has to say of it (who watches, who is
 * connected), so that no watcher misses a reading; one of a live owner, for what he gives.
 *
 *  CLOSED ──SLOT (ours)──> OPENING ──GIVEN, or all TOLD; or a deadline──> OPEN ──RELEASE──>
 *  RELEASING ──nothing in flight: RELEASED──> RESTING ──GIVE──> CLOSED. One that stays after all
 *  opens again by SLOT with a later epoch. */
enum hold { HOLD_CLOSED, HOLD_OPENING, HOLD_OPEN, HOLD_RELEASING, HOLD_RESTING };

struct held_slot {
    uint32_t epoch;       /* the newest one known */
    uint32_t given_epoch; /* of the newest MSG_GIVEN */
    uint32_t in_flight;   /* things of its devices and senders in batches */
    uint32_t first;       /* handle of its first device, or TABLE_NONE */
    uint16_t owner;
    uint8_t hold;  /* enum hold */
    bool awaits;   /* OPENING: MSG_GIVEN; else that all edges have told it */
    bool lost;     /* with something in flight: whether that is stored it cannot say yet */
    uint8_t *told; /* OPENING: of each node, a bit for each edge that has; NULL: none has */
    int64_t open_at_us, opened_us, released_us;
    struct early early; /* items of a later epoch, or while it opens */
};

/* A node of whose life control has not told yet: its edges may have heard of this one before. */
struct stranger {
    uint16_t life; /* of whom these items are, or which has ended */
    bool ended;
    struct early early;
};

struct shard {
    struct shard_config config;
    struct stranger strangers[LIMIT_NODES];
    struct held_slot
        *slots[LIMIT_REGIONS]; /* LIMIT_SLOTS each; NULL: nothing known of that region */
    uint32_t opening;          /* slots that are */
    int64_t changed_us;        /* when control last told of a change */
    struct table index;
    struct device **chunks;
    uint32_t chunks_count, free_head, handles; /* handles: used so far, free ones included */
    uint32_t sweep_at;
    struct interest interest;
    struct tenants tenants;
    struct batch *open, *spare;
    struct batch **sealed; /* in order, waiting for the writer */
    uint32_t sealed_count, sealed_cap, in_flight;
    uint64_t batches;
    uint64_t events_made;
    uint32_t seq_low;
    int64_t now_us;
    struct shard_out out;
    struct shard_counts counts;
};

/* The reading that an action works on. */
struct arrival {
    const struct msg_reading *reading;
    const char *payload, *extra;
    uint32_t item_bytes;
    const struct item *item; /* NULL: it was held, do not hold it again */
};

/* What an event brings to its action; the other members are NULL. */
struct device_input {
    const struct arrival *arrival;
    const struct batch_load *load;
    const struct batch *batch; /* that load belongs to */
    int64_t stored_us;         /* STORED: the timestamp of its row */
};

#define SURVIVE(rc) CHECK((rc) == 0) /* only memory can fail here */

static inline struct device *shard_device(const struct shard *self, uint32_t handle)
{
    return &self->chunks[handle / CHUNK_DEVICES][handle % CHUNK_DEVICES];
}

/* shard.c */
/* One of this id. There may be several, where the shard has the slots of two regions: items came
 * for the wrong one, whose actor sends them to the right one's. */
uint32_t shard_find(const struct shard *self, const struct uuid *id);
uint32_t shard_find_at(const struct shard *self, const struct uuid *id, uint16_t slot);
/* Finds or makes it; a new one is LOADING with its load in the open batch. */
uint32_t shard_activate(struct shard *self, const struct uuid *tenant, const struct uuid *id,
                        uint16_t slot);
/* A new one, in no state yet. It must not be there. */
uint32_t shard_make(struct shard *self, const struct uuid *tenant, const struct uuid *id,
                    uint16_t slot);
void shard_passivate(struct shard *self, uint32_t handle);
/* Something of the device is in a batch; and it has come back. */
void shard_sent(struct shard *self, struct device *device);
struct device *shard_came_back(struct shard *self, uint32_t handle);
/* The batch that takes a row of `bytes` of text. */
struct batch *shard_batch(struct shard *self, size_t bytes);
/* Seals the open batch; the next one. */
struct batch *shard_next_open(struct shard *self);
void shard_acknowledge(struct shard *self, const struct msg_ref *ref, uint8_t flags, uint8_t code,
                       const char *reason, uint32_t bytes);
void shard_tell(struct shard *self, const struct msg_event *event, const struct span *texts,
                size_t texts_count, enum msg_interest_bits bit);

/* The frame to that edge, or NULL: its node, or that incarnation of it, is gone. */
struct frame *shard_edge_frame(struct shard *self, uint16_t node, uint16_t life, unsigned edge);

/* Closes a connection, wherever it is. */
void shard_kick(struct shard *self, const struct msg_ref *ref, uint8_t code);

/* shard_in.c */
void shard_take(struct shard *self, const struct item *item);

/* shard_slots.c */
/* Made when asked for first. */
struct held_slot *shard_slot(struct shard *self, uint16_t slot);
/* May an item of this sender be taken now? If not it has been answered, or is kept. */
bool shard_slot_takes(struct shard *self, const struct item *item, const struct msg_ref *ref);
/* It is released, or at rest: no work is begun for it. */
bool shard_slot_leaves(struct shard *self, uint16_t number);
/* May a device of the slot be woken now? If not, the word of it is kept while it may come to that.
 */
bool shard_slot_wakes(struct shard *self, const struct item *item, uint16_t number);
/* What was loaded of a device has changed: it is loaded anew, now or when its slot opens. */
void shard_changed(struct shard *self, uint32_t handle);
/* Something of the slot came back from the writer, and all that it leads to is done. */
void shard_slot_came_back(struct shard *self, uint16_t number);
/* The edge of `ref` has told all that it says by itself of the slot. */
void shard_slot_told(struct shard *self, const struct msg_ref *ref);
/* What its edges have told goes with a node: those of its next life have yet to. */
void shard_slots_lost_node(struct shard *self, uint16_t node);
/* What its next owner gives back comes: if it is at rest here still, it was given away and the
 * order to give it is late, as control waits for the database, or this thread stood still. */
void shard_slot_returns(struct shard *self, uint16_t number, uint32_t epoch);
void shard_take_slot(struct shard *self, const struct item *item);
void shard_slots_tick(struct shard *self);
void shard_slots_free(struct shard *self);

/* shard_nodes.c */
void shard_take_node(struct shard *self, const struct msg_node *node);
/* The edge's node lives. If not, the item is kept until it does, or is of one that has ended: what
 * a node said last may come behind the word of its end, by another way. */
bool shard_knows(struct shard *self, const struct item *item, const struct msg_ref *ref);
void shard_nodes_free(struct shard *self);

/* shard_give.c */
/* When the slot opens: the device is in the database, with all that a former owner has written. */
void shard_wake_later(struct held_slot *slot, const struct msg_device *wake);
void shard_give(struct shard *self, const struct msg_slot *order);
void shard_take_snapshot(struct shard *self, const struct item *item);

/* shard_device.c */
/* The sender took the device for one of this region: it sends its item again (or tells its
 * connection), to the right one. */
void shard_redirect(struct shard *self, const struct device *device, const struct msg_ref *ref);
void shard_step(struct shard *self, uint32_t handle, enum device_event event,
                const struct device_input *input);
/* Whatever the reading is to its device: new, or sent again. */
void shard_reading(struct shard *self, uint32_t handle, const struct arrival *arrival);
/* Sets the status that is due, and writes last_seen and latest when it changed or they are due. */
void shard_touch(struct shard *self, uint32_t handle);
