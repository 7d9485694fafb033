#include "node/shard_thread.h"
#include "actors/pace.h"
#include "actors/shard.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/mesh.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/mesh.h"
#include <sys/random.h>

#define TICK_US 100000
/* Frames, and bytes, taken in one turn, before what they made is sent: in one frame to an edge,
 * which is to pass the mesh (LIMIT_LINK_FRAME_BYTES) with the answers in it. */
#define TURN_FRAMES 256
#define TURN_BYTES (LIMIT_EDGE_BYTES / 2)

struct shard_thread {
    unsigned index, edges;
    shard_t *shard;
    struct mesh_loop *loop;
    zsock_t *inbox, *done, *writer, *redis, *mesh, *control;
    zsock_t *edge[LIMIT_EDGES];
    struct shard_counts told; /* what the metrics know of */
    struct pace pace;
    int64_t next_tick_us;
    int64_t batch_due_us; /* INT64_MAX: no batch waits for its time */
    int64_t deadline_us;  /* of draining */
    bool drained, ending; /* ending: the writers get nothing more */
};

static shard_t *make_shard(const struct shard_args *args)
{
    const struct config *config = args->config;
    struct shard_config sc = {
        .index = args->index,
        .node = args->number,
        .life = (uint16_t)args->incarnation,
        .edges = (uint32_t)config->edges,
        .redis = config->redis_url[0] != '\0',
        .requests_per_minute = (uint32_t)config->rate_limit,
        .times = {config->idle_seconds * 1000000, config->offline_seconds * 1000000,
                  config->grace_seconds * 1000000, config->touch_seconds * 1000000,
                  config->passivate_seconds * 1000000},
    };
    CHECK(getrandom(&sc.seed, sizeof sc.seed, 0) == (ssize_t)sizeof sc.seed);
    shard_t *shard = shard_new(&sc);
    CHECK(shard != NULL);
    return shard;
}

static void open_all(struct shard_thread *self, const struct shard_args *args)
{
    const struct config *config = args->config;
    self->index = args->index;
    self->edges = (unsigned)config->edges;
    self->shard = make_shard(args);
    self->inbox = mailbox_open("shard", args->index);
    self->done = mailbox_open("done", args->index);
    self->writer = mailbox_connect("writer", args->index % (unsigned)config->writers, 0);
    if (config->redis_url[0] != '\0')
        self->redis = mailbox_connect("redis", 0, LIMIT_REDIS_FRAMES);
    self->mesh = mailbox_connect("mesh", 0, 0);
    self->control = mailbox_connect("control-released", 0, 0);
    self->loop = args->loop;
    for (unsigned i = 0; i < self->edges; i++)
        self->edge[i] = mailbox_connect("edge", i, 0);
}

static void close_all(struct shard_thread *self)
{
    zsock_destroy(&self->inbox);
    zsock_destroy(&self->done);
    zsock_destroy(&self->writer);
    zsock_destroy(&self->redis);
    zsock_destroy(&self->mesh);
    zsock_destroy(&self->control);
    for (unsigned i = 0; i < self->edges; i++)
        zsock_destroy(&self->edge[i]);
    shard_destroy(&self->shard);
}

static void take_frames(struct shard_thread *self)
{
    zmq_msg_t message;
    size_t bytes = 0;
    for (unsigned n = 0;
         n < TURN_FRAMES && bytes < TURN_BYTES && mailbox_take(self->inbox, &message); n++) {
        bytes += zmq_msg_size(&message);
        int rc = shard_receive(self->shard, zmq_msg_data(&message), zmq_msg_size(&message),
                               clock_real_us());
        zmq_msg_close(&message);
        if (rc != 0)
            log_event(LEVEL_ERROR, "frame_refused", "reason", "could not read a frame: %s",
                      err_text(rc));
    }
}

static void take_batches(struct shard_thread *self)
{
    zmq_msg_t message;
    while (mailbox_take(self->done, &message)) {
        struct batch *batch = mailbox_object(&message);
        zmq_msg_close(&message);
        if (batch->error == ERR_FENCED) {
            /* The writer has logged it. Nothing may leave this node any more. */
            _exit(4);
        }
        if (batch->error != 0) {
            self->ending = true; /* the writer has ended: nothing of it is acknowledged */
            batch_destroy(&batch);
            continue;
        }
        shard_done(self->shard, batch, clock_real_us());
    }
}

/* False: nobody takes it. Of an edge that means it has ended, and its connections with it. */
static bool send_frame(struct frame *frame, zsock_t *to)
{
    if (frame->count == 0)
        return true;
    struct span bytes = frame_finish(frame);
    return mailbox_post(to, bytes.data, bytes.len);
}

static void send_far(struct shard_thread *self, const struct shard_far *far, enum mesh_kind kind,
                     struct frame *frames, unsigned count, enum mesh_keep keep)
{
    for (unsigned i = 0; i < count; i++) {
        if (frames[i].count == 0)
            continue;
        struct span bytes = frame_finish(&frames[i]);
        const struct mesh_head head = {far->node, far->life, (uint8_t)kind, (uint8_t)i,
                                       (uint8_t)keep};
        mailbox_post_two(self->mesh, &head, sizeof head, bytes.data, bytes.len);
        frame_clear(&frames[i]);
    }
}

