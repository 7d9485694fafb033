/* HTTP at the edge: REST calls are checked, budgeted and handed to the query threads; probes and
 * metrics are answered here; everything else is a file of the dashboard. */
#include "node/chunked.h"
#include "node/clock.h"
#include "node/edge_inside.h"
#include "node/http_status.h"
#include "node/lease_thread.h"
#include "node/metrics.h"
#include "node/rest.h"
#include "node/rest_params.h"
#include "node/web_file.h"
#include "proto/check.h"

#define ACTOR_WAIT_US 10000000
#define REPLY_CHUNK 65536
#define LIMIT_ADDRESS_BYTES 8192

/* One HTTP exchange; the memory is libwebsockets' per-session data. */
struct exchange {
    struct edge *edge;
    struct lws *wsi;
    struct msg_ref ref;
    struct request *request;     /* until it is handed over */
    struct event_stream *stream; /* the answer goes on and on */
    struct buf reply;
    size_t sent;
    struct msg_admitted budget;
    struct chunked chunks;
    int64_t asked_us;  /* an actor, and it has not answered; 0: none */
    uint16_t question; /* the number of what it was asked */
    uint32_t item;     /* and its name (edge_give) */
    bool asked, body_done, is_head, is_chunked, ends;
    bool is_old; /* HTTP/1.0: it knows no chunks (RFC 9112, 6.1) */
};

size_t edge_http_size(void)
{
    return sizeof(struct exchange);
}

