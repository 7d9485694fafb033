/* The promises of the cluster: one owner, moves that end, loads that are even, credit that comes
 * back. */
#include "actors/shard_inside.h"
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <inttypes.h>
#include <stdlib.h>

/* ---- P4 ---- */

void check_owner(struct world *self, const struct process *process, uint16_t slot, const char *what)
{
    const struct db_slot *row = slot_row(&self->db, slot);
    if (row->owner != process->place ||
        self->db.member[row->owner].incarnation != process->incarnation)
        fail(self, "P4: process %u wrote %s of slot %u, whose owner is %s", process->id, what, slot,
             row->owner == NOBODY ? "nobody" : self->db.member[row->owner].name);
}

static bool is_open(const struct world *self, const struct process *process, uint16_t slot)
{
    const struct shard *shard = process->shard[slot % LIMIT_SLOTS % process->shards].shard;
    const struct held_slot *region = shard->slots[slot >> MSG_SLOT_BITS];
    (void)self;
    return region != NULL && region[slot % LIMIT_SLOTS].hold == HOLD_OPEN;
}

static bool is_served(const struct world *self, const struct process *process)
{
    return member_is_served(&self->db.member[process->place], process->incarnation);
}

/* Of those that can write, one at most has it open. */
static void check_one_holder(struct world *self, const struct db_slot *row)
{
    const struct process *holder = NULL;
    for (uint32_t i = 0; i < self->processes; i++) {
        const struct process *process = self->process[i];
        if (process == NULL || process->shard[0].shard == NULL || !is_served(self, process) ||
            !is_open(self, process, row->slot))
            continue;
        if (holder != NULL)
            fail(self, "P4: slot %u is open at process %u and at process %u", row->slot, holder->id,
                 process->id);
        holder = process;
    }
}

/* ---- P5 ---- */

static bool is_of(const struct msg_ref *ref, const struct sim_edge *edge)
{
    return ref->node == edge->thread.process->number && ref->life == edge->thread.process->life &&
           ref->edge == edge->thread.index;
}

static int64_t items_of(const struct batch *batch, const struct sim_edge *edge)
{
    int64_t items = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++)
        items += is_of(&batch->rows[i].ref, edge);
    for (uint32_t i = 0; i < batch->rejects_count; i++)
        items += is_of(&batch->rejects[i].ref, edge);
    for (uint32_t i = 0; i < batch->retains_count; i++)
        items += is_of(&batch->retains[i].ref, edge);
    return items;
}

static int64_t held_by(const struct process *process, uint32_t index, const struct sim_edge *edge)
{
    const struct shard *shard = process->shard[index].shard;
    int64_t held = items_of(shard->open, edge);
    for (uint32_t i = 0; i < shard->sealed_count; i++)
        held += items_of(shard->sealed[i], edge);
    for (uint32_t i = 0; i < process->writer[index].count; i++)
        held += items_of(process->writer[index].queue[i], edge);
    for (uint32_t i = 0; i < process->shard[index].done_count; i++)
        held += items_of(process->shard[index].done[i], edge);
    for (uint32_t i = 0; i < shard->handles; i++)
        for (const struct held *h = shard_device(shard, i)->held; h != NULL; h = h->next)
            held += is_of(&h->reading.ref, edge);
    return held;
}

/* What a member holds of an edge is within its credit. (What an owner that died answered before,
 * the present one may hold still.) */
static void check_held(struct world *self, const struct process *process,
                       const struct sim_edge *edge)
{
    int64_t held = 0;
    for (uint32_t i = 0; i < process->shards; i++)
        held += held_by(process, i, edge);
    if (held > edge->items + edge->strays)
        fail(self,
             "P5: process %u holds %" PRId64 " items of process %u edge %u, charged are %" PRId64,
             process->id, held, edge->thread.process->id, edge->thread.index, edge->items);
}

/* An edge may pass its credit by one PUBLISH, whose readings are not divided. */
static void check_credit(struct world *self, const struct sim_edge *edge)
{
    if (edge->items > self->credit_items + 5 || edge->items < 0 || edge->bytes < 0 ||
        edge->items != (int64_t)lanes_unanswered(edge->lanes))
        fail(self, "P5: process %u edge %u has %" PRId64 " items unanswered, its lanes %zu",
             edge->thread.process->id, edge->thread.index, edge->items,
             lanes_unanswered(edge->lanes));
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && self->process[i]->shard[0].shard != NULL &&
            is_served(self, self->process[i]))
            check_held(self, self->process[i], edge);
}

