#include "node/edge_mqtt.h"
#include "node/clock.h"
#include "node/log.h"
#include "node/metrics.h"
#include "proto/check.h"

#define OUT_BYTES_MAX (2 * (LIMIT_CLIENT_QUEUE_BYTES + LIMIT_PACKET_BYTES))
#define IN_BYTES_MAX (2 * LIMIT_PACKET_BYTES + 2 * 65536)
/* A client that does not take its last packet is closed after this. */
#define GOODBYE_SECONDS 2

size_t edge_mqtt_conn_size(void)
{
    return sizeof(struct mqtt_conn);
}

/* ---- what the session asks for ---- */

static void on_authenticate(void *context, const struct session_login *login)
{
    struct mqtt_conn *conn = context;
    struct request *request = request_new(REQUEST_LOGIN);
    CHECK(request != NULL);
    request->ref = conn->ref;
    conn->revoked_before = conn->edge->revoked_count;
    buf_put(&request->user, login->user.data, login->user.len);
    buf_put(&request->password, login->password.data, login->password.len);
    edge_ask(conn->edge, request); /* a login waits; it is never turned away */
}

static void publish(struct mqtt_conn *conn, const struct session_message *message)
{
    if (edge_refuse_names_no_device(message))
        edge_refuse(conn, message, MQTT_TOPIC_INVALID,
                    "the topic of telemetry has to name a device by its id");
    else
        edge_route_publish(conn, message);
}

static void on_publish(void *context, const struct session_message *message)
{
    metrics_add(METRIC_PUBLISHES, 1);
    publish(context, message);
}

static void on_refused(void *context, const struct session_message *message, uint8_t reason)
{
    struct mqtt_conn *conn = context;
    metrics_add(METRIC_MQTT_REFUSED, 1);
    log_event(LEVEL_DEBUG, "publish_refused", "reason", "0x%02x client %.64s topic %.*s", reason,
              session_client_id(conn->session),
              (int)(message->topic.len < 256 ? message->topic.len : 256),
              (const char *)message->topic.data);
    edge_refuse(conn, message, reason,
                reason == MQTT_TOPIC_INVALID ? "the topic is too long"
                                             : "not authorized to publish to this topic");
}

static int on_subscribe(void *context, const struct session_subscription *wanted)
{
    return edge_watch_subscribe(context, wanted);
}

static int on_unsubscribe(void *context, struct mqtt_span filter)
{
    return edge_watch_unsubscribe(context, filter);
}

static void on_will(void *context, const struct session_message *message)
{
    publish(context, message);
}

static void on_close(void *context, uint8_t reason)
{
    struct mqtt_conn *conn = context;
    conn->closing = true;
    edge_mqtt_dirty(conn);
    if (reason >= 0x80)
        log_event(LEVEL_DEBUG, "mqtt_closed", "reason", "0x%02x client %.64s", reason,
                  session_client_id(conn->session));
}

static const struct session_events events = {
    .authenticate = on_authenticate,
    .publish = on_publish,
    .refused = on_refused,
    .subscribe = on_subscribe,
    .unsubscribe = on_unsubscribe,
    .will = on_will,
    .close = on_close,
};

struct session_env edge_mqtt_env(struct mqtt_conn *conn)
{
    if (conn->out.len == 0) {
        buf_reserve(&conn->out, LWS_PRE + 64);
        conn->out.len = LWS_PRE;
    }
    return (struct session_env){.events = &events,
                                .context = conn,
                                .out = &conn->out,
                                .unsent_bytes = conn->out.len - LWS_PRE,
                                .now_us = clock_boot_us()};
}

void edge_mqtt_dirty(struct mqtt_conn *conn)
{
    if (conn->dirty)
        return;
    conn->dirty = true;
    conn->dirty_next = conn->edge->dirty;
    conn->edge->dirty = conn;
}

/* ---- bytes out ---- */

static void receive(struct mqtt_conn *conn, const uint8_t *data, size_t len);

static void close_soon(struct mqtt_conn *conn)
{
    bool all_out = conn->out.len <= LWS_PRE && !lws_partial_buffered(conn->wsi);
    edge_close(conn->edge, conn->wsi, all_out ? LWS_TO_KILL_ASYNC : GOODBYE_SECONDS);
}

