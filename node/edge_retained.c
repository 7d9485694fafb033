/* What was kept until a client subscribed: asked for page by page (node/retained.h), as its client
 * takes it. A connection has one request under way, for one of its subscriptions; the others wait,
 * and so do connections past LIMIT_RETAINED_REQUESTS. Of a page that its client cannot take whole
 * the rest is asked for again, later: it would age in memory. */
#include "node/clock.h"
#include "node/edge_watch.h"
#include "node/metrics.h"
#include "node/retained.h"
#include "proto/check.h"

/* Connections looked at in one turn. */
#define TURN_WAITS 256
#define RETRY_US 1000000
/* A PUBLISH around its topic and payload; and a topic of the platform's own. */
#define PACKET_BYTES 192
/* The rest of the queue is for what happens meanwhile. */
#define QUEUE_BYTES (LIMIT_CLIENT_QUEUE_BYTES / 4 * 3)

struct retained_wait {
    struct retained_wait *next, *previous; /* the edge's ring */
    struct mqtt_conn *conn;
    struct subscription *current; /* whose pages these are; NULL: the next one's turn has come */
    struct buf place;             /* where its next page begins */
    bool asked;                   /* a request is under way, if for one that has gone since */
};

/* ---- who waits ---- */

static struct retained_wait *start(struct mqtt_conn *conn)
{
    struct edge *edge = conn->edge;
    struct retained_wait *self = xcalloc(1, sizeof *self);
    struct retained_wait *next = edge->retained != NULL ? edge->retained : self;
    self->conn = conn;
    self->next = next;
    self->previous = edge->retained != NULL ? next->previous : self;
    self->previous->next = self;
    next->previous = self;
    buf_init(&self->place, UINT16_MAX + 1);
    edge->retained = next;
    edge->retained_count++;
    conn->retained = self;
    return self;
}

void edge_retained_end(struct mqtt_conn *conn)
{
    struct edge *edge = conn->edge;
    struct retained_wait *self = conn->retained;
    if (self == NULL)
        return;
    if (edge->retained == self)
        edge->retained = self->next != self ? self->next : NULL;
    self->next->previous = self->previous;
    self->previous->next = self->next;
    edge->retained_count--;
    conn->retained = NULL;
    buf_free(&self->place);
    free(self);
}

void edge_retained_want(struct subscription *subscription)
{
    struct mqtt_conn *conn = subscription->watch.connection;
    subscription->waits = true;
    if (conn->retained == NULL)
        start(conn);
}

static void finish(struct retained_wait *self)
{
    self->current = NULL;
    buf_free(&self->place);
}

static bool is_current(const struct subscription *subscription)
{
    const struct mqtt_conn *conn = subscription->watch.connection;
    return conn->retained != NULL && conn->retained->current == subscription;
}

bool edge_retained_owes(const struct subscription *subscription)
{
    return subscription->waits || is_current(subscription);
}

void edge_retained_forget(struct subscription *subscription)
{
    const struct mqtt_conn *conn = subscription->watch.connection;
    if (is_current(subscription))
        finish(conn->retained);
}

/* In the order of subscribing: the newest is the first of the list. */
static struct subscription *next_of(const struct mqtt_conn *conn)
{
    struct subscription *next = NULL;
    for (struct subscription *s = conn->subscriptions; s != NULL; s = s->next)
        if (s->waits)
            next = s;
    return next;
}

/* ---- what a client can take ---- */

/* As session_deliver() counts it. */
static size_t backlog(const struct mqtt_conn *conn)
{
    return 2 * conn->out.len + session_queued_bytes(conn->session);
}

static bool takes_page(const struct mqtt_conn *conn)
{
    return session_connected(conn->session) && !conn->closing && !lws_partial_buffered(conn->wsi) &&
           backlog(conn) <= LIMIT_RETAINED_BACKLOG_BYTES;
}

static bool takes_item(const struct mqtt_conn *conn, const struct item *item)
{
    return session_connected(conn->session) &&
           backlog(conn) + item->texts_len + PACKET_BYTES <= QUEUE_BYTES;
}

/* ---- pages ---- */

/* False: the query threads have enough. */
static bool ask(struct retained_wait *self)
{
    struct mqtt_conn *conn = self->conn;
    const struct subscription *s = self->current;
    struct uuid device = edge_watch_device(s);
    struct request *request =
        retained_request(s->filter, s->filter_len, &device, s->watch.bits, &self->place);
    request->ref = conn->ref;
    request->claims.tenant = session_principal(conn->session)->tenant;
    self->asked = edge_ask(conn->edge, request);
    if (self->asked)
        conn->edge->retained_asked++;
    else
        request_destroy(&request);
    return self->asked;
}

static bool go_on(struct retained_wait *self)
{
    if (self->asked || !takes_page(self->conn))
        return true;
    if (self->current == NULL) {
        self->current = next_of(self->conn);
        if (self->current == NULL) {
            edge_retained_end(self->conn);
            return true;
        }
        self->current->waits = false;
    }
    return ask(self);
}

void edge_retained_turn(struct edge *self)
{
    unsigned n = self->retained_count < TURN_WAITS ? self->retained_count : TURN_WAITS;
    if (n > 0 && self->retained_after_us != 0 && clock_boot_us() < self->retained_after_us)
        return;
    for (; n > 0 && self->retained_asked < LIMIT_RETAINED_REQUESTS; n--) {
        struct retained_wait *wait = self->retained;
        self->retained = wait->next;
        if (!go_on(wait))
            return;
    }
}

/* False: the client could not take all; the place is behind what it took. */
static bool give(struct retained_wait *self, const struct buf *page)
{
    struct frame_reader reader;
    struct item item;
    if (page->len == 0)
        return true;
    CHECK(frame_open(&reader, page->data, page->len) == 0);
    while (frame_next(&reader, &item) == 1) {
        if (!takes_item(self->conn, &item))
            return false;
        edge_watch_give_retained(self->current, &item);
        retained_place(&item, &self->place);
    }
    return true;
}

void edge_retained_take(struct edge *self, struct request *answered)
{
    struct mqtt_conn *conn = edge_peer(self, &answered->ref, PEER_MQTT);
    self->retained_asked--;
    self->retained_after_us = answered->status == 503 ? clock_boot_us() + RETRY_US : 0;
    if (conn == NULL)
        return;
    struct retained_wait *wait = conn->retained;
    CHECK(wait != NULL && wait->asked);
    wait->asked = false;
    if (wait->current == NULL || answered->status == 503)
        return; /* unsubscribed meanwhile; or to be asked again */
    if (answered->status != 200) {
        metrics_add(METRIC_MQTT_DROPPED, 1);
        finish(wait);
    } else if (give(wait, &answered->reply)) {
        buf_clear(&wait->place);
        buf_put(&wait->place, answered->query.data, answered->query.len);
        if (!answered->more)
            finish(wait);
    }
}
