/* A slot's way to another node: what its devices' actors know and the database does not, or not
 * yet, and who watches them. Who is connected and who holds which client id, the edges tell anew.
 */
#include "actors/shard_inside.h"
#include <stdlib.h>

/* A change of rules told so lately may have come before the snapshots that it concerns. */
#define CHANGE_US 30000000LL

/* Of snapshots in one frame, which the mesh must take with all that follows them. */
#define GIVE_BYTES_MAX (LIMIT_LINK_FRAME_BYTES / 2)

struct giving {
    struct shard *self;
    struct frame *to;
    const struct msg_slot *order;
    struct uuid tenant, device; /* whose watchers are given */
};

static void give_interest(void *context, uint32_t end, unsigned bits)
{
    const struct giving *g = context;
    uint32_t node = end / LIMIT_EDGES;
    const struct shard_far *far = node < g->self->out.far_end ? g->self->out.far[node] : NULL;
    if (far == NULL && node != g->self->config.node)
        return; /* it has gone */
    struct msg_interest item = {
        .ref = {.node = (uint16_t)node,
                .life = far != NULL ? far->life : g->self->config.life,
                .edge = (uint8_t)(end % LIMIT_EDGES),
                .again = 1, /* the edge itself may have told the next owner something newer */
                .slot = g->order->slot,
                .epoch = g->order->epoch},
        .tenant = g->tenant,
        .device = g->device,
        .bits = (uint8_t)bits,
    };
    SURVIVE(frame_add(g->to, MSG_INTEREST, &item, sizeof item, NULL, 0));
}

static void give_watchers(void *context, const struct uuid *tenant, const struct uuid *device)
{
    struct giving *g = context;
    g->tenant = *tenant;
    g->device = *device;
    interest_each(&g->self->interest, tenant, device, give_interest, g);
}

/* The next owner loads it, once it has the slot. */
static void leave_out(const struct giving *g, const struct uuid *tenant, const struct uuid *device)
{
    struct msg_snapshot item = {.tenant = *tenant,
                                .device = *device,
                                .slot = g->order->slot,
                                .epoch = g->order->epoch,
                                .status = STATUS_ONLINE, /* not offline is all that counts */
                                .flags = SNAPSHOT_LEFT_OUT};
    SURVIVE(frame_add(g->to, MSG_SNAPSHOT, &item, sizeof item, NULL, 0));
}

static void give_wake(void *context, const struct item *item)
{
    const struct msg_device *wake = item->fixed;
    struct uuid tenant = wake->tenant, device = wake->device;
    if (item->kind == MSG_WAKE)
        leave_out(context, &tenant, &device);
}

static void give_device(const struct giving *g, const struct device *d)
{
    const struct rules *rules = d->rules;
    struct msg_rule packed[64];
    uint16_t count = 0;
    bool too_many = rules != NULL && rules->count > sizeof packed / sizeof *packed;
    if (too_many || g->to->bytes.len >= GIVE_BYTES_MAX) {
        if (d->status != STATUS_OFFLINE)
            leave_out(g, &d->tenant, &d->id);
        return;
    }
    for (; rules != NULL && count < rules->count; count++)
        packed[count] = rules_pack(&rules->rule[count]);
    struct msg_snapshot item = {
        .tenant = d->tenant,
        .device = d->id,
        .slot = g->order->slot,
        .epoch = g->order->epoch,
        .status = d->status,
        .flags = (uint8_t)((d->dirty ? SNAPSHOT_DIRTY : 0) | (d->stale ? SNAPSHOT_STALE : 0)),
        .last_seen_us = d->last_seen_us,
        .newest_us = d->newest_us,
        .touched_us = d->touched_us,
        .disconnected_us = d->presences != NULL ? INT64_MAX : d->disconnected_us,
        .redelivered_us = d->redelivered_us,
        .rules_count = count,
        .rules_len = (uint32_t)(count * sizeof *packed),
        .hours_len = d->hours != NULL ? sizeof *d->hours : 0,
        .latest_len = d->latest != NULL ? d->latest->len : 0,
    };
    struct span texts[] = {{packed, item.rules_len},
                           {d->hours, item.hours_len},
                           {d->latest != NULL ? d->latest->payload : NULL, item.latest_len}};
    SURVIVE(frame_add(g->to, MSG_SNAPSHOT, &item, sizeof item, texts, 3));
}

