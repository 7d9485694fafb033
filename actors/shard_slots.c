/* Which slots this shard holds, and what becomes of items for those that it does not. */
#include "actors/shard_inside.h"
#include <stdlib.h>

/* A slot is opened without what its live owner, or edges, have to say after this. */
#define GIVEN_WAIT_US 1000000
#define TOLD_WAIT_US 500000

struct held_slot *shard_slot(struct shard *self, uint16_t slot)
{
    unsigned region = slot >> MSG_SLOT_BITS;
    if (self->slots[region] == NULL) {
        self->slots[region] = calloc(LIMIT_SLOTS, sizeof **self->slots);
        CHECK(self->slots[region] != NULL);
        for (unsigned i = 0; i < LIMIT_SLOTS; i++) {
            self->slots[region][i].first = TABLE_NONE;
            self->slots[region][i].owner = MSG_NOBODY;
        }
    }
    return &self->slots[region][slot % LIMIT_SLOTS];
}

void shard_slots_free(struct shard *self)
{
    for (unsigned region = 0; region < LIMIT_REGIONS; region++) {
        for (unsigned i = 0; self->slots[region] != NULL && i < LIMIT_SLOTS; i++) {
            early_free(&self->slots[region][i].early);
            free(self->slots[region][i].told);
        }
        free(self->slots[region]);
    }
}

/* ---- items ---- */

/* Clean: what this shard took in an earlier epoch it has answered before; the edge knows whether it
 * was the owner. */
static struct msg_slot word_of(const struct shard *self, const struct held_slot *slot,
                               uint16_t number)
{
    return (struct msg_slot){.slot = number,
                             .from = self->config.node,
                             .from_life = self->config.life,
                             .owner = slot->owner,
                             .flags = slot->lost ? 0 : SLOT_CLEAN,
                             .epoch = slot->epoch};
}

/* Who sends it will send all that is unanswered to the owner once it knows him. */
static void tell_owner(struct shard *self, uint16_t number, const struct msg_ref *to)
{
    struct msg_slot item = word_of(self, shard_slot(self, number), number);
    struct frame *frame = shard_edge_frame(self, to->node, to->life, to->edge);
    if (frame != NULL)
        SURVIVE(frame_add(frame, MSG_SLOT, &item, sizeof item, NULL, 0));
}

/* What an edge says by itself, and again to each new owner; but who is gone it does not say again.
 */
static bool is_state(enum msg_kind kind)
{
    return kind == MSG_PRESENCE || kind == MSG_INTEREST || kind == MSG_CLAIM ||
           kind == MSG_UNCLAIM || kind == MSG_TOLD;
}

bool shard_slot_takes(struct shard *self, const struct item *item, const struct msg_ref *ref)
{
    struct held_slot *slot = shard_slot(self, ref->slot);
    bool opening = slot->hold == HOLD_OPENING;
    bool leaving = slot->hold == HOLD_RELEASING || slot->hold == HOLD_RESTING;
    bool hears = (opening && !slot->awaits) || leaving;
    if (ref->epoch == slot->epoch && (slot->hold == HOLD_OPEN || (hears && is_state(item->kind))))
        return true;
    self->counts.moved++;
    if (ref->epoch > slot->epoch || (ref->epoch == slot->epoch && opening))
        early_keep(&slot->early, item);
    else if (!leaving)
        tell_owner(self, ref->slot, ref);
    return false;
}

bool shard_slot_leaves(struct shard *self, uint16_t number)
{
    uint8_t hold = shard_slot(self, number)->hold;
    return hold == HOLD_RELEASING || hold == HOLD_RESTING;
}

bool shard_slot_wakes(struct shard *self, const struct item *item, uint16_t number)
{
    struct held_slot *slot = shard_slot(self, number);
    if (slot->hold == HOLD_OPEN || (slot->hold == HOLD_OPENING && !slot->awaits))
        return true;
    if (slot->hold != HOLD_CLOSED)
        early_keep(&slot->early, item);
    return false;
}

static void take_one(void *context, const struct item *item)
{
    shard_take(context, item); /* looks at the epoch once more */
}

/* Those of the slot's epoch go their way; those of a later one wait on. */
static void take_early(struct shard *self, struct held_slot *slot)
{
    early_take(&slot->early, take_one, self);
}

/* ---- what control says ---- */

static void set_hold(struct shard *self, struct held_slot *slot, enum hold hold)
{
    self->opening -= slot->hold == HOLD_OPENING;
    self->opening += hold == HOLD_OPENING;
    self->counts.slots -= slot->hold == HOLD_OPEN;
    self->counts.slots += hold == HOLD_OPEN;
    slot->hold = (uint8_t)hold;
    free(slot->told);
    slot->told = NULL;
}

static void reload(struct shard *self, uint32_t handle)
{
    shard_device(self, handle)->stale = false;
    shard_step(self, handle, DEVICE_CHANGED, &(struct device_input){0});
}

void shard_changed(struct shard *self, uint32_t handle)
{
    struct device *device = shard_device(self, handle);
    device->stale = true;
    if (shard_slot(self, device->slot)->hold == HOLD_OPEN)
        reload(self, handle);
}

