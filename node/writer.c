#include "node/writer.h"
#include "node/config.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "sql/store.h"
#include <inttypes.h>

/* The batches given back at the end outlive the socket that they left by for this long. */
#define LAST_BATCHES_MS 1000

struct writer {
    unsigned index, shards;
    zsock_t *pipe, *inbox;
    zsock_t *done[LIMIT_SHARDS];
    store_t *store;
    uint64_t retries; /* of the store, as counted */
    char application_name[64];
};

/* The only thing that ever comes by the pipe is $TERM. */
static bool should_stop(void *context)
{
    const struct writer *self = context;
    return zsock_events(self->pipe) & ZMQ_POLLIN;
}

static void on_state(void *context, bool up, const char *reason)
{
    const struct writer *self = context;
    if (up)
        log_event(LEVEL_INFO, "database_back", "writer", "%u", self->index);
    else
        log_event(LEVEL_WARNING, "database_away", "reason", "could not commit a batch: %s", reason);
}

static struct writer *writer_new(zsock_t *pipe, const struct writer_args *args)
{
    struct writer *self = xcalloc(1, sizeof *self);
    const struct config *config = args->config;
    self->index = args->index;
    self->pipe = pipe;
    self->shards = (unsigned)config->shards;
    CHECK(self->shards <= LIMIT_SHARDS);
    /* Whoever declares this node dead ends its sessions, which it finds by this name. */
    snprintf(self->application_name, sizeof self->application_name, "%s/%" PRId64, config->node_id,
             args->incarnation);
    const struct store_config store = {
        .url = config->database_url,
        .application_name = self->application_name,
        .node_id = config->node_id,
        .incarnation = args->incarnation,
        .should_stop = should_stop,
        .on_state = on_state,
        .context = self,
    };
    self->store = store_new(&store);
    CHECK(self->store != NULL);
    self->inbox = mailbox_open("writer", self->index);
    for (unsigned i = 0; i < self->shards; i++) {
        self->done[i] = mailbox_connect("done", i, 0);
        zsock_set_linger(self->done[i], LAST_BATCHES_MS);
    }
    return self;
}

static void writer_destroy(struct writer **self_p)
{
    struct writer *self = *self_p;
    zsock_destroy(&self->inbox);
    for (unsigned i = 0; i < self->shards; i++)
        zsock_destroy(&self->done[i]);
    store_destroy(&self->store);
    free(self);
    *self_p = NULL;
}

static void count_retries(struct writer *self)
{
    const struct store_stats *stats = store_stats(self->store);
    metrics_add(METRIC_COMMIT_RETRIES, (int64_t)(stats->retries - self->retries));
    self->retries = stats->retries;
}

static void execute(struct writer *self, struct batch *batch)
{
    CHECK(batch->shard < self->shards);
    int rc = store_execute(self->store, batch);
    count_retries(self);
    if (rc == ERR_FENCED)
        log_event(LEVEL_ERROR, "fenced", "reason", "%s", err_text(rc));
    mailbox_give(self->done[batch->shard], batch);
}

/* What waits in the inbox when the end comes goes back as it came. */
static void give_back_rest(struct writer *self)
{
    zmq_msg_t message;
    while (mailbox_take(self->inbox, &message)) {
        struct batch *batch = mailbox_object(&message);
        zmq_msg_close(&message);
        batch->error = ERR_UNAVAILABLE;
        mailbox_give(self->done[batch->shard], batch);
    }
}

static void run(struct writer *self)
{
    zmq_pollitem_t items[] = {{.socket = zsock_resolve(self->pipe), .events = ZMQ_POLLIN},
                              {.socket = zsock_resolve(self->inbox), .events = ZMQ_POLLIN}};
    while (zmq_poll(items, 2, -1) >= 0) {
        zmq_msg_t message;
        if (items[0].revents & ZMQ_POLLIN)
            return;
        if (!mailbox_take(self->inbox, &message))
            continue;
        struct batch *batch = mailbox_object(&message);
        zmq_msg_close(&message);
        execute(self, batch);
    }
}

void writer_actor(zsock_t *pipe, void *args)
{
    struct writer *self = writer_new(pipe, args);
    free(args);
    pthread_setname_np(pthread_self(), "gito-writer");
    zsock_signal(pipe, 0);
    run(self);
    give_back_rest(self);
    writer_destroy(&self);
}
