#include "node/clock.h"
#include "node/edge_inside.h"
#include "node/edge_sync.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "proto/check.h"

#define FRAME_BYTES_MAX (4UL * LIMIT_EDGE_BYTES)
/* While draining, a part of the clients is sent elsewhere each time. */
#define EDGE_DRAIN_S 0.1
/* Messages taken in one turn. */
#define TURN_MESSAGES 256

/* ---- references ---- */

struct msg_ref edge_ref(struct edge *self, enum peer_kind kind, void *object)
{
    uint32_t index = self->peers_free;
    if (index != UINT32_MAX) {
        self->peers_free = self->peers[index].next_free;
    } else {
        if (self->peers_count == self->peers_cap) {
            self->peers_cap = self->peers_cap ? 2 * self->peers_cap : 64;
            self->peers = realloc(self->peers, self->peers_cap * sizeof *self->peers);
            CHECK(self->peers != NULL);
        }
        index = self->peers_count++;
        self->peers[index].generation = 0;
    }
    struct peer *peer = &self->peers[index];
    peer->object = object;
    peer->kind = kind;
    peer->generation++;
    return (struct msg_ref){
        .edge = (uint8_t)self->index, .conn = index, .generation = peer->generation};
}

void edge_unref(struct edge *self, const struct msg_ref *ref)
{
    struct peer *peer = &self->peers[ref->conn];
    CHECK(peer->generation == ref->generation && peer->kind != PEER_FREE);
    peer->kind = PEER_FREE;
    peer->object = NULL;
    peer->next_free = self->peers_free;
    self->peers_free = ref->conn;
}

void *edge_peer(const struct edge *self, const struct msg_ref *ref, enum peer_kind kind)
{
    if (ref->conn >= self->peers_count)
        return NULL;
    const struct peer *peer = &self->peers[ref->conn];
    return peer->kind == kind && peer->generation == ref->generation ? peer->object : NULL;
}

void edge_close(struct edge *self, struct lws *wsi, int seconds)
{
    lws_set_timeout(wsi, PENDING_TIMEOUT_USER_REASON_BASE, seconds);
    self->timeout_set = true;
}

/* ---- to the query threads ---- */

static bool hand_over(struct edge *self, struct request *request)
{
    unsigned best = 0;
    if (self->asked_total >= LIMIT_REQUESTS_IN_FLIGHT)
        return false;
    for (unsigned i = 1; i < self->queries; i++)
        if (self->asked[i] < self->asked[best])
            best = i;
    self->asked[best]++;
    self->asked_total++;
    request->thread = best;
    mailbox_give(self->to_query[best], request);
    return true;
}

bool edge_ask(struct edge *self, struct request *request)
{
    if (hand_over(self, request))
        return true;
    if (request->kind != REQUEST_LOGIN && request->kind != REQUEST_WATCH)
        return false;
    request->next = NULL;
    if (self->waiting_last != NULL)
        self->waiting_last->next = request;
    else
        self->waiting = request;
    self->waiting_last = request;
    return true;
}

static void ask_waiting(struct edge *self)
{
    while (self->waiting != NULL) {
        struct request *request = self->waiting, *next = request->next;
        if (!hand_over(self, request))
            return;
        self->waiting = next;
        if (next == NULL)
            self->waiting_last = NULL;
    }
}

static void take_answer(struct edge *self, struct request *request)
{
    self->asked[request->thread]--;
    self->asked_total--;
    switch (request->kind) {
    case REQUEST_HTTP:
        edge_http_answer(self, request);
        break;
    case REQUEST_LOGIN:
        edge_mqtt_login(self, request);
        break;
    case REQUEST_WATCH:
        edge_live_answer(self, request);
        break;
    case REQUEST_RETAINED:
        edge_retained_take(self, request);
        break;
    }
    request_destroy(&request);
}

/* ---- from the shards ---- */

static void take_ack(struct edge *self, const struct item *item)
{
    const struct msg_ack *ack = item->fixed;
    char reason[256];
    if (!edge_answered(self, ack->ref.item))
        return; /* by an owner before, or after, the one that counts */
    if (!(ack->flags & MSG_LAST) || ack->ref.packet_id == 0)
        return;
    snprintf(reason, sizeof reason, "%.*s", (int)item->texts_len, (const char *)item->texts);
    edge_mqtt_ack(self, ack, item->texts_len > 0 ? reason : NULL);
}

/* A part each time, so that the others are not overrun. */
static void on_drain(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    struct edge *self = watcher->data;
    edge_kick_part(self, self->elsewhere);
}

