#pragma once
/*
 * shard_inside - what the files of the shard share: shard.c (frames in and out, batches, timers),
 * shard_device.c (the actions of device.def), shard_answer.c (what the writer answered).
 */
#include "actors/interest.h"
#include "actors/shard.h"
#include "actors/tenant.h"
#include "proto/check.h"

#define CHUNK_DEVICES 1024

struct shard {
    struct shard_config config;
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
};

#define SURVIVE(rc) CHECK((rc) == 0) /* only memory can fail here */

static inline struct device *shard_device(const struct shard *self, uint32_t handle)
{
    return &self->chunks[handle / CHUNK_DEVICES][handle % CHUNK_DEVICES];
}

/* shard.c */
uint32_t shard_find(const struct shard *self, const struct uuid *id);
/* Finds or makes it; a new one is LOADING with its load in the open batch. */
uint32_t shard_activate(struct shard *self, const struct uuid *tenant, const struct uuid *id);
/* The batch that takes a row of `bytes` of text. */
struct batch *shard_batch(struct shard *self, size_t bytes);
/* Seals the open batch; the next one. */
struct batch *shard_next_open(struct shard *self);
void shard_acknowledge(struct shard *self, const struct msg_ref *ref, uint8_t flags, uint8_t code,
                       const char *reason, uint32_t bytes);
void shard_tell(struct shard *self, const struct msg_event *event, const struct span *texts,
                size_t texts_count, enum msg_interest_bits bit);

/* shard_device.c */
void shard_step(struct shard *self, uint32_t handle, enum device_event event,
                const struct device_input *input);
/* Whatever the reading is to its device: new, or sent again. */
void shard_reading(struct shard *self, uint32_t handle, const struct arrival *arrival);
/* Sets the status that is due, and writes last_seen and latest when it changed or they are due. */
void shard_touch(struct shard *self, uint32_t handle);
