/* Live WebSocket: what happens to the devices that somebody watches, as it is confirmed. A slow
 * client costs itself freshness, never anybody else anything: past LIMIT_WS_QUEUE_BYTES its
 * telemetry is conflated to the newest frame a device. */
#include "node/clock.h"
#include "node/edge_inside.h"
#include "node/edge_sync.h"
#include "node/live_queue.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/timestamp.h"
#include <jansson.h>

#define CLIENT_MESSAGE_BYTES 4096
#define TOKEN_BYTES 4096
/* Devices of one client that the database is asked about at once; it is read on when fewer are. */
#define QUESTIONS_MAX 16
/* A client that does not take what waits for it, and the close frame behind it, is closed after
 * this. */
#define GOODBYE_SECONDS 2

enum close_code {
    CLOSE_BAD_DEVICE = 1003,
    CLOSE_BAD_TOKEN = 1008,
    CLOSE_FAULT = 1011,
    CLOSE_GOING_AWAY = 1012
};

struct live_watch {
    struct watch watch;
    struct live_watch *next;
    struct uuid device; /* nil: all of the tenant */
    bool confirm;       /* its client asked for it in a message, and wants to be told */
};

/* One connection; the memory is libwebsockets' per-session data. */
struct live {
    struct edge *edge;
    struct lws *wsi;
    struct msg_ref ref;
    struct claims claims;
    struct live_watch *watches;
    uint32_t watches_count;
    unsigned questions;    /* that the query threads have or will have */
    bool whole_tenant;     /* the path's: every device of it is watched already */
    struct edge_sync sync; /* of its watches: what is to be written waits for it */
    struct live_queue queue;
    struct buf message; /* of the client, while it comes in pieces */
    int close_code;
};

size_t edge_live_size(void)
{
    return sizeof(struct live);
}

static void close_with(struct live *live, int code)
{
    if (live->close_code == 0) {
        live->close_code = code;
        edge_close(live->edge, live->wsi, GOODBYE_SECONDS);
    }
    lws_callback_on_writable(live->wsi);
}

static void send_text(struct live *live, const char *text, size_t len)
{
    if (live_queue_add(&live->queue, text, len) != 0)
        close_with(live, CLOSE_FAULT);
    lws_callback_on_writable(live->wsi);
}

static void send_about(struct live *live, const char *type, const struct uuid *device)
{
    char text[160];
    int n = snprintf(text, sizeof text, "{\"type\":\"%s\",\"device_id\":\"%s\"}", type,
                     uuid_text(device).s);
    send_text(live, text, (size_t)n);
}

static void send_error(struct live *live, const char *message)
{
    char text[256];
    int n = snprintf(text, sizeof text, "{\"type\":\"error\",\"message\":\"%s\"}", message);
    send_text(live, text, (size_t)n);
}

/* ---- watches ---- */

static struct live_watch **find(struct live *live, const struct uuid *device)
{
    struct live_watch **at = &live->watches;
    while (*at != NULL && !uuid_equal(&(*at)->device, device))
        at = &(*at)->next;
    return at;
}

static void unwatch(struct live *live, struct live_watch **at)
{
    struct live_watch *gone = *at;
    *at = gone->next;
    live->watches_count--;
    watchers_remove(&live->edge->watchers, &gone->watch);
    free(gone);
}

/* Is it a device of the tenant, and in which region is its home? The watch works meanwhile: it is
 * keyed by the token's tenant, so another tenant's device has nothing to say to it. */
static void ask_device(struct live *live, const struct uuid *device)
{
    struct request *request = request_new(REQUEST_WATCH);
    CHECK(request != NULL);
    request->ref = live->ref;
    request->claims = live->claims;
    request->has_claims = true;
    request->device = *device;
    live->questions++;
    CHECK(edge_ask(live->edge, request)); /* it waits */
}

