/* Questions on their way to the database, and what can happen to them there: it is away, full or
 * slow, the connection breaks before or after the commit, another ends the session. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define LATENCY_US 3000

static int64_t latency(struct world *self)
{
    int64_t most_us = LATENCY_US;
    if (self->now_us < self->db.slow_until_us)
        most_us = 2 * SECOND_US;
    return (int64_t)random_below(self, (uint64_t)most_us);
}

static bool is_control(const struct call *call)
{
    return call->thread->kind == THREAD_CONTROL || call->thread->kind == THREAD_LEASE;
}

static void answer(struct world *self, struct call *call, int rc, int64_t after_us)
{
    call->state = CALL_ANSWERED;
    call->rc = rc;
    call->task.due_us = INT64_MAX;
    if (call->thread->process->phase == PROCESS_ENDED)
        return;
    if (self->now_us + after_us < call->thread->task.due_us)
        call->thread->task.due_us = self->now_us + after_us;
}

static bool is_cut(const struct world *self, const struct call *call)
{
    return self->now_us < call->thread->process->cut_until_us;
}

static bool breaks(struct world *self, const struct call *call)
{
    unsigned control = self->plan.storm ? 2 : 0;
    return !self->calm && random_percent(self, is_control(call) ? control : 6);
}

/* Before anything was done. */
static bool fails_before(struct world *self, const struct call *call)
{
    if (self->now_us < self->db.away_until_us)
        return true;
    return breaks(self, call);
}

static void arrive(struct world *self, struct task *task)
{
    struct call *call = (struct call *)task;
    const struct process *process = call->thread->process;
    if (is_cut(self, call) && process->cut_hangs) {
        task->due_us = process->cut_until_us + latency(self);
        return;
    }
    if (is_cut(self, call) || fails_before(self, call)) {
        answer(self, call, ERR_UNAVAILABLE, latency(self));
        return;
    }
    if (self->now_us < self->db.full_until_us && !call->reads) {
        answer(self, call, ERR_REFUSED, latency(self));
        return;
    }
    int rc = call->execute(self, call);
    bool lost = rc != ERR_FENCED && breaks(self, call);
    if (lost)
        trace(self, "process %u: connection lost after the commit (%s)", process->id,
              is_control(call) ? "control" : "writer");
    answer(self, call, lost ? ERR_UNAVAILABLE : rc, latency(self));
}

void call_send(struct world *self, struct call *call,
               int (*execute)(struct world *world, struct call *self))
{
    CHECK(call->state == CALL_IDLE);
    call->state = CALL_SENT;
    call->reads = false;
    call->execute = execute;
    call->task.due_us = self->now_us + latency(self);
}

bool call_took_answer(struct call *call, int *ret_rc)
{
    if (call->state != CALL_ANSWERED)
        return false;
    call->state = CALL_IDLE;
    *ret_rc = call->rc;
    return true;
}

void call_init(struct world *self, struct call *call, struct thread *thread)
{
    *call = (struct call){.task = {.due_us = INT64_MAX, .run = arrive}, .thread = thread};
    task_add(self, &call->task);
}

/* What the database has received whole it may yet do, though its sender is no more. */
void call_orphan(struct world *self, struct call *call)
{
    if (call->state == CALL_SENT && random_percent(self, 50))
        return;
    call->state = CALL_IDLE;
    call->task.due_us = INT64_MAX;
}

static void end_session(struct world *self, struct call *call)
{
    if (call->state == CALL_SENT && random_percent(self, 70))
        answer(self, call, ERR_UNAVAILABLE, latency(self));
}

void end_sessions(struct world *self, uint8_t place)
{
    for (uint32_t i = 0; i < self->processes; i++) {
        struct process *process = self->process[i];
        if (process == NULL || process->place != place || process->phase == PROCESS_REGISTERING)
            continue;
        end_session(self, &process->control.call);
        end_session(self, &process->lease.call);
        for (uint32_t w = 0; w < process->shards; w++)
            end_session(self, &process->writer[w].call);
    }
}
