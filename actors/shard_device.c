/* The actions of a device actor: device.def says when each runs. An action fills batches and
 * frames; it never picks the next state. */
#include "actors/shard_inside.h"
#include <stdlib.h>
#include <xxhash.h>

typedef void action_fn(struct shard *self, uint32_t handle, const struct device_input *input);

static void nothing(struct shard *self, uint32_t handle, const struct device_input *input)
{
    (void)self, (void)handle, (void)input;
}

static void load(struct shard *self, uint32_t handle, const struct device_input *input)
{
    (void)input;
    struct device *device = shard_device(self, handle);
    struct batch_load *load_added = batch_add_loads(shard_batch(self, 0));
    CHECK(load_added != NULL);
    load_added->device = device->id;
    load_added->actor = handle;
    shard_sent(self, device);
}

static void hold(struct shard *self, uint32_t handle, const struct device_input *input)
{
    CHECK(input->arrival->item != NULL);
    SURVIVE(device_hold(shard_device(self, handle), input->arrival->item, self->now_us));
}

static struct uuid next_event_id(struct shard *self)
{
    struct uuid id;
    uint64_t n = ++self->events_made;
    uint64_t half[2] = {XXH64(&n, sizeof n, self->config.seed),
                        XXH64(&n, sizeof n, ~self->config.seed)};
    memcpy(id.bytes, half, sizeof id.bytes);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}

static void alert(struct shard *self, uint32_t handle, struct batch *batch, struct rule *rule,
                  double value)
{
    char message[200];
    struct device *device = shard_device(self, handle);
    struct batch_alert *added = batch_add_alerts(batch);
    CHECK(added != NULL);
    added->event = next_event_id(self);
    added->rule = rule->id;
    added->tenant = device->tenant;
    added->device = device->id;
    added->metric = batch_text(batch, rule->name, strlen(rule->name));
    added->message = batch_text(batch, message, rule_message(rule, value, message, sizeof message));
    added->value = value;
    added->fired_at_us = self->now_us;
    added->row = batch->rows_count - 1;
    added->actor = handle;
    rule->last_fired_us = self->now_us;
    rule->pending++;
    shard_sent(self, device);
}

static void evaluate(struct shard *self, uint32_t handle, struct batch *batch,
                     const struct batch_row *row, const char *payload)
{
    struct rules *rules = shard_device(self, handle)->rules;
    double value;
    for (uint32_t i = 0; rules != NULL && i < rules->count; i++)
        if (rule_fires(&rules->rule[i], row, payload, self->now_us, &value))
            alert(self, handle, batch, &rules->rule[i], value);
}

static void add_row(struct shard *self, uint32_t handle, struct batch *batch,
                    const struct arrival *arrival)
{
    const struct msg_reading *reading = arrival->reading;
    struct batch_row *row = batch_add_rows(batch);
    CHECK(row != NULL);
    row->tenant = reading->tenant;
    row->device = reading->device;
    row->timestamp_us = reading->timestamp_us;
    row->seq = (int64_t)((uint64_t)reading->message_key << 32 | self->seq_low++);
    memcpy(row->value, reading->value, sizeof row->value);
    row->present = reading->present;
    row->payload = batch_text(batch, arrival->payload, reading->payload_len);
    row->extra = batch_text(batch, arrival->extra, reading->extra_len);
    CHECK(!batch->bytes.failed);
    row->ref = reading->ref;
    row->flags = reading->flags;
    row->item_bytes = arrival->item_bytes;
    row->actor = handle;
}

static void reject(struct shard *self, const struct msg_reading *reading, uint32_t item_bytes,
                   const char *payload, const char *reason, uint8_t code)
{
    static const char between[] = "/devices/", end[] = "/telemetry";
    char topic[2 * UUID_TEXT_LEN + sizeof between + sizeof end];
    size_t len = uuid_format(&reading->tenant, topic);
    len += (size_t)snprintf(topic + len, sizeof topic - len, "%s%s%s", between,
                            uuid_text(&reading->device).s, end);
    struct batch *batch = shard_batch(self, 1024 + len);
    struct batch_reject *added = batch_add_rejects(batch);
    CHECK(added != NULL);
    added->tenant = reading->tenant;
    added->device = reading->device;
    added->topic = batch_text(batch, topic, len);
    added->reason = batch_text(batch, reason, strlen(reason));
    added->payload =
        batch_text(batch, payload, reading->payload_len < 1024 ? reading->payload_len : 1024);
    CHECK(!batch->bytes.failed);
    added->ref = reading->ref;
    added->flags = reading->flags;
    added->item_bytes = item_bytes;
    added->code = code;
    shard_slot(self, reading->ref.slot)->in_flight++;
}

