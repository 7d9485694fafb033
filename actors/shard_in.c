/* The items that come to a shard, one function a kind. */
#include "actors/shard_inside.h"

static void take_reading(struct shard *self, const struct item *item)
{
    const struct msg_reading *reading = item->fixed;
    const char *texts = (const char *)item->texts;
    struct arrival arrival = {reading, texts, texts + reading->payload_len, (uint32_t)item->size,
                              item};
    struct uuid tenant = reading->tenant, id = reading->device;
    uint32_t handle = shard_activate(self, &tenant, &id, reading->ref.slot);
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
    shard_slot(self, reject->ref.slot)->in_flight++;
    self->counts.rejected++;
}

/* A connection that was made at since_us. */
static void seen(const struct shard *self, struct device *device, int64_t since_us)
{
    if (since_us == 0 || since_us > self->now_us)
        since_us = self->now_us;
    if (since_us <= device->last_seen_us)
        return;
    device->last_seen_us = since_us;
    device->dirty = true;
}

static void take_presence(struct shard *self, const struct item *item)
{
    const struct msg_presence *presence = item->fixed;
    struct uuid tenant = presence->tenant, id = presence->device;
    uint32_t handle = shard_find_at(self, &id, presence->ref.slot);
    if (handle == TABLE_NONE && shard_slot_leaves(self, presence->ref.slot))
        return; /* it is told anew */
    if (handle == TABLE_NONE)
        handle = shard_activate(self, &tenant, &id, presence->ref.slot);
    struct device *device = shard_device(self, handle);
    if (presence->present == PRESENCE_GONE) {
        if (device_went(device, &presence->ref) && device->presences == NULL)
            device_disconnected(device, self->now_us);
    } else if (device->elsewhere != 0) {
        shard_redirect(self, device, &presence->ref);
    } else if (device_came(device, &presence->ref, presence->present == PRESENCE_AGAIN)) {
        seen(self, device, presence->since_us);
    }
    shard_touch(self, handle);
}

/* Who went while the edge did not know whom to tell was told to nobody: of all that it has, he is
 * missing. */
static void take_told(struct shard *self, const struct msg_ref *ref)
{
    for (uint32_t h = shard_slot(self, ref->slot)->first; h != TABLE_NONE;) {
        struct device *device = shard_device(self, h);
        if (device_told(device, ref) && device->presences == NULL)
            device_disconnected(device, self->now_us);
        h = device->slot_next;
    }
    shard_slot_told(self, ref);
}

/* It is told and acknowledged when it is kept. One that the database would refuse does not get into
 * a batch: all that is in it would have to be tried apart. */
static void retain(struct shard *self, const struct item *item)
{
    const struct msg_message *message = item->fixed;
    if (message->topic_len > LIMIT_RETAINED_TOPIC_BYTES && message->payload_len > 0) {
        shard_acknowledge(self, &message->ref, MSG_LAST, 0x90, /* topic name invalid */
                          "the topic is too long for a message that is kept", (uint32_t)item->size);
        return;
    }
    struct batch *batch = shard_batch(self, item->texts_len);
    struct batch_retain *added = batch_add_retains(batch);
    CHECK(added != NULL);
    added->tenant = message->tenant;
    added->device = message->device;
    const uint8_t *payload = item->texts + message->topic_len;
    added->topic = batch_text(batch, item->texts, message->topic_len);
    added->payload = batch_text(batch, payload, message->payload_len);
    added->properties = batch_text(batch, payload + message->payload_len, message->properties_len);
    CHECK(!batch->bytes.failed);
    added->ref = message->ref;
    added->expires_us = message->expires_us;
    added->flags = message->flags;
    added->item_bytes = (uint32_t)item->size;
    shard_slot(self, message->ref.slot)->in_flight++;
}

