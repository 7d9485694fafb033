/* What befalls the cluster: crashes, pauses, cuts, a database that is away; what operators order;
 * rules and devices that change; hours that pass. */
#include "proto/check.h"
#include "tests/sim/parts.h"

/* ---- whom it befalls ---- */

static struct process *choose_process(struct world *self)
{
    uint32_t from = (uint32_t)random_below(self, PROCESSES);
    for (uint32_t n = 0; n < PROCESSES; n++) {
        struct process *process = self->process[(from + n) % PROCESSES];
        if (process != NULL && process->phase == PROCESS_RUNNING)
            return process;
    }
    return NULL;
}

static int64_t up_to(struct world *self, int64_t us)
{
    return self->now_us + (int64_t)random_below(self, (uint64_t)us);
}

static void start_later(struct world *self, uint8_t place)
{
    self->start_at_us[place] =
        up_to(self, random_percent(self, 50) ? SECOND_US / 2 : 10 * SECOND_US);
    if (self->start_at_us[place] < self->starter.due_us)
        self->starter.due_us = self->start_at_us[place];
}

static void start_due(struct world *self, struct task *task)
{
    for (uint8_t i = 0; i < self->plan.places; i++)
        if (self->start_at_us[i] <= self->now_us)
            process_start(self, i);
        else if (self->start_at_us[i] < task->due_us)
            task->due_us = self->start_at_us[i];
}

static bool is_free(const struct world *self, uint8_t place)
{
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && self->process[i]->place == place &&
            self->process[i]->phase != PROCESS_ENDED)
            return false;
    return self->start_at_us[place] == INT64_MAX;
}

/* ---- faults ---- */

/* A death of that node, until some time after, is no wonder. */
static void trouble(struct world *self, uint8_t place, int64_t until_us)
{
    if (until_us + 8 * SECOND_US > self->trouble_until_us[place])
        self->trouble_until_us[place] = until_us + 8 * SECOND_US;
}

static void crash(struct world *self, struct process *process)
{
    process_end(self, process, "CRASH");
    if (random_percent(self, 85))
        start_later(self, process->place);
}

/* Its successor starts while it goes on, not knowing. */
static void replace(struct world *self, struct process *process)
{
    if (random_percent(self, 50))
        process->paused_until_us = up_to(self, 6 * SECOND_US);
    trouble(self, process->place, process->paused_until_us);
    process_start(self, process->place);
}

static void pause_process(struct world *self, struct process *process)
{
    int64_t us = self->plan.storm ? 9 * SECOND_US : SECOND_US / 2;
    process->paused_until_us = up_to(self, us);
    if (self->plan.storm)
        trouble(self, process->place, process->paused_until_us);
    trace(self, "process %u is paused for %d ms", process->id,
          (int)((process->paused_until_us - self->now_us) / 1000));
}

static void cut_from_database(struct world *self, struct process *process)
{
    process->cut_until_us = up_to(self, 9 * SECOND_US);
    trouble(self, process->place, process->cut_until_us);
    process->cut_hangs = random_percent(self, 50);
    trace(self, "process %u is cut from the database", process->id);
}

static void cut_nodes(struct world *self)
{
    uint8_t from = (uint8_t)random_below(self, self->plan.places);
    uint8_t to = (uint8_t)random_below(self, self->plan.places);
    struct cut cut = {up_to(self, 7 * SECOND_US), random_percent(self, 60)};
    bool both = random_percent(self, 60);
    if (!self->plan.storm)
        cut = (struct cut){up_to(self, SECOND_US * 2 / 5), false};
    self->cut[from][to] = cut;
    if (both)
        self->cut[to][from] = cut;
    trace(self, "the way from node %u to node %u%s is cut, for %d ms", from, to,
          both ? " and back" : "", (int)((cut.until_us - self->now_us) / 1000));
    if (self->plan.storm) {
        trouble(self, from, cut.until_us);
        trouble(self, to, cut.until_us);
    }
}

/* An outage kills nobody. But a slow one does, or one behind which connections break again. */
static void trouble_database(struct world *self)
{
    int64_t until_us = up_to(self, 7 * SECOND_US);
    uint64_t kind = random_below(self, self->plan.storm ? 3 : 2);
    static const char *const names[] = {"away", "full", "slow"};
    int64_t *const untils[] = {&self->db.away_until_us, &self->db.full_until_us,
                               &self->db.slow_until_us};
    trace(self, "database %s for %d ms", names[kind], (int)((until_us - self->now_us) / 1000));
    *untils[kind] = until_us;
    for (uint8_t i = 0; i < PLACES && self->plan.storm; i++)
        trouble(self, i, until_us);
}

static void befall(struct world *self)
{
    struct process *process = choose_process(self);
    uint64_t kind = random_below(self, 11);
    if (process == NULL)
        return;
    if (kind < 3 && !self->plan.refusing)
        crash(self, process);
    else if (kind == 3 && !self->plan.refusing)
        replace(self, process);
    else if (kind < 6)
        pause_process(self, process);
    else if (kind == 6)
        cut_from_database(self, process);
    else if (kind < 9 && self->plan.places > 1)
        cut_nodes(self);
    else
        trouble_database(self);
}