static bool watch(struct live *live, const struct uuid *device, bool confirm)
{
    struct live_watch *added = *find(live, device);
    if (added != NULL) {
        if (confirm)
            send_about(live, "subscription_confirmed", device);
        return true;
    }
    if (live->watches_count >= LIMIT_WATCHED_DEVICES)
        return false;
    added = calloc(1, sizeof *added);
    if (added == NULL)
        return false;
    added->watch = (struct watch){.connection = live,
                                  .bits = INTEREST_TELEMETRY | INTEREST_STATUS | INTEREST_ALERTS,
                                  .live = true};
    added->device = *device;
    added->confirm = confirm;
    if (watchers_add(&live->edge->watchers, &added->watch, &live->claims.tenant, device) != 0) {
        free(added);
        return false;
    }
    added->next = live->watches;
    live->watches = added;
    live->watches_count++;
    if (uuid_is_nil(device)) {
        edge_sync_begin(&live->sync, live->edge, &live->ref, &live->claims.tenant, device);
        return true;
    }
    ask_device(live, device);
    if (!confirm || live->questions >= QUESTIONS_MAX)
        lws_rx_flow_control(live->wsi, 0); /* a pong says that the path's device is watched */
    return true;
}

void edge_live_answer(struct edge *self, struct request *answered)
{
    struct live *live = edge_peer(self, &answered->ref, PEER_LIVE);
    if (live == NULL)
        return;
    live->questions--;
    lws_rx_flow_control(live->wsi, 1);
    struct live_watch **at = find(live, &answered->device);
    if (*at == NULL)
        return;
    if (answered->status == 200) {
        edge_lanes_learn(self, &live->claims.tenant, &answered->device, answered->region);
        edge_sync_begin(&live->sync, self, &live->ref, &live->claims.tenant, &answered->device);
        if ((*at)->confirm)
            send_about(live, "subscription_confirmed", &answered->device);
    } else if (answered->status == 503) {
        close_with(live, CLOSE_FAULT);
    } else if ((*at)->confirm) {
        unwatch(live, at);
        send_error(live, "the tenant has no such device");
    } else {
        close_with(live, CLOSE_BAD_DEVICE);
    }
}

void edge_live_synced(void *connection, const struct msg_ref *ref)
{
    struct live *live = connection;
    if (edge_sync_answered(&live->sync, ref))
        lws_callback_on_writable(live->wsi);
}

/* ---- bytes out ---- */

static int write_some(struct live *live)
{
    if (live->sync.left > 0 && live->close_code == 0)
        return 0;
    while (!lws_send_pipe_choked(live->wsi)) {
        size_t len;
        uint8_t *frame = live_queue_first(&live->queue, &len);
        if (frame == NULL)
            break;
        int n = lws_write(live->wsi, frame, len, LWS_WRITE_TEXT);
        live_queue_drop_first(&live->queue);
        if (n < 0)
            return -1;
    }
    if (live->close_code != 0) {
        lws_close_reason(live->wsi, (enum lws_close_status)live->close_code, NULL, 0);
        return -1;
    }
    if (!live_queue_is_empty(&live->queue))
        lws_callback_on_writable(live->wsi);
    return 0;
}

/* A burst is no slowness: what its client's socket takes does not count as waiting. */
static void make_room(struct live *live, size_t len)
{
    if (live->queue.bytes + len > LIMIT_WS_QUEUE_BYTES && live->close_code == 0 &&
        write_some(live) != 0)
        edge_close(live->edge, live->wsi, LWS_TO_KILL_ASYNC);
}

/* ---- events ---- */

static const char *const event_names[] = {
    [EVENT_TELEMETRY] = "telemetry", [EVENT_STATUS] = "status", [EVENT_ALERT] = "alert"};
static const char *const status_names[STATUSES] = {
    [STATUS_OFFLINE] = "offline", [STATUS_ONLINE] = "online", [STATUS_IDLE] = "idle"};

static void put_data(struct buf *out, const struct msg_event *event, const char *device,
                     const uint8_t *texts)
{
    char stamp[TIMESTAMP_TEXT_SIZE];
    if (event->event == EVENT_ALERT) {
        buf_put(out, texts, event->body_len);
        return;
    }
    stamp[timestamp_format(event->timestamp_us, stamp)] = '\0';
    buf_printf(out, "{\"device_id\":\"%s\",", device);
    if (event->event == EVENT_STATUS) {
        buf_printf(out, "\"status\":\"%s\",\"last_seen\":\"%s\"}",
                   status_names[event->status < STATUSES ? event->status : 0], stamp);
        return;
    }
    buf_puts(out, "\"payload\":");
    buf_put(out, texts, event->body_len);
    buf_printf(out, ",\"timestamp\":\"%s\"}", stamp);
}

