/* What the writer answered: a batch has committed; only now is anything acknowledged or told. */
#include "actors/shard_inside.h"
#include "proto/timestamp.h"
#include <stdlib.h>

static void row_done(struct shard *self, const struct batch *batch, const struct batch_row *row)
{
    struct device *device = shard_came_back(self, row->actor);
    if (row->bad) {
        /* Its hour's sums counted this row: here, or in a batch that is on its way already. */
        free(device->hours);
        device->hours = NULL;
        SURVIVE(hours_rebuild(shard_batch(self, 0), row));
        shard_acknowledge(self, &row->ref, row->flags, 0x99, "the database refused the reading",
                          row->item_bytes);
        return;
    }
    struct msg_event event = {.from = row->ref,
                              .tenant = row->tenant,
                              .device = row->device,
                              .event = EVENT_TELEMETRY,
                              .flags = row->flags & MSG_AS_PUBLISHED,
                              .key = (uint32_t)((uint64_t)row->seq >> 32),
                              .timestamp_us = row->timestamp_us,
                              .body_len = row->payload.len};
    struct span body = {batch_text_of(batch, row->payload), row->payload.len};
    shard_tell(self, &event, &body, 1, INTEREST_TELEMETRY);
    shard_acknowledge(self, &row->ref, row->flags, 0, NULL, row->item_bytes);
}

/* The alert as Redis, WebSocket and MQTT tell it (contract.md). Metric names and messages hold
 * nothing that JSON would escape: names are letters, digits and '_'. */
static void tell_alert(struct shard *self, const struct batch *batch, const struct batch_alert *a)
{
    char body[600], stamp[40];
    stamp[timestamp_format(a->fired_at_us, stamp)] = '\0';
    int n = snprintf(body, sizeof body,
                     "{\"alert_rule_id\":\"%s\",\"device_id\":\"%s\",\"metric\":\"%.*s\","
                     "\"value\":%.15g,\"message\":\"%.*s\",\"timestamp\":\"%s\"}",
                     uuid_text(&a->rule).s, uuid_text(&a->device).s, (int)a->metric.len,
                     batch_text_of(batch, a->metric), a->value, (int)a->message.len,
                     batch_text_of(batch, a->message), stamp);
    CHECK(n > 0 && (size_t)n < sizeof body);
    struct msg_event event = {.tenant = a->tenant,
                              .device = a->device,
                              .event = EVENT_ALERT,
                              .timestamp_us = a->fired_at_us,
                              .body_len = (uint32_t)n};
    shard_tell(self, &event, &(struct span){body, (size_t)n}, 1, INTEREST_ALERTS);
}

static void alert_done(struct shard *self, const struct batch *batch, const struct batch_alert *a)
{
    struct device *device = shard_came_back(self, a->actor);
    rules_settle(device->rules, &a->rule, a->last_fired_us);
    if (a->fired) {
        self->counts.alerts++;
        tell_alert(self, batch, a);
    }
}

static void touch_done(struct shard *self, const struct batch_touch *touch)
{
    struct device *device = shard_came_back(self, touch->actor);
    if (!touch->status_changed)
        return;
    struct msg_event event = {.tenant = device->tenant,
                              .device = device->id,
                              .event = EVENT_STATUS,
                              .status = touch->status,
                              .timestamp_us = touch->last_seen_us};
    shard_tell(self, &event, NULL, 0, INTEREST_STATUS);
}

static void reject_done(struct shard *self, const struct batch *batch, const struct batch_reject *r)
{
    char reason[256];
    snprintf(reason, sizeof reason, "%.*s", (int)r->reason.len, batch_text_of(batch, r->reason));
    shard_acknowledge(self, &r->ref, r->flags, r->code, reason, r->item_bytes);
}

static void retain_done(struct shard *self, const struct batch *batch, const struct batch_retain *r)
{
    struct msg_event event = {.from = r->ref,
                              .tenant = r->tenant,
                              .device = r->device,
                              .event = EVENT_MESSAGE,
                              .flags = r->flags,
                              .timestamp_us = self->now_us,
                              .expires_us = r->expires_us,
                              .topic_len = (uint16_t)r->topic.len,
                              .body_len = r->payload.len,
                              .properties_len = r->properties.len};
    struct span texts[] = {{batch_text_of(batch, r->topic), r->topic.len},
                           {batch_text_of(batch, r->payload), r->payload.len},
                           {batch_text_of(batch, r->properties), r->properties.len}};
    shard_tell(self, &event, texts, 3, INTEREST_MESSAGES);
    shard_acknowledge(self, &r->ref, MSG_LAST, 0, NULL, r->item_bytes);
}

/* Last of all: a slot is at rest when what it took has been answered. */
static void settle_slots(struct shard *self, const struct batch *batch)
{
#define SETTLE(list)                                                                               \
    for (uint32_t i = 0; i < batch->list##_count; i++)                                             \
    shard_slot_came_back(self, shard_device(self, batch->list[i].actor)->slot)
    SETTLE(rows);
    SETTLE(alerts);
    SETTLE(touches);
    SETTLE(checks);
    SETTLE(loads);
#undef SETTLE
    for (uint32_t i = 0; i < batch->rejects_count; i++)
        shard_slot_came_back(self, batch->rejects[i].ref.slot);
    for (uint32_t i = 0; i < batch->retains_count; i++)
        shard_slot_came_back(self, batch->retains[i].ref.slot);
}

void shard_done(shard_t *self, struct batch *batch, int64_t now_us)
{
    CHECK(self->in_flight > 0 && batch->error == 0);
    self->in_flight--;
    self->now_us = now_us;
    self->counts.commits++;
    self->counts.rows += batch->rows_count;
    for (uint32_t i = 0; i < batch->rows_count; i++)
        row_done(self, batch, &batch->rows[i]);
    for (uint32_t i = 0; i < batch->alerts_count; i++)
        alert_done(self, batch, &batch->alerts[i]);
    for (uint32_t i = 0; i < batch->touches_count; i++)
        touch_done(self, &batch->touches[i]);
    for (uint32_t i = 0; i < batch->rejects_count; i++)
        reject_done(self, batch, &batch->rejects[i]);
    for (uint32_t i = 0; i < batch->retains_count; i++)
        retain_done(self, batch, &batch->retains[i]);
    for (uint32_t i = 0; i < batch->checks_count; i++) {
        const struct batch_check *check = &batch->checks[i];
        const struct held *first = shard_came_back(self, check->actor)->held;
        bool several = first != NULL && first->next != NULL && first->next->asked;
        enum device_event stored = several ? DEVICE_STORED_OF_SEVERAL : DEVICE_STORED;
        enum device_event missing = several ? DEVICE_NOT_STORED_OF_SEVERAL : DEVICE_NOT_STORED;
        shard_step(self, check->actor, check->stored ? stored : missing,
                   &(struct device_input){.stored_us = check->stored_us});
    }
    for (uint32_t i = 0; i < batch->loads_count; i++) {
        const struct batch_load *load = &batch->loads[i];
        struct device *device = shard_came_back(self, load->actor);
        bool here = load->found && load->region == device->slot >> MSG_SLOT_BITS;
        device->elsewhere = load->found && !here ? (uint8_t)(load->region + 1) : 0;
        shard_step(self, load->actor, here ? DEVICE_LOADED : DEVICE_MISSING,
                   &(struct device_input){.load = load, .batch = batch});
    }
    settle_slots(self, batch);
    if (self->spare == NULL) {
        batch_clear(batch);
        self->spare = batch;
    } else {
        batch_destroy(&batch);
    }
}
