#pragma once
/*
 * session_client - a client of one session, for its tests: what the session does is written down
 * line by line, events by their name, packets sent to the client behind `>`.
 *
 * Events come first in a comparison: packets are read when the test looks.
 */
#include "actors/session.h"
#include "proto/check.h"
#include "proto/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-000000000001"
#define OTHER "00000000-0000-0000-0000-000000000002"
#define DEVICE "00000000-0000-0000-0000-000000000100"
#define MINE TENANT "/devices/" DEVICE "/"
#define SECOND 1000000LL

struct client {
    session_t *session;
    struct session_env env;
    struct buf out, log;
    int version, subscribe_result, unsubscribe_result;
};

static inline void log_span(struct client *c, struct mqtt_span span)
{
    buf_put(&c->log, span.data, span.len);
}

static inline void log_message(struct client *c, const char *what, const struct session_message *m)
{
    buf_printf(&c->log, "%s ", what);
    log_span(c, m->topic);
    buf_puts(&c->log, " ");
    log_span(c, m->payload);
    buf_printf(&c->log, " qos%d id%d%s%s", m->qos, m->packet_id, m->dup ? " dup" : "",
               m->retain ? " retain" : "");
}

static inline void on_authenticate(void *context, const struct session_login *login)
{
    struct client *c = context;
    buf_printf(&c->log, "authenticate v%d [", login->version);
    log_span(c, login->client_id);
    buf_puts(&c->log, "] ");
    log_span(c, login->user);
    buf_puts(&c->log, login->password.data ? " with password\n" : "\n");
}

static inline void on_publish(void *context, const struct session_message *m)
{
    log_message(context, "publish", m);
    buf_puts(&((struct client *)context)->log, "\n");
}

static inline void on_refused(void *context, const struct session_message *m, uint8_t reason)
{
    log_message(context, "refused", m);
    buf_printf(&((struct client *)context)->log, " %02x\n", reason);
}

static inline int on_subscribe(void *context, const struct session_subscription *s)
{
    struct client *c = context;
    buf_puts(&c->log, "subscribe ");
    log_span(c, s->filter);
    buf_printf(&c->log, " qos%d\n", s->qos);
    return c->subscribe_result;
}

static inline int on_unsubscribe(void *context, struct mqtt_span filter)
{
    struct client *c = context;
    buf_puts(&c->log, "unsubscribe ");
    log_span(c, filter);
    buf_puts(&c->log, "\n");
    return c->unsubscribe_result;
}

static inline void on_will(void *context, const struct session_message *m)
{
    log_message(context, "will", m);
    buf_puts(&((struct client *)context)->log, "\n");
}

static inline void on_close(void *context, uint8_t reason)
{
    buf_printf(&((struct client *)context)->log, "close %02x\n", reason);
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

static inline void log_packet(struct client *c, const struct mqtt_packet *p)
{
    static const char *const names[] = {"",          "CONNECT",  "CONNACK",     "PUBLISH",
                                        "PUBACK",    "PUBREC",   "PUBREL",      "PUBCOMP",
                                        "SUBSCRIBE", "SUBACK",   "UNSUBSCRIBE", "UNSUBACK",
                                        "PINGREQ",   "PINGRESP", "DISCONNECT",  "AUTH"};
    buf_printf(&c->log, "> %s", names[p->type]);
    if (p->type == MQTT_CONNACK) {
        buf_printf(&c->log, " %02x", p->connack.reason);
    } else if (p->type == MQTT_PUBLISH) {
        buf_puts(&c->log, " ");
        log_span(c, p->publish.topic);
        buf_printf(&c->log, " qos%d id%d", p->publish.qos, p->publish.packet_id);
        if (mqtt_has(&p->properties, MQTT_P_MESSAGE_EXPIRY))
            buf_printf(&c->log, " expiry%u", p->properties.message_expiry_s);
    } else if (p->type == MQTT_SUBACK || p->type == MQTT_UNSUBACK) {
        for (size_t i = 0; i < p->suback.codes.len; i++)
            buf_printf(&c->log, " %02x", p->suback.codes.data[i]);
    } else if (p->type != MQTT_PINGRESP) {
        buf_printf(&c->log, " %d %02x", p->ack.packet_id, p->ack.reason);
    }
    if (mqtt_has(&p->properties, MQTT_P_REASON_STRING)) {
        buf_puts(&c->log, " ");
        log_span(c, p->properties.reason_string);
    }
    buf_puts(&c->log, "\n");
}

/* What the session wrote, packet by packet, into the log. */
static inline void collect(struct client *c)
{
    size_t total;
    while (mqtt_frame_length(c->out.data, c->out.len, SIZE_MAX, &total) == 1) {
        struct mqtt_packet packet;
        uint8_t reason;
        if (mqtt_decode(c->out.data, total, c->version, &packet, &reason) < 0)
            fail_msg("the session wrote what does not decode: %02x", reason);
        log_packet(c, &packet);
        buf_consume(&c->out, total);
    }
    assert_int_equal(c->out.len, 0);
}

static inline void expect(struct client *c, const char *text)
{
    collect(c);
    buf_putc(&c->log, '\0');
    assert_string_equal((char *)c->log.data, text);
    buf_clear(&c->log);
}

static inline void open_client(struct client *c, int version)
{
    *c = (struct client){.version = version, .session = session_new(0)};
    c->env = (struct session_env){.events = &events, .context = c, .out = &c->out};
    buf_init(&c->out, LIMIT_CLIENT_QUEUE_BYTES + 2 * LIMIT_PACKET_BYTES);
    buf_init(&c->log, 1 << 20);
    assert_non_null(c->session);
}

static inline void end_client(struct client *c)
{
    session_destroy(&c->session);
    session_destroy(&c->session);
    buf_free(&c->out);
    buf_free(&c->log);
}

/* Bytes to the session; how many it took. */
static inline size_t feed_bytes(struct client *c, const void *data, size_t len)
{
    size_t used = 0, need = 0;
    int rc = session_input(c->session, &c->env, data, len, &used, &need);
    assert_true(rc == 0 || session_ended(c->session));
    return used;
}

static inline size_t feed(struct client *c, const struct mqtt_packet *packet)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    assert_int_equal(mqtt_encode(&bytes, c->version, packet), 0);
    size_t used = feed_bytes(c, bytes.data, bytes.len);
    assert_true(used == 0 || used == bytes.len);
    buf_free(&bytes);
    return used;
}