/* ---- orders ---- */

static void join(struct world *self)
{
    uint8_t place = (uint8_t)random_below(self, self->plan.places);
    if (is_free(self, place))
        process_start(self, place);
}

/* SIGTERM; a second one does not wait for its slots to go. */
static void leave(struct world *self)
{
    struct process *process = choose_process(self);
    if (process == NULL)
        return;
    process->control.told_to_stop = true;
    trace(self, "process %u is told to stop", process->id);
    if (self->plan.storm && random_percent(self, 25)) {
        process->control.draining = true;
        process->control.drain_until_us = 0;
    }
    task_wake(self, &process->control.thread.task);
    if (random_percent(self, 60))
        self->start_at_us[process->place] = INT64_MAX;
}

static void evict(struct world *self, uint8_t place)
{
    trace(self, "order: evict node %u", place);
    trouble(self, place, self->now_us);
    member_evict(self, place);
}

static uint32_t count_active(const struct world *self)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < PLACES; i++)
        count += self->db.member[i].state == MEMBER_ACTIVE;
    return count;
}

static void order(struct world *self)
{
    uint8_t place = (uint8_t)random_below(self, self->plan.places);
    switch (random_below(self, 9)) {
    case 0:
    case 1:
    case 2:
        join(self);
        break;
    case 3:
        if (self->plan.storm || count_active(self) > 1)
            leave(self);
        break;
    case 4:
    case 5:
        if (!self->plan.storm && count_active(self) < 2)
            break;
        trace(self, "order: drain node %u", place);
        member_drain(self, place);
        break;
    case 6:
        trace(self, "order: cancel the drain of node %u", place);
        member_cancel_drain(self, place);
        break;
    case 7:
        trace(self, "order: rebalance");
        member_rebalance(self);
        break;
    default:
        if (self->plan.storm)
            evict(self, place);
    }
}

/* ---- what else changes ---- */

static void change(struct world *self)
{
    static const int64_t far_us[] = {5 * SECOND_US, 300 * SECOND_US, 3 * 3600 * SECOND_US};
    switch (random_below(self, 6)) {
    case 0:
        db_change_device(self, (uint32_t)random_below(self, DEVICES));
        break;
    case 1:
    case 2:
        self->epoch_us += (int64_t)random_below(self, (uint64_t)far_us[random_below(self, 3)]);
        trace(self, "time passes");
        break;
    default:
        db_change_rule(self);
    }
}

static void strike(struct world *self)
{
    unsigned kind = (unsigned)random_below(self, 100);
    if (kind < (self->plan.storm ? 50 : 15)) {
        if (self->plan.storm)
            befall(self);
        else if (random_percent(self, 40))
            trouble_database(self);
        else if (random_percent(self, 50) && choose_process(self) != NULL)
            pause_process(self, choose_process(self));
        else
            cut_nodes(self);
    } else if (kind < 75 && self->plan.places > 1) {
        order(self);
    } else {
        change(self);
    }
}

static void run_fate(struct world *self, struct task *task)
{
    unsigned count = random_percent(self, 25) ? 1 + (unsigned)random_below(self, 3) : 1;
    while (count-- > 0 && !self->calm)
        strike(self);
    if (!self->calm)
        task->due_us = up_to(self, 2 * self->plan.faults_us);
}

void faults_init(struct world *self)
{
    self->fate = (struct task){.run = run_fate, .due_us = self->now_us + 6 * SECOND_US};
    self->starter = (struct task){.run = start_due, .due_us = self->now_us};
    task_add(self, &self->fate);
    task_add(self, &self->starter);
    for (uint8_t i = 0; i < PLACES; i++)
        self->start_at_us[i] = INT64_MAX;
    uint8_t first = 1 + (uint8_t)random_below(self, self->plan.places);
    for (uint8_t i = 0; i < first; i++)
        self->start_at_us[i] =
            up_to(self, random_percent(self, 70) ? SECOND_US / 2 : 4 * SECOND_US);
}

static bool stays(const struct world *self, const struct process *process)
{
    const struct db_member *row = &self->db.member[process->place];
    return process->phase == PROCESS_REGISTERING ||
           (process->phase == PROCESS_RUNNING && !process->control.told_to_stop &&
            row->state == MEMBER_ACTIVE && row->incarnation == process->incarnation);
}

void faults_need_somebody(struct world *self)
{
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && stays(self, self->process[i]))
            return;
    for (uint8_t i = 0; i < self->plan.places; i++)
        if (self->start_at_us[i] != INT64_MAX)
            return;
    for (uint8_t i = 0; i < self->plan.places; i++)
        if (is_free(self, i)) {
            process_start(self, i);
            return;
        }
    for (uint8_t i = 0; i < self->plan.places; i++)
        member_cancel_drain(self, i);
}

void faults_heal(struct world *self)
{
    trace(self, "the end begins");
    self->calm = true;
    self->db.away_until_us = self->db.full_until_us = self->db.slow_until_us = 0;
    memset(self->cut, 0, sizeof self->cut);
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL)
            process_go_on(self, self->process[i]);
}
