/* The cluster's rows as sql/membership changes them: who comes, stays, goes; who owns what. */
#include "cluster/lease.h"
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define TTL_US (LEASE_TTL_MS * 1000LL)
#define VOTE_COUNTS_US (10 * SECOND_US)

bool member_lives(const struct db_member *self)
{
    return self->state == MEMBER_ACTIVE || self->state == MEMBER_DRAINING ||
           self->state == MEMBER_CONDEMNED;
}

bool member_is_served(const struct db_member *self, int64_t incarnation)
{
    return self->incarnation == incarnation &&
           (self->state == MEMBER_ACTIVE || self->state == MEMBER_DRAINING);
}

/* What a mutation takes for the newest view later. */
static void keep_view(struct world *self)
{
    struct database *db = &self->db;
    if (db->old_slots == NULL)
        db->old_slots = xcalloc(db->slots_count, sizeof *db->old_slots);
    memcpy(db->old_slots, db->slots, db->slots_count * sizeof *db->slots);
    memcpy(db->old_member, db->member, sizeof db->member);
}

/* The view has another version; some are told at once. */
static void publish(struct world *self)
{
    if (self->mutation == MUTATION_view_back && random_percent(self, 20))
        keep_view(self);
    self->db.version++;
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && self->process[i]->phase != PROCESS_REGISTERING &&
            (self->calm || random_percent(self, 80)))
            control_notify(self, self->process[i]);
}

/* ---- coming, staying, going ---- */

static uint16_t free_number(const struct database *db)
{
    uint16_t number = 0;
    for (uint32_t i = 0; i < PLACES;)
        if (db->member[i].number == number) {
            number++;
            i = 0;
        } else {
            i++;
        }
    return number;
}

static void keep_own_slots(struct world *self, uint8_t place)
{
    for (uint32_t i = 0; i < self->db.slots_count; i++)
        if (self->db.slots[i].owner == place && self->mutation != MUTATION_epoch_kept) {
            self->db.slots[i].epoch++;
            self->db.slots[i].changed = self->db.version + 1;
        }
}

void member_register(struct world *self, struct process *process)
{
    struct db_member *row = &self->db.member[process->place];
    end_sessions(self, process->place);
    row->state = MEMBER_ACTIVE;
    row->incarnation++;
    row->lease_until_us = self->now_us + TTL_US;
    row->started_us = self->now_us;
    row->left_us = 0;
    row->edges = EDGES;
    row->shards = (uint8_t)process->shards;
    if (row->number == MSG_NOBODY)
        row->number = free_number(&self->db);
    process->incarnation = row->incarnation;
    process->number = row->number;
    process->life = (uint16_t)row->incarnation;
    keep_own_slots(self, process->place);
    plan_apply(self, INT64_MAX, 0);
    publish(self);
}

int member_renew(struct world *self, const struct process *process)
{
    struct db_member *row = &self->db.member[process->place];
    if (!member_is_served(row, process->incarnation))
        return ERR_FENCED;
    row->lease_until_us = self->now_us + TTL_US;
    return 0;
}

static uint32_t regions_owned(const struct database *db, uint8_t place)
{
    uint32_t regions = 0;
    for (uint32_t i = 0; i < db->slots_count; i++)
        if (db->slots[i].owner == place)
            regions |= 1U << (db->slots[i].slot >> MSG_SLOT_BITS);
    return regions;
}

static void end_member(struct world *self, uint8_t place)
{
    struct db_member *row = &self->db.member[place];
    row->state = MEMBER_ENDED;
    row->left_us = self->now_us;
}

int member_leave(struct world *self, const struct process *process)
{
    struct db_member *row = &self->db.member[process->place];
    if (row->incarnation != process->incarnation || !member_lives(row))
        return ERR_FENCED;
    uint32_t regions = regions_owned(&self->db, process->place);
    if (regions != 0)
        check_disturbed(self); /* given away without its snapshots */
    end_member(self, process->place);
    row->lease_until_us = self->now_us;
    plan_apply(self, INT64_MAX, regions);
    publish(self);
    return 0;
}

/* ---- reading ---- */