static void take_drain(struct edge *self, const struct item *item)
{
    snprintf(self->elsewhere, sizeof self->elsewhere, "%.*s", (int)item->texts_len,
             (const char *)item->texts);
    if (!((const struct msg_drain *)item->fixed)->on)
        ev_timer_stop(self->loop, &self->drain);
    else if (!ev_is_active(&self->drain))
        ev_timer_start(self->loop, &self->drain);
}

static void take_frame(struct edge *self, const void *data, size_t len)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, data, len);
    if (rc != 0) {
        log_event(LEVEL_ERROR, "frame_refused", "reason", "could not read a frame: %s",
                  err_text(rc));
        return;
    }
    while (frame_next(&reader, &item) == 1) {
        switch ((int)item.kind) {
        case MSG_ACK:
            take_ack(self, &item);
            break;
        case MSG_EVENT:
            edge_watch_event(self, item.fixed, item.texts);
            break;
        case MSG_KICK:
            edge_kick_one(self, item.fixed);
            break;
        case MSG_REVOKED:
            edge_kick_revoked(self, item.fixed);
            break;
        case MSG_ADMITTED:
            if (edge_answered(self, ((const struct msg_admitted *)item.fixed)->ref.item))
                edge_http_admitted(self, item.fixed);
            break;
        case MSG_ACTOR:
            if (edge_answered(self, ((const struct msg_actor *)item.fixed)->ref.item))
                edge_http_actor(self, item.fixed);
            break;
        case MSG_SYNCED:
            edge_sync_take(self, item.fixed);
            break;
        case MSG_DRAIN:
            take_drain(self, &item);
            break;
        case MSG_NODE:
        case MSG_SLOT:
        case MSG_HOME:
            edge_lanes_take(self, &item);
            break;
        case MSG_NEWS:
            edge_events_news(self, ((const struct msg_news *)item.fixed)->version, item.texts,
                             item.texts_len);
            break;
        default:
            metrics_add(METRIC_UNEXPECTED, 1);
        }
    }
}

/* ---- the turn ---- */

static void take_all(struct edge *self)
{
    zmq_msg_t message;
    unsigned n = 0;
    for (; n < TURN_MESSAGES && mailbox_take(self->inbox, &message); n++) {
        take_frame(self, zmq_msg_data(&message), zmq_msg_size(&message));
        zmq_msg_close(&message);
    }
    for (; n < TURN_MESSAGES && mailbox_take(self->replies, &message); n++) {
        struct request *request = mailbox_object(&message);
        zmq_msg_close(&message);
        take_answer(self, request);
    }
    ask_waiting(self);
    if (n == TURN_MESSAGES)
        ev_idle_start(self->loop, &self->more);
    else
        ev_idle_stop(self->loop, &self->more);
}

static void take_pipe(struct edge *self)
{
    while (zsock_events(self->pipe) & ZMQ_POLLIN) {
        char *command = zstr_recv(self->pipe);
        if (command == NULL || streq(command, "$TERM")) {
            self->stopping = true;
            self->stop_deadline_us = clock_boot_us() + EDGE_LAST_WORDS_MS * 1000LL;
        }
        zstr_free(&command);
    }
}

/* libwebsockets arms its timer in our loop after an event of its own alone: it gets one. */
static void arm_timeouts(struct edge *self)
{
    if (self->timeout_set)
        lws_cancel_service(self->lws);
    self->timeout_set = false;
}

static void on_turn(struct ev_loop *loop, ev_prepare *watcher, int events)
{
    (void)loop, (void)events;
    struct edge *self = watcher->data;
    if (!self->stopping)
        take_pipe(self);
    take_all(self);
    if (self->exhausted && self->items < LIMIT_EDGE_ITEMS / 4 * 3 &&
        self->bytes < LIMIT_EDGE_BYTES / 4 * 3) {
        self->exhausted = false;
        edge_mqtt_resume(self);
    }
    edge_kick_turn(self);
    edge_mqtt_flush(self);
    edge_retained_turn(self);
    edge_lanes_tell(self);
    edge_lanes_flush(self);
    arm_timeouts(self);
    if (self->stopping && !self->ended &&
        (self->items == 0 || clock_boot_us() >= self->stop_deadline_us)) {
        self->ended = true;
        edge_kick_all(self);
        edge_live_goodbye(self);
        edge_mqtt_flush(self);
        ev_break(self->loop, EVBREAK_ALL);
    }
}