void check_step(struct world *self)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        check_one_holder(self, slot_row(&self->db, self->db.device[i].slot));
    if (self->stats.steps % 16 != 0)
        return;
    for (uint32_t i = 0; i < self->processes; i++)
        for (uint32_t e = 0; e < EDGES; e++)
            if (self->process[i] != NULL && self->process[i]->shard[0].shard != NULL)
                check_credit(self, &self->process[i]->edge[e]);
    if (self->stats.steps % 128 == 0)
        for (uint32_t i = 0; i < self->db.slots_count; i++)
            check_one_holder(self, &self->db.slots[i]);
}

/* ---- the planner ---- */

struct share {
    uint64_t load, least, most;
};

/* Which region's nodes hold its slots; REGIONS: none. */
static unsigned host_of(const struct world *self, const struct placement *placement,
                        unsigned region)
{
    for (unsigned step = 0; step < LIMIT_REGIONS; step++) {
        for (size_t i = 0; i < placement->nodes_count; i++)
            if (placement->nodes[i].region == (region + step) % LIMIT_REGIONS &&
                placement->nodes[i].may_hold && placement->nodes[i].weight > 0)
                return (region + step) % LIMIT_REGIONS;
        if (!(placement->failed_over >> region & 1))
            break;
    }
    (void)self;
    return LIMIT_REGIONS;
}

static uint64_t count_slots(const struct placement *placement, unsigned region)
{
    uint64_t count = 0;
    for (size_t i = 0; i < placement->slots_count; i++)
        count += placement->slots[i].region == region;
    return count;
}

/* By number; of a node that is not of the host's region all is 0. */
static void set_shares(const struct world *self, const struct placement *placement, unsigned region,
                       struct share *shares)
{
    unsigned host = host_of(self, placement, region);
    uint64_t weights = 0, slots = count_slots(placement, region);
    memset(shares, 0, NUMBERS * sizeof *shares);
    for (size_t i = 0; i < placement->nodes_count; i++)
        if (placement->nodes[i].region == host && placement->nodes[i].may_hold)
            weights += placement->nodes[i].weight;
    for (size_t i = 0; i < placement->nodes_count; i++) {
        const struct placement_node *node = &placement->nodes[i];
        if (node->region != host || !node->may_hold || node->weight == 0)
            continue;
        uint64_t share = slots * node->weight;
        struct share *s = &shares[node->number];
        s->most = share * 105 / (weights * 100);
        if (s->most < (share + weights - 1) / weights)
            s->most = (share + weights - 1) / weights;
        s->least = (share * 95 + weights * 100 - 1) / (weights * 100);
        if (s->least > share / weights)
            s->least = share / weights;
    }
}

static uint16_t holder_of(const struct placement_slot *slot, const struct share *shares)
{
    if (slot->target != PLACEMENT_NOBODY && shares[slot->target].most > 0)
        return slot->target;
    if (slot->owner != PLACEMENT_NOBODY && shares[slot->owner].most > 0)
        return slot->owner;
    return PLACEMENT_NOBODY;
}

/* No more of a region's slots go elsewhere than have to. */
static void check_moved(struct world *self, const struct placement *placement, unsigned region)
{
    struct share shares[NUMBERS];
    uint64_t moved = 0, forced = 0, missing = 0;
    set_shares(self, placement, region, shares);
    for (size_t i = 0; i < placement->slots_count; i++) {
        const struct placement_slot *slot = &placement->slots[i];
        if (slot->region != region || slot->wanted == PLACEMENT_NOBODY)
            continue;
        uint16_t holder = holder_of(slot, shares);
        moved += slot->wanted != holder;
        if (holder == PLACEMENT_NOBODY)
            forced++;
        else
            shares[holder].load++;
    }
    for (uint32_t n = 0; n < NUMBERS; n++) {
        forced += shares[n].load > shares[n].most ? shares[n].load - shares[n].most : 0;
        missing += shares[n].load < shares[n].least ? shares[n].least - shares[n].load : 0;
    }
    if (moved > (forced > missing ? forced : missing))
        fail(self, "%" PRIu64 " slots of region %u move, where %" PRIu64 " would do", moved, region,
             forced > missing ? forced : missing);
}

void check_plan(struct world *self, const struct placement *placement)
{
    for (unsigned region = 0; region < self->plan.regions; region++)
        check_moved(self, placement, region);
}