static const char *method_of(struct lws *wsi)
{
    static const struct {
        enum lws_token_indexes token;
        const char *name;
    } methods[] = {{WSI_TOKEN_POST_URI, "POST"},       {WSI_TOKEN_PUT_URI, "PUT"},
                   {WSI_TOKEN_DELETE_URI, "DELETE"},   {WSI_TOKEN_PATCH_URI, "PATCH"},
                   {WSI_TOKEN_OPTIONS_URI, "OPTIONS"}, {WSI_TOKEN_HEAD_URI, "HEAD"}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (lws_hdr_total_length(wsi, methods[i].token) > 0)
            return methods[i].name;
    return "GET";
}

/* ---- answers ---- */

struct answer {
    int status;
    const char *type, *retry_after, *allow;
};

static int add_header(struct lws *wsi, const char *name, const char *value, uint8_t **at,
                      uint8_t *end)
{
    if (value == NULL || *value == '\0')
        return 0;
    return lws_add_http_header_by_name(wsi, (const unsigned char *)name,
                                       (const unsigned char *)value, (int)strlen(value), at, end);
}

static int add_budget(struct exchange *x, uint8_t **at, uint8_t *end)
{
    char limit[24], remaining[24], reset[24];
    if (!x->asked)
        return 0;
    snprintf(limit, sizeof limit, "%u", x->budget.limit);
    snprintf(remaining, sizeof remaining, "%u", x->budget.remaining);
    snprintf(reset, sizeof reset, "%u", x->budget.reset_s);
    return add_header(x->wsi, "ratelimit-limit:", limit, at, end) ||
           add_header(x->wsi, "ratelimit-remaining:", remaining, at, end) ||
           add_header(x->wsi, "ratelimit-reset:", reset, at, end);
}

/* Of a body without a length only we know where it ends, or that there is none: libwebsockets would
 * take what follows for more of it. */
static int completed(struct exchange *x)
{
    return x->ends || lws_http_transaction_completed(x->wsi) ? -1 : 0;
}

/* Sends the header for x->reply; the body follows when the socket takes it. */
static int answer(struct exchange *x, const struct answer *a)
{
    uint8_t header[LWS_PRE + 2048], *start = header + LWS_PRE, *at = start,
                                    *end = header + sizeof header - 1;
    lws_filepos_t length = x->stream != NULL ? LWS_ILLEGAL_HTTP_CONTENT_LEN : x->reply.len;
    if (lws_add_http_common_headers(x->wsi, (unsigned)a->status, a->type, length, &at, end) ||
        add_header(x->wsi, "retry-after:", a->retry_after, &at, end) ||
        add_header(x->wsi, "allow:", a->allow, &at, end) || add_budget(x, &at, end) ||
        add_header(x->wsi, "www-authenticate:", a->status == 401 ? "Bearer" : NULL, &at, end) ||
        add_header(x->wsi, "connection:", x->ends ? "close" : NULL, &at, end) ||
        add_header(x->wsi, "transfer-encoding:", x->stream != NULL && !x->is_old ? "chunked" : NULL,
                   &at, end) ||
        add_header(x->wsi, "cache-control:", "no-store", &at, end) ||
        add_header(x->wsi, "x-content-type-options:", "nosniff", &at, end) ||
        lws_finalize_write_http_header(x->wsi, start, &at, end))
        return -1;
    lws_rx_flow_control(x->wsi, 1);
    if (x->is_head)
        buf_free(&x->reply);
    if (x->reply.len == 0 && x->stream == NULL)
        return completed(x);
    x->sent = 0;
    lws_callback_on_writable(x->wsi);
    return 0;
}

static int write_more(struct exchange *x)
{
    uint8_t piece[LWS_PRE + REPLY_CHUNK];
    size_t left = x->reply.len - x->sent, n = left < REPLY_CHUNK ? left : REPLY_CHUNK;
    if (x->reply.len == 0)
        return 0;
    memcpy(piece + LWS_PRE, x->reply.data + x->sent, n);
    bool last = n == left;
    if (lws_write(x->wsi, piece + LWS_PRE, n, last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0)
        return -1;
    x->sent += n;
    if (!last) {
        lws_callback_on_writable(x->wsi);
        return 0;
    }
    buf_free(&x->reply);
    return completed(x);
}

static int problem(struct exchange *x, int status, const char *code, const char *detail,
                   const char *retry_after)
{
    buf_clear(&x->reply);
    buf_printf(&x->reply,
               "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"detail\":\"%s\","
               "\"code\":\"%s\"}",
               http_status_phrase(status), status, detail, code);
    return answer(x, &(struct answer){status, "application/problem+json", retry_after,
                                      status == 405 ? "GET, HEAD" : NULL});
}

static int plain(struct exchange *x, int status, const char *type, const char *text)
{
    buf_clear(&x->reply);
    buf_puts(&x->reply, text);
    return answer(x, &(struct answer){status, type, status == 503 ? "1" : NULL, NULL});
}

/* ---- what is answered here ---- */

/* 1: it was one of these, and *ret_rc is the callback's result. */
static int answer_probe(struct exchange *x, const char *path, int *ret_rc)
{
    static const char text[] = "text/plain; charset=utf-8", json[] = "application/json";
    if (strcmp(path, "/livez") == 0) {
        *ret_rc = plain(x, 200, text, "ok\n");
    } else if (strcmp(path, "/readyz") == 0) {
        bool ready = lease_database_up() && !x->edge->stopping;
        *ret_rc = plain(x, ready ? 200 : 503, text, ready ? "ok\n" : "the database is away\n");
    } else if (strcmp(path, "/api/health") == 0) {
        *ret_rc = plain(x, 200, json, "{\"status\":\"ok\"}");
    } else if (strcmp(path, "/metrics") == 0) {
        buf_clear(&x->reply);
        metrics_print(&x->reply);
        *ret_rc = answer(x, &(struct answer){200, "text/plain; version=0.0.4", NULL, NULL});
    } else {
        return 0;
    }
    return 1;
}

static int serve_file(struct exchange *x, const char *path)
{
    static const char lasting[] = "cache-control: public, max-age=31536000, immutable\x0d\x0a";
    struct web_file file;
    if (x->edge->config->web_root[0] == '\0')
        return problem(x, 404, "not_found", "this node serves no dashboard: WEB_ROOT is not set",
                       NULL);
    if (web_file_find(x->edge->config->web_root, path, &file) != 0)
        return problem(x, 404, "not_found", "no such file", NULL);
    int rc = lws_serve_http_file(x->wsi, file.path, file.type, file.lasting ? lasting : NULL,
                                 file.lasting ? (int)sizeof lasting - 1 : 0);
    return rc < 0 || (rc > 0 && lws_http_transaction_completed(x->wsi)) ? -1 : 0;
}

/* ---- REST ---- */

/* libwebsockets has decoded the arguments. */
static void read_arguments(struct exchange *x)
{
    char text[LIMIT_ADDRESS_BYTES + 1];
    if (lws_hdr_total_length(x->wsi, WSI_TOKEN_HTTP_URI_ARGS) > LIMIT_ADDRESS_BYTES)
        x->request->query.failed = true;
    for (int i = 0;
         lws_hdr_copy_fragment(x->wsi, text, sizeof text, WSI_TOKEN_HTTP_URI_ARGS, i) >= 0; i++)
        if (text[0] != '\0') /* `?&a=1` */
            rest_params_put(&x->request->query, text);
}

/* False: there is one, and it is not good. */
static bool read_token(struct exchange *x)
{
    char text[4096];
    struct request *request = x->request;
    if (lws_hdr_total_length(x->wsi, WSI_TOKEN_HTTP_AUTHORIZATION) <= 0)
        return true;
    int n = lws_hdr_copy(x->wsi, text, sizeof text, WSI_TOKEN_HTTP_AUTHORIZATION);
    request->has_claims = n > 7 && strncasecmp(text, "Bearer ", 7) == 0 &&
                          token_verify(x->edge->config->jwt_secret_key, text + 7, (size_t)n - 7,
                                       clock_real_us() / 1000000, &request->claims) == 0;
    if (!request->has_claims)
        request->claims = (struct claims){0};
    return request->has_claims;
}

static int hand_over(struct exchange *x)
{
    struct request *request = x->request;
    request->ref = x->ref;
    x->request = NULL;
    if (edge_ask(x->edge, request))
        return 0;
    request_destroy(&request);
    return problem(x, 503, "busy", "too many requests wait for the database", "1");
}

static int too_large(struct exchange *x)
{
    x->body_done = true;
    return problem(x, 413, "too_large", "the body is larger than 1 MiB", NULL);
}

/* The reference by which the answer is known, among those that come too late. */
static struct msg_ref await_actor(struct exchange *x)
{
    struct msg_ref ref = x->ref;
    ref.packet_id = ++x->question;
    x->asked_us = clock_boot_us();
    return ref;
}

/* Its slot may have no owner for long, and its credit is that of what is published. */
static void await_no_more(struct exchange *x)
{
    if (x->asked_us != 0)
        edge_answered(x->edge, x->item);
    x->asked_us = 0;
}

static struct exchange *answered_exchange(struct edge *self, struct msg_ref ref)
{
    struct exchange *x = edge_peer(self, &ref, PEER_HTTP);
    if (x == NULL || x->request == NULL || x->asked_us == 0 || ref.packet_id != x->question)
        return NULL;
    x->asked_us = 0;
    return x;
}

/* Of an actor its owner is asked first; the database knows the rest. */
static int admit(struct exchange *x)
{
    struct msg_ask ask = {0};
    if (!request_names_actor(x->request, &ask))
        return hand_over(x);
    struct uuid tenant = ask.tenant, device = ask.device;
    ask.ref = await_actor(x);
    x->item = edge_give(x->edge, edge_slot(x->edge, &tenant, &device), MSG_ASK, &ask, NULL, 0);
    return 0;
}

void edge_http_actor(struct edge *self, const struct msg_actor *actor)
{
    struct exchange *x = answered_exchange(self, actor->ref);
    if (x == NULL)
        return;
    x->request->actor = *actor;
    if (hand_over(x) != 0)
        edge_close(self, x->wsi, LWS_TO_KILL_ASYNC);
}

/* The whole request is here: the tenant's budget comes first. Until the answer libwebsockets reads
 * nothing, and its loop would be told for ever of what the client says meanwhile, were it only its
 * end. */
static int proceed(struct exchange *x)
{
    x->body_done = true;
    lws_rx_flow_control(x->wsi, 0);
    if (x->request->body.failed)
        return too_large(x);
    if (!x->request->has_claims || request_is_order(x->request))
        return admit(x);
    struct msg_admit item = {.tenant = x->request->claims.tenant, .ref = await_actor(x)};
    uint16_t slot = edge_slot(x->edge, &item.tenant, NULL);
    x->item = edge_give(x->edge, slot, MSG_ADMIT, &item, NULL, 0);
    return 0;
}

void edge_http_admitted(struct edge *self, const struct msg_admitted *admitted)
{
    struct exchange *x = answered_exchange(self, admitted->ref);
    int rc;
    if (x == NULL)
        return;
    x->budget = *admitted;
    x->asked = true;
    if (admitted->admitted) {
        rc = admit(x);
    } else {
        char after[24];
        snprintf(after, sizeof after, "%u", admitted->reset_s);
        metrics_add(METRIC_RATE_LIMITED, 1);
        request_destroy(&x->request);
        rc = problem(x, 429, "rate_limited", "the tenant's requests of this minute are used up",
                     after);
    }
    if (rc != 0)
        edge_close(self, x->wsi, LWS_TO_KILL_ASYNC);
}

/* Its slot has had no owner for longer than a death takes. */
void edge_http_second(struct edge *self)
{
    int64_t now = clock_boot_us();
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct exchange *x = self->peers[i].object;
        if (self->peers[i].kind != PEER_HTTP || x->asked_us == 0 ||
            now - x->asked_us < ACTOR_WAIT_US)
            continue;
        await_no_more(x);
        request_destroy(&x->request);
        if (problem(x, 503, "no_owner", "no node answers for this tenant or device", "5") != 0)
            edge_close(self, x->wsi, LWS_TO_KILL_ASYNC);
    }
}

static int begin_stream(struct exchange *x, const struct request *answered)
{
    x->stream = edge_events_open(x->edge, x->wsi, answered->claims.expires_s, !x->is_old);
    if (x->stream == NULL)
        return problem(x, 503, "busy", "too many streams of events are open", "10");
    return answer(x, &(struct answer){200, answered->reply_type, NULL, NULL});
}

void edge_http_answer(struct edge *self, struct request *answered)
{
    struct exchange *x = edge_peer(self, &answered->ref, PEER_HTTP);
    if (x == NULL)
        return; /* its client has gone */
    buf_free(&x->reply);
    x->reply = answered->reply;
    buf_init(&answered->reply, 0);
    struct answer a = {answered->status, answered->reply_type, answered->retry_after,
                       answered->allow};
    bool streams = answered->reply_streams && !x->is_head;
    if ((streams ? begin_stream(x, answered) : answer(x, &a)) != 0)
        edge_close(self, x->wsi, LWS_TO_KILL_ASYNC);
}

static int await_body(struct exchange *x)
{
    char length[24] = "";
    lws_hdr_copy(x->wsi, length, sizeof length, WSI_TOKEN_HTTP_CONTENT_LENGTH);
    long long bytes = atoll(length);
    if (bytes > LIMIT_REQUEST_BYTES)
        return too_large(x);
    if (bytes <= 0 && !x->is_chunked)
        return proceed(x);
    if (lws_hdr_total_length(x->wsi, WSI_TOKEN_HTTP_EXPECT) > 0) {
        uint8_t go_on[LWS_PRE + 32] = {0};
        int n = snprintf((char *)go_on + LWS_PRE, 32, "HTTP/1.1 100 Continue\r\n\r\n");
        return lws_write(x->wsi, go_on + LWS_PRE, (size_t)n, LWS_WRITE_RAW) < 0 ? -1 : 0;
    }
    return 0;
}

/* A piece of the body. */
static int take_body(struct exchange *x, const void *data, size_t len)
{
    if (x->request == NULL || x->body_done)
        return 0; /* it is answered already */
    if (!x->is_chunked) {
        buf_put(&x->request->body, data, len);
        return 0;
    }
    int rc = chunked_feed(&x->chunks, data, len, &x->request->body);
    if (rc == 0 && !x->request->body.failed)
        return 0;
    lws_set_timeout(x->wsi, NO_PENDING_TIMEOUT, 0); /* now it is our turn to be slow */
    if (rc >= 0)
        return proceed(x);
    x->body_done = true;
    return problem(x, 400, "bad_request", "the chunks of the body cannot be read", NULL);
}

static int begin_rest(struct exchange *x, const char *method, const char *path)
{
    x->request = request_new(REQUEST_HTTP);
    CHECK(x->request != NULL);
    buf_puts(&x->request->path, path);
    /* What HEAD asks for is told as for GET. */
    snprintf(x->request->method, sizeof x->request->method, "%s", x->is_head ? "GET" : method);
    read_arguments(x);
    lws_get_peer_simple(x->wsi, x->request->peer, sizeof x->request->peer);
    if (lws_hdr_copy(x->wsi, x->request->content_type, sizeof x->request->content_type,
                     WSI_TOKEN_HTTP_CONTENT_TYPE) < 0)
        x->request->content_type[0] = '\0';
    if (x->request->path.failed || x->request->query.failed)
        return problem(x, 414, "uri_too_long", "the address is longer than 8 KiB", NULL);
    /* Who has to sign in, or again, may still send the token that has expired. */
    if (!read_token(x) && !rest_is_public(x->request))
        return problem(x, 401, "invalid_token", "the bearer token is not valid or has expired",
                       NULL);
    return await_body(x);
}

static int begin(struct exchange *x, struct lws *wsi, const char *path)
{
    char version[16];
    int rc = 0;
    if (x->edge == NULL) {
        x->edge = lws_context_user(lws_get_context(wsi));
        x->ref = edge_ref(x->edge, PEER_HTTP, x);
        buf_init(&x->reply, 64 * 1024 * 1024);
    }
    x->wsi = wsi;
    x->asked = x->body_done = false;
    x->asked_us = 0;
    x->chunks = (struct chunked){0};
    const char *method = method_of(wsi);
    x->is_head = strcmp(method, "HEAD") == 0;
    x->is_old = lws_hdr_copy(wsi, version, sizeof version, WSI_TOKEN_HTTP) > 0 &&
                strcmp(version, "HTTP/1.0") == 0;
    x->is_chunked = lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_TRANSFER_ENCODING) > 0;
    x->ends = x->is_chunked ||
              (method[0] == 'P' && lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_CONTENT_LENGTH) <= 0);
    request_destroy(&x->request);
    buf_free(&x->reply);
    metrics_add(METRIC_REQUESTS, 1);
    if (answer_probe(x, path, &rc))
        return rc;
    if (strncmp(path, "/api/", 5) == 0)
        return begin_rest(x, method, path);
    if (!x->is_head && strcmp(method, "GET") != 0)
        return problem(x, 405, "method_not_allowed", "files are read, with GET or HEAD", NULL);
    return serve_file(x, path);
}

void edge_http_end(void *exchange)
{
    struct exchange *x = exchange;
    if (x->edge == NULL)
        return;
    await_no_more(x);
    request_destroy(&x->request);
    edge_events_close(&x->stream);
    buf_free(&x->reply);
    edge_unref(x->edge, &x->ref);
    x->edge = NULL;
}

int edge_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    struct exchange *x = user;
    switch ((int)reason) {
    case LWS_CALLBACK_HTTP:
        return begin(x, wsi, in);
    case LWS_CALLBACK_HTTP_BODY:
        return take_body(x, in, len);
    case LWS_CALLBACK_HTTP_BODY_COMPLETION:
        return x->request != NULL && !x->body_done ? proceed(x) : 0;
    case LWS_CALLBACK_HTTP_WRITEABLE:
        if (x == NULL || x->edge == NULL)
            return 0;
        return x->stream != NULL ? edge_events_write(x->stream) : write_more(x);
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return lws_http_transaction_completed(wsi) ? -1 : 0;
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        if (x != NULL)
            edge_http_end(x);
        return 0;
    default:
        return lws_callback_http_dummy(wsi, reason, user, in, len);
    }
}
