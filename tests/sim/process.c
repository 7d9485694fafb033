/* A simulated node's life: it registers, its threads take their turns, it stops or crashes. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define REGISTER_RETRY_US 500000
#define EDGE_WORDS_US (3 * SECOND_US)
#define SHARD_WORDS_US (5 * SECOND_US)
#define MESH_WORDS_US (2 * SECOND_US)

/* ---- threads ---- */

static void take_turn(struct world *self, struct thread *thread)
{
    struct process *process = thread->process;
    switch (thread->kind) {
    case THREAD_CONTROL:
        control_turn(self, process);
        break;
    case THREAD_LEASE:
        lease_turn(self, process);
        break;
    case THREAD_SHARD:
        shard_turn(self, &process->shard[thread->index]);
        break;
    case THREAD_WRITER:
        writer_turn(self, &process->writer[thread->index]);
        break;
    case THREAD_EDGE:
        edge_turn(self, &process->edge[thread->index]);
        break;
    case THREAD_MESH:
        mesh_turn(self, process);
        break;
    }
}

static void run_thread(struct world *self, struct task *task)
{
    struct thread *thread = (struct thread *)task;
    if (self->now_us < thread->process->paused_until_us)
        task->due_us = thread->process->paused_until_us + some_delay(self);
    else
        take_turn(self, thread);
}

static void add_thread(struct world *self, struct process *process, struct thread *thread,
                       enum thread_kind kind, uint32_t index)
{
    *thread = (struct thread){.task = {.due_us = INT64_MAX, .run = run_thread},
                              .process = process,
                              .kind = kind,
                              .index = index};
    task_add(self, &thread->task);
}

static void each_thread(struct process *process, struct world *self,
                        void (*fn)(struct world *self, struct thread *thread))
{
    fn(self, &process->control.thread);
    if (process->shard[0].shard == NULL)
        return; /* not registered yet */
    fn(self, &process->lease.thread);
    fn(self, &process->mesh.thread);
    for (uint32_t i = 0; i < process->shards; i++) {
        fn(self, &process->shard[i].thread);
        fn(self, &process->writer[i].thread);
    }
    for (uint32_t e = 0; e < EDGES; e++)
        fn(self, &process->edge[e].thread);
}

static void remove_thread(struct world *self, struct thread *thread)
{
    task_remove(self, &thread->task);
}

static void wake_thread(struct world *self, struct thread *thread)
{
    task_wake(self, &thread->task);
}

void process_go_on(struct world *self, struct process *process)
{
    process->paused_until_us = process->cut_until_us = 0;
    if (process->phase != PROCESS_ENDED)
        each_thread(process, self, wake_thread);
}

/* ---- start ---- */

void process_start(struct world *self, uint8_t place)
{
    if (self->processes == PROCESSES)
        return;
    struct process *process = xcalloc(1, sizeof *process);
    process->id = self->processes;
    process->place = place;
    process->shards = 1 + (uint32_t)random_below(self, SHARDS);
    if (self->plan.skewed)
        process->clock_us = (int64_t)random_below(self, 400000) - 200000;
    self->process[self->processes++] = process;
    add_thread(self, process, &process->control.thread, THREAD_CONTROL, 0);
    call_init(self, &process->control.call, &process->control.thread);
    process->control.thread.task.due_us = self->now_us + some_delay(self);
    self->start_at_us[place] = INT64_MAX;
    trace(self, "process %u starts as node %u with %u shards", process->id, place, process->shards);
}

static void open_shard(struct world *self, struct process *process, uint32_t index)
{
    struct sim_shard *shard = &process->shard[index];
    struct sim_writer *writer = &process->writer[index];
    struct shard_config config = {.index = index,
                                  .node = process->number,
                                  .life = process->life,
                                  .edges = EDGES,
                                  .redis = true,
                                  .seed = random_below(self, UINT64_MAX),
                                  .requests_per_minute = 100,
                                  .times = self->times};
    shard->shard = shard_new(&config);
    CHECK(shard->shard != NULL);
    add_thread(self, process, &shard->thread, THREAD_SHARD, index);
    add_thread(self, process, &writer->thread, THREAD_WRITER, index);
    call_init(self, &writer->call, &writer->thread);
    task_wake(self, &shard->thread.task);
}

/* Registered: the threads start. */
static void begin(struct world *self, struct process *process)
{
    trace(self, "process %u is %s/%d, number %u", process->id, self->db.member[process->place].name,
          (int)process->incarnation, process->number);
    process->phase = PROCESS_RUNNING;
    add_thread(self, process, &process->lease.thread, THREAD_LEASE, 0);
    lease_open(self, process);
    add_thread(self, process, &process->mesh.thread, THREAD_MESH, 0);
    for (uint32_t i = 0; i < process->shards; i++)
        open_shard(self, process, i);
    for (uint32_t e = 0; e < EDGES; e++) {
        add_thread(self, process, &process->edge[e].thread, THREAD_EDGE, e);
        edge_open(self, &process->edge[e]);
        task_wake(self, &process->edge[e].thread.task);
    }
    control_open(process);
    task_wake(self, &process->control.thread.task);
}

static int do_register(struct world *self, struct call *call)
{
    member_register(self, call->thread->process);
    return 0;
}