/* Writes what there is, at once where the socket takes it. */
static void flush(struct mqtt_conn *conn)
{
    size_t len = conn->out.len > LWS_PRE ? conn->out.len - LWS_PRE : 0;
    if (conn->sync.left > 0 && !conn->closing)
        return;
    if (lws_partial_buffered(conn->wsi)) {
        lws_callback_on_writable(conn->wsi);
    } else {
        if (len > 0 && lws_write(conn->wsi, conn->out.data + LWS_PRE, len,
                                 conn->websocket ? LWS_WRITE_BINARY : LWS_WRITE_RAW) < 0)
            conn->closing = true;
        buf_free(&conn->out);
        if (lws_partial_buffered(conn->wsi))
            lws_callback_on_writable(conn->wsi);
        /* What the session left for lack of room may be all that its client has to say. */
        if (len > 0 && conn->in.len > 0 && !conn->stopped)
            receive(conn, NULL, 0);
    }
    if (conn->closing)
        close_soon(conn);
}

void edge_mqtt_flush(struct edge *self)
{
    while (self->dirty != NULL) {
        struct mqtt_conn *conn = self->dirty;
        self->dirty = conn->dirty_next;
        conn->dirty = false;
        if (conn->wsi != NULL)
            flush(conn);
    }
}

/* ---- bytes in ---- */

static void stop_reading(struct mqtt_conn *conn)
{
    if (conn->stopped)
        return;
    conn->stopped = true;
    metrics_add(METRIC_EDGE_PAUSED, 1);
    session_pause(conn->session, clock_boot_us());
    lws_rx_flow_control(conn->wsi, 0);
}

static bool may_read(const struct mqtt_conn *conn, uint8_t first_byte)
{
    if (conn->edge->stopping || !session_wants_input(conn->session))
        return false;
    return !conn->edge->exhausted || first_byte >> 4 != MQTT_PUBLISH;
}

/* Feeds the session; returns how many bytes are done with. */
static size_t feed(struct mqtt_conn *conn, const uint8_t *data, size_t len)
{
    size_t at = 0;
    struct session_env env = edge_mqtt_env(conn);
    while (at < len && !session_ended(conn->session)) {
        size_t used = 0, need = 0;
        if (!may_read(conn, data[at])) {
            stop_reading(conn);
            break;
        }
        if (session_input(conn->session, &env, data + at, len - at, &used, &need) != 0)
            break;
        at += used;
        if (used == 0 && session_wants_input(conn->session))
            break; /* the packet is not whole */
    }
    edge_mqtt_dirty(conn);
    return session_ended(conn->session) ? len : at;
}

static void receive(struct mqtt_conn *conn, const uint8_t *data, size_t len)
{
    if (conn->in.len == 0 && !conn->stopped) {
        size_t done = feed(conn, data, len);
        data += done;
        len -= done;
        if (len > 0)
            buf_put(&conn->in, data, len);
    } else {
        buf_put(&conn->in, data, len);
        size_t done = conn->stopped ? 0 : feed(conn, conn->in.data, conn->in.len);
        if (done > 0)
            buf_consume(&conn->in, done);
    }
    if (conn->in.failed) { /* cannot be: the session refuses packets past their limit */
        conn->closing = true;
        edge_mqtt_dirty(conn);
    }
    if (conn->in.len == 0 && conn->in.data != NULL)
        buf_free(&conn->in);
}

static void read_again(struct mqtt_conn *conn)
{
    if (!conn->stopped || session_ended(conn->session))
        return;
    session_resume(conn->session, clock_boot_us()); /* paused, it would want nothing */
    if (!session_wants_input(conn->session)) {
        session_pause(conn->session, clock_boot_us());
        return;
    }
    conn->stopped = false;
    metrics_add(METRIC_EDGE_PAUSED, -1);
    receive(conn, NULL, 0);
    if (!conn->stopped)
        lws_rx_flow_control(conn->wsi, 1);
}

struct mqtt_conn *edge_mqtt_at(struct edge *self, uint32_t index)
{
    return self->peers[index].kind == PEER_MQTT ? self->peers[index].object : NULL;
}