static void take_message(struct shard *self, const struct item *item)
{
    const struct msg_message *message = item->fixed;
    if (message->flags & MSG_RETAIN) {
        retain(self, item);
        return;
    }
    struct msg_event event = {.from = message->ref,
                              .tenant = message->tenant,
                              .device = message->device,
                              .event = EVENT_MESSAGE,
                              .flags = message->flags,
                              .timestamp_us = self->now_us,
                              .expires_us = message->expires_us,
                              .topic_len = message->topic_len,
                              .body_len = message->payload_len,
                              .properties_len = message->properties_len};
    struct span text = {item->texts, item->texts_len};
    shard_tell(self, &event, &text, 1, INTEREST_MESSAGES);
    shard_acknowledge(self, &message->ref, MSG_LAST, 0, NULL, (uint32_t)item->size);
}

static void take_claim(struct shard *self, const struct item *item)
{
    const struct msg_claim *claim = item->fixed;
    struct uuid tenant = claim->tenant;
    struct msg_ref ref = claim->ref, loser;
    const char *id = (const char *)item->texts;
    if (item->kind == MSG_UNCLAIM) {
        tenants_unclaim(&self->tenants, &tenant, id, item->texts_len, &ref);
        return;
    }
    int rc =
        tenants_claim(&self->tenants, &tenant, id, item->texts_len, &ref, claim->since_us, &loser);
    CHECK(rc >= 0);
    if (rc == 1)
        shard_kick(self, &loser, 0x8E); /* session taken over */
}

static void take_admit(struct shard *self, const struct item *item)
{
    const struct msg_admit *admit = item->fixed;
    struct uuid tenant = admit->tenant;
    struct msg_admitted answer;
    SURVIVE(tenants_admit(&self->tenants, &tenant, self->now_us, &answer));
    answer.ref = admit->ref;
    struct frame *frame = shard_edge_frame(self, answer.ref.node, answer.ref.life, answer.ref.edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_ADMITTED, &answer, sizeof answer, NULL, 0));
}

static void take_interest(struct shard *self, const struct item *item)
{
    const struct msg_interest *wanted = item->fixed;
    struct uuid tenant = wanted->tenant, device = wanted->device;
    const struct msg_ref *ref = &wanted->ref;
    const struct interest_from from = {.end = INTEREST_END(ref->node, ref->edge),
                                       .slot = uuid_is_nil(&device) ? -1 : ref->slot,
                                       .given = ref->again != 0};
    if (ref->edge < LIMIT_EDGES)
        SURVIVE(interest_set(&self->interest, &tenant, &device, &from,
                             wanted->bits & ((1U << INTEREST_BITS) - 1)));
}

/* Control does not know in which region the device is at home. */
static void take_change(struct shard *self, const struct uuid *id, uint16_t slot)
{
    self->changed_us = self->now_us;
    for (unsigned region = 0; region < LIMIT_REGIONS; region++) {
        uint16_t at = msg_slot(region, slot % LIMIT_SLOTS);
        uint32_t handle = self->slots[region] != NULL ? shard_find_at(self, id, at) : TABLE_NONE;
        if (handle != TABLE_NONE)
            shard_changed(self, handle);
    }
}

static void take_device(struct shard *self, const struct item *item)
{
    const struct msg_device *named = item->fixed;
    struct uuid tenant = named->tenant, id = named->device;
    if (item->kind == MSG_CHANGED)
        take_change(self, &id, named->slot);
    else if (shard_slot_wakes(self, item, named->slot))
        shard_activate(self, &tenant, &id, named->slot);
}

static void describe(const struct device *device, struct msg_actor *actor)
{
    actor->state = (uint8_t)(device->state + 1);
    actor->status = device->status;
    actor->in_flight = device->in_flight;
    actor->rules = device->rules != NULL ? device->rules->count : 0;
    for (const struct held *held = device->held; held != NULL; held = held->next)
        actor->held++;
    for (const struct presence *p = device->presences; p != NULL; p = p->next)
        actor->connections++;
}

/* Only what is at rest is dropped: what it has not written yet would be lost, and who is connected
 * forgotten. */
