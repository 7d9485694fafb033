/* Where slots are, where the real planner wants them, and the difference as rows: what
 * sql/view_plan does. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

struct db_slot *slot_row(struct database *db, uint16_t slot)
{
    uint32_t index = db->slot_index[slot];
    CHECK(index < db->slots_count);
    return &db->slots[index];
}

int64_t plan_failover_us(const struct world *self, unsigned region, int64_t hold_down_us)
{
    const struct database *db = &self->db;
    int64_t due_us = db->made_us, oldest_us = INT64_MAX;
    bool awaited = false;
    for (uint32_t i = 0; i < PLACES; i++) {
        const struct db_member *row = &db->member[i];
        if (row->number == MSG_NOBODY)
            continue;
        if (row->state == MEMBER_ACTIVE && row->started_us < oldest_us)
            oldest_us = row->started_us;
        if (row->region != region)
            continue;
        if (row->state == MEMBER_ACTIVE || row->state == MEMBER_DRAINING)
            return 0;
        awaited |= row->state == MEMBER_CONDEMNED;
        if (row->left_us > due_us)
            due_us = row->left_us;
    }
    if (oldest_us != INT64_MAX && oldest_us > due_us)
        due_us = oldest_us;
    return awaited || hold_down_us == INT64_MAX ? INT64_MAX : due_us + hold_down_us;
}

bool plan_is_orphaned(const struct world *self, unsigned region)
{
    const struct database *db = &self->db;
    bool any_active = false;
    for (uint32_t i = 0; i < PLACES; i++)
        any_active |= db->member[i].state == MEMBER_ACTIVE && db->member[i].weight > 0;
    for (uint32_t i = 0; i < db->slots_count && any_active; i++)
        if (db->slots[i].slot >> MSG_SLOT_BITS == region &&
            (db->slots[i].owner == NOBODY || !member_lives(&db->member[db->slots[i].owner])))
            return true;
    return false;
}

static uint16_t number_of(const struct database *db, uint8_t place)
{
    return place != NOBODY && member_lives(&db->member[place]) ? db->member[place].number
                                                               : PLACEMENT_NOBODY;
}

static void load_nodes(const struct world *self, struct placement_node *nodes,
                       struct placement *placement)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        const struct db_member *row = &self->db.member[i];
        if (member_lives(row))
            nodes[placement->nodes_count++] =
                (struct placement_node){.number = row->number,
                                        .region = row->region,
                                        .weight = row->weight,
                                        .name = row->name,
                                        .may_hold = row->state == MEMBER_ACTIVE};
    }
    placement->nodes = nodes;
}

static void load_slots(const struct world *self, struct placement *placement)
{
    const struct database *db = &self->db;
    placement->slots = xcalloc(db->slots_count, sizeof *placement->slots);
    placement->slots_count = db->slots_count;
    for (uint32_t i = 0; i < db->slots_count; i++) {
        const struct db_slot *row = &db->slots[i];
        unsigned region = row->slot >> MSG_SLOT_BITS;
        placement->slots[i] = (struct placement_slot){.region = (uint16_t)region,
                                                      .slot = row->slot % LIMIT_SLOTS,
                                                      .owner = number_of(db, row->owner),
                                                      .target = number_of(db, row->target),
                                                      .wanted = PLACEMENT_NOBODY};
        if (placement->slots[i].owner != PLACEMENT_NOBODY &&
            db->member[row->owner].region != region)
            placement->failed_over |= 1U << region;
    }
}

static uint8_t place_of(const struct database *db, uint16_t number)
{
    uint8_t place = 0;
    while (place < PLACES &&
           (!member_lives(&db->member[place]) || db->member[place].number != number))
        place++;
    return place < PLACES ? place : NOBODY;
}

/* True: the row was changed. */
static bool apply(struct world *self, struct db_slot *row, const struct placement_slot *slot)
{
    uint16_t owner = PLACEMENT_NOBODY, target = PLACEMENT_NOBODY;
    if (slot->owner == PLACEMENT_NOBODY)
        owner = slot->wanted;
    else if (self->db.member[row->owner].state == MEMBER_CONDEMNED)
        return false;
    else if (slot->wanted != slot->owner)
        target = slot->wanted;
    if (owner == PLACEMENT_NOBODY && target == slot->target &&
        !(row->target != NOBODY && target == PLACEMENT_NOBODY))
        return false;
    if (owner != PLACEMENT_NOBODY) {
        row->owner = place_of(&self->db, owner);
        row->epoch++;
    }
    row->target = place_of(&self->db, target);
    row->changed = self->db.version + 1;
    return true;
}

void plan_load(const struct world *self, int64_t hold_down_us, struct placement_node *nodes,
               struct placement *placement)
{
    load_nodes(self, nodes, placement);
    load_slots(self, placement);
    for (unsigned region = 0; region < self->plan.regions; region++)
        if (plan_failover_us(self, region, hold_down_us) <= self->now_us)
            placement->failed_over |= 1U << region;
}

uint32_t plan_apply(struct world *self, int64_t hold_down_us, uint32_t failed_over)
{
    struct placement_node nodes[PLACES];
    struct placement placement = {.failed_over = failed_over};
    uint32_t changes = 0;
    plan_load(self, hold_down_us, nodes, &placement);
    CHECK(planner_place(&placement) == 0);
    check_plan(self, &placement);
    for (uint32_t i = 0; i < self->db.slots_count; i++)
        changes += apply(self, &self->db.slots[i], &placement.slots[i]);
    free(placement.slots);
    return changes;
}