static void read_rows(const struct database *db, int64_t since, struct view_read *ret_read)
{
    *ret_read = (struct view_read){.version = db->version, .changes = db->changes_count};
    if (db->version == since)
        return;
    for (uint8_t i = 0; i < PLACES; i++) {
        const struct db_member *row = &db->member[i];
        if (row->number == MSG_NOBODY || (!member_lives(row) && regions_owned(db, i) == 0))
            continue;
        ret_read->nodes[ret_read->nodes_count++] =
            (struct view_node){.known = true,
                               .alive = member_lives(row),
                               .state = row->state,
                               .incarnation = row->incarnation,
                               .number = row->number,
                               .edges = row->edges,
                               .shards = row->shards};
    }
    ret_read->slots = xcalloc(db->slots_count, sizeof *db->slots);
    for (uint32_t i = 0; i < db->slots_count; i++) {
        if (db->slots[i].changed <= since)
            continue;
        struct db_slot *row = &ret_read->slots[ret_read->slots_count++];
        *row = db->slots[i];
        if (row->target != NOBODY && !member_lives(&db->member[row->target]))
            row->target = NOBODY;
    }
}

void member_read(struct world *self, int64_t since, struct view_read *ret_read)
{
    struct database old = self->db;
    bool back =
        self->mutation == MUTATION_view_back && old.old_slots != NULL && random_percent(self, 10);
    if (back) {
        old.slots = old.old_slots;
        memcpy(old.member, old.old_member, sizeof old.member);
    }
    read_rows(&old, since, ret_read);
}

/* INT64_MAX: nothing in sight. */
int64_t member_expiry_us(const struct world *self, uint8_t place)
{
    const struct database *db = &self->db;
    int64_t due_us = INT64_MAX;
    for (uint8_t i = 0; i < PLACES; i++)
        if (i != place && member_lives(&db->member[i]) && db->member[i].lease_until_us < due_us)
            due_us = db->member[i].lease_until_us;
    for (unsigned region = 0; region < self->plan.regions; region++) {
        int64_t over_us = plan_failover_us(self, region, db->hold_down_us);
        if (over_us == INT64_MAX || !plan_is_orphaned(self, region))
            continue;
        if (over_us < self->now_us)
            over_us = self->now_us;
        if (over_us < due_us)
            due_us = over_us;
    }
    return due_us == INT64_MAX ? due_us : due_us - self->now_us;
}

/* ---- death ---- */

/* A session of who is to be buried may be in the middle of something: it ends first. */
static void end_expired(struct world *self, uint8_t place)
{
    for (uint8_t i = 0; i < PLACES; i++)
        if (i != place && member_lives(&self->db.member[i]) &&
            self->db.member[i].lease_until_us < self->now_us)
            end_sessions(self, i);
}

static bool acts(const struct world *self, const struct process *process, bool leased)
{
    const struct db_member *row = &self->db.member[process->place];
    return member_is_served(row, process->incarnation) &&
           (!leased || row->lease_until_us > self->now_us);
}

int member_bury(struct world *self, const struct process *process)
{
    uint32_t buried = 0;
    end_expired(self, process->place);
    if (!acts(self, process, true))
        return acts(self, process, false) ? ERR_REFUSED : ERR_FENCED;
    for (uint8_t i = 0; i < PLACES; i++) {
        const struct db_member *row = &self->db.member[i];
        if (i == process->place || !member_lives(row) ||
            (row->lease_until_us >= self->now_us && self->mutation != MUTATION_lease_ignored))
            continue;
        check_buried(self, i);
        end_member(self, i);
        trace(self, "process %u buries %s/%d", process->id, row->name, (int)row->incarnation);
        buried++;
    }
    if (buried + plan_apply(self, self->db.hold_down_us, 0) > 0)
        publish(self);
    return 0;
}

static void cast_vote(struct world *self, const struct db_vote *vote)
{
    struct database *db = &self->db;
    uint32_t left = 0;
    for (uint32_t i = 0; i < db->votes_count; i++)
        if (db->votes[i].voted_us >= self->now_us - VOTE_COUNTS_US &&
            (db->votes[i].voter != vote->voter || db->votes[i].suspect != vote->suspect))
            db->votes[left++] = db->votes[i];
    db->votes[left++] = *vote;
    db->votes_count = left;
}

