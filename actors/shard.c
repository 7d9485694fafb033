#include "actors/shard_inside.h"
#include <stdlib.h>

/* What one turn makes for an edge: events of all that every edge has credit for, at the worst. */
#define FRAME_BYTES_MAX (4UL * LIMIT_EDGES * LIMIT_EDGE_BYTES)
/* The whole table is swept in this many ticks. */
#define SWEEP_TICKS 10

shard_t *shard_new(const struct shard_config *config)
{
    struct shard *self = calloc(1, sizeof *self);
    if (self == NULL || (self->open = batch_new()) == NULL) {
        free(self);
        return NULL;
    }
    self->config = *config;
    self->free_head = TABLE_NONE;
    self->seq_low = (uint32_t)config->seed;
    interest_init(&self->interest);
    tenants_init(&self->tenants, config->requests_per_minute);
    for (uint32_t i = 0; i < LIMIT_EDGES; i++)
        frame_init(&self->out.edge[i], FRAME_BYTES_MAX);
    frame_init(&self->out.redis, FRAME_BYTES_MAX);
    return self;
}

void shard_destroy(shard_t **self_p)
{
    struct shard *self = *self_p;
    if (self == NULL)
        return;
    for (uint32_t i = 0; i < self->handles; i++)
        device_clear(shard_device(self, i));
    for (uint32_t i = 0; i < self->chunks_count; i++)
        free(self->chunks[i]);
    free(self->chunks);
    table_free(&self->index);
    interest_free(&self->interest);
    tenants_free(&self->tenants);
    batch_destroy(&self->open);
    batch_destroy(&self->spare);
    for (uint32_t i = 0; i < self->sealed_count; i++)
        batch_destroy(&self->sealed[i]);
    free(self->sealed);
    for (uint32_t i = 0; i < LIMIT_EDGES; i++)
        frame_free(&self->out.edge[i]);
    frame_free(&self->out.redis);
    free(self);
    *self_p = NULL;
}

/* ---- actors ---- */

static bool device_has_id(const void *context, uint32_t handle, const void *key)
{
    return uuid_equal(&shard_device(context, handle)->id, key);
}

uint32_t shard_find(const struct shard *self, const struct uuid *id)
{
    return table_find(&self->index, uuid_hash(id), device_has_id, self, id);
}

/* A free place keeps the next free one in touched_us. */
static uint32_t take_handle(struct shard *self)
{
    uint32_t handle = self->free_head;
    if (handle != TABLE_NONE) {
        self->free_head = (uint32_t)shard_device(self, handle)->touched_us;
        return handle;
    }
    if (self->handles == self->chunks_count * CHUNK_DEVICES) {
        self->chunks = realloc(self->chunks, (self->chunks_count + 1) * sizeof *self->chunks);
        CHECK(self->chunks != NULL);
        self->chunks[self->chunks_count] = calloc(CHUNK_DEVICES, sizeof(struct device));
        CHECK(self->chunks[self->chunks_count] != NULL);
        self->chunks_count++;
    }
    return self->handles++;
}

uint32_t shard_activate(struct shard *self, const struct uuid *tenant, const struct uuid *id)
{
    uint32_t handle = shard_find(self, id);
    if (handle != TABLE_NONE)
        return handle;
    handle = take_handle(self);
    struct device *device = shard_device(self, handle);
    *device = (struct device){.id = *id, .tenant = *tenant, .state = DEVICE_LOADING};
    SURVIVE(table_insert(&self->index, uuid_hash(id), handle));
    self->counts.actors++;
    struct batch_load *load = batch_add_loads(shard_batch(self, 0));
    CHECK(load != NULL);
    load->device = *id;
    load->actor = handle;
    device->in_flight++;
    return handle;
}

static void passivate(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    table_remove(&self->index, uuid_hash(&device->id), handle);
    device_clear(device);
    *device = (struct device){.touched_us = self->free_head, .state = DEVICE_STATES};
    self->free_head = handle;
    self->counts.actors--;
}

/* ---- batches ---- */

static void seal(struct shard *self)
{
    if (self->sealed_count == self->sealed_cap) {
        self->sealed_cap = self->sealed_cap ? 2 * self->sealed_cap : 8;
        self->sealed = realloc(self->sealed, self->sealed_cap * sizeof(struct batch *));
        CHECK(self->sealed != NULL);
    }
    self->open->number = ++self->batches;
    self->open->shard = self->config.index;
    self->sealed[self->sealed_count++] = self->open;
    self->open = self->spare != NULL ? self->spare : batch_new();
    self->spare = NULL;
    CHECK(self->open != NULL);
}

struct batch *shard_batch(struct shard *self, size_t bytes)
{
    if (batch_is_full(self->open, bytes))
        seal(self);
    return self->open;
}

struct batch *shard_next_open(struct shard *self)
{
    seal(self);
    return self->open;
}