static inline struct mqtt_packet connect_packet(const char *client_id)
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    packet.connect.clean_start = true;
    packet.connect.keep_alive_s = 60;
    packet.connect.client_id = mqtt_text(client_id);
    packet.connect.user = mqtt_text("user");
    packet.connect.password = mqtt_text("secret");
    return packet;
}

static inline void add_will(struct mqtt_packet *packet, const char *topic)
{
    packet->connect.will.present = packet->connect.will.retain = true;
    packet->connect.will.qos = 1;
    packet->connect.will.topic = mqtt_text(topic);
    packet->connect.will.payload = mqtt_text("gone");
}

static inline struct principal device_principal(void)
{
    struct principal p = {.kind = PRINCIPAL_DEVICE};
    CHECK(uuid_parse(TENANT, UUID_TEXT_LEN, &p.tenant) == 0);
    CHECK(uuid_parse(DEVICE, UUID_TEXT_LEN, &p.device) == 0);
    return p;
}

static inline struct principal service_principal(const char *publish, const char *subscribe,
                                                 bool mount)
{
    struct principal p = device_principal();
    p.kind = PRINCIPAL_SERVICE;
    p.mount = mount;
    p.filters = principal_filters_new(&publish, 1, &subscribe, 1);
    assert_non_null(p.filters);
    return p;
}

static inline int accept_as(struct client *c, struct principal principal)
{
    struct session_auth auth = {.accepted = true, .principal = &principal, .assigned_id = "given"};
    int rc = session_auth(c->session, &c->env, &auth);
    principal_clear(&principal);
    return rc;
}

static inline void connect_with(struct client *c, const struct mqtt_packet *packet,
                                struct principal principal)
{
    feed(c, packet);
    assert_int_equal(accept_as(c, principal), 0);
    collect(c);
    buf_clear(&c->log);
}

/* A device that is connected and has been silent. */
static inline void open_device(struct client *c, int version)
{
    open_client(c, version);
    struct mqtt_packet packet = connect_packet("id");
    connect_with(c, &packet, device_principal());
}

static inline struct mqtt_packet publish_packet(const char *topic, int qos, int id)
{
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    packet.publish.topic = mqtt_text(topic);
    packet.publish.payload = mqtt_text("{}");
    packet.publish.qos = (uint8_t)qos;
    packet.publish.packet_id = (uint16_t)id;
    return packet;
}

static inline void publish(struct client *c, const char *topic, int qos, int id)
{
    struct mqtt_packet packet = publish_packet(topic, qos, id);
    feed(c, &packet);
}

static inline void publish_dup(struct client *c, int qos, int id)
{
    struct mqtt_packet packet = publish_packet(MINE "t", qos, id);
    packet.publish.dup = true;
    feed(c, &packet);
}

static inline void answer(struct client *c, enum mqtt_type type, int id, uint8_t reason)
{
    feed(c, &(struct mqtt_packet){.type = type, .ack = {(uint16_t)id, reason}});
}

static inline void ack(struct client *c, int id, uint8_t reason, const char *text)
{
    assert_int_equal(session_ack(c->session, &c->env, (uint16_t)id, reason, text), 0);
}

static inline void subscribe(struct client *c, enum mqtt_type type, const char *const *filters,
                             size_t n)
{
    struct buf list;
    buf_init(&list, 100000);
    for (size_t i = 0; i < n; i++)
        mqtt_put_filter(&list, filters[i], type == MQTT_SUBSCRIBE ? 1 : -1);
    struct mqtt_packet packet = {.type = type};
    packet.subscribe = (struct mqtt_subscribe){9, {list.data, list.len}};
    feed(c, &packet);
    buf_free(&list);
}

static inline int deliver(struct client *c, const char *topic, int qos)
{
    struct session_delivery delivery = {
        .topic = mqtt_text(topic), .payload = mqtt_text("on"), .qos = (uint8_t)qos};
    return session_deliver(c->session, &c->env, &delivery);
}
