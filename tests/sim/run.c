/* One run: what kind it is, from the seed; a time of faults; then an end without any, at which all
 * must be well. */
#include "actors/shard_inside.h"
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define SETTLE_US (200 * SECOND_US)
#define STEPS_MAX 3000000

/* ---- is it at rest? ---- */

static bool shard_opens(const struct shard *shard)
{
    return shard->opening > 0;
}

static const char *unrest_of_process(const struct world *self, const struct process *process)
{
    const struct sim_control *control = &process->control;
    if (process->phase == PROCESS_ENDED)
        return NULL;
    if (process->phase != PROCESS_RUNNING || control->draining)
        return "a process starts or stops";
    if (!member_is_served(&self->db.member[process->place], process->incarnation))
        return "a process does not know that it is no member";
    if (!control->connected)
        return "a process has no connection to the database";
    if (control->version != self->db.version || control->sweeping)
        return control->sweeping ? "a process reads its devices" : "a view is old";
    if (moves_count(control->moves) > 0)
        return "slots are on their way";
    if (mesh_has_waiting(process) || process->mesh.view_changed)
        return "a link waits";
    for (uint32_t i = 0; i < process->shards; i++)
        if (!shard_is_quiet(process->shard[i].shard) || process->writer[i].count > 0 ||
            process->shard[i].done_count > 0 || shard_opens(process->shard[i].shard))
            return "a shard is busy";
    for (uint32_t e = 0; e < EDGES; e++)
        if (process->edge[e].items > 0)
            return "an edge has items unanswered";
    return NULL;
}

static const char *unrest_of_cluster(const struct world *self)
{
    for (uint8_t i = 0; i < PLACES; i++) {
        const struct db_member *row = &self->db.member[i];
        bool here = false;
        for (uint32_t p = 0; p < self->processes; p++)
            here |= self->process[p] != NULL && self->process[p]->place == i &&
                    self->process[p]->incarnation == row->incarnation &&
                    self->process[p]->phase == PROCESS_RUNNING;
        if (member_lives(row) && !here)
            return "a dead node is not buried";
    }
    const char *why = NULL;
    for (uint32_t i = 0; i < self->db.slots_count && why == NULL; i++)
        why = unrest_of_slot(self, &self->db.slots[i]);
    return why;
}

/* NULL: it is. */
static const char *unrest(const struct world *self)
{
    const char *why = self->under_way > 0 ? "frames are under way" : NULL;
    for (uint8_t i = 0; i < PLACES && why == NULL; i++)
        if (self->start_at_us[i] != INT64_MAX)
            why = "a node is to start";
    if (why == NULL)
        why = unrest_of_cluster(self);
    for (uint32_t i = 0; i < self->processes && why == NULL; i++)
        if (self->process[i] != NULL)
            why = unrest_of_process(self, self->process[i]);
    for (uint32_t i = 0; i < CLIENTS && why == NULL; i++)
        for (uint32_t p = self->client[i].open; p < self->client[i].count && why == NULL; p++)
            if (self->client[i].edge != NULL &&
                (!self->client[i].publishes[p].answered || self->client[i].publishes[p].on_wire))
                why = "a client waits for an answer";
    return why;
}

bool world_is_settled(const struct world *self)
{
    return unrest(self) == NULL;
}

/* ---- steps ---- */

static void step(struct world *self)
{
    task_run_next(self);
    self->stats.steps++;
    check_step(self);
    if (self->stats.steps % 32 == 0)
        processes_reap(self);
    if (self->stats.steps > STEPS_MAX)
        fail(self, "the run does not end");
}

static void run_until(struct world *self, int64_t until_us)
{
    while (self->now_us < until_us && self->failure[0] == '\0')
        step(self);
}

static void settle(struct world *self)
{
    int64_t until_us = self->now_us + SETTLE_US;
    faults_need_somebody(self);
    while (!world_is_settled(self) && self->failure[0] == '\0') {
        for (unsigned n = 0; n < 16; n++)
            step(self);
        faults_need_somebody(self);
        if (self->now_us >= until_us)
            fail(self, "it does not come to rest: %s", unrest(self));
    }
}

/* Lets time pass in fifths, each long enough for every actor to be looked at. */
static void wait_for(struct world *self, int64_t wait_us)
{
    for (unsigned n = 0; n < 5 && self->failure[0] == '\0'; n++) {
        self->epoch_us += wait_us / 5 + 1;
        run_until(self, self->now_us + 1300000);
    }
    settle(self);
}

static void storm(struct world *self)
{
    while (self->now_us < self->plan.end_us && self->failure[0] == '\0') {
        step(self);
        if (self->stats.steps % 64 == 0 && world_is_settled(self))
            check_establish(self);
    }
}

/* ---- the end ---- */

static bool has_connection(const struct world *self, uint32_t device)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (self->client[i].own && self->client[i].device == device && self->client[i].edge != NULL)
            return true;
    return false;
}

static void check_statuses(struct world *self, enum device_status with, enum device_status without)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (self->db.device[i].exists)
            check_status(self, i, has_connection(self, i) ? with : without);
}

