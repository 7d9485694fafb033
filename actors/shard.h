#pragma once
/*
 * shard - the device and tenant actors of some slots, and the batches that make their effects
 * durable.
 *
 * In:    frames of edges, of control and of other nodes' shards (shard_receive), batches that the
 *        writer has committed (shard_done), the time (shard_tick).
 * Out:   frames to edges of all nodes, to other nodes' shards, to control and to the Redis bridge
 *        (shard_output), batches for the writer (shard_next_batch).
 * Owner: one thread. No I/O, no clock: the simulator runs it as it is.
 * Bound: what the edges have credit for; LIMIT_BATCHES_IN_FLIGHT batches at the writer.
 * Holds: 1. A reading is acknowledged, and told to anybody, after its batch has committed (P1).
 *        2. Batches are given out in order, and what was asked about a device is answered in that
 *           order, so a check or a load sees every reading that came before it.
 *        3. A redelivery is appended only after the database said that it is not stored (P2).
 *        4. Within a rule's cooldown one alert is asked for at most; whether it fires is the
 *           database's answer (P3).
 *        5. Of a slot nothing is taken but in the epoch in which this node owns it, and a slot is
 *           given away only when nothing of it is in flight (P4).
 *
 * Without memory the node ends at once: nothing that it has acknowledged is lost by that.
 */
#include "actors/device.h"
#include "proto/frame.h"
#include "proto/pauses.h"

typedef struct shard shard_t;

struct shard_config {
    uint32_t index;
    uint16_t node, life; /* this node's number and incarnation (proto/msg.h) */
    uint32_t edges;      /* edge threads of the node */
    bool redis;          /* every event goes to the bridge as well */
    uint64_t seed;       /* random: ids of alert events and the count in seq start from it */
    uint32_t requests_per_minute;
    struct device_times times;
};

/* Another node that lives: what goes to its threads. */
struct shard_far {
    uint16_t node, life;
    uint8_t edges, shards;
    struct frame edge[LIMIT_EDGES];
    struct frame watchers[LIMIT_EDGES]; /* to its edges as well: events that may be missed, */
    struct frame promised[LIMIT_EDGES]; /* and messages of QoS 1 and 2 */
    struct frame shard[LIMIT_SHARDS];
    bool gave[LIMIT_SHARDS]; /* the shard was given a slot, and who watches all of a tenant */
};

struct shard_out {
    struct frame edge[LIMIT_EDGES]; /* of this node */
    struct frame redis, control;
    struct shard_far *far[LIMIT_NODES]; /* by number; NULL: none, or not alive */
    uint32_t far_end;                   /* all are below */
};

struct shard_counts {
    uint64_t readings, duplicates, rejected, alerts, commits, rows, unexpected;
    uint64_t moved;                 /* items that were not taken: of another's slot, or epoch */
    uint64_t unheard;               /* slots opened before all was told of them */
    uint64_t actors, active, slots; /* now: in memory; not offline; open */
    struct pauses pauses;           /* of slots given away: from MSG_RELEASE to MSG_GIVEN */
};

shard_t *shard_new(const struct shard_config *config); /* NULL: out of memory */
void shard_destroy(shard_t **self_p);

/* Takes the items of one frame. ERR_MALFORMED, ERR_VERSION: the rest of the frame is not taken. */
int shard_receive(shard_t *self, const void *frame, size_t len, int64_t now_us) MUST_CHECK;
/* A batch comes back committed; it is the shard's again. */
void shard_done(shard_t *self, struct batch *batch, int64_t now_us);
/* Timers; to be called every 100 ms or so. */
void shard_tick(shard_t *self, int64_t now_us);

/* The next batch for the writer, or NULL: nothing to do, or enough in flight. The caller owns it
 * until shard_done. */
struct batch *shard_next_batch(shard_t *self);
/* What is to be sent now: the caller sends and clears each frame that has items. */
struct shard_out *shard_output(shard_t *self);
const struct shard_counts *shard_count(const shard_t *self);
/* Bytes of memory of all actors together, the index included. */
size_t shard_memory(const shard_t *self);
/* From now on nothing is taken: other nodes' edges keep what they send until it has a new owner. */
void shard_close(shard_t *self);
/* Nothing waits, nothing is in flight: the shard may end. */
bool shard_is_quiet(const shard_t *self);