void edge_mqtt_resume(struct edge *self)
{
    /* Goes on where it ended, or the last ones would be read never. */
    for (uint32_t n = 0; n < self->peers_count && !self->exhausted; n++) {
        self->resume_at = (self->resume_at + 1) % self->peers_count;
        struct mqtt_conn *conn = edge_mqtt_at(self, self->resume_at);
        if (conn != NULL)
            read_again(conn);
    }
}

/* ---- what comes back ---- */

static void say_presence(struct mqtt_conn *conn, enum msg_presence_is is)
{
    const struct principal *who = session_principal(conn->session);
    struct msg_presence presence = {.ref = conn->ref,
                                    .tenant = who->tenant,
                                    .device = who->device,
                                    .present = (uint8_t)is,
                                    .since_us = conn->since_us};
    edge_say(conn->edge, edge_slot(conn->edge, &who->tenant, &who->device), MSG_PRESENCE, &presence,
             NULL, 0);
}

static void tell_presence(struct mqtt_conn *conn, bool present)
{
    if (session_principal(conn->session)->kind != PRINCIPAL_DEVICE || conn->present == present)
        return;
    conn->present = present;
    say_presence(conn, present ? PRESENCE_CAME : PRESENCE_GONE);
}

static void say_claim(struct mqtt_conn *conn)
{
    const char *id = session_client_id(conn->session);
    struct uuid tenant = session_principal(conn->session)->tenant;
    struct msg_claim item = {.ref = conn->ref,
                             .tenant = tenant,
                             .since_us = conn->since_us,
                             .client_id_len = (uint16_t)strlen(id)};
    edge_say(conn->edge, edge_slot(conn->edge, &tenant, NULL),
             conn->claimed ? MSG_CLAIM : MSG_UNCLAIM, &item, &(struct span){id, item.client_id_len},
             1);
}

static void tell_claim(struct mqtt_conn *conn, bool claim)
{
    if (conn->claimed == claim)
        return;
    conn->claimed = claim;
    say_claim(conn);
}

void edge_mqtt_tell(struct edge *self)
{
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct mqtt_conn *conn = edge_mqtt_at(self, i);
        if (conn == NULL || !conn->claimed)
            continue;
        const struct principal *who = session_principal(conn->session);
        if (edge_lanes_tells(self, edge_slot(self, &who->tenant, NULL)))
            say_claim(conn);
        if (conn->present && edge_lanes_tells(self, edge_slot(self, &who->tenant, &who->device)))
            say_presence(conn, PRESENCE_AGAIN);
    }
}

/* 0, or the reason why not. Whom a change since its check concerns is to try again: that is checked
 * against what holds now. */
static uint8_t refusal(const struct mqtt_conn *conn, const struct request *answered)
{
    if (answered->status == 200)
        return edge_kick_missed(conn->edge, conn->revoked_before, &answered->principal.device,
                                answered->mark)
                   ? MQTT_SERVER_UNAVAILABLE
                   : MQTT_SUCCESS;
    return answered->status == 503 ? MQTT_SERVER_UNAVAILABLE : MQTT_BAD_CREDENTIALS;
}

void edge_mqtt_login(struct edge *self, struct request *answered)
{
    struct mqtt_conn *conn = edge_peer(self, &answered->ref, PEER_MQTT);
    if (conn == NULL)
        return; /* it has gone meanwhile */
    struct uuid random = uuid_random();
    char assigned[8 + UUID_TEXT_LEN];
    snprintf(assigned, sizeof assigned, "gito-%s", uuid_text(&random).s);
    uint8_t reason = refusal(conn, answered);
    struct session_auth auth = {
        .accepted = reason == MQTT_SUCCESS,
        .reason = reason,
        .principal = &answered->principal,
        .assigned_id = assigned,
    };
    const struct principal *who = &answered->principal;
    if (auth.accepted)
        edge_lanes_learn(self, &who->tenant, who->kind == PRINCIPAL_DEVICE ? &who->device : NULL,
                         answered->region);
    struct session_env env = edge_mqtt_env(conn);
    int rc = session_auth(conn->session, &env, &auth);
    edge_mqtt_dirty(conn);
    if (!auth.accepted)
        metrics_add(METRIC_MQTT_REFUSED, 1);
    if (rc == 0 && session_connected(conn->session)) {
        conn->since_us = clock_real_us();
        conn->mark = answered->mark;
        tell_claim(conn, true);
        tell_presence(conn, true);
        read_again(conn);
    }
}