static void send_to_nodes(struct shard_thread *self, struct shard_out *out)
{
    for (uint32_t n = 0; n < out->far_end; n++) {
        struct shard_far *far = out->far[n];
        if (far == NULL)
            continue;
        send_far(self, far, MESH_EDGE, far->edge, far->edges, MESH_KEPT);
        send_far(self, far, MESH_EDGE, far->watchers, far->edges, MESH_LIVE);
        send_far(self, far, MESH_EDGE, far->promised, far->edges, MESH_PROMISED);
        send_far(self, far, MESH_SHARD, far->shard, far->shards, MESH_KEPT);
    }
}

static void send_all(struct shard_thread *self)
{
    struct shard_out *out = shard_output(self->shard);
    for (unsigned i = 0; i < self->edges; i++) {
        send_frame(&out->edge[i], self->edge[i]);
        frame_clear(&out->edge[i]);
    }
    if (!send_frame(&out->redis, self->redis))
        metrics_add(METRIC_REDIS_DROPPED, out->redis.count);
    frame_clear(&out->redis);
    send_frame(&out->control, self->control);
    frame_clear(&out->control);
    send_to_nodes(self, out);
    self->batch_due_us = INT64_MAX;
    while (!self->ending) {
        int64_t now_us = clock_boot_us(), wait_us = pace_wait_us(&self->pace, now_us);
        if (wait_us > 0) {
            self->batch_due_us = now_us + wait_us;
            return;
        }
        struct batch *batch = shard_next_batch(self->shard);
        if (batch == NULL)
            return;
        pace_sent(&self->pace, batch->rows_count, now_us);
        mailbox_give(self->writer, batch);
    }
}

static void tell_metrics(struct shard_thread *self)
{
    const struct shard_counts *now = shard_count(self->shard);
    struct shard_counts *told = &self->told;
    metrics_add(METRIC_READINGS, (int64_t)(now->readings - told->readings));
    metrics_add(METRIC_READINGS_STORED, (int64_t)(now->rows - told->rows));
    metrics_add(METRIC_DUPLICATES, (int64_t)(now->duplicates - told->duplicates));
    metrics_add(METRIC_REJECTED, (int64_t)(now->rejected - told->rejected));
    metrics_add(METRIC_ALERTS, (int64_t)(now->alerts - told->alerts));
    metrics_add(METRIC_COMMITS, (int64_t)(now->commits - told->commits));
    metrics_add(METRIC_UNEXPECTED, (int64_t)(now->unexpected - told->unexpected));
    metrics_add(METRIC_ACTORS, (int64_t)(now->actors - told->actors));
    metrics_add(METRIC_ACTIVE_DEVICES, (int64_t)(now->active - told->active));
    metrics_add(METRIC_SLOTS, (int64_t)(now->slots - told->slots));
    metrics_add(METRIC_MOVED_ITEMS, (int64_t)(now->moved - told->moved));
    metrics_add(METRIC_UNHEARD, (int64_t)(now->unheard - told->unheard));
    metrics_add_pauses(&now->pauses, &told->pauses);
    *told = *now;
}

static void tick(struct shard_thread *self)
{
    int64_t now = clock_boot_us();
    if (now < self->next_tick_us)
        return;
    shard_tick(self->shard, clock_real_us());
    self->next_tick_us = now + TICK_US;
}

/* SHARD_DRAIN comes once, then $TERM, which may also come alone. */
static bool asked_to_end(struct shard_thread *self, zsock_t *pipe)
{
    char *command = zstr_recv(pipe);
    bool end = command == NULL || streq(command, "$TERM");
    if (!end) {
        self->deadline_us = clock_boot_us() + SHARD_LAST_WORDS_MS * 1000LL;
        shard_close(self->shard);
    }
    zstr_free(&command);
    return end;
}

/* The last that control said is in what its shard has yet to take: to whom slots are given. */
static bool is_quiet(const struct shard_thread *self)
{
    return shard_is_quiet(self->shard) && !(zsock_events(self->inbox) & ZMQ_POLLIN);
}

/* The writers may end now: they are given nothing more, and what they give back is taken. */
static void tell_drained(struct shard_thread *self, zsock_t *pipe)
{
    if (self->deadline_us == INT64_MAX || self->drained)
        return;
    if (!self->ending && !is_quiet(self) && clock_boot_us() < self->deadline_us)
        return;
    self->drained = self->ending = true;
    zsock_signal(pipe, 0);
}

static void run(struct shard_thread *self, zsock_t *pipe)
{
    zmq_pollitem_t items[] = {{zsock_resolve(pipe), 0, ZMQ_POLLIN, 0},
                              {zsock_resolve(self->inbox), 0, ZMQ_POLLIN, 0},
                              {zsock_resolve(self->done), 0, ZMQ_POLLIN, 0}};
    for (;;) {
        int64_t due_us =
            self->batch_due_us < self->next_tick_us ? self->batch_due_us : self->next_tick_us;
        int64_t wait_us = due_us - clock_boot_us();
        zmq_poll(items, 3, wait_us > 0 ? (long)(wait_us / 1000 + 1) : 0);
        bool end = items[0].revents && asked_to_end(self, pipe);
        if (end || items[2].revents)
            take_batches(self);
        if (end)
            return;
        if (items[1].revents)
            take_frames(self);
        tick(self);
        self->loop->turned_us[self->index] = clock_boot_us();
        send_all(self);
        tell_metrics(self);
        tell_drained(self, pipe);
    }
}

void shard_actor(zsock_t *pipe, void *args)
{
    struct shard_args *given = args;
    struct shard_thread self = {.batch_due_us = INT64_MAX, .deadline_us = INT64_MAX};
    open_all(&self, given);
    free(given);
    pthread_setname_np(pthread_self(), "gito-shard");
    zsock_signal(pipe, 0);
    run(&self, pipe);
    close_all(&self);
}