void shard_redirect(struct shard *self, const struct device *device, const struct msg_ref *ref)
{
    struct msg_home home = {
        .ref = *ref, .id = device->id, .region = (uint8_t)(device->elsewhere - 1)};
    struct frame *frame = shard_edge_frame(self, ref->node, ref->life, ref->edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_HOME, &home, sizeof home, NULL, 0));
}

/* A PUBLISH of many readings leaves one row in telemetry_rejected, its last. */
static void refuse(struct shard *self, uint32_t handle, const struct device_input *input)
{
    const struct msg_reading *reading = input->arrival->reading;
    const struct device *device = shard_device(self, handle);
    if (device->elsewhere != 0) {
        shard_redirect(self, device, &reading->ref);
        return;
    }
    self->counts.rejected++;
    if (reading->flags & MSG_LAST)
        reject(self, reading, input->arrival->item_bytes, input->arrival->payload,
               "the tenant has no such device", 0x90);
    else
        shard_acknowledge(self, &reading->ref, reading->flags, 0, NULL, input->arrival->item_bytes);
}

static void append(struct shard *self, uint32_t handle, const struct device_input *input)
{
    const struct arrival *arrival = input->arrival;
    const struct msg_reading *reading = arrival->reading;
    struct device *device = shard_device(self, handle);
    if (!uuid_equal(&device->tenant, &reading->tenant)) {
        refuse(self, handle, input);
        return;
    }
    struct batch *batch =
        shard_batch(self, (size_t)reading->payload_len + reading->extra_len + 1024);
    add_row(self, handle, batch, arrival);
    const struct batch_row *row = &batch->rows[batch->rows_count - 1];
    evaluate(self, handle, batch, row, arrival->payload);
    SURVIVE(hours_add(&device->hours, batch, row, device->newest_us));
    if (row->timestamp_us >= device->newest_us) {
        device->newest_us = row->timestamp_us;
        SURVIVE(device_keep_latest(device, arrival->payload, reading->payload_len));
    }
    shard_sent(self, device);
    device->last_seen_us = self->now_us;
    device->dirty = true;
    self->counts.readings++;
    shard_touch(self, handle);
}

/* Its own, so that each delivery of it has the same; or (QoS 0) there is but one delivery. */
static bool has_exact_time(const struct msg_reading *reading)
{
    return reading->timestamp_us != reading->arrival_us || reading->ref.packet_id == 0;
}

/* What an edge sends again itself has come from its client once: whatever is stored of it, by this
 * delivery or by the client's redelivery to another edge, is not older. An equal reading that the
 * client sent before is, though it may have had the same packet id. */
static int64_t stored_since(const struct msg_reading *reading)
{
    return reading->flags & MSG_DUP ? 0 : reading->arrival_us;
}

/* Holds the redelivery and asks whether it is stored. Answers come in the order of the questions,
 * so each is about the first that is held. */
static void ask(struct shard *self, uint32_t handle, const struct device_input *input)
{
    const struct arrival *arrival = input->arrival;
    struct device *device = shard_device(self, handle);
    hold(self, handle, input);
    device->held_last->asked = true;
    struct batch *batch = shard_batch(self, arrival->reading->payload_len);
    struct batch_check *added = batch_add_checks(batch);
    CHECK(added != NULL);
    added->device = device->id;
    if (has_exact_time(arrival->reading))
        added->timestamp_us = arrival->reading->timestamp_us;
    else
        added->since_us = stored_since(arrival->reading);
    added->message_key = arrival->reading->message_key;
    added->payload = batch_text(batch, arrival->payload, arrival->reading->payload_len);
    CHECK(!batch->bytes.failed);
    added->actor = handle;
    shard_sent(self, device);
}

static void check(struct shard *self, uint32_t handle, const struct device_input *input)
{
    CHECK(shard_device(self, handle)->held == NULL);
    ask(self, handle, input);
}

/* Redeliveries of one connection are different messages (a session routes each of its packet ids
 * once), so they may be asked about together. From another connection it may be the same
 * message again: that waits for the answer. */
static void hold_or_ask(struct shard *self, uint32_t handle, const struct device_input *input)
{
    const struct held *last = shard_device(self, handle)->held_last;
    const struct msg_ref *a = &last->reading.ref, *b = &input->arrival->reading->ref;
    if (last->asked && msg_same_connection(a, b))
        ask(self, handle, input);
    else
        hold(self, handle, input);
}

