/* The simulated node: its shards are the real ones; around them, what threads and sockets do. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define EDGE_FRAME_BYTES (16UL << 20)

uint32_t node_shard_of(const struct sim_node *self, const struct uuid *device)
{
    return (uint32_t)(uuid_hash(device) % 4096 % self->shards);
}

/* control, at the start: devices that are not offline are to be watched. */
static void wake(struct world *self, struct sim_node *node)
{
    for (uint32_t i = 0; i < DEVICES; i++) {
        const struct db_device *device = &self->db.device[i];
        struct msg_device item = {.tenant = device->tenant, .device = device->id};
        if (device->exists && device->status != STATUS_OFFLINE)
            CHECK(frame_add(&node->edge[0].to[node_shard_of(node, &device->id)], MSG_WAKE, &item,
                            sizeof item, NULL, 0) == 0);
    }
}

struct sim_node *node_start(struct world *self)
{
    struct sim_node *node = xcalloc(1, sizeof *node);
    node->incarnation = ++self->db.incarnation;
    node->shards = 1 + (uint32_t)random_below(self, SHARDS);
    for (uint32_t i = 0; i < node->shards; i++) {
        struct shard_config config = {.index = i,
                                      .edges = EDGES,
                                      .redis = true,
                                      .seed = random_below(self, UINT64_MAX),
                                      .requests_per_minute = 100,
                                      .times = self->times};
        node->shard[i] = shard_new(&config);
        CHECK(node->shard[i] != NULL);
    }
    for (uint32_t e = 0; e < EDGES; e++) {
        for (uint32_t i = 0; i < node->shards; i++)
            frame_init(&node->edge[e].to[i], EDGE_FRAME_BYTES);
        edge_watch(self, node, e);
    }
    wake(self, node);
    trace(self, "incarnation %u starts with %u shards", (unsigned)node->incarnation, node->shards);
    return node;
}

void node_free(struct sim_node **self_p)
{
    struct sim_node *self = *self_p;
    if (self == NULL)
        return;
    for (uint32_t i = 0; i < self->shards; i++) {
        shard_destroy(&self->shard[i]);
        fifo_free(&self->inbox[i]);
        for (uint32_t b = 0; b < self->writer[i].count; b++)
            batch_destroy(&self->writer[i].queue[b]);
    }
    for (uint32_t e = 0; e < EDGES; e++) {
        fifo_free(&self->edge[e].inbox);
        for (uint32_t i = 0; i < self->shards; i++)
            frame_free(&self->edge[e].to[i]);
    }
    free(self);
    *self_p = NULL;
}

static void give_out(struct world *self, struct sim_node *node, uint32_t shard)
{
    struct shard_out *out = shard_output(node->shard[shard]);
    struct sim_writer *writer = &node->writer[shard];
    for (uint32_t e = 0; e < EDGES; e++) {
        if (out->edge[e].count == 0)
            continue;
        struct span bytes = frame_finish(&out->edge[e]);
        fifo_put(&node->edge[e].inbox, bytes.data, bytes.len);
        frame_clear(&out->edge[e]);
    }
    frame_clear(&out->redis);
    struct batch *batch;
    while ((batch = shard_next_batch(node->shard[shard])) != NULL) {
        CHECK(writer->count < LIMIT_BATCHES_IN_FLIGHT);
        writer->queue[writer->count++] = batch;
        trace(self, "%s shard %u: batch %u, %u rows %u rollups %u alerts %u checks %u loads",
              node == self->node ? "" : "former", shard, (unsigned)batch->number, batch->rows_count,
              batch->rollups_count, batch->alerts_count, batch->checks_count, batch->loads_count);
    }
}

void node_shard_step(struct world *self, struct sim_node *node, uint32_t shard)
{
    uint32_t frames = 1 + (uint32_t)random_below(self, 3);
    struct packet *packet;
    while (frames-- > 0 && (packet = fifo_take(&node->inbox[shard])) != NULL) {
        int rc = shard_receive(node->shard[shard], packet->bytes, packet->len, self->now_us);
        CHECK(rc == 0);
        free(packet);
    }
    for (uint32_t ticks = (uint32_t)random_below(self, 6); ticks > 0; ticks--)
        shard_tick(node->shard[shard], self->now_us);
    give_out(self, node, shard);
}

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

