/* The lease thread of a simulated node (node/lease_thread), by a connection of its own: the real
 * lease says when to ask. */
#include "proto/check.h"
#include "tests/sim/parts.h"

#define BACKOFF_MIN_US 100000
#define BACKOFF_MAX_US (2 * SECOND_US)

static int64_t now_ms(const struct world *self)
{
    return self->now_us / 1000;
}

static void disconnect(struct world *self, struct sim_lease *lease)
{
    lease->connected = false;
    lease->connect_at_us = self->now_us + lease->backoff_us;
    lease->backoff_us =
        2 * lease->backoff_us < BACKOFF_MAX_US ? 2 * lease->backoff_us : BACKOFF_MAX_US;
}

static int do_connect(struct world *self, struct call *call)
{
    (void)self, (void)call;
    return 0;
}

static int do_renew(struct world *self, struct call *call)
{
    return member_renew(self, call->thread->process);
}

static void obey(struct world *self, struct process *process, enum lease_order order)
{
    if (order == LEASE_EXIT)
        process_end(self, process, "deposed");
    else if (order == LEASE_SAY_EXPIRED)
        trace(self, "process %u: lease expired", process->id);
}

static void take_answer(struct world *self, struct process *process, int rc)
{
    struct sim_lease *lease = &process->lease;
    enum lease_event answer = LEASE_FAILED;
    if (lease->connecting) {
        lease->connecting = false;
        lease->connected = rc == 0;
        if (rc != 0)
            disconnect(self, lease);
        return;
    }
    if (rc == 0)
        lease->backoff_us = BACKOFF_MIN_US;
    if (rc == ERR_UNAVAILABLE)
        disconnect(self, lease);
    if (rc == 0 || rc == ERR_FENCED)
        answer = rc == 0 ? LEASE_GRANTED : LEASE_NO_ROW;
    obey(self, process, lease_answer(&lease->lease, answer, now_ms(self)));
}

static void keep(struct world *self, struct process *process)
{
    struct sim_lease *lease = &process->lease;
    enum lease_order order;
    while (process->phase != PROCESS_ENDED &&
           (order = lease_tick(&lease->lease, now_ms(self))) != LEASE_NOTHING) {
        obey(self, process, order);
        if (order != LEASE_RENEW)
            continue;
        if (lease->connected) {
            call_send(self, &lease->call, do_renew);
            return;
        }
        obey(self, process, lease_answer(&lease->lease, LEASE_FAILED, now_ms(self)));
    }
}

static int64_t next_us(const struct sim_lease *lease)
{
    int64_t next_ms = lease_next_ms(&lease->lease);
    int64_t due_us = next_ms == INT64_MAX ? next_ms : next_ms * 1000;
    return !lease->connected && lease->connect_at_us < due_us ? lease->connect_at_us : due_us;
}

void lease_turn(struct world *self, struct process *process)
{
    struct sim_lease *lease = &process->lease;
    int rc;
    if (call_took_answer(&lease->call, &rc))
        take_answer(self, process, rc);
    if (process->phase == PROCESS_ENDED || lease->call.state != CALL_IDLE)
        return;
    if (!lease->connected && self->now_us >= lease->connect_at_us) {
        call_send(self, &lease->call, do_connect);
        lease->call.reads = lease->connecting = true;
        return;
    }
    keep(self, process);
    if (process->phase == PROCESS_ENDED || lease->call.state != CALL_IDLE)
        return;
    int64_t due_us = next_us(lease);
    if (due_us <= self->now_us)
        due_us = self->now_us + 1000;
    if (due_us < lease->thread.task.due_us)
        lease->thread.task.due_us = due_us;
}

bool lease_thread_may_judge(const struct world *self, const struct process *process)
{
    return lease_may_judge(&process->lease.lease, now_ms(self));
}

/* Due at once: the registration was granted some time ago. */
void lease_open(struct world *self, struct process *process)
{
    struct sim_lease *lease = &process->lease;
    call_init(self, &lease->call, &lease->thread);
    lease_init(&lease->lease, LEASE_TTL_MS, now_ms(self) - LEASE_TTL_MS / 4);
    lease->backoff_us = BACKOFF_MIN_US;
    task_wake(self, &lease->thread.task);
}
