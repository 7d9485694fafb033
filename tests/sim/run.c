/* One run: what happens when, from the seed; then an end without faults, at which all must be
 * well. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>

#define STEPS 1500
#define SETTLE_ROUNDS 20000
#define SECOND_US 1000000LL

void trace(struct world *self, const char *format, ...)
{
    if (self->failure[0] != '\0')
        return;
    char *line = self->line[self->lines++ % TRACE_LINES];
    va_list args;
    int n =
        snprintf(line, TRACE_BYTES, "%12.6f ", (double)(self->now_us % (86400 * SECOND_US)) / 1e6);
    va_start(args, format);
    vsnprintf(line + n, TRACE_BYTES - (size_t)n, format, args);
    va_end(args);
}

void fail(struct world *self, const char *format, ...)
{
    va_list args;
    if (self->failure[0] != '\0')
        return; /* the rest of the run is not to be looked at */
    va_start(args, format);
    vsnprintf(self->failure, sizeof self->failure, format, args);
    va_end(args);
}

void trace_print(const struct world *self)
{
    uint64_t from = self->lines > TRACE_LINES ? self->lines - TRACE_LINES : 0;
    for (uint64_t i = from; i < self->lines; i++)
        printf("  %s\n", self->line[i % TRACE_LINES]);
}

/* ---- steps ---- */

static void pass_time(struct world *self)
{
    uint64_t kind = random_below(self, 1000);
    if (kind < 700)
        return;
    if (kind < 940)
        self->now_us += (int64_t)random_below(self, 50000);
    else if (kind < 985)
        self->now_us += (int64_t)random_below(self, 5 * 1000000);
    else if (kind < 996)
        self->now_us += (int64_t)random_below(self, 300 * 1000000);
    else
        self->now_us += (int64_t)random_below(self, 3 * 3600 * 1000000ULL);
}

static void node_work(struct world *self, struct sim_node *node, uint64_t kind)
{
    if (node == NULL || self->now_us < node->paused_until_us)
        return;
    if (kind < 3)
        edge_step(self, node, (uint32_t)random_below(self, EDGES));
    else if (kind < 6)
        node_shard_step(self, node, (uint32_t)random_below(self, node->shards));
    else
        node_writer_step(self, node, (uint32_t)random_below(self, node->shards));
}

static void client_work(struct world *self)
{
    uint32_t client = (uint32_t)random_below(self, CLIENTS);
    if (random_percent(self, 35))
        client_publish(self, client);
    client_send(self, client);
    if (random_percent(self, 3))
        client_disconnect(self, client);
    else if (random_percent(self, 20))
        client_connect(self, client);
}

static void fault(struct world *self)
{
    switch (random_below(self, 6) + (self->refusing ? 2 : random_below(self, 3))) {
    case 0:
        node_crash(self);
        break;
    case 1:
        node_replace(self);
        break;
    case 2:
        trace(self, "node paused");
        self->node->paused_until_us = self->now_us + (int64_t)random_below(self, 20 * 1000000);
        break;
    case 3:
        trace(self, "database away");
        self->db.away_until_us = self->now_us + (int64_t)random_below(self, 60 * 1000000);
        break;
    case 4:
        trace(self, "disk full");
        self->db.full_until_us = self->now_us + (int64_t)random_below(self, 60 * 1000000);
        break;
    case 5:
        db_change_device(self);
        break;
    default:
        db_change_rule(self);
        break;
    }
}

static void step(struct world *self)
{
    pass_time(self);
    if (random_percent(self, 40))
        client_work(self);
    else if (random_percent(self, 3))
        fault(self);
    else if (self->former != NULL && random_percent(self, 30))
        node_work(self, self->former, random_below(self, 9));
    else
        node_work(self, self->node, random_below(self, 9));
    check_held(self, self->node);
}

/* ---- the end ---- */