/* Edges tell the new owner themselves who watches what, but some may not have heard of it yet. */
void shard_give(struct shard *self, const struct msg_slot *order)
{
    struct shard_far *far = order->owner < self->out.far_end ? self->out.far[order->owner] : NULL;
    if (far == NULL)
        return; /* it has died since: whoever follows it loads them */
    unsigned shard = (unsigned)order->slot % LIMIT_SLOTS % far->shards;
    struct giving g = {.self = self, .to = &far->shard[shard], .order = order};
    if (!far->gave[shard])
        interest_keys(&self->interest, INTEREST_ANY, give_watchers, &g);
    far->gave[shard] = true;
    interest_keys(&self->interest, order->slot % LIMIT_SLOTS, give_watchers, &g);
    const struct held_slot *slot = shard_slot(self, order->slot);
    for (uint32_t h = slot->first; h != TABLE_NONE;) {
        const struct device *device = shard_device(self, h);
        h = device->slot_next;
        CHECK(device->in_flight == 0 && device->held == NULL);
        if (device->state == DEVICE_LIVE)
            give_device(&g, device);
    }
    early_each(&slot->early, give_wake, &g); /* given on before it was open */
    struct msg_slot end = *order;
    end.from = self->config.node;
    SURVIVE(frame_add(g.to, MSG_GIVEN, &end, sizeof end, NULL, 0));
}

/* ---- and what comes so ---- */

static bool adopt_rules(struct device *device, const struct msg_snapshot *s, const uint8_t *texts)
{
    struct batch_rule *loaded = xcalloc(s->rules_count + 1UL, sizeof *loaded);
    bool fine = s->rules_len == s->rules_count * sizeof(struct msg_rule);
    for (uint32_t i = 0; fine && i < s->rules_count; i++) {
        struct msg_rule packed;
        memcpy(&packed, texts + i * sizeof packed, sizeof packed);
        fine = rules_unpack(&packed, &loaded[i]);
    }
    if (fine)
        SURVIVE(rules_load(&device->rules, loaded, s->rules_count));
    free(loaded);
    return fine;
}

static void adopt_kept(struct device *device, const struct msg_snapshot *s, const uint8_t *texts)
{
    if (s->hours_len == sizeof *device->hours) {
        device->hours = xcalloc(1, sizeof *device->hours);
        memcpy(device->hours, texts + s->rules_len, s->hours_len);
    }
    if (s->latest_len > 0)
        SURVIVE(device_keep_latest(device, (const char *)texts + s->rules_len + s->hours_len,
                                   s->latest_len));
}

void shard_wake_later(struct held_slot *slot, const struct msg_device *wake)
{
    const struct item item = {
        .kind = MSG_WAKE, .fixed = wake, .texts = (const uint8_t *)(wake + 1)};
    early_keep(&slot->early, &item);
}

void shard_take_snapshot(struct shard *self, const struct item *item)
{
    const struct msg_snapshot *s = item->fixed;
    struct held_slot *slot = shard_slot(self, s->slot);
    struct uuid tenant = s->tenant, id = s->device;
    shard_slot_returns(self, s->slot, s->epoch);
    /* Released before it came, it is given on: what nobody has would be watched by nobody. */
    bool leaves = shard_slot_leaves(self, s->slot);
    bool too_late =
        s->epoch < slot->epoch || slot->hold == HOLD_OPEN || (leaves && s->epoch > slot->epoch);
    if (s->status >= STATUSES || shard_find_at(self, &id, s->slot) != TABLE_NONE)
        return; /* it was loaded meanwhile */
    if (too_late && s->epoch == slot->epoch && slot->hold == HOLD_OPEN &&
        s->status != STATUS_OFFLINE)
        shard_activate(self, &tenant, &id, s->slot); /* its timers are to be watched */
    if (too_late)
        return; /* or will be */
    if (s->flags & SNAPSHOT_LEFT_OUT) {
        shard_wake_later(slot, &(struct msg_device){tenant, id, s->slot});
        return;
    }
    uint32_t handle = shard_make(self, &tenant, &id, s->slot);
    struct device *device = shard_device(self, handle);
    device->state = DEVICE_LIVE;
    device->status = s->status;
    device->dirty = s->flags & SNAPSHOT_DIRTY;
    device->last_seen_us = s->last_seen_us;
    device->newest_us = s->newest_us;
    device->touched_us = s->touched_us;
    device->redelivered_us = s->redelivered_us;
    device->disconnected_us = s->disconnected_us;
    if (s->disconnected_us == INT64_MAX) /* whoever has its connection tells of it anew */
        device_disconnected(device, self->now_us);
    self->counts.active += device->status != STATUS_OFFLINE;
    if (!adopt_rules(device, s, item->texts)) {
        shard_passivate(self, handle);
        return;
    }
    adopt_kept(device, s, item->texts);
    bool changed = self->now_us - self->changed_us < CHANGE_US;
    if ((s->flags & SNAPSHOT_STALE) || (changed && leaves))
        shard_changed(self, handle);
    if (changed && !leaves) /* nothing of a slot that leaves may be in flight */
        shard_step(self, handle, DEVICE_CHANGED, &(struct device_input){0});
}
