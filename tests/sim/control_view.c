/* The view as control reads it, and what it tells the threads of it (node/control_view). */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define FRAME_BYTES (16UL << 20)

void control_view_open(struct process *process)
{
    for (uint32_t i = 0; i < process->shards; i++)
        frame_init(&process->control.to_shard[i], FRAME_BYTES);
    for (uint32_t e = 0; e < EDGES; e++)
        frame_init(&process->control.to_edge[e], FRAME_BYTES);
}

void control_view_close(struct process *process)
{
    for (uint32_t i = 0; i < process->shards; i++)
        frame_free(&process->control.to_shard[i]);
    for (uint32_t e = 0; e < EDGES; e++)
        frame_free(&process->control.to_edge[e]);
}

void control_flush(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    for (uint32_t i = 0; i < process->shards; i++) {
        if (control->to_shard[i].count > 0)
            task_wake(self, &process->shard[i].thread.task);
        fifo_put_frame(self, &process->shard[i].inbox[SHARD_FROM_CONTROL], NULL,
                       &control->to_shard[i]);
    }
    for (uint32_t e = 0; e < EDGES; e++) {
        if (control->to_edge[e].count > 0)
            task_wake(self, &process->edge[e].thread.task);
        fifo_put_frame(self, &process->edge[e].inbox[EDGE_FROM_CONTROL], NULL,
                       &control->to_edge[e]);
    }
}

/* ---- telling ---- */

static void tell_shard(struct process *process, uint32_t shard, enum msg_kind kind,
                       const void *fixed, size_t len)
{
    CHECK(frame_add(&process->control.to_shard[shard], kind, fixed, len, NULL, 0) == 0);
}

static void tell_edges(struct process *process, enum msg_kind kind, const void *fixed, size_t len)
{
    for (uint32_t e = 0; e < EDGES; e++)
        CHECK(frame_add(&process->control.to_edge[e], kind, fixed, len, NULL, 0) == 0);
}

static uint32_t shard_of(const struct process *process, uint16_t slot)
{
    return slot % LIMIT_SLOTS % process->shards;
}

void control_tell_device(struct world *self, struct process *process, enum msg_kind kind,
                         uint32_t device)
{
    const struct db_device *d = &self->db.device[device];
    struct msg_device item = {self->db.tenant[d->tenant].id, d->id, d->slot};
    tell_shard(process, shard_of(process, item.slot), kind, &item, sizeof item);
}

void control_tell_slot(struct world *self, struct process *process, enum msg_kind kind,
                       uint16_t slot, uint16_t owner, uint32_t epoch)
{
    struct msg_slot item = {.slot = slot, .from = process->number, .owner = owner, .epoch = epoch};
    static const char *const names[] = {
        [MSG_SLOT] = "SLOT", [MSG_RELEASE] = "RELEASE", [MSG_GIVE] = "GIVE"};
    trace(self, "process %u: %s of %u to %u, epoch %u", process->id, names[kind], slot, owner,
          epoch);
    tell_shard(process, shard_of(process, slot), kind, &item, sizeof item);
}

/* Committed: the shards go on, without waiting for the view that says the same. */
void control_tell_moved(struct world *self, struct process *process)
{
    const struct sim_control *control = &process->control;
    const struct moves_order *order = &control->order;
    bool given = order->kind == MOVES_HAND_OVER;
    for (uint32_t i = 0; i < order->count; i++)
        if (control->epochs[i] != 0)
            control_tell_slot(self, process, given ? MSG_GIVE : MSG_SLOT, order->slot[i],
                              given ? order->target : process->number,
                              (uint32_t)control->epochs[i]);
}

void control_tell_drain(struct process *process)
{
    struct msg_drain item = {0};
    tell_edges(process, MSG_DRAIN, &item, sizeof item);
}

/* ---- what mutations tell ---- */

void control_give_before(struct world *self, struct process *process)
{
    const struct moves_order *order = &process->control.order;
    for (uint32_t i = 0; order->kind == MOVES_HAND_OVER && i < order->count; i++)
        control_tell_slot(self, process, MSG_GIVE, order->slot[i], order->target,
                          slots_get(&process->control.slots, order->slot[i]).epoch + 1);
    control_flush(self, process);
}

void control_tell_clean(struct world *self, struct process *process)
{
    const struct moves_order *order = &process->control.order;
    struct msg_slot item = {.slot = order->slot[0],
                            .from = process->number,
                            .from_life = process->life,
                            .owner = order->target,
                            .flags = SLOT_CLEAN,
                            .epoch = order->epoch + 1};
    tell_edges(process, MSG_SLOT, &item, sizeof item);
    control_flush(self, process);
}

/* ---- nodes ---- */