/* The connection breaks before or after the commit, or the server cannot: to be tried again. */
static bool attempt_fails(struct world *self, struct sim_node *node, struct batch *batch,
                          bool again)
{
    if (self->calm || !random_percent(self, 12))
        return self->now_us < self->db.away_until_us || self->now_us < self->db.full_until_us;
    if (self->now_us >= self->db.away_until_us && self->now_us >= self->db.full_until_us &&
        random_percent(self, 50)) {
        trace(self, "batch %u: connection lost after its commit", (unsigned)batch->number);
        (void)!db_execute(self, batch, node->incarnation, again);
        forget_answers(batch);
    } else if (self->mutation == MUTATION_alert_without_reading) {
        db_alerts(self, batch);
        forget_answers(batch);
    }
    return true;
}

static void give_back(struct world *self, struct sim_node *node, uint32_t index)
{
    struct sim_writer *writer = &node->writer[index];
    uint32_t at = self->mutation == MUTATION_order_swapped ? writer->count - 1 : 0;
    struct batch *batch = writer->queue[at];
    writer->count--;
    if (at == 0)
        writer->queue[0] = writer->queue[1];
    writer->again = writer->done = false;
    if (self->mutation == MUTATION_answer_lost && random_percent(self, 5))
        batch_destroy(&batch);
    else
        shard_done(node->shard[index], batch, self->now_us);
}

void node_writer_step(struct world *self, struct sim_node *node, uint32_t index)
{
    struct sim_writer *writer = &node->writer[index];
    if (writer->count == 0 || self->now_us < writer->due_us)
        return;
    if (writer->done) {
        give_back(self, node, index);
        return;
    }
    uint32_t at = self->mutation == MUTATION_order_swapped ? writer->count - 1 : 0;
    struct batch *batch = writer->queue[at];
    if (attempt_fails(self, node, batch, writer->again)) {
        writer->again = true;
        writer->due_us = self->now_us + 50000;
        return;
    }
    int rc = db_execute(self, batch, node->incarnation, writer->again);
    if (rc == ERR_FENCED) {
        if (node == self->node)
            fail(self, "P4: the present incarnation was fenced");
        else
            node_free(&self->former); /* it has learned of it, and ends at once */
        return;
    }
    trace(self, "%s batch %u of shard %u committed", node == self->node ? "" : "former",
          (unsigned)batch->number, index);
    writer->done = true;
    writer->due_us = self->now_us + (int64_t)random_below(self, 10000);
}

void node_changed(struct world *self, uint32_t device)
{
    const struct db_device *changed = &self->db.device[device];
    struct msg_device item = {.tenant = changed->tenant, .device = changed->id};
    struct frame frame;
    if (self->node == NULL || self->mutation == MUTATION_change_lost)
        return;
    frame_init(&frame, 4096);
    CHECK(frame_add(&frame, MSG_CHANGED, &item, sizeof item, NULL, 0) == 0);
    struct span bytes = frame_finish(&frame);
    fifo_put(&self->node->inbox[node_shard_of(self->node, &changed->id)], bytes.data, bytes.len);
    frame_free(&frame);
}

static void all_disconnected(struct world *self)
{
    struct sim_node *node = self->node;
    self->node = NULL;
    for (uint32_t i = 0; i < CLIENTS; i++)
        client_disconnect(self, i);
    self->node = node;
}

/* What was in the middle of its transaction has either been received whole, and commits, or not. */
static void last_words(struct world *self)
{
    for (uint32_t i = 0; i < self->node->shards; i++) {
        struct sim_writer *writer = &self->node->writer[i];
        if (writer->count > 0 && !writer->done && self->now_us >= self->db.away_until_us &&
            random_percent(self, 50)) {
            trace(self, "batch %u commits after the crash", (unsigned)writer->queue[0]->number);
            (void)!db_execute(self, writer->queue[0], self->node->incarnation, writer->again);
        }
    }
}

void node_crash(struct world *self)
{
    trace(self, "CRASH of incarnation %u", (unsigned)self->node->incarnation);
    all_disconnected(self);
    last_words(self);
    node_free(&self->node);
    self->node = node_start(self);
}

void node_replace(struct world *self)
{
    trace(self, "incarnation %u is declared dead and goes on", (unsigned)self->node->incarnation);
    all_disconnected(self);
    node_free(&self->former);
    self->former = self->node;
    self->node = NULL;
    self->node = node_start(self);
}