static void open_slot(struct shard *self, struct held_slot *slot)
{
    set_hold(self, slot, HOLD_OPEN);
    slot->opened_us = self->now_us;
    for (uint32_t h = slot->first; h != TABLE_NONE; h = shard_device(self, h)->slot_next)
        if (shard_device(self, h)->stale)
            reload(self, h);
    take_early(self, slot);
}

/* To every edge of every node: behind what was acknowledged to it, on the same way. */
static void tell_edges(struct shard *self, const struct msg_slot *news)
{
    for (uint32_t e = 0; e < self->config.edges; e++)
        SURVIVE(frame_add(&self->out.edge[e], MSG_SLOT, news, sizeof *news, NULL, 0));
    for (uint32_t n = 0; n < self->out.far_end; n++)
        for (unsigned e = 0; self->out.far[n] != NULL && e < self->out.far[n]->edges; e++)
            SURVIVE(frame_add(&self->out.far[n]->edge[e], MSG_SLOT, news, sizeof *news, NULL, 0));
}

/* And who watches them: of a slot that is closed nobody is known, and most news is of such. */
static void drop_devices(struct shard *self, struct held_slot *slot, uint16_t number)
{
    while (slot->first != TABLE_NONE)
        shard_passivate(self, slot->first);
    if (slot->hold != HOLD_CLOSED)
        interest_lost_slot(&self->interest, number);
}

/* What it took in the former epoch is committed and answered: edges may forget the owner. */
static void give_up(struct shard *self, const struct held_slot *slot, uint16_t number)
{
    struct msg_slot news = word_of(self, slot, number);
    tell_edges(self, &news);
}

/* Others have had it since: what is known here of its devices is old. */
static void forget(struct shard *self, struct held_slot *slot, uint16_t number)
{
    for (uint32_t h = slot->first; h != TABLE_NONE; h = shard_device(self, h)->slot_next) {
        const struct device *device = shard_device(self, h);
        if (device->status != STATUS_OFFLINE)
            shard_wake_later(slot, &(struct msg_device){device->tenant, device->id, number});
    }
    drop_devices(self, slot, number);
    tenants_lost_slot(&self->tenants, number);
}

static void begin_to_open(struct shard *self, struct held_slot *slot, bool awaits)
{
    slot->awaits = awaits;
    slot->open_at_us = self->now_us + (awaits ? GIVEN_WAIT_US : TOLD_WAIT_US);
    set_hold(self, slot, HOLD_OPENING);
}

void shard_slot_returns(struct shard *self, uint16_t number, uint32_t epoch)
{
    struct held_slot *slot = shard_slot(self, number);
    if (slot->hold != HOLD_RESTING || slot->in_flight > 0 || epoch <= slot->epoch)
        return;
    forget(self, slot, number);
    slot->epoch = epoch;
    slot->owner = self->config.node;
    give_up(self, slot, number);
    begin_to_open(self, slot, true);
}

static void take_view(struct shard *self, const struct msg_slot *news)
{
    struct held_slot *slot = shard_slot(self, news->slot);
    bool held = slot->hold == HOLD_RELEASING || slot->hold == HOLD_RESTING;
    bool rests = slot->hold == HOLD_RESTING && slot->in_flight == 0;
    bool had_by_others = rests && news->epoch > slot->epoch + 1;
    if (news->epoch <= slot->epoch)
        return;
    slot->epoch = news->epoch;
    slot->owner = news->owner;
    if (news->owner != self->config.node) {
        /* Given away by shard_give() before; else somebody has declared this node dead. */
        slot->lost = slot->in_flight > 0;
        if (!slot->lost)
            drop_devices(self, slot, news->slot);
        tenants_lost_slot(&self->tenants, news->slot);
        set_hold(self, slot, HOLD_CLOSED);
        take_early(self, slot);
        return;
    }
    if (held)
        give_up(self, slot, news->slot); /* what was dropped is sent again */
    if (had_by_others)
        forget(self, slot, news->slot); /* else it stays */
    if ((held && !had_by_others) || slot->given_epoch >= news->epoch) {
        open_slot(self, slot);
        return;
    }
    begin_to_open(self, slot, news->flags & SLOT_AWAITS);
    take_early(self, slot);
}

static bool have_all(uint8_t told, uint32_t edges)
{
    return told == (1U << edges) - 1;
}

static bool all_have_told(const struct shard *self, const struct held_slot *slot)
{
    if (!have_all(slot->told[self->config.node], self->config.edges))
        return false;
    for (uint32_t n = 0; n < self->out.far_end; n++)
        if (self->out.far[n] != NULL && !have_all(slot->told[n], self->out.far[n]->edges))
            return false;
    return true;
}

void shard_slot_told(struct shard *self, const struct msg_ref *ref)
{
    struct held_slot *slot = shard_slot(self, ref->slot);
    if (slot->hold != HOLD_OPENING ||
        shard_edge_frame(self, ref->node, ref->life, ref->edge) == NULL)
        return;
    if (slot->told == NULL)
        slot->told = xcalloc(LIMIT_NODES, sizeof *slot->told);
    slot->told[ref->node] |= (uint8_t)(1U << ref->edge);
    if (all_have_told(self, slot))
        open_slot(self, slot);
}