struct batch *shard_next_batch(shard_t *self)
{
    if (self->in_flight >= LIMIT_BATCHES_IN_FLIGHT)
        return NULL;
    if (self->sealed_count == 0) {
        if (batch_is_empty(self->open))
            return NULL;
        seal(self);
    }
    struct batch *next = self->sealed[0];
    memmove(self->sealed, self->sealed + 1, --self->sealed_count * sizeof(struct batch *));
    self->in_flight++;
    return next;
}

bool shard_is_quiet(const shard_t *self)
{
    return self->in_flight == 0 && self->sealed_count == 0 && batch_is_empty(self->open);
}

/* ---- out ---- */

struct shard_out *shard_output(shard_t *self)
{
    return &self->out;
}

void shard_acknowledge(struct shard *self, const struct msg_ref *ref, uint8_t flags, uint8_t code,
                       const char *reason, uint32_t bytes)
{
    struct msg_ack ack = {.ref = *ref,
                          .code = code,
                          .flags = flags & MSG_LAST,
                          .bytes = bytes,
                          .reason_len = (uint16_t)(reason != NULL ? strlen(reason) : 0)};
    struct span text = {reason, ack.reason_len};
    if (ref->edge < self->config.edges)
        SURVIVE(frame_add(&self->out.edge[ref->edge], MSG_ACK, &ack, sizeof ack, &text, 1));
}

void shard_tell(struct shard *self, const struct msg_event *event, const struct span *texts,
                size_t texts_count, enum msg_interest_bits bit)
{
    struct uuid tenant = event->tenant, device = event->device;
    uint32_t edges = interest_edges(&self->interest, &tenant, &device, bit);
    for (uint32_t i = 0; edges != 0; i++, edges >>= 1)
        if (edges & 1)
            SURVIVE(
                frame_add(&self->out.edge[i], MSG_EVENT, event, sizeof *event, texts, texts_count));
    if (self->config.redis && (bit == INTEREST_TELEMETRY || bit == INTEREST_ALERTS))
        SURVIVE(frame_add(&self->out.redis, MSG_EVENT, event, sizeof *event, texts, texts_count));
}

/* ---- in ---- */

static void take_reading(struct shard *self, const struct item *item)
{
    const struct msg_reading *reading = item->fixed;
    const char *texts = (const char *)item->texts;
    struct arrival arrival = {reading, texts, texts + reading->payload_len, (uint32_t)item->size,
                              item};
    struct uuid tenant = reading->tenant, id = reading->device;
    uint32_t handle = shard_activate(self, &tenant, &id);
    struct device *device = shard_device(self, handle);
    if (device->state == DEVICE_ABSENT && device_may_ask_again(device, self->now_us))
        shard_step(self, handle, DEVICE_EXPIRED, &(struct device_input){0});
    shard_reading(self, handle, &arrival);
}

static void take_reject(struct shard *self, const struct item *item)
{
    const struct msg_reject *reject = item->fixed;
    const uint8_t *at = item->texts;
    struct batch *batch = shard_batch(self, item->texts_len);
    struct batch_reject *added = batch_add_rejects(batch);
    CHECK(added != NULL);
    added->tenant = reject->tenant;
    added->device = reject->device;
    added->topic = batch_text(batch, at, reject->topic_len);
    at += reject->topic_len;
    added->reason = batch_text(batch, at, reject->reason_len);
    at += reject->reason_len;
    added->payload = batch_text(batch, at, reject->payload_len);
    CHECK(!batch->bytes.failed);
    added->ref = reject->ref;
    added->flags = reject->flags;
    added->code = reject->code;
    added->item_bytes = (uint32_t)item->size;
    self->counts.rejected++;
}

static void take_presence(struct shard *self, const struct item *item)
{
    const struct msg_presence *presence = item->fixed;
    struct uuid tenant = presence->tenant, id = presence->device;
    uint32_t handle = shard_activate(self, &tenant, &id);
    struct device *device = shard_device(self, handle);
    if (presence->present) {
        device->connections++;
        device->last_seen_us = self->now_us;
        device->dirty = true;
    } else if (device->connections > 0 && --device->connections == 0) {
        device->disconnected_us = self->now_us;
    }
    shard_touch(self, handle);
}

/* It is told and acknowledged when it is kept. */
static void retain(struct shard *self, const struct item *item)
{
    const struct msg_message *message = item->fixed;
    struct batch *batch = shard_batch(self, item->texts_len);
    struct batch_retain *added = batch_add_retains(batch);
    CHECK(added != NULL);
    added->tenant = message->tenant;
    added->device = message->device;
    added->topic = batch_text(batch, item->texts, message->topic_len);
    added->payload = batch_text(batch, item->texts + message->topic_len, message->payload_len);
    CHECK(!batch->bytes.failed);
    added->ref = message->ref;
    added->flags = message->flags;
    added->item_bytes = (uint32_t)item->size;
}

