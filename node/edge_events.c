/* Server-sent events for operators: GET /cluster/events tells what changes in the view of the
 * cluster (node/news.h), as control tells it to this edge. A reader that takes less than there is
 * costs nobody anything: past STREAM_BYTES_MAX it is cut off. It comes back by itself, and its
 * first event, the version of the view, says whether it missed anything. */
#include "node/clock.h"
#include "node/edge_inside.h"
#include "node/metrics.h"
#include "proto/check.h"
#include <errno.h>
#include <inttypes.h>
#include <sys/socket.h>

#define STREAMS_MAX 64 /* an edge */
#define STREAM_BYTES_MAX (1024 * 1024)
#define STREAM_CHUNK 65536
/* A line of no meaning so often: proxies end what is silent. */
#define BEAT_SECONDS 15

struct event_stream {
    struct event_stream *next, **at;
    struct edge *edge;
    struct lws *wsi;
    struct buf out;
    int64_t expires_s; /* of its token, Unix time */
    bool chunked, cut;
};

static void put_version(struct buf *out, int64_t version)
{
    buf_printf(out, "event: version\nid: %" PRId64 "\ndata: {\"version\":%" PRId64 "}\n\n", version,
               version);
}

struct event_stream *edge_events_open(struct edge *edge, struct lws *wsi, int64_t expires_s,
                                      bool chunked)
{
    struct event_stream *self = edge->streams_count < STREAMS_MAX ? calloc(1, sizeof *self) : NULL;
    if (self == NULL)
        return NULL;
    self->edge = edge;
    self->wsi = wsi;
    self->expires_s = expires_s;
    self->chunked = chunked;
    buf_init(&self->out, STREAM_BYTES_MAX);
    buf_puts(&self->out, "retry: 2000\n\n");
    if (edge->view_version != 0)
        put_version(&self->out, edge->view_version);
    self->at = &edge->streams;
    self->next = edge->streams;
    if (self->next != NULL)
        self->next->at = &self->next;
    edge->streams = self;
    edge->streams_count++;
    lws_set_timeout(wsi, NO_PENDING_TIMEOUT, 0);
    metrics_add(METRIC_EVENT_STREAMS, 1);
    return self;
}

void edge_events_close(struct event_stream **self_p)
{
    struct event_stream *self = *self_p;
    if (self == NULL)
        return;
    *self->at = self->next;
    if (self->next != NULL)
        self->next->at = self->at;
    self->edge->streams_count--;
    metrics_add(METRIC_EVENT_STREAMS, -1);
    buf_free(&self->out);
    free(self);
    *self_p = NULL;
}

static void cut(struct event_stream *self)
{
    self->cut = true;
    edge_close(self->edge, self->wsi, LWS_TO_KILL_ASYNC);
}

static void put(struct event_stream *self, const void *text, size_t len)
{
    if (self->cut)
        return;
    buf_put(&self->out, text, len);
    if (buf_failed(&self->out)) {
        metrics_add(METRIC_EVENT_STREAMS_CUT, 1);
        cut(self);
        return;
    }
    lws_rx_flow_control(self->wsi, 1);
    lws_callback_on_writable(self->wsi);
}

/* Libwebsockets does not read while it answers, so that its loop would be told for ever of what a
 * client says meanwhile, were it only its end. Reading is stopped; but what is not read is not
 * written either: it is stopped while there is nothing to write. The body is chunked: some clients
 * do not look into one that ends with its connection before it has ended. */
int edge_events_write(struct event_stream *self)
{
    uint8_t piece[LWS_PRE + STREAM_CHUNK + 16], *start = piece + LWS_PRE;
    while (self->out.len > 0 && !lws_send_pipe_choked(self->wsi)) {
        size_t n = self->out.len < STREAM_CHUNK ? self->out.len : STREAM_CHUNK, len = 0;
        if (self->chunked)
            len = (size_t)sprintf((char *)start, "%zx\r\n", n);
        memcpy(start + len, self->out.data, n);
        len += n;
        if (self->chunked)
            len += (size_t)sprintf((char *)start + len, "\r\n");
        if (lws_write(self->wsi, start, len, LWS_WRITE_HTTP) < 0)
            return -1;
        buf_consume(&self->out, n);
    }
    if (self->out.len > 0)
        lws_callback_on_writable(self->wsi);
    else
        lws_rx_flow_control(self->wsi, 0);
    return 0;
}

void edge_events_news(struct edge *edge, int64_t version, const void *text, size_t len)
{
    edge->view_version = version;
    for (struct event_stream *self = edge->streams; self != NULL; self = self->next)
        put(self, text, len);
}

/* Nobody else looks. */
static bool has_gone(const struct event_stream *self)
{
    char byte;
    ssize_t n = recv(lws_get_socket_fd(self->wsi), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    return n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
}

void edge_events_second(struct edge *edge)
{
    static const char beat[] = ":\n\n";
    int64_t now_s = clock_real_us() / 1000000;
    bool beats = now_s % BEAT_SECONDS == 0;
    for (struct event_stream *self = edge->streams; self != NULL; self = self->next) {
        if (!self->cut && (self->expires_s <= now_s || has_gone(self)))
            cut(self);
        else if (beats && self->out.len == 0)
            put(self, beat, sizeof beat - 1);
    }
}