/* Though its owner and the node that it was connected to have died together. */
static void check_connected(struct world *self)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (self->db.device[i].connected && !has_connection(self, i))
            fail(self, "device %u was connected, and its end was not noticed", i);
}

/* Who is not connected any more is offline, though nothing came that woke its actor. */
static void end_silent(struct world *self)
{
    settle(self);
    check_settled(self);
    wait_for(self, self->times.grace_us + SECOND_US);
    check_connected(self);
    wait_for(self, self->times.offline_us + self->times.grace_us + SECOND_US);
    check_statuses(self, STATUS_IDLE, STATUS_OFFLINE);
}

static void connect_all(struct world *self)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (!self->db.device[i].exists)
            db_change_device(self, i);
    run_until(self, self->now_us + 3 * SECOND_US);
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_connect(self, i);
    settle(self);
    check_all_answered(self);
    check_establish(self);
}

static void end_probed(struct world *self)
{
    wait_for(self, 11 * 60 * SECOND_US);
    int64_t since_us = wall_clock(self, NULL) - SECOND_US;
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_probe(self, i);
    run_until(self, self->now_us + SECOND_US);
    settle(self);
    check_probed(self, since_us);
    check_statuses(self, STATUS_ONLINE, STATUS_ONLINE);
    wait_for(self, self->times.touch_us + SECOND_US / 2);
    check_latest(self);
    wait_for(self, self->times.idle_us + SECOND_US);
    check_statuses(self, STATUS_IDLE, STATUS_IDLE);
}

static void end_empty(struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_disconnect(self, i);
    wait_for(self, self->times.offline_us + self->times.grace_us + SECOND_US);
    check_statuses(self, STATUS_OFFLINE, STATUS_OFFLINE);
    wait_for(self, self->times.passivate_us + SECOND_US);
    check_all_answered(self);
    for (uint32_t i = 0; i < DEVICES; i++)
        check_hours(self, i);
    check_all_told(self);
    check_settled(self);
    check_empty(self);
}

/* ---- the run ---- */

static void make_plan(struct world *self)
{
    static const uint8_t places[] = {1, 1, 1, 2, 2, 3, 3, 3, 4, 5};
    struct plan *plan = &self->plan;
    plan->places = places[random_below(self, sizeof places)];
    plan->regions = 1;
    if (plan->places > 1 && random_percent(self, 50))
        plan->regions =
            1 + (unsigned)random_below(self, plan->places < REGIONS ? plan->places : REGIONS);
    plan->filler_slots = (unsigned)random_below(self, 60);
    if (random_percent(self, 2))
        plan->filler_slots = 3000;
    plan->storm = plan->places == 1 || random_percent(self, 60);
    plan->rough = random_percent(self, 30);
    plan->refusing = random_percent(self, 10);
    plan->future = random_percent(self, 20);
    plan->skewed = random_percent(self, 20);
    plan->lag_us = random_percent(self, 30) ? 20000 : 500;
    plan->pace_us = 100000 + (int64_t)random_below(self, 700000);
    plan->faults_us = 500000 + (int64_t)random_below(self, 3 * 1000000);
    plan->end_us = self->now_us + (int64_t)(20 + random_below(self, 40)) * SECOND_US;
}

static void start(struct world *self)
{
    static const struct device_times slow = {300 * SECOND_US, 900 * SECOND_US, 5 * SECOND_US,
                                             10 * SECOND_US, 3600 * SECOND_US};
    static const struct device_times quick = {20 * SECOND_US, 90 * SECOND_US, SECOND_US, SECOND_US,
                                              200 * SECOND_US};
    self->now_us = 1000 * SECOND_US;
    self->epoch_us = 1790000000LL * SECOND_US + (int64_t)random_below(self, 3600 * 1000000ULL);
    make_plan(self);
    self->times = random_percent(self, 50) ? quick : slow;
    self->credit_items = 1 + (int64_t)random_below(self, 60);
    db_init(self);
    clients_init(self);
    faults_init(self);
    trace(self, "%u places in %u regions, %s%s%s, credit of %d", self->plan.places,
          self->plan.regions, self->plan.storm ? "a storm" : "planned",
          self->plan.rough ? ", rough wires" : "", self->plan.refusing ? ", refusing" : "",
          (int)self->credit_items);
}

static void end(struct world *self)
{
    static void (*const parts[])(struct world * self) = {faults_heal, end_silent, connect_all,
                                                         end_probed, end_empty};
    for (size_t i = 0; i < sizeof parts / sizeof *parts && self->failure[0] == '\0'; i++)
        parts[i](self);
}

bool world_run(struct world *self, uint64_t seed, enum mutation mutation, bool tracing)
{
    *self = (struct world){.seed = seed,
                           .random = seed * 0x2545F4914F6CDD1DULL,
                           .mutation = mutation,
                           .tracing = tracing};
    start(self);
    storm(self);
    end(self);
    for (uint32_t i = 0; i < self->processes; i++)
        process_free(self, i);
    clients_free(self);
    db_free(&self->db);
    return self->failure[0] == '\0';
}