void edge_live_event(struct edge *self, void *connection, const struct msg_event *event,
                     const uint8_t *texts)
{
    struct live *live = connection;
    struct uuid device = event->device;
    struct uuid_text id = uuid_text(&device);
    struct buf *out = &self->scratch;
    buf_clear(out);
    buf_printf(out, "{\"type\":\"%s\",", event_names[event->event]);
    if (live->whole_tenant)
        buf_printf(out, "\"device_id\":\"%s\",", id.s);
    buf_puts(out, "\"data\":");
    put_data(out, event, id.s, texts);
    buf_putc(out, '}');
    CHECK(!out->failed);
    make_room(live, out->len);
    if (event->event == EVENT_TELEMETRY)
        live_queue_telemetry(&live->queue, &device, (const char *)out->data, out->len);
    else if (live_queue_add(&live->queue, (const char *)out->data, out->len) != 0)
        close_with(live, CLOSE_FAULT); /* it reads nothing at all */
    lws_callback_on_writable(live->wsi);
}

/* ---- what the client says ---- */

static void take_subscribe(struct live *live, const char *type, const char *text)
{
    struct uuid device;
    if (text == NULL || uuid_parse(text, strlen(text), &device) != 0 || uuid_is_nil(&device)) {
        send_error(live, "device_id is not a device's id");
        return;
    }
    if (live->whole_tenant) {
        if (strcmp(type, "subscribe") == 0)
            send_about(live, "subscription_confirmed", &device);
        else
            send_error(live, "this socket shows all of the tenant's devices");
        return;
    }
    if (strcmp(type, "subscribe") == 0) {
        if (!watch(live, &device, true))
            send_error(live, "too many devices on one connection");
        return;
    }
    struct live_watch **at = find(live, &device);
    if (*at != NULL)
        unwatch(live, at);
    send_about(live, "unsubscription_confirmed", &device);
}

static void take_message(struct live *live)
{
    json_t *root = json_loadb((const char *)live->message.data, live->message.len, 0, NULL);
    const char *type = json_string_value(json_object_get(root, "type"));
    if (type == NULL)
        send_error(live, "a message is a JSON object with a type");
    else if (strcmp(type, "ping") == 0)
        send_text(live, "{\"type\":\"pong\"}", 15);
    else if (strcmp(type, "subscribe") == 0 || strcmp(type, "unsubscribe") == 0)
        take_subscribe(live, type, json_string_value(json_object_get(root, "device_id")));
    else
        send_error(live, "unknown type: ping, subscribe, unsubscribe are known");
    json_decref(root);
}

static int receive(struct live *live, const void *data, size_t len)
{
    buf_put(&live->message, data, len);
    if (live->message.failed) {
        send_error(live, "the message is larger than 4 KiB");
        close_with(live, CLOSE_BAD_DEVICE);
        return 0;
    }
    if (lws_is_final_fragment(live->wsi) && lws_remaining_packet_payload(live->wsi) == 0) {
        take_message(live);
        buf_free(&live->message);
    }
    return 0;
}

/* ---- the life of a connection ---- */

/* What follows `scheme` in the request's Authorization, or NULL. */
static const char *authorization(struct lws *wsi, const char *scheme, char text[static TOKEN_BYTES])
{
    size_t len = strlen(scheme);
    bool ok = lws_hdr_copy(wsi, text, TOKEN_BYTES, WSI_TOKEN_HTTP_AUTHORIZATION) > 0 &&
              strncasecmp(text, scheme, len) == 0;
    return ok ? text + len : NULL;
}

/* A browser fails a connection whose sub-protocol is not confirmed. */
int edge_live_answer_protocol(struct lws *wsi, struct lws_process_html_args *headers)
{
    static const char name[] = "sec-websocket-protocol:";
    char text[TOKEN_BYTES], value[TOKEN_BYTES + 8];
    const char *token = authorization(wsi, EDGE_TOKEN_SCHEME, text);
    uint8_t *at = (uint8_t *)headers->p;
    if (token == NULL)
        return 0;
    int n = snprintf(value, sizeof value, "bearer.%s", token);
    if (lws_add_http_header_by_name(wsi, (const uint8_t *)name, (const uint8_t *)value, n, &at,
                                    at + headers->max_len) != 0)
        return -1;
    headers->p = (char *)at;
    return 0;
}

static bool read_token(struct live *live)
{
    char text[TOKEN_BYTES];
    const char *token = lws_get_urlarg_by_name(live->wsi, "token=", text, sizeof text);
    if (token == NULL)
        token = authorization(live->wsi, EDGE_TOKEN_SCHEME, text);
    if (token == NULL)
        token = authorization(live->wsi, "Bearer ", text);
    return token != NULL && token_verify(live->edge->config->jwt_secret_key, token, strlen(token),
                                         clock_real_us() / 1000000, &live->claims) == 0;
}