void edge_mqtt_ack(struct edge *self, const struct msg_ack *ack, const char *reason)
{
    struct msg_ref ref = ack->ref;
    struct mqtt_conn *conn = edge_peer(self, &ref, PEER_MQTT);
    if (conn == NULL || session_ended(conn->session))
        return; /* the client will send it again and be told then */
    struct session_env env = edge_mqtt_env(conn);
    if (session_ack(conn->session, &env, ref.packet_id, ack->code, reason) != 0)
        metrics_add(METRIC_UNEXPECTED, 1);
    edge_mqtt_dirty(conn);
    if (conn->stopped && !self->exhausted)
        read_again(conn);
}

void edge_mqtt_second(struct edge *self)
{
    int64_t now = clock_boot_us();
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct mqtt_conn *conn = edge_mqtt_at(self, i);
        if (conn != NULL && edge_sync_expire(&conn->sync, now))
            edge_mqtt_dirty(conn);
        if (conn == NULL || session_deadline_us(conn->session) > now)
            continue;
        struct session_env env = edge_mqtt_env(conn);
        session_tick(conn->session, &env);
        edge_mqtt_dirty(conn);
    }
}

/* ---- the life of a connection ---- */

static int opened(struct mqtt_conn *conn, struct lws *wsi, bool websocket)
{
    struct edge *edge = lws_context_user(lws_get_context(wsi));
    if (edge->stopping)
        return -1;
    memset(conn, 0, sizeof *conn);
    conn->session = session_new(clock_boot_us());
    if (conn->session == NULL)
        return -1;
    conn->edge = edge;
    conn->wsi = wsi;
    conn->websocket = websocket;
    buf_init(&conn->in, IN_BYTES_MAX);
    buf_init(&conn->out, OUT_BYTES_MAX);
    conn->ref = edge_ref(edge, PEER_MQTT, conn);
    metrics_add(METRIC_MQTT_CONNECTIONS, 1);
    return 0;
}

static void undirty(struct mqtt_conn *conn)
{
    struct mqtt_conn **at = &conn->edge->dirty;
    while (conn->dirty && *at != conn)
        at = &(*at)->dirty_next;
    if (conn->dirty)
        *at = conn->dirty_next;
    conn->dirty = false;
}

static void closed(struct mqtt_conn *conn)
{
    if (conn->edge == NULL || conn->session == NULL)
        return; /* refused when it opened */
    struct session_env env = edge_mqtt_env(conn);
    session_closed(conn->session, &env); /* may publish its will */
    tell_presence(conn, false);
    tell_claim(conn, false);
    edge_watch_forget(conn);
    edge_unref(conn->edge, &conn->ref);
    undirty(conn);
    if (conn->stopped)
        metrics_add(METRIC_EDGE_PAUSED, -1);
    metrics_add(METRIC_MQTT_CONNECTIONS, -1);
    buf_free(&conn->in);
    buf_free(&conn->out);
    session_destroy(&conn->session);
    conn->wsi = NULL;
}

int edge_mqtt_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len)
{
    struct mqtt_conn *conn = user;
    switch ((int)reason) {
    case LWS_CALLBACK_RAW_ADOPT:
        return opened(conn, wsi, false);
    case LWS_CALLBACK_ESTABLISHED:
        return opened(conn, wsi, true);
    case LWS_CALLBACK_RAW_RX:
    case LWS_CALLBACK_RECEIVE:
        if (conn == NULL || conn->session == NULL)
            return -1;
        if (conn->websocket && !lws_frame_is_binary(wsi))
            return -1; /* MQTT-6.0.0-1 */
        receive(conn, in, len);
        return 0;
    case LWS_CALLBACK_RAW_WRITEABLE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (conn != NULL && conn->session != NULL)
            flush(conn);
        return 0;
    case LWS_CALLBACK_RAW_CLOSE:
    case LWS_CALLBACK_CLOSED:
        if (conn != NULL)
            closed(conn);
        return 0;
    default:
        return 0;
    }
}