static void take_ask(struct shard *self, const struct item *item)
{
    const struct msg_ask *ask = item->fixed;
    struct msg_actor actor = {.ref = ask->ref};
    struct uuid tenant = ask->tenant, id = ask->device;
    uint32_t handle = shard_find_at(self, &id, ask->ref.slot);
    if (handle != TABLE_NONE && uuid_equal(&shard_device(self, handle)->tenant, &tenant)) {
        const struct device *device = shard_device(self, handle);
        describe(device, &actor);
        actor.passivated = ask->passivate && device_at_rest(device);
        if (actor.passivated)
            shard_passivate(self, handle);
    }
    struct frame *frame = shard_edge_frame(self, actor.ref.node, actor.ref.life, actor.ref.edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_ACTOR, &actor, sizeof actor, NULL, 0));
}

static void take_sync(struct shard *self, const struct item *item)
{
    const struct msg_sync *sync = item->fixed;
    struct msg_ref ref = sync->ref;
    if (!shard_knows(self, item, &ref))
        return;
    struct frame *frame = shard_edge_frame(self, ref.node, ref.life, ref.edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_SYNCED, sync, sizeof *sync, NULL, 0));
}

/* What is said of a slot: only in the epoch in which it is held. */
static void take_slotted(struct shard *self, const struct item *item)
{
    const struct msg_ref *ref = item->fixed; /* the first member of each */
    if (!shard_knows(self, item, ref) || !shard_slot_takes(self, item, ref))
        return;
    switch ((int)item->kind) {
    case MSG_READING:
        take_reading(self, item);
        break;
    case MSG_REJECT:
        take_reject(self, item);
        break;
    case MSG_PRESENCE:
        take_presence(self, item);
        break;
    case MSG_MESSAGE:
        take_message(self, item);
        break;
    case MSG_ADMIT:
        take_admit(self, item);
        break;
    case MSG_INTEREST:
        take_interest(self, item);
        break;
    case MSG_TOLD:
        take_told(self, ref);
        break;
    case MSG_ASK:
        take_ask(self, item);
        break;
    default: /* CLAIM, UNCLAIM */
        take_claim(self, item);
    }
}

void shard_take(struct shard *self, const struct item *item)
{
    switch (item->kind) {
    case MSG_INTEREST: {
        const struct msg_interest *wanted = item->fixed;
        struct uuid device = wanted->device;
        if (!uuid_is_nil(&device))
            take_slotted(self, item);
        else if (shard_knows(self, item, &wanted->ref)) /* any of a tenant: of no slot */
            take_interest(self, item);
        break;
    }
    case MSG_READING:
    case MSG_REJECT:
    case MSG_PRESENCE:
    case MSG_TOLD:
    case MSG_ASK:
    case MSG_MESSAGE:
    case MSG_CLAIM:
    case MSG_UNCLAIM:
    case MSG_ADMIT:
        take_slotted(self, item);
        break;
    case MSG_SYNC:
        take_sync(self, item);
        break;
    case MSG_CHANGED:
    case MSG_WAKE:
        take_device(self, item);
        break;
    case MSG_NODE: {
        struct msg_node node = *(const struct msg_node *)item->fixed;
        shard_take_node(self, &node);
        break;
    }
    case MSG_SLOT:
    case MSG_RELEASE:
    case MSG_GIVE:
    case MSG_GIVEN:
        shard_take_slot(self, item);
        break;
    case MSG_SNAPSHOT:
        shard_take_snapshot(self, item);
        break;
    case MSG_HOME:
    case MSG_DRAIN:
    case MSG_RELEASED:
    case MSG_ACK:
    case MSG_EVENT:
    case MSG_KICK:
    case MSG_ADMITTED:
    case MSG_ACTOR:
    case MSG_SYNCED:
    case MSG_NEWS:
    case MSG_REVOKED:
        self->counts.unexpected++; /* ours to send, or for edges */
        break;
    }
}