static bool is_busy(const struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        for (uint32_t p = self->client[i].open;
             self->client[i].connected && p < self->client[i].count; p++)
            if (!self->client[i].publishes[p].answered || self->client[i].publishes[p].on_wire)
                return true;
    for (uint32_t i = 0; i < self->node->shards; i++)
        if (!shard_is_quiet(self->node->shard[i]) || self->node->inbox[i].first != NULL)
            return true;
    return false;
}

static void calm_round(struct world *self, int64_t step_us)
{
    self->now_us += step_us;
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_send(self, i);
    for (uint32_t i = 0; i < EDGES; i++)
        edge_step(self, self->node, i);
    for (uint32_t i = 0; i < self->node->shards; i++) {
        node_shard_step(self, self->node, i);
        node_writer_step(self, self->node, i);
    }
    check_held(self, self->node);
}

static void settle(struct world *self)
{
    for (uint32_t n = 0; n < 20 && self->failure[0] == '\0'; n++)
        calm_round(self, 10000);
    for (uint32_t n = 0; is_busy(self) && self->failure[0] == '\0'; n++) {
        calm_round(self, 10000);
        if (n == SETTLE_ROUNDS)
            fail(self, "it does not come to rest");
    }
}

/* Lets time pass in steps of a twentieth. */
static void wait_for(struct world *self, int64_t wait_us)
{
    for (uint32_t n = 0; n < 20; n++)
        calm_round(self, wait_us / 20 + 1);
    settle(self);
}

static void heal(struct world *self)
{
    trace(self, "the end begins");
    self->calm = true;
    self->db.away_until_us = self->db.full_until_us = self->node->paused_until_us = 0;
    node_free(&self->former);
    for (uint32_t i = 0; i < DEVICES; i++)
        if (!self->db.device[i].exists) {
            self->db.device[i].exists = true;
            node_changed(self, i);
        }
    settle(self);
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_connect(self, i);
    settle(self);
    check_all_answered(self);
}

static void end(struct world *self)
{
    heal(self);
    wait_for(self, 11 * 60 * SECOND_US);
    int64_t since_us = self->now_us;
    for (uint32_t i = 0; i < DEVICES; i++)
        client_probe(self, i);
    settle(self);
    check_probed(self, since_us);
    check_statuses(self, STATUS_ONLINE);
    wait_for(self, self->times.touch_us + SECOND_US / 2);
    check_latest(self);
    wait_for(self, self->times.idle_us + SECOND_US);
    check_statuses(self, STATUS_IDLE);
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_disconnect(self, i);
    wait_for(self, self->times.offline_us + self->times.grace_us + SECOND_US);
    check_statuses(self, STATUS_OFFLINE);
    wait_for(self, self->times.passivate_us + SECOND_US);
    check_all_answered(self);
    for (uint32_t i = 0; i < DEVICES; i++)
        check_hours(self, i);
    check_empty(self);
}

static void start(struct world *self)
{
    static const struct device_times slow = {300 * SECOND_US, 900 * SECOND_US, 5 * SECOND_US,
                                             10 * SECOND_US, 3600 * SECOND_US};
    static const struct device_times quick = {6 * SECOND_US, 18 * SECOND_US, SECOND_US, SECOND_US,
                                              40 * SECOND_US};
    self->now_us = 1790000000LL * SECOND_US + (int64_t)random_below(self, 3600 * 1000000ULL);
    self->times = random_percent(self, 50) ? quick : slow;
    self->credit_items = 1 + (int64_t)random_below(self, 60);
    self->future = random_percent(self, 25);
    self->refusing = random_percent(self, 15);
    db_init(self);
    clients_init(self);
    self->node = node_start(self);
}

bool world_run(struct world *self, uint64_t seed, enum mutation mutation)
{
    *self =
        (struct world){.seed = seed, .random = seed * 0x2545F4914F6CDD1DULL, .mutation = mutation};
    start(self);
    for (uint32_t n = 0; n < STEPS && self->failure[0] == '\0'; n++)
        step(self);
    if (self->failure[0] == '\0')
        end(self);
    node_free(&self->node);
    node_free(&self->former);
    clients_free(self);
    db_free(&self->db);
    return self->failure[0] == '\0';
}