static struct arrival arrival_of(const struct held *held)
{
    const char *texts = (const char *)held->texts;
    return (struct arrival){&held->reading, texts, texts + held->reading.payload_len,
                            held->item_bytes, NULL};
}

/* Its owner committed it and died, perhaps before he told anybody: who has seen it knows its key
 * and the timestamp of its row, which is another one than that of this delivery where the client
 * had redelivered it. */
static void tell_again(struct shard *self, const struct held *held, int64_t stored_us)
{
    struct msg_event event = {.from = held->reading.ref,
                              .tenant = held->reading.tenant,
                              .device = held->reading.device,
                              .event = EVENT_TELEMETRY,
                              .flags = held->reading.flags & MSG_AS_PUBLISHED,
                              .again = 1,
                              .key = held->reading.message_key,
                              .timestamp_us = stored_us,
                              .body_len = held->reading.payload_len};
    struct span body = {held->texts, held->reading.payload_len};
    shard_tell(self, &event, &body, 1, INTEREST_TELEMETRY);
}

static void answer_held(struct shard *self, uint32_t handle, const struct device_input *input)
{
    struct held *held = device_unhold(shard_device(self, handle));
    CHECK(held != NULL);
    self->counts.duplicates++;
    if (held->reading.ref.again)
        tell_again(self, held, input->stored_us);
    shard_acknowledge(self, &held->reading.ref, held->reading.flags, 0, NULL, held->item_bytes);
    free(held);
}

static void append_held(struct shard *self, uint32_t handle, const struct device_input *input)
{
    (void)input;
    struct device *device = shard_device(self, handle);
    struct held *held = device_unhold(device);
    CHECK(held != NULL);
    struct arrival arrival = arrival_of(held);
    if (held->reading.flags & MSG_DUP && held->reading.arrival_us > device->redelivered_us)
        device->redelivered_us = held->reading.arrival_us;
    append(self, handle, &(struct device_input){.arrival = &arrival});
    free(held);
}

static void adopt(struct shard *self, uint32_t handle, const struct device_input *input)
{
    const struct batch_load *loaded = input->load;
    struct device *device = shard_device(self, handle);
    SURVIVE(
        rules_load(&device->rules, input->batch->rules + loaded->rules_at, loaded->rules_count));
    device->tenant = loaded->tenant;
    if (device->state == DEVICE_LIVE || device->state == DEVICE_CHECKING)
        return; /* what else was loaded is the actor's own, and older than it knows */
    device->status = loaded->status;
    if (loaded->last_seen_us > device->last_seen_us)
        device->last_seen_us = loaded->last_seen_us;
    /* Rows of this actor that are still on their way may be newer than what the load saw. */
    if (loaded->newest_us > device->newest_us)
        device->newest_us = loaded->newest_us;
    /* What its former owner appended of redeliveries is not told by the database. */
    if (device->redelivered_us < shard_slot(self, device->slot)->opened_us)
        device->redelivered_us = shard_slot(self, device->slot)->opened_us;
    device->touched_us = self->now_us;
    /* Whoever has its connection has told of it, or does within its grace. */
    if (loaded->connected && device->presences == NULL)
        device_disconnected(device, self->now_us);
    self->counts.active += device->status != STATUS_OFFLINE;
}

static void forget(struct shard *self, uint32_t handle, const struct device_input *input)
{
    (void)input;
    struct device *device = shard_device(self, handle);
    self->counts.active -= device->state == DEVICE_LIVE && device->status != STATUS_OFFLINE;
    device->status = STATUS_OFFLINE;
    device->touched_us = self->now_us; /* absent since */
    device->dirty = false;
    /* Should it be made anew, these would be of its former life. */
    device->last_seen_us = device->disconnected_us = 0;
    rules_destroy(&device->rules);
    device_drop_kept(device);
    for (const struct presence *p = device->presences; p != NULL; p = p->next)
        if (device->elsewhere != 0)
            shard_redirect(self, device, &p->ref);
        else
            shard_kick(self, &p->ref, 0x98); /* administrative action */
    if (device->elsewhere != 0)
        device_drop_presences(device); /* they are told there */
}

static const struct {
    action_fn *action;
    enum device_state next;
} table[DEVICE_STATES][DEVICE_EVENTS] = {
#define ROW(state, event, next, action) [DEVICE_##state][DEVICE_##event] = {action, DEVICE_##next},
#include "actors/device.def"
#undef ROW
};

