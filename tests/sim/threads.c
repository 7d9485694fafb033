/* The shard and writer threads of a simulated node: the shards are the real ones. */
#include "actors/shard_inside.h"
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define TICK_US 100000
#define RETRY_US 50000

/* ---- shards ---- */

static void ignore_epoch(struct held_slot *slot, struct msg_ref *ref)
{
    if (slot->hold == HOLD_OPEN)
        ref->epoch = slot->epoch;
    if (slot->hold != HOLD_CLOSED || slot->epoch == 0)
        return;
    slot->epoch = ref->epoch;
    slot->hold = HOLD_OPEN;
}

/* What the checker must know of what comes, and what a mutation does to it. */
static void look_at_item(struct world *self, struct sim_shard *shard, const struct item *item)
{
    struct msg_ref *ref = (struct msg_ref *)(uintptr_t)item->fixed;
    struct msg_snapshot *snapshot = (struct msg_snapshot *)(uintptr_t)item->fixed;
    if (item->kind == MSG_READING) {
        const struct msg_reading *reading = item->fixed;
        trace(self, "process %u shard %u is sent sample %u: connection %u%s%s, slot %u epoch %u",
              shard->thread.process->id, shard->thread.index, reading->message_key, ref->generation,
              reading->flags & MSG_DUP ? " DUP" : "", ref->again ? " again" : "", ref->slot,
              ref->epoch);
        if (self->mutation == MUTATION_epoch_ignored)
            ignore_epoch(shard_slot(shard->shard, ref->slot), ref);
        if (self->mutation == MUTATION_redelivery_forgotten)
            shard_slot(shard->shard, ref->slot)->opened_us = 0;
    }
    if (item->kind == MSG_SNAPSHOT && self->mutation == MUTATION_redelivery_forgotten)
        snapshot->redelivered_us = 0;
    if (item->kind == MSG_SNAPSHOT && self->mutation == MUTATION_snapshot_unfired)
        for (uint32_t i = 0; i < snapshot->rules_count; i++)
            ((struct msg_rule *)(uintptr_t)item->texts)[i].last_fired_us = 0;
}

static void look_at(struct world *self, struct sim_shard *shard, const struct packet *packet)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, packet->bytes, packet->len);
    CHECK(rc == 0);
    while ((rc = frame_next(&reader, &item)) == 1)
        look_at_item(self, shard, &item);
    CHECK(rc == 0);
}

static void take_frames(struct world *self, struct sim_shard *shard)
{
    uint32_t frames = self->calm ? 1000 : 1 + (uint32_t)random_below(self, 6);
    struct packet *packet;
    while (frames-- > 0 && (packet = fifo_take_any(self, shard->inbox, SHARD_SENDERS)) != NULL) {
        look_at(self, shard, packet);
        int rc = shard_receive(shard->shard, packet->bytes, packet->len,
                               wall_clock(self, shard->thread.process));
        CHECK(rc == 0);
        free(packet);
    }
}

static void take_batches(struct world *self, struct sim_shard *shard)
{
    for (uint32_t i = 0; i < shard->done_count; i++)
        if (self->mutation == MUTATION_answer_lost && random_percent(self, 5))
            batch_destroy(&shard->done[i]);
        else
            shard_done(shard->shard, shard->done[i], wall_clock(self, shard->thread.process));
    shard->done_count = 0;
}

static void send_far(struct world *self, struct process *process, uint32_t shard,
                     const struct shard_far *far, enum mesh_kind kind, struct frame *frames,
                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct mesh_head head = {far->node, far->life, (uint8_t)kind, (uint8_t)i, MESH_KEPT};
        fifo_put_frame(self, &process->mesh.inbox[MESH_FROM_SHARD + shard], &head, &frames[i]);
    }
}

static void send_frames(struct world *self, struct sim_shard *shard)
{
    struct process *process = shard->thread.process;
    struct shard_out *out = shard_output(shard->shard);
    uint32_t index = shard->thread.index;
    for (uint32_t e = 0; e < EDGES; e++) {
        if (out->edge[e].count > 0)
            task_wake(self, &process->edge[e].thread.task);
        fifo_put_frame(self, &process->edge[e].inbox[EDGE_FROM_SHARD + index], NULL, &out->edge[e]);
    }
    frame_clear(&out->redis);
    if (out->control.count > 0)
        task_wake(self, &process->control.thread.task);
    fifo_put_frame(self, &process->control.released, NULL, &out->control);
    for (uint32_t n = 0; n < out->far_end; n++) {
        struct shard_far *far = out->far[n];
        if (far == NULL)
            continue;
        send_far(self, process, index, far, MESH_EDGE, far->edge, far->edges);
        send_far(self, process, index, far, MESH_EDGE, far->watchers, far->edges);
        send_far(self, process, index, far, MESH_EDGE, far->promised, far->edges);
        send_far(self, process, index, far, MESH_SHARD, far->shard, far->shards);
    }
    if (!fifo_is_empty(process->mesh.inbox, MESH_SENDERS))
        task_wake(self, &process->mesh.thread.task);
}