/* 0, or the close code. */
static int read_path(struct live *live)
{
    static const char root[] = "/api/v1/ws", devices[] = "/devices/", tenants[] = "/tenants/";
    char path[256];
    struct uuid id, all = {0};
    if (lws_hdr_copy(live->wsi, path, sizeof path, WSI_TOKEN_GET_URI) < 0 ||
        strncmp(path, root, sizeof root - 1) != 0)
        return CLOSE_BAD_DEVICE;
    const char *rest = path + sizeof root - 1;
    if (*rest == '\0' || strcmp(rest, "/") == 0)
        return 0;
    if (strncmp(rest, devices, sizeof devices - 1) == 0) {
        rest += sizeof devices - 1;
        if (uuid_parse(rest, strlen(rest), &id) != 0 || uuid_is_nil(&id) ||
            !watch(live, &id, false))
            return CLOSE_BAD_DEVICE;
        return 0;
    }
    if (strncmp(rest, tenants, sizeof tenants - 1) != 0)
        return CLOSE_BAD_DEVICE;
    rest += sizeof tenants - 1;
    if (uuid_parse(rest, strlen(rest), &id) != 0 || !uuid_equal(&id, &live->claims.tenant))
        return CLOSE_BAD_TOKEN;
    live->whole_tenant = true;
    return watch(live, &all, false) ? 0 : CLOSE_FAULT;
}

static void opened(struct live *live, struct lws *wsi)
{
    memset(live, 0, sizeof *live);
    live->edge = lws_context_user(lws_get_context(wsi));
    live->wsi = wsi;
    live->ref = edge_ref(live->edge, PEER_LIVE, live);
    live_queue_init(&live->queue);
    buf_init(&live->message, CLIENT_MESSAGE_BYTES);
    metrics_add(METRIC_WS_CONNECTIONS, 1);
    int code = live->edge->stopping ? CLOSE_GOING_AWAY
               : read_token(live)   ? read_path(live)
                                    : CLOSE_BAD_TOKEN;
    if (code != 0)
        close_with(live, code);
}

static void closed(struct live *live)
{
    if (live->edge == NULL)
        return;
    while (live->watches != NULL)
        unwatch(live, &live->watches);
    live_queue_free(&live->queue);
    buf_free(&live->message);
    edge_unref(live->edge, &live->ref);
    metrics_add(METRIC_WS_CONNECTIONS, -1);
    live->edge = NULL;
}

void edge_live_goodbye(struct edge *self)
{
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct peer *peer = &self->peers[i];
        if (peer->kind != PEER_LIVE)
            continue;
        struct live *live = peer->object;
        /* The loop ends with this turn: nothing that libwebsockets puts off would be sent. */
        static const uint8_t close_frame[] = {0x88, 2, CLOSE_GOING_AWAY >> 8,
                                              CLOSE_GOING_AWAY & 0xff};
        uint8_t frame[LWS_PRE + sizeof close_frame] = {0};
        memcpy(frame + LWS_PRE, close_frame, sizeof close_frame);
        if (live->close_code == 0 && write_some(live) == 0 && live_queue_is_empty(&live->queue))
            (void)!lws_write(live->wsi, frame + LWS_PRE, sizeof close_frame, LWS_WRITE_RAW);
    }
}

void edge_live_second(struct edge *self)
{
    int64_t now_s = clock_real_us() / 1000000;
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct peer *peer = &self->peers[i];
        if (peer->kind != PEER_LIVE)
            continue;
        struct live *live = peer->object;
        if (edge_sync_expire(&live->sync, clock_boot_us()))
            lws_callback_on_writable(live->wsi);
        if (live->close_code == 0 && live->claims.expires_s <= now_s)
            close_with(live, CLOSE_BAD_TOKEN);
    }
}

int edge_live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    struct live *live = user;
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        opened(live, wsi);
        return 0;
    case LWS_CALLBACK_RECEIVE:
        return receive(live, in, len);
    case LWS_CALLBACK_SERVER_WRITEABLE:
        return write_some(live);
    case LWS_CALLBACK_CLOSED:
        closed(live);
        return 0;
    default:
        return 0;
    }
}