static void step_once(struct shard *self, uint32_t handle, enum device_event event,
                      const struct device_input *input)
{
    struct device *device = shard_device(self, handle);
    action_fn *action = table[device->state][event].action;
    if (action == NULL) {
        self->counts.unexpected++;
        return;
    }
    enum device_state next = table[device->state][event].next;
    action(self, handle, input);
    device->state = (uint8_t)next;
}

static bool is_redelivery(const struct msg_reading *reading)
{
    return (reading->flags & MSG_DUP) || reading->ref.again;
}

/* Its client may have redelivered it by another edge, from which it came sooner. */
static bool is_overtaken(const struct device *device, const struct msg_reading *reading)
{
    return reading->ref.packet_id != 0 && reading->arrival_us < device->redelivered_us;
}

void shard_reading(struct shard *self, uint32_t handle, const struct arrival *arrival)
{
    const struct device_input input = {.arrival = arrival};
    bool ask = is_redelivery(arrival->reading) ||
               is_overtaken(shard_device(self, handle), arrival->reading);
    step_once(self, handle, ask ? DEVICE_REDELIVERY : DEVICE_READING, &input);
}

/* In CHECKING the redeliveries right behind the first are asked about as well. */
static bool may_replay(const struct device *device, const struct held *next)
{
    return device->state == DEVICE_LIVE || device->state == DEVICE_ABSENT ||
           (device->state == DEVICE_CHECKING && is_redelivery(&next->reading));
}

/* What was held goes its way, in order, until something is to be waited for again. */
static void replay(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    struct held *held = device->held;
    device->held = device->held_last = NULL;
    while (held != NULL && may_replay(device, held)) {
        struct held *next = held->next;
        struct arrival arrival = arrival_of(held);
        struct item item = {MSG_READING, &held->reading, held->texts, held->texts_len,
                            held->item_bytes};
        arrival.item = &item;
        shard_reading(self, handle, &arrival);
        free(held);
        held = next;
    }
    if (held == NULL)
        return;
    /* The rest waits behind what the last step put down. */
    CHECK(device->held_last != NULL);
    device->held_last->next = held;
    while (device->held_last->next != NULL)
        device->held_last = device->held_last->next;
}

void shard_step(struct shard *self, uint32_t handle, enum device_event event,
                const struct device_input *input)
{
    step_once(self, handle, event, input);
    struct device *device = shard_device(self, handle);
    if (device->held != NULL && (device->state == DEVICE_LIVE || device->state == DEVICE_ABSENT))
        replay(self, handle);
    if (device->state == DEVICE_LIVE)
        shard_touch(self, handle);
}

#define TOUCH_SPREAD 1024

void shard_touch(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    if ((device->state != DEVICE_LIVE && device->state != DEVICE_CHECKING) ||
        shard_slot(self, device->slot)->hold != HOLD_OPEN)
        return;
    enum device_status due = device_status_due(device, &self->config.times, self->now_us);
    bool changed = due != device->status;
    bool seen = device->dirty && self->now_us - device->touched_us >= self->config.times.touch_us &&
                self->open->touches_count < LIMIT_BATCH_TOUCHES;
    if (!changed && !seen)
        return;
    struct batch *batch = shard_batch(self, device->latest != NULL ? device->latest->len : 0);
    if (device->touched_batch == (uint32_t)self->batches + 1)
        batch = shard_next_open(self); /* one touch a device and transaction */
    device->touched_batch = (uint32_t)self->batches + 1;
    struct batch_touch *touch = batch_add_touches(batch);
    CHECK(touch != NULL);
    self->counts.active += changed && device->status == STATUS_OFFLINE;
    self->counts.active -= changed && due == STATUS_OFFLINE;
    device->status = (uint8_t)due;
    touch->device = device->id;
    touch->actor = handle;
    touch->status = device->status;
    touch->status_changed = changed;
    touch->connected = device->presences != NULL;
    touch->last_seen_us = device->last_seen_us;
    if (device->latest != NULL && device->latest->len > 0) {
        touch->latest_us = device->newest_us;
        touch->latest = batch_text(batch, device->latest->payload, device->latest->len);
        CHECK(!batch->bytes.failed);
        free(device->latest); /* millions of devices speak seldom */
        device->latest = NULL;
    }
    /* Devices that begin together shall not be due together ever after: what a device was seen at
     * is written next at a moment of its own. */
    int64_t early_us = changed ? (int64_t)(uuid_hash(&device->id) % TOUCH_SPREAD) *
                                     self->config.times.touch_us / TOUCH_SPREAD
                               : 0;
    device->touched_us = self->now_us - early_us;
    device->dirty = false;
    shard_sent(self, device);
}