static void send_batches(struct world *self, struct sim_shard *shard)
{
    struct process *process = shard->thread.process;
    struct sim_writer *writer = &process->writer[shard->thread.index];
    struct batch *batch;
    while ((batch = shard_next_batch(shard->shard)) != NULL) {
        CHECK(writer->count < LIMIT_BATCHES_IN_FLIGHT);
        writer->queue[writer->count++] = batch;
        task_wake(self, &writer->thread.task);
        trace(self,
              "process %u shard %u: batch %u, %u rows %u rollups %u alerts %u checks %u loads",
              process->id, shard->thread.index, (unsigned)batch->number, batch->rows_count,
              batch->rollups_count, batch->alerts_count, batch->checks_count, batch->loads_count);
    }
}

void shard_turn(struct world *self, struct sim_shard *shard)
{
    if (shard->thread.process->finished) {
        fifo_free(self, shard->inbox, SHARD_SENDERS);
        return;
    }
    take_batches(self, shard);
    take_frames(self, shard);
    if (self->now_us >= shard->tick_at_us) {
        uint64_t unheard = shard_count(shard->shard)->unheard;
        shard_tick(shard->shard, wall_clock(self, shard->thread.process));
        shard->tick_at_us = self->now_us + TICK_US;
        if (self->plan.rough && shard_count(shard->shard)->unheard > unheard)
            check_disturbed(self); /* who watches its devices was lost on the way, several times */
    }
    send_frames(self, shard);
    send_batches(self, shard);
    if (shard->tick_at_us < shard->thread.task.due_us)
        shard->thread.task.due_us = shard->tick_at_us;
    if (!fifo_is_empty(shard->inbox, SHARD_SENDERS))
        task_wake(self, &shard->thread.task);
}

/* ---- writers ---- */

/* What a lost attempt has answered counts for nothing. */
static void forget_answers(struct batch *batch)
{
    batch->rules_count = 0;
    for (uint32_t i = 0; i < batch->alerts_count; i++)
        batch->alerts[i].fired = false;
    for (uint32_t i = 0; i < batch->checks_count; i++)
        batch->checks[i].stored = false;
    for (uint32_t i = 0; i < batch->loads_count; i++)
        batch->loads[i] =
            (struct batch_load){.device = batch->loads[i].device, .actor = batch->loads[i].actor};
}

static uint32_t first_of(const struct world *self, const struct sim_writer *writer)
{
    return self->mutation == MUTATION_order_swapped ? writer->count - 1 : 0;
}

static int execute(struct world *self, struct call *call)
{
    struct sim_writer *writer = &call->thread->process->writer[call->thread->index];
    return db_execute(self, call->thread->process, writer->queue[first_of(self, writer)],
                      writer->again);
}

static void give_back(struct world *self, struct sim_writer *writer)
{
    struct sim_shard *shard = &writer->thread.process->shard[writer->thread.index];
    uint32_t at = first_of(self, writer);
    struct batch *batch = writer->queue[at];
    writer->count--;
    if (at == 0)
        writer->queue[0] = writer->queue[1];
    writer->again = false;
    CHECK(shard->done_count < LIMIT_BATCHES_IN_FLIGHT);
    shard->done[shard->done_count++] = batch;
    task_wake(self, &shard->thread.task);
}

static void take_answer(struct world *self, struct sim_writer *writer, int rc)
{
    struct batch *batch = writer->queue[first_of(self, writer)];
    if (rc == 0) {
        trace(self, "process %u shard %u: batch %u committed", writer->thread.process->id,
              writer->thread.index, (unsigned)batch->number);
        give_back(self, writer);
    } else if (rc == ERR_FENCED) {
        process_end(self, writer->thread.process, "fenced");
    } else {
        if (self->mutation == MUTATION_alert_without_reading)
            db_alerts(self, writer->thread.process, batch);
        forget_answers(batch);
        writer->again = true;
        writer->thread.task.due_us = self->now_us + RETRY_US;
    }
}

void writer_turn(struct world *self, struct sim_writer *writer)
{
    int rc;
    bool answered = call_took_answer(&writer->call, &rc);
    if (answered)
        take_answer(self, writer, rc);
    if (writer->thread.process->phase == PROCESS_ENDED || writer->call.state != CALL_IDLE ||
        writer->count == 0 || (answered && rc != 0))
        return;
    call_send(self, &writer->call, execute);
}