/* A socket of ZeroMQ says by its descriptor only that something changed: the turn looks. */
static void on_wake(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

static void on_more(struct ev_loop *loop, ev_idle *watcher, int events)
{
    (void)loop, (void)watcher, (void)events;
}

static void on_tenth(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    edge_lanes_tick(watcher->data);
}

static void on_second(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    edge_mqtt_second(watcher->data);
    edge_live_second(watcher->data);
    edge_http_second(watcher->data);
    edge_events_second(watcher->data);
}

static void start_watchers(struct edge *self)
{
    zsock_t *sockets[] = {self->pipe, self->inbox, self->replies};
    ev_prepare_init(&self->turn, on_turn);
    ev_idle_init(&self->more, on_more);
    ev_timer_init(&self->second, on_second, 1.0, 1.0);
    ev_timer_init(&self->tenth, on_tenth, 0.1, 0.1);
    ev_timer_init(&self->drain, on_drain, EDGE_DRAIN_S, EDGE_DRAIN_S);
    self->turn.data = self->second.data = self->tenth.data = self->drain.data = self;
    ev_prepare_start(self->loop, &self->turn);
    ev_timer_start(self->loop, &self->second);
    ev_timer_start(self->loop, &self->tenth);
    for (unsigned i = 0; i < 3; i++) {
        ev_io_init(&self->wake[i], on_wake, zsock_fd(sockets[i]), EV_READ);
        ev_io_start(self->loop, &self->wake[i]);
    }
}

static void stop_watchers(struct edge *self)
{
    ev_prepare_stop(self->loop, &self->turn);
    ev_idle_stop(self->loop, &self->more);
    ev_timer_stop(self->loop, &self->second);
    ev_timer_stop(self->loop, &self->tenth);
    ev_timer_stop(self->loop, &self->drain);
    for (unsigned i = 0; i < 3; i++)
        ev_io_stop(self->loop, &self->wake[i]);
}

static void interest_changed(void *context, const struct uuid *tenant, const struct uuid *device,
                             unsigned bits)
{
    edge_lanes_interest(context, tenant, device, bits);
}

static void open_all(struct edge *self, const struct edge_args *args)
{
    self->config = args->config;
    self->index = args->index;
    self->life = (uint16_t)args->incarnation;
    self->shards = (unsigned)args->config->shards;
    self->queries = (unsigned)args->config->queries;
    self->peers_free = UINT32_MAX;
    self->watchers.changed = interest_changed;
    self->watchers.context = self;
    self->readings = xcalloc(1, sizeof *self->readings);
    readings_init(self->readings);
    self->told = xcalloc(EDGE_TOLD, sizeof *self->told);
    buf_init(&self->scratch, FRAME_BYTES_MAX);
    self->inbox = mailbox_open("edge", self->index);
    self->replies = mailbox_open("edge-reply", self->index);
    for (unsigned i = 0; i < self->shards; i++)
        self->to_shard[i] = mailbox_connect("shard", i, 0);
    edge_lanes_open(self, args);
    for (unsigned i = 0; i < self->queries; i++)
        self->to_query[i] = mailbox_connect("query", i, 0);
    self->loop = ev_loop_new(EVFLAG_AUTO | EVFLAG_NOSIGMASK);
    CHECK(self->loop != NULL);
}

static void close_all(struct edge *self)
{
    stop_watchers(self);
    edge_front_close(self);
    lws_context_destroy(self->lws); /* closes every connection, through the callbacks */
    edge_lanes_close(self);
    for (unsigned i = 0; i < self->shards; i++)
        zsock_destroy(&self->to_shard[i]);
    for (unsigned i = 0; i < self->queries; i++)
        zsock_destroy(&self->to_query[i]);
    zmq_msg_t message;
    while (self->asked_total > 0) { /* each comes back: query threads end after the edges */
        zmq_msg_init(&message);
        if (zmq_msg_recv(&message, zsock_resolve(self->replies), 0) < 0)
            break;
        struct request *request = mailbox_object(&message);
        zmq_msg_close(&message);
        self->asked_total--;
        request_destroy(&request);
    }
    while (self->waiting != NULL) {
        struct request *next = self->waiting->next;
        request_destroy(&self->waiting);
        self->waiting = next;
    }
    zsock_destroy(&self->inbox);
    zsock_destroy(&self->replies);
    watchers_free(&self->watchers);
    readings_free(self->readings);
    free(self->readings);
    free(self->told);
    buf_free(&self->scratch);
    free(self->peers);
    ev_loop_destroy(self->loop);
}

static _Atomic unsigned failures;

unsigned edge_failures(void)
{
    return failures;
}

void edge_actor(zsock_t *pipe, void *args)
{
    struct edge_args *given = args;
    struct edge self = {.pipe = pipe};
    open_all(&self, given);
    free(given);
    start_watchers(&self);
    int rc = edge_listen(&self);
    failures += rc != 0;
    pthread_setname_np(pthread_self(), "gito-edge");
    zsock_signal(pipe, 0);
    if (rc == 0)
        ev_run(self.loop, 0);
    else
        while (!self.stopping)
            take_pipe(&self);
    close_all(&self);
}