static void take_message(struct shard *self, const struct item *item)
{
    const struct msg_message *message = item->fixed;
    if (message->flags & MSG_RETAIN) {
        retain(self, item);
        return;
    }
    struct msg_event event = {.tenant = message->tenant,
                              .device = message->device,
                              .event = EVENT_MESSAGE,
                              .flags = message->flags,
                              .timestamp_us = self->now_us,
                              .topic_len = message->topic_len,
                              .body_len = message->payload_len};
    struct span text = {item->texts, item->texts_len};
    shard_tell(self, &event, &text, 1, INTEREST_MESSAGES);
    shard_acknowledge(self, &message->ref, MSG_LAST, 0, NULL, (uint32_t)item->size);
}

static void take_claim(struct shard *self, const struct item *item)
{
    const struct msg_claim *claim = item->fixed;
    struct uuid tenant = claim->tenant;
    struct msg_ref ref = claim->ref, former;
    const char *id = (const char *)item->texts;
    if (item->kind == MSG_UNCLAIM) {
        tenants_unclaim(&self->tenants, &tenant, id, item->texts_len, &ref);
        return;
    }
    int rc = tenants_claim(&self->tenants, &tenant, id, item->texts_len, &ref, &former);
    CHECK(rc >= 0);
    if (rc == 1 && former.edge < self->config.edges) {
        struct msg_kick kick = {.ref = former, .code = 0x8E}; /* session taken over */
        SURVIVE(frame_add(&self->out.edge[former.edge], MSG_KICK, &kick, sizeof kick, NULL, 0));
    }
}

static void take_admit(struct shard *self, const struct item *item)
{
    const struct msg_admit *admit = item->fixed;
    struct uuid tenant = admit->tenant;
    struct msg_admitted answer;
    SURVIVE(tenants_admit(&self->tenants, &tenant, self->now_us, &answer));
    answer.ref = admit->ref;
    if (answer.ref.edge < self->config.edges)
        SURVIVE(frame_add(&self->out.edge[answer.ref.edge], MSG_ADMITTED, &answer, sizeof answer,
                          NULL, 0));
}

static void take_interest(struct shard *self, const struct item *item)
{
    const struct msg_interest *wanted = item->fixed;
    struct uuid tenant = wanted->tenant, device = wanted->device;
    if (wanted->edge < self->config.edges)
        SURVIVE(interest_set(&self->interest, &tenant, &device, wanted->edge,
                             wanted->bits & ((1U << INTEREST_BITS) - 1)));
}

static void take_device(struct shard *self, const struct item *item)
{
    const struct msg_device *named = item->fixed;
    struct uuid tenant = named->tenant, id = named->device;
    if (item->kind == MSG_WAKE) {
        shard_activate(self, &tenant, &id);
        return;
    }
    uint32_t handle = shard_find(self, &id);
    if (handle != TABLE_NONE)
        shard_step(self, handle, DEVICE_CHANGED, &(struct device_input){0});
}

static void take(struct shard *self, const struct item *item)
{
    switch (item->kind) {
    case MSG_READING:
        take_reading(self, item);
        break;
    case MSG_REJECT:
        take_reject(self, item);
        break;
    case MSG_PRESENCE:
        take_presence(self, item);
        break;
    case MSG_INTEREST:
        take_interest(self, item);
        break;
    case MSG_MESSAGE:
        take_message(self, item);
        break;
    case MSG_CLAIM:
    case MSG_UNCLAIM:
        take_claim(self, item);
        break;
    case MSG_ADMIT:
        take_admit(self, item);
        break;
    case MSG_CHANGED:
    case MSG_WAKE:
        take_device(self, item);
        break;
    case MSG_ACK:
    case MSG_EVENT:
    case MSG_KICK:
    case MSG_ADMITTED:
        self->counts.unexpected++; /* ours to send */
        break;
    }
}

int shard_receive(shard_t *self, const void *frame, size_t len, int64_t now_us)
{
    struct frame_reader reader;
    struct item item;
    self->now_us = now_us;
    int rc = frame_open(&reader, frame, len);
    if (rc != 0)
        return rc;
    while ((rc = frame_next(&reader, &item)) == 1)
        take(self, &item);
    return rc;
}

/* ---- time ---- */

static void sweep_one(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    if (device->state == DEVICE_STATES)
        return; /* a free place */
    shard_touch(self, handle);
    if (device->status != STATUS_ONLINE && device->state == DEVICE_LIVE && !device->dirty)
        device_drop_kept(device);
    if (device_may_passivate(device, &self->config.times, self->now_us))
        passivate(self, handle);
}

void shard_tick(shard_t *self, int64_t now_us)
{
    self->now_us = now_us;
    for (uint32_t n = self->handles / SWEEP_TICKS + 1; n > 0 && self->handles > 0; n--) {
        if (self->sweep_at >= self->handles)
            self->sweep_at = 0;
        sweep_one(self, self->sweep_at++);
    }
}

const struct shard_counts *shard_count(const shard_t *self)
{
    return &self->counts;
}

size_t shard_memory(const shard_t *self)
{
    return (size_t)self->chunks_count * CHUNK_DEVICES * sizeof(struct device) +
           self->chunks_count * sizeof *self->chunks +
           (self->index.places != NULL ? (self->index.mask + 1UL) * 8 : 0);
}