static bool is_majority(const struct database *db, uint8_t suspect)
{
    uint32_t votes = 0, voters = 0;
    for (uint8_t i = 0; i < PLACES; i++)
        voters += i != suspect && member_is_served(&db->member[i], db->member[i].incarnation);
    for (uint32_t i = 0; i < db->votes_count; i++) {
        const struct db_vote *vote = &db->votes[i];
        votes += vote->suspect == suspect &&
                 vote->suspect_incarnation == db->member[suspect].incarnation &&
                 member_is_served(&db->member[vote->voter], vote->voter_incarnation);
    }
    return 2 * votes > voters;
}

int member_vote(struct world *self, const struct process *process, uint16_t number,
                int64_t incarnation)
{
    if (!acts(self, process, true))
        return acts(self, process, false) ? ERR_REFUSED : ERR_FENCED;
    for (uint8_t i = 0; i < PLACES; i++) {
        struct db_member *row = &self->db.member[i];
        if (row->number != number || !member_is_served(row, incarnation))
            continue;
        cast_vote(self, &(struct db_vote){process->place, i, process->incarnation, incarnation,
                                          self->now_us});
        if (is_majority(&self->db, i)) {
            trace(self, "%s/%d is condemned", row->name, (int)incarnation);
            check_condemned(self, i);
            row->state = MEMBER_CONDEMNED;
            publish(self);
        }
    }
    return 0;
}

/* ---- moving slots ---- */

static uint8_t place_of(const struct database *db, uint16_t number)
{
    for (uint8_t i = 0; i < PLACES; i++)
        if (number != MSG_NOBODY && db->member[i].number == number)
            return i;
    return NOBODY;
}

static bool may_receive(const struct world *self, uint8_t place)
{
    return place != NOBODY && self->db.member[place].state == MEMBER_ACTIVE &&
           self->db.member[place].lease_until_us > self->now_us;
}

int member_move(struct world *self, const struct process *process, const struct moves_order *order,
                uint64_t *ret_epochs)
{
    uint8_t target = place_of(&self->db, order->target);
    uint32_t changed = 0;
    if (!acts(self, process, false))
        return ERR_FENCED;
    for (uint32_t i = 0; i < order->count; i++) {
        struct db_slot *row = slot_row(&self->db, order->slot[i]);
        ret_epochs[i] = 0;
        if (row->owner != process->place)
            continue;
        if (order->kind == MOVES_HAND_OVER) {
            if (target == NOBODY || row->target != target || !may_receive(self, target))
                continue;
            row->owner = target;
            row->target = NOBODY;
            self->stats.moves++;
        } else if (target != NOBODY && row->target == target) {
            row->target = NOBODY;
        }
        row->changed = self->db.version + 1;
        ret_epochs[i] = ++row->epoch;
        changed++;
    }
    if (changed > 0)
        publish(self);
    return 0;
}

/* ---- orders ---- */

void member_rebalance(struct world *self)
{
    if (plan_apply(self, INT64_MAX, 0) > 0)
        publish(self);
}

void member_drain(struct world *self, uint8_t place)
{
    struct db_member *row = &self->db.member[place];
    if (row->state != MEMBER_ACTIVE && row->state != MEMBER_DRAINING)
        return;
    row->state = MEMBER_DRAINING;
    plan_apply(self, INT64_MAX, 0);
    publish(self);
}

void member_cancel_drain(struct world *self, uint8_t place)
{
    if (self->db.member[place].state != MEMBER_DRAINING)
        return;
    self->db.member[place].state = MEMBER_ACTIVE;
    for (uint32_t i = 0; i < self->db.slots_count; i++) {
        struct db_slot *row = &self->db.slots[i];
        if (row->owner != place || row->target == NOBODY)
            continue;
        row->target = NOBODY;
        row->changed = self->db.version + 1;
    }
    plan_apply(self, INT64_MAX, 0);
    publish(self);
}

void member_evict(struct world *self, uint8_t place)
{
    bool other = false;
    for (uint8_t i = 0; i < PLACES; i++)
        other |=
            i != place && member_is_served(&self->db.member[i], self->db.member[i].incarnation);
    if (!member_lives(&self->db.member[place]) || !other)
        return;
    self->db.member[place].state = MEMBER_CONDEMNED;
    self->db.member[place].lease_until_us = self->now_us;
    publish(self);
}
