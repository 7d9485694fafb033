#include "actors/shard_inside.h"
#include <stdlib.h>

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
    frame_init(&self->out.control, FRAME_BYTES_MAX);
    self->changed_us = INT64_MIN / 2;
    return self;
}

void shard_destroy(shard_t **self_p)
{
    struct shard *self = *self_p;
    if (self == NULL)
        return;
    shard_nodes_free(self);
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
    frame_free(&self->out.control);
    shard_slots_free(self);
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

struct place {
    const struct uuid *id;
    uint16_t slot;
};

static bool device_is_at(const void *context, uint32_t handle, const void *key)
{
    const struct place *place = key;
    const struct device *device = shard_device(context, handle);
    return device->slot == place->slot && uuid_equal(&device->id, place->id);
}

uint32_t shard_find_at(const struct shard *self, const struct uuid *id, uint16_t slot)
{
    return table_find(&self->index, uuid_hash(id), device_is_at, self,
                      &(struct place){.id = id, .slot = slot});
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

uint32_t shard_make(struct shard *self, const struct uuid *tenant, const struct uuid *id,
                    uint16_t number)
{
    struct held_slot *slot = shard_slot(self, number);
    uint32_t handle = take_handle(self);
    struct device *device = shard_device(self, handle);
    *device = (struct device){.id = *id,
                              .tenant = *tenant,
                              .slot = number,
                              .slot_next = slot->first,
                              .slot_prev = TABLE_NONE};
    if (slot->first != TABLE_NONE)
        shard_device(self, slot->first)->slot_prev = handle;
    slot->first = handle;
    SURVIVE(table_insert(&self->index, uuid_hash(id), handle));
    self->counts.actors++;
    return handle;
}

uint32_t shard_activate(struct shard *self, const struct uuid *tenant, const struct uuid *id,
                        uint16_t slot)
{
    uint32_t handle = shard_find_at(self, id, slot);
    if (handle != TABLE_NONE)
        return handle;
    handle = shard_make(self, tenant, id, slot);
    struct device *device = shard_device(self, handle);
    device->state = DEVICE_LOADING;
    struct batch_load *load = batch_add_loads(shard_batch(self, 0));
    CHECK(load != NULL);
    load->device = *id;
    load->actor = handle;
    shard_sent(self, device);
    return handle;
}

void shard_passivate(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    struct held_slot *slot = shard_slot(self, device->slot);
    if (device->slot_prev != TABLE_NONE)
        shard_device(self, device->slot_prev)->slot_next = device->slot_next;
    else
        slot->first = device->slot_next;
    if (device->slot_next != TABLE_NONE)
        shard_device(self, device->slot_next)->slot_prev = device->slot_prev;
    self->counts.active -= device->status != STATUS_OFFLINE;
    table_remove(&self->index, uuid_hash(&device->id), handle);
    device_clear(device);
    *device = (struct device){.touched_us = self->free_head, .state = DEVICE_STATES};
    self->free_head = handle;
    self->counts.actors--;
}

void shard_sent(struct shard *self, struct device *device)
{
    device->in_flight++;
    shard_slot(self, device->slot)->in_flight++;
}

struct device *shard_came_back(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    CHECK(device->in_flight > 0);
    device->in_flight--;
    return device;
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

struct frame *shard_edge_frame(struct shard *self, uint16_t node, uint16_t life, unsigned edge)
{
    if (node == self->config.node)
        return life == self->config.life && edge < self->config.edges ? &self->out.edge[edge]
                                                                      : NULL;
    struct shard_far *far = node < self->out.far_end ? self->out.far[node] : NULL;
    return far != NULL && far->life == life && edge < far->edges ? &far->edge[edge] : NULL;
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
    struct frame *frame = shard_edge_frame(self, ref->node, ref->life, ref->edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_ACK, &ack, sizeof ack, &text, 1));
}

void shard_kick(struct shard *self, const struct msg_ref *ref, uint8_t code)
{
    struct msg_kick item = {.ref = *ref, .code = code};
    struct frame *frame = shard_edge_frame(self, ref->node, ref->life, ref->edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_KICK, &item, sizeof item, NULL, 0));
}

/* What watchers of other nodes see may be dropped on the way, as what is sent with QoS 0 may; a
 * message that its client was promised only where there would be no end of them. */
static struct frame *watcher_frame(struct shard *self, uint32_t end, const struct msg_event *event)
{
    uint32_t node = end / LIMIT_EDGES, edge = end % LIMIT_EDGES;
    if (node == self->config.node)
        return &self->out.edge[edge];
    struct shard_far *far = node < self->out.far_end ? self->out.far[node] : NULL;
    if (far == NULL)
        return NULL;
    bool promised = event->event == EVENT_MESSAGE && (event->flags & MSG_QOS_MASK) != 0;
    return promised ? &far->promised[edge] : &far->watchers[edge];
}

void shard_tell(struct shard *self, const struct msg_event *event, const struct span *texts,
                size_t texts_count, enum msg_interest_bits bit)
{
    const uint32_t *ends = NULL;
    struct uuid tenant = event->tenant, device = event->device;
    uint32_t count = interest_find(&self->interest, &tenant, &device, bit, &ends);
    for (uint32_t i = 0; i < count; i++) {
        struct frame *frame = watcher_frame(self, ends[i], event);
        if (frame != NULL)
            SURVIVE(frame_add(frame, MSG_EVENT, event, sizeof *event, texts, texts_count));
    }
    if (self->config.redis && !event->again &&
        (bit == INTEREST_TELEMETRY || bit == INTEREST_ALERTS))
        SURVIVE(frame_add(&self->out.redis, MSG_EVENT, event, sizeof *event, texts, texts_count));
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
        shard_take(self, &item);
    return rc;
}

/* ---- time ---- */

static void sweep_one(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    if (device->state == DEVICE_STATES || shard_slot(self, device->slot)->hold != HOLD_OPEN)
        return; /* a free place; or on its way to another node */
    shard_touch(self, handle);
    if (device->status != STATUS_ONLINE && device->state == DEVICE_LIVE && !device->dirty)
        device_drop_kept(device);
    if (device_may_passivate(device, &self->config.times, self->now_us))
        shard_passivate(self, handle);
}

void shard_tick(shard_t *self, int64_t now_us)
{
    self->now_us = now_us;
    for (uint32_t n = self->handles / SWEEP_TICKS + 1; n > 0 && self->handles > 0; n--) {
        if (self->sweep_at >= self->handles)
            self->sweep_at = 0;
        sweep_one(self, self->sweep_at++);
    }
    shard_slots_tick(self);
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