/* True: it is registered. */
bool process_registers(struct world *self, struct process *process)
{
    struct call *call = &process->control.call;
    int rc;
    if (process->phase != PROCESS_REGISTERING)
        return true;
    if (call_took_answer(call, &rc)) {
        if (rc == 0)
            begin(self, process);
        else
            process->control.thread.task.due_us = self->now_us + REGISTER_RETRY_US;
    } else if (call->state == CALL_IDLE) {
        call_send(self, call, do_register);
    }
    return false;
}

/* ---- end ---- */

static void disconnect_clients(struct world *self, const struct process *process)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (self->client[i].edge != NULL && self->client[i].edge->thread.process == process)
            client_lost(self, i);
}

static void close_threads(struct world *self, struct process *process)
{
    if (process->shard[0].shard == NULL)
        return;
    for (uint32_t i = 0; i < process->shards; i++) {
        struct sim_shard *shard = &process->shard[i];
        shard_destroy(&shard->shard);
        fifo_free(self, shard->inbox, SHARD_SENDERS);
        for (uint32_t b = 0; b < shard->done_count; b++)
            batch_destroy(&shard->done[b]);
    }
    for (uint32_t e = 0; e < EDGES; e++)
        edge_close(self, &process->edge[e]);
    control_close(self, process);
    mesh_close(self, process);
}

void process_end(struct world *self, struct process *process, const char *why)
{
    if (process->phase == PROCESS_ENDED)
        return;
    trace(self, "process %u ends: %s", process->id, why);
    check_ended(self, process, why);
    disconnect_clients(self, process);
    call_orphan(self, &process->control.call);
    call_orphan(self, &process->lease.call);
    for (uint32_t i = 0; process->shard[0].shard != NULL && i < process->shards; i++)
        call_orphan(self, &process->writer[i].call);
    each_thread(process, self, remove_thread);
    process->phase = PROCESS_ENDED;
    close_threads(self, process);
}

/* What it had sent to the database has arrived, or is given up. */
static bool is_over(const struct process *process)
{
    bool over = process->phase == PROCESS_ENDED && process->control.call.state != CALL_SENT &&
                process->lease.call.state != CALL_SENT;
    for (uint32_t i = 0; i < process->shards; i++)
        over = over && process->writer[i].call.state != CALL_SENT;
    return over;
}

void process_free(struct world *self, uint32_t id)
{
    struct process *process = self->process[id];
    if (process == NULL)
        return;
    process_end(self, process, "the run is over");
    task_remove(self, &process->control.call.task);
    task_remove(self, &process->lease.call.task);
    for (uint32_t i = 0; i < process->shards; i++) {
        struct sim_writer *writer = &process->writer[i];
        if (writer->call.task.run != NULL)
            task_remove(self, &writer->call.task);
        for (uint32_t b = 0; b < writer->count; b++)
            batch_destroy(&writer->queue[b]);
    }
    free(process);
    self->process[id] = NULL;
}

void processes_reap(struct world *self)
{
    for (uint32_t i = 0; i < self->processes; i++)
        if (self->process[i] != NULL && is_over(self->process[i]))
            process_free(self, i);
}

/* ---- a stop in order ---- */

static bool is_quiet(const struct process *process)
{
    for (uint32_t i = 0; i < process->shards; i++)
        if (!shard_is_quiet(process->shard[i].shard) ||
            !fifo_is_empty(process->shard[i].inbox, SHARD_SENDERS))
            return false;
    return true;
}

static void begin_stop(struct world *self, struct process *process)
{
    trace(self, "process %u stops", process->id);
    process->phase = PROCESS_STOPPING;
    process->stop_at_us = self->now_us + EDGE_WORDS_US;
    for (uint32_t e = 0; e < EDGES; e++)
        process->edge[e].stopping = true;
}

/* The edges are no more, then the shards take nothing more. */
static void close_edges(struct world *self, struct process *process)
{
    process->closed = true;
    process->stop_at_us = self->now_us + SHARD_WORDS_US;
    disconnect_clients(self, process);
    for (uint32_t e = 0; e < EDGES; e++)
        process->edge[e].ended = true;
    for (uint32_t i = 0; i < process->shards; i++)
        shard_close(process->shard[i].shard);
}

/* What they said last, the mesh still brings. */
static void finish_shards(struct world *self, struct process *process)
{
    process->finished = true;
    process->stop_at_us = self->now_us + MESH_WORDS_US;
    for (uint32_t i = 0; i < process->shards; i++) {
        process->shard[i].thread.task.due_us = INT64_MAX;
        fifo_free(self, process->shard[i].inbox, SHARD_SENDERS);
    }
}

/* Its slots are gone, or it has waited long enough: edges answer what they can, shards finish,
 * the mesh brings what they said last, and control leaves. */
void process_stop(struct world *self, struct process *process)
{
    bool answered = true;
    if (process->phase == PROCESS_RUNNING)
        begin_stop(self, process);
    for (uint32_t e = 0; e < EDGES; e++)
        answered = answered && process->edge[e].items == 0;
    if (!process->closed && (answered || self->now_us >= process->stop_at_us))
        close_edges(self, process);
    else if (process->closed && !process->finished &&
             (is_quiet(process) || self->now_us >= process->stop_at_us))
        finish_shards(self, process);
    else if (process->finished &&
             ((fifo_is_empty(process->mesh.inbox, MESH_SENDERS) && !mesh_has_waiting(process)) ||
              self->now_us >= process->stop_at_us))
        process->control.leaving = true;
}