static void tell_node(struct process *process, const struct view_node *node)
{
    struct msg_node item = {.node = node->number,
                            .life = (uint16_t)node->incarnation,
                            .alive = node->alive,
                            .edges = node->edges,
                            .shards = node->shards};
    for (uint32_t i = 0; i < process->shards; i++)
        tell_shard(process, i, MSG_NODE, &item, sizeof item);
    tell_edges(process, MSG_NODE, &item, sizeof item);
}

static bool take_node(struct process *process, const struct view_node *row)
{
    struct view_node *at = &process->control.nodes[row->number];
    if (at->known && at->alive == row->alive && at->incarnation == row->incarnation &&
        at->state == row->state)
        return false;
    if (at->alive && (!row->alive || at->incarnation != row->incarnation))
        process->control.sweeping = true;
    *at = *row;
    tell_node(process, at);
    return true;
}

static bool lose_absent(struct process *process, const struct view_read *read)
{
    struct sim_control *control = &process->control;
    bool present[NUMBERS] = {false}, any = false;
    for (uint32_t i = 0; i < read->nodes_count; i++)
        present[read->nodes[i].number] = true;
    for (uint16_t n = 0; n < NUMBERS; n++) {
        if (present[n] || !control->nodes[n].alive)
            continue;
        control->nodes[n].alive = false;
        control->nodes[n].state = MEMBER_ENDED;
        control->sweeping = true; /* it may have given slots that it sent nothing of any more */
        tell_node(process, &control->nodes[n]);
        any = true;
    }
    return any;
}

/* ---- slots ---- */

static uint16_t number_of(const struct world *self, uint8_t place)
{
    return place != NOBODY ? self->db.member[place].number : MSG_NOBODY;
}

static void tell_slot(struct process *process, uint16_t slot, const struct slot *now, bool awaits)
{
    struct msg_slot item = {.slot = slot,
                            .from = process->number,
                            .owner = now->owner,
                            .flags = awaits ? SLOT_AWAITS : 0,
                            .epoch = now->epoch};
    tell_shard(process, shard_of(process, slot), MSG_SLOT, &item, sizeof item);
    tell_edges(process, MSG_SLOT, &item, sizeof item);
}

/* True: it is inherited, from somebody who is dead. */
static bool take_slot(struct world *self, struct process *process, const struct db_slot *row)
{
    struct sim_control *control = &process->control;
    struct slot former = slots_get(&control->slots, row->slot);
    const struct slot now = {.epoch = row->epoch,
                             .owner = number_of(self, row->owner),
                             .target = number_of(self, row->target)};
    int rc = slots_set(&control->slots, row->slot, &now);
    if (rc < 0)
        fail(self, "slot %u was refused: epoch %u after %u", row->slot, now.epoch, former.epoch);
    if (rc <= 0)
        return false;
    moves_row(control->moves, row->slot, now.epoch, now.owner, now.target);
    if (now.epoch == former.epoch)
        return false;
    bool awaits = now.owner == process->number && former.owner != process->number &&
                  now.epoch == former.epoch + 1 && former.owner < NUMBERS &&
                  control->nodes[former.owner].alive;
    tell_slot(process, row->slot, &now, awaits);
    return now.owner == process->number && !awaits;
}

static void take_rows(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    const struct view_read *read = &control->read;
    bool members = false;
    if (read->version == control->version)
        return;
    for (uint32_t i = 0; i < read->nodes_count; i++)
        members |= take_node(process, &read->nodes[i]);
    members |= lose_absent(process, read);
    if (members) {
        mesh_give_view(self, process, control->nodes);
        control_flush(self, process);
    }
    for (uint32_t i = 0; i < read->slots_count; i++)
        control->sweeping |= take_slot(self, process, &read->slots[i]);
    control->version = read->version;
}

static void tell_home(struct process *process, const struct uuid *id, unsigned region, uint32_t bit)
{
    struct msg_home item = {.id = *id, .region = (uint8_t)region};
    if (process->control.homes_told & bit)
        return;
    process->control.homes_told |= bit;
    tell_edges(process, MSG_HOME, &item, sizeof item);
}

/* Who is at home in a region of its own, and is new. */
static void tell_homes(struct world *self, struct process *process)
{
    for (uint32_t t = 0; t < TENANTS; t++)
        if (self->db.tenant[t].region > 0)
            tell_home(process, &self->db.tenant[t].id, self->db.tenant[t].region, 1U << t);
    for (uint32_t d = 0; d < DEVICES; d++)
        if (self->db.device[d].own_home && self->db.device[d].exists)
            tell_home(process, &self->db.device[d].id, self->db.device[d].slot >> MSG_SLOT_BITS,
                      1U << (TENANTS + d));
}

void control_take_view(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    take_rows(self, process);
    tell_homes(self, process);
    for (; control->changes < control->read.changes; control->changes++)
        if (self->mutation != MUTATION_change_lost)
            control_tell_device(self, process, MSG_CHANGED, self->db.changes[control->changes]);
}