/* ---- deaths ---- */

static struct process *present(const struct world *self, uint8_t place)
{
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && self->process[i]->place == place &&
            self->process[i]->phase != PROCESS_REGISTERING &&
            self->process[i]->incarnation == self->db.member[place].incarnation)
            return self->process[i];
    return NULL;
}

static void check_death(struct world *self, uint8_t place, const char *how)
{
    const struct process *process = present(self, place);
    self->stats.deaths++;
    check_disturbed(self);
    if (process != NULL && process->phase == PROCESS_RUNNING &&
        self->now_us > self->trouble_until_us[place])
        fail(self, "process %u was declared %s, though nothing had befallen it", process->id, how);
}

void check_buried(struct world *self, uint8_t place)
{
    const struct db_member *row = &self->db.member[place];
    if (row->lease_until_us > self->now_us)
        fail(self, "%s was declared dead with its lease running", row->name);
    if (row->state != MEMBER_CONDEMNED)
        check_death(self, place, "dead");
    check_disturbed(self);
}

void check_condemned(struct world *self, uint8_t place)
{
    check_death(self, place, "condemned");
}

void check_ended(struct world *self, struct process *process, const char *why)
{
    bool planned = strcmp(why, "left") == 0 || strcmp(why, "the run is over") == 0;
    if (!planned && process->shard[0].shard != NULL)
        check_disturbed(self);
    if ((strcmp(why, "fenced") == 0 || strcmp(why, "deposed") == 0) &&
        member_is_served(&self->db.member[process->place], process->incarnation))
        fail(self, "P4: process %u ends as %s, and is a member", process->id, why);
}

/* ---- at rest ---- */

static void check_loads(struct world *self)
{
    struct placement_node nodes[PLACES];
    struct placement placement = {0};
    struct share shares[NUMBERS];
    plan_load(self, self->db.hold_down_us, nodes, &placement);
    for (unsigned region = 0; region < self->plan.regions; region++) {
        set_shares(self, &placement, region, shares);
        for (size_t i = 0; i < placement.slots_count; i++)
            if (placement.slots[i].region == region && placement.slots[i].owner < NUMBERS)
                shares[placement.slots[i].owner].load++;
        for (uint32_t n = 0; n < NUMBERS; n++)
            if (shares[n].load > shares[n].most || shares[n].load < shares[n].least)
                fail(self,
                     "number %u has %" PRIu64 " slots of region %u, not %" PRIu64 " to %" PRIu64, n,
                     shares[n].load, region, shares[n].least, shares[n].most);
    }
    free(placement.slots);
}

const char *unrest_of_slot(const struct world *self, const struct db_slot *row)
{
    const struct process *owner = row->owner != NOBODY ? present(self, row->owner) : NULL;
    if (owner == NULL || !member_lives(&self->db.member[row->owner]))
        return "has no living owner";
    if (row->target != NOBODY)
        return "still moves";
    return is_open(self, owner, row->slot) ? NULL : "is not open at its owner";
}

void check_settled(struct world *self)
{
    for (uint32_t i = 0; i < self->db.slots_count; i++) {
        const char *why = unrest_of_slot(self, &self->db.slots[i]);
        if (why != NULL)
            fail(self, "slot %u %s", self->db.slots[i].slot, why);
    }
    check_loads(self);
}

void check_empty(struct world *self)
{
    for (uint32_t i = 0; i < self->processes; i++) {
        const struct process *process = self->process[i];
        if (process == NULL || process->phase != PROCESS_RUNNING)
            continue;
        for (uint32_t s = 0; s < process->shards; s++) {
            const struct shard_counts *counts = shard_count(process->shard[s].shard);
            if (counts->actors != 0 || counts->active != 0 || counts->unexpected != 0 ||
                !shard_is_quiet(process->shard[s].shard))
                fail(self, "process %u shard %u is not empty: %u actors, %u active, %u unexpected",
                     i, s, (unsigned)counts->actors, (unsigned)counts->active,
                     (unsigned)counts->unexpected);
        }
        for (uint32_t e = 0; e < EDGES; e++)
            if (process->edge[e].items != 0 || process->edge[e].bytes != 0 ||
                process->edge[e].admits != 0)
                fail(self, "P5: process %u edge %u lacks %" PRId64 " items of its credit", i, e,
                     process->edge[e].items);
    }
}