void shard_slots_lost_node(struct shard *self, uint16_t node)
{
    for (unsigned region = 0; region < LIMIT_REGIONS && self->opening > 0; region++)
        for (unsigned i = 0; self->slots[region] != NULL && i < LIMIT_SLOTS; i++)
            if (self->slots[region][i].told != NULL)
                self->slots[region][i].told[node] = 0;
}

static void rest_if_quiet(struct shard *self, struct held_slot *slot, uint16_t number)
{
    if (slot->hold != HOLD_RELEASING || slot->in_flight > 0)
        return;
    struct msg_slot item = {.slot = number, .owner = slot->owner, .epoch = slot->epoch};
    set_hold(self, slot, HOLD_RESTING);
    SURVIVE(frame_add(&self->out.control, MSG_RELEASED, &item, sizeof item, NULL, 0));
}

static void release(struct shard *self, const struct msg_slot *order)
{
    struct held_slot *slot = shard_slot(self, order->slot);
    if (slot->epoch != order->epoch || (slot->hold != HOLD_OPEN && slot->hold != HOLD_OPENING))
        return;
    slot->released_us = self->now_us;
    set_hold(self, slot, HOLD_RELEASING);
    rest_if_quiet(self, slot, order->slot);
}

static void given(struct shard *self, const struct msg_slot *news)
{
    struct held_slot *slot = shard_slot(self, news->slot);
    if (news->epoch < slot->epoch)
        return;
    shard_slot_returns(self, news->slot, news->epoch);
    slot->given_epoch = news->epoch;
    if (news->epoch > slot->epoch) { /* before our own control has read of it */
        slot->epoch = news->epoch;
        slot->owner = self->config.node;
        open_slot(self, slot);
    } else if (slot->hold == HOLD_OPENING) {
        open_slot(self, slot);
    }
}

static void hand_over(struct shard *self, const struct msg_slot *order)
{
    struct held_slot *slot = shard_slot(self, order->slot);
    if (slot->hold != HOLD_RESTING || order->epoch <= slot->epoch)
        return;
    slot->epoch = order->epoch;
    slot->owner = order->owner;
    shard_give(self, order);
    pauses_add(&self->counts.pauses, self->now_us - slot->released_us);
    give_up(self, slot, order->slot);
    drop_devices(self, slot, order->slot);
    tenants_lost_slot(&self->tenants, order->slot);
    set_hold(self, slot, HOLD_CLOSED);
    take_early(self, slot);
}

/* Committed by control, whose order was lost with the answer: the view says it instead. (Or this
 * node is declared dead; what it knows of a slot at rest is true all the same.) */
static bool was_given(struct shard *self, const struct msg_slot *news)
{
    const struct held_slot *slot = shard_slot(self, news->slot);
    return slot->hold == HOLD_RESTING && slot->in_flight == 0 && news->owner != self->config.node &&
           news->epoch == slot->epoch + 1;
}

void shard_take_slot(struct shard *self, const struct item *item)
{
    struct msg_slot order = *(const struct msg_slot *)item->fixed;
    if (item->kind == MSG_RELEASE)
        release(self, &order);
    else if (item->kind == MSG_GIVE)
        hand_over(self, &order);
    else if (item->kind == MSG_GIVEN)
        given(self, &order);
    else if (was_given(self, &order))
        hand_over(self, &order);
    else
        take_view(self, &order);
}

void shard_slot_came_back(struct shard *self, uint16_t number)
{
    struct held_slot *slot = shard_slot(self, number);
    CHECK(slot->in_flight > 0);
    slot->lost &= --slot->in_flight > 0;
    rest_if_quiet(self, slot, number);
}

void shard_close(shard_t *self)
{
    for (unsigned region = 0; region < LIMIT_REGIONS; region++)
        for (unsigned i = 0; self->slots[region] != NULL && i < LIMIT_SLOTS; i++)
            if (self->slots[region][i].hold != HOLD_CLOSED) {
                self->slots[region][i].released_us = self->now_us;
                set_hold(self, &self->slots[region][i], HOLD_RESTING);
            }
}

/* Or the clock was set back: then it waits no longer than that. */
static bool is_due(const struct held_slot *slot, int64_t now_us)
{
    return now_us >= slot->open_at_us || slot->open_at_us - now_us > GIVEN_WAIT_US;
}

void shard_slots_tick(struct shard *self)
{
    for (unsigned region = 0; region < LIMIT_REGIONS && self->opening > 0; region++)
        for (unsigned i = 0; self->slots[region] != NULL && i < LIMIT_SLOTS; i++) {
            struct held_slot *slot = &self->slots[region][i];
            if (slot->hold == HOLD_OPENING && is_due(slot, self->now_us)) {
                self->counts.unheard++;
                open_slot(self, slot);
            }
        }
}
