/*
 * Each test tells a story to one session and compares what it did, line by line: events by their
 * name, packets sent to the client behind `>`.
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

static void log_span(struct client *c, struct mqtt_span span)
{
    buf_put(&c->log, span.data, span.len);
}

static void log_message(struct client *c, const char *what, const struct session_message *m)
{
    buf_printf(&c->log, "%s ", what);
    log_span(c, m->topic);
    buf_puts(&c->log, " ");
    log_span(c, m->payload);
    buf_printf(&c->log, " qos%d id%d%s%s", m->qos, m->packet_id, m->dup ? " dup" : "",
               m->retain ? " retain" : "");
}

static void on_authenticate(void *context, const struct session_login *login)
{
    struct client *c = context;
    buf_printf(&c->log, "authenticate v%d [", login->version);
    log_span(c, login->client_id);
    buf_puts(&c->log, "] ");
    log_span(c, login->user);
    buf_puts(&c->log, login->password.data ? " with password\n" : "\n");
}

static void on_publish(void *context, const struct session_message *m)
{
    log_message(context, "publish", m);
    buf_puts(&((struct client *)context)->log, "\n");
}

static void on_refused(void *context, const struct session_message *m, uint8_t reason)
{
    log_message(context, "refused", m);
    buf_printf(&((struct client *)context)->log, " %02x\n", reason);
}

static int on_subscribe(void *context, const struct session_subscription *s)
{
    struct client *c = context;
    buf_puts(&c->log, "subscribe ");
    log_span(c, s->filter);
    buf_printf(&c->log, " qos%d\n", s->qos);
    return c->subscribe_result;
}

static int on_unsubscribe(void *context, struct mqtt_span filter)
{
    struct client *c = context;
    buf_puts(&c->log, "unsubscribe ");
    log_span(c, filter);
    buf_puts(&c->log, "\n");
    return c->unsubscribe_result;
}

static void on_will(void *context, const struct session_message *m)
{
    log_message(context, "will", m);
    buf_puts(&((struct client *)context)->log, "\n");
}

static void on_close(void *context, uint8_t reason)
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

static void log_packet(struct client *c, const struct mqtt_packet *p)
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
static void collect(struct client *c)
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

static void expect(struct client *c, const char *text)
{
    collect(c);
    buf_putc(&c->log, '\0');
    assert_string_equal((char *)c->log.data, text);
    buf_clear(&c->log);
}

static void open_client(struct client *c, int version)
{
    *c = (struct client){.version = version, .session = session_new(0)};
    c->env = (struct session_env){.events = &events, .context = c, .out = &c->out};
    buf_init(&c->out, LIMIT_CLIENT_QUEUE_BYTES + 2 * LIMIT_PACKET_BYTES);
    buf_init(&c->log, 1 << 20);
    assert_non_null(c->session);
}

static void end_client(struct client *c)
{
    session_destroy(&c->session);
    session_destroy(&c->session);
    buf_free(&c->out);
    buf_free(&c->log);
}

/* Bytes to the session; how many it took. */
static size_t feed_bytes(struct client *c, const void *data, size_t len)
{
    size_t used = 0, need = 0;
    int rc = session_input(c->session, &c->env, data, len, &used, &need);
    assert_true(rc == 0 || session_ended(c->session));
    return used;
}

static size_t feed(struct client *c, const struct mqtt_packet *packet)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 20);
    assert_int_equal(mqtt_encode(&bytes, c->version, packet), 0);
    size_t used = feed_bytes(c, bytes.data, bytes.len);
    assert_true(used == 0 || used == bytes.len);
    buf_free(&bytes);
    return used;
}

static struct mqtt_packet connect_packet(const char *client_id)
{
    struct mqtt_packet packet = {.type = MQTT_CONNECT};
    packet.connect.clean_start = true;
    packet.connect.keep_alive_s = 60;
    packet.connect.client_id = mqtt_text(client_id);
    packet.connect.user = mqtt_text("user");
    packet.connect.password = mqtt_text("secret");
    return packet;
}

static void add_will(struct mqtt_packet *packet, const char *topic)
{
    packet->connect.will.present = packet->connect.will.retain = true;
    packet->connect.will.qos = 1;
    packet->connect.will.topic = mqtt_text(topic);
    packet->connect.will.payload = mqtt_text("gone");
}

static struct principal device_principal(void)
{
    struct principal p = {.kind = PRINCIPAL_DEVICE};
    CHECK(uuid_parse(TENANT, UUID_TEXT_LEN, &p.tenant) == 0);
    CHECK(uuid_parse(DEVICE, UUID_TEXT_LEN, &p.device) == 0);
    return p;
}

static struct principal service_principal(const char *publish, const char *subscribe, bool mount)
{
    struct principal p = device_principal();
    p.kind = PRINCIPAL_SERVICE;
    p.mount = mount;
    p.filters = principal_filters_new(&publish, 1, &subscribe, 1);
    assert_non_null(p.filters);
    return p;
}

static int accept_as(struct client *c, struct principal principal)
{
    struct session_auth auth = {.accepted = true, .principal = &principal, .assigned_id = "given"};
    int rc = session_auth(c->session, &c->env, &auth);
    principal_clear(&principal);
    return rc;
}

static void connect_with(struct client *c, const struct mqtt_packet *packet,
                         struct principal principal)
{
    feed(c, packet);
    assert_int_equal(accept_as(c, principal), 0);
    collect(c);
    buf_clear(&c->log);
}

/* A device that is connected and has been silent. */
static void open_device(struct client *c, int version)
{
    open_client(c, version);
    struct mqtt_packet packet = connect_packet("id");
    connect_with(c, &packet, device_principal());
}

static struct mqtt_packet publish_packet(const char *topic, int qos, int id)
{
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    packet.publish.topic = mqtt_text(topic);
    packet.publish.payload = mqtt_text("{}");
    packet.publish.qos = (uint8_t)qos;
    packet.publish.packet_id = (uint16_t)id;
    return packet;
}

static void publish(struct client *c, const char *topic, int qos, int id)
{
    struct mqtt_packet packet = publish_packet(topic, qos, id);
    feed(c, &packet);
}

static void publish_dup(struct client *c, int qos, int id)
{
    struct mqtt_packet packet = publish_packet(MINE "t", qos, id);
    packet.publish.dup = true;
    feed(c, &packet);
}

static void answer(struct client *c, enum mqtt_type type, int id, uint8_t reason)
{
    feed(c, &(struct mqtt_packet){.type = type, .ack = {(uint16_t)id, reason}});
}

static void ack(struct client *c, int id, uint8_t reason, const char *text)
{
    assert_int_equal(session_ack(c->session, &c->env, (uint16_t)id, reason, text), 0);
}

static void subscribe(struct client *c, enum mqtt_type type, const char *const *filters, size_t n)
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

static int deliver(struct client *c, const char *topic, int qos)
{
    struct session_delivery delivery = {
        .topic = mqtt_text(topic), .payload = mqtt_text("on"), .qos = (uint8_t)qos};
    return session_deliver(c->session, &c->env, &delivery);
}

static void a_client_connects_and_is_welcomed(void **state)
{
    (void)state;
    for (int version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct client c;
        open_client(&c, version);
        struct mqtt_packet packet = connect_packet("me");
        feed(&c, &packet);
        expect(&c, version == 4 ? "authenticate v4 [me] user with password\n"
                                : "authenticate v5 [me] user with password\n");
        assert_false(session_wants_input(c.session));
        assert_int_equal(feed_bytes(&c, "\xC0\0", 2), 0); /* waits while it is pending */
        assert_int_equal(accept_as(&c, device_principal()), 0);
        assert_true(session_connected(c.session));
        assert_string_equal(session_client_id(c.session), "me");
        assert_int_equal(feed_bytes(&c, "\xC0\0", 2), 2);
        expect(&c, "> CONNACK 00\n> PINGRESP\n");
        assert_int_equal(accept_as(&c, device_principal()), ERR_UNEXPECTED);
        end_client(&c);
    }
}

static void connack_tells_the_terms(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("");
    packet.connect.keep_alive_s = 0;
    packet.properties.session_expiry_s = 100;
    mqtt_mark(&packet.properties, MQTT_P_SESSION_EXPIRY);
    feed(&c, &packet);
    assert_int_equal(accept_as(&c, device_principal()), 0);
    struct mqtt_packet connack;
    uint8_t reason;
    assert_int_equal(mqtt_decode(c.out.data, c.out.len, MQTT_5, &connack, &reason), 0);
    const struct mqtt_properties *p = &connack.properties;
    assert_false(connack.connack.session_present);
    assert_int_equal(p->receive_maximum, LIMIT_RECEIVE_MAXIMUM);
    assert_int_equal(p->maximum_packet_size, LIMIT_PACKET_BYTES);
    assert_int_equal(p->topic_alias_maximum, 16);
    assert_true(mqtt_has(p, MQTT_P_SHARED_AVAILABLE) && p->shared_available == 0);
    assert_true(mqtt_has(p, MQTT_P_SESSION_EXPIRY) && p->session_expiry_s == 0);
    assert_int_equal(p->server_keep_alive_s, SESSION_KEEP_ALIVE_MAX_S);
    assert_int_equal(p->assigned_client_id.len, 5);
    assert_memory_equal(p->assigned_client_id.data, "given", 5);
    end_client(&c);
}

static void refused_clients_hear_why(void **state)
{
    (void)state;
    static const struct {
        int version;
        uint8_t reason;
        const char *expected;
    } cases[] = {
        {4, 0x86, "close 86\n> CONNACK 04\n"}, {4, 0x87, "close 87\n> CONNACK 05\n"},
        {4, 0x88, "close 88\n> CONNACK 03\n"}, {5, 0x86, "close 86\n> CONNACK 86\n"},
        {5, 0x97, "close 97\n> CONNACK 97\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c;
        open_client(&c, cases[i].version);
        struct mqtt_packet packet = connect_packet("me");
        feed(&c, &packet);
        buf_clear(&c.log);
        struct session_auth auth = {.reason = cases[i].reason};
        assert_int_equal(session_auth(c.session, &c.env, &auth), 0);
        expect(&c, cases[i].expected);
        assert_true(session_ended(c.session));
        end_client(&c);
    }
}

/* What ends a session: bytes sent by a client (connected or not), and all that is answered. */
static void wrong_bytes_end_the_session(void **state)
{
    (void)state;
#define SENT(literal) literal, sizeof(literal) - 1
    static const struct {
        bool connected;
        int version;
        const char *bytes;
        size_t len;
        const char *expected;
    } cases[] = {
        {false, 4, SENT("\xC0\0"), "close 82\n"},
        {false, 4, SENT("\x30\xFF\xFF\xFF\xFF\1"), "close 81\n"},
        {false, 4, SENT("\x10\xFF\xFF\xFF\x7F"), "close 95\n"},
        {false, 4, SENT("\x10\x0E\0\6MQIsdp\3\2\0\0\0\0"), "close 84\n> CONNACK 01\n"},
        {false, 5, SENT("\x10\x0C\0\4MQTT\6\2\0\0\0\0"), "close 84\n> CONNACK 84\n"},
        {false, 4, SENT("\x10\x0C\0\4MQTT\4\3\0\0\0\0"), "close 81\n"},
        {false, 5, SENT("\x10\x0D\0\4MQTT\5\3\0\0\0\0\0"), "close 81\n> CONNACK 81\n"},
        {false, 4, SENT("\x10\x0C\0\4MQTT\4\0\0\0\0\0"), "close 85\n> CONNACK 02\n"},
        {false, 5, SENT("\x10\x11\0\4MQTT\5\2\0\0\4\x15\0\1x\0\0"), "close 8c\n> CONNACK 8c\n"},
        {true, 4, SENT("\x10\x0C\0\4MQTT\4\2\0\0\0\0"), "close 82\n"},
        {true, 5, SENT("\x10\x0D\0\4MQTT\5\2\0\0\0\0\0"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 4, SENT("\xC1\0"), "close 81\n"},
        {true, 5, SENT("\xC1\0"), "close 81\n> DISCONNECT 0 81\n"},
        {true, 5, SENT("\x30\xFF\xFF\xFF\x7F"), "close 95\n> DISCONNECT 0 95\n"},
        {true, 5, SENT("\xF0\0"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 5, SENT("\xD0\0"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 5, SENT("\x30\4\0\1#\0"), "close 90\n> DISCONNECT 0 90\n"},
        {true, 5, SENT("\x30\6\0\0\3\x23\0\1"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 5, SENT("\x30\7\0\1t\3\x23\0\x11"), "close 94\n> DISCONNECT 0 94\n"},
        {true, 5, SENT("\x30\6\0\1t\2\x0B\1"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 5, SENT("\x82\3\0\1\0"), "close 82\n> DISCONNECT 0 82\n"},
        {true, 5, SENT("\xE0\7\0\5\x11\0\0\0\1"), "close 82\n> DISCONNECT 0 82\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c;
        if (cases[i].connected)
            open_device(&c, cases[i].version);
        else
            open_client(&c, cases[i].version);
        feed_bytes(&c, cases[i].bytes, cases[i].len);
        expect(&c, cases[i].expected);
        assert_true(session_ended(c.session));
        end_client(&c);
    }
}

static void packets_arrive_in_pieces(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    size_t used, need;
    assert_int_equal(
        session_input(c.session, &c.env, (const uint8_t *)"\xC0\0\x30\x08\0", 5, &used, &need), 0);
    assert_int_equal(used, 2);
    assert_int_equal(need, 10);
    expect(&c, "> PINGRESP\n");
    end_client(&c);
}

static void acks_leave_in_the_order_of_the_publishes(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    publish(&c, MINE "t", 1, 7);
    publish(&c, MINE "t", 1, 3);
    publish(&c, MINE "t", 0, 0);
    publish(&c, MINE "t", 1, 5);
    expect(&c, "publish " MINE "t {} qos1 id7\npublish " MINE "t {} qos1 id3\n"
               "publish " MINE "t {} qos0 id0\npublish " MINE "t {} qos1 id5\n");
    ack(&c, 5, 0, NULL);
    ack(&c, 3, 0x99, "no JSON");
    assert_int_equal(session_waiting(c.session), 3);
    expect(&c, "");
    assert_int_equal(session_ack(c.session, &c.env, 5, 0, NULL), ERR_NOT_FOUND);
    assert_int_equal(session_ack(c.session, &c.env, 6, 0, NULL), ERR_NOT_FOUND);
    ack(&c, 7, 0, NULL);
    expect(&c, "> PUBACK 7 00\n> PUBACK 3 99 no JSON\n> PUBACK 5 00\n");
    assert_int_equal(session_waiting(c.session), 0);
    end_client(&c);
}

static void a_3_1_1_client_gets_its_puback_whatever_the_reason(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    publish(&c, MINE "t", 1, 7);
    ack(&c, 7, 0x99, "no JSON");
    publish(&c, TENANT "/devices/" TENANT "/t", 1, 8);
    publish(&c, MINE "status", 2, 9);
    answer(&c, MQTT_PUBREL, 9, 0);
    expect(&c, "publish " MINE "t {} qos1 id7\n"
               "refused " TENANT "/devices/" TENANT "/t {} qos1 id8 87\n"
               "refused " MINE "status {} qos2 id9 87\n"
               "> PUBACK 7 00\n> PUBACK 8 00\n> PUBREC 9 00\n> PUBCOMP 9 00\n");
    end_client(&c);
}

static void refused_publishes_are_answered_in_their_turn(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    publish(&c, MINE "t", 1, 1);
    publish(&c, OTHER "/devices/" DEVICE "/t", 1, 2);
    publish(&c, "$SYS/x", 2, 3);
    publish(&c, "x", 0, 0);
    expect(&c, "publish " MINE "t {} qos1 id1\nrefused " OTHER "/devices/" DEVICE
               "/t {} qos1 id2 87\nrefused $SYS/x {} qos2 id3 87\nrefused x {} qos0 id0 87\n");
    ack(&c, 1, 0, NULL);
    answer(&c, MQTT_PUBREL, 3, 0x92);
    expect(&c, "> PUBACK 1 00\n> PUBACK 2 87\n> PUBREC 3 87\n> PUBCOMP 3 92\n");
    end_client(&c);
}

static void qos_2_is_routed_once_until_released(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    publish(&c, MINE "t", 2, 4);
    publish_dup(&c, 2, 4); /* not durable yet: answered once, with the first */
    expect(&c, "publish " MINE "t {} qos2 id4\n");
    ack(&c, 4, 0, NULL);
    expect(&c, "> PUBREC 4 00\n");
    publish_dup(&c, 2, 4);
    expect(&c, "> PUBREC 4 00\n");
    answer(&c, MQTT_PUBREL, 4, 0);
    answer(&c, MQTT_PUBREL, 4, 0);
    publish(&c, MINE "t", 2, 4);
    expect(&c, "publish " MINE "t {} qos2 id4\n> PUBCOMP 4 00\n> PUBCOMP 4 92\n");
    answer(&c, MQTT_PUBREL, 4, 0); /* before its PUBREC */
    expect(&c, "close 82\n> DISCONNECT 0 82\n");
    end_client(&c);
}

static void a_pending_qos_1_is_not_routed_twice(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    publish(&c, MINE "t", 1, 4);
    publish_dup(&c, 1, 4);
    ack(&c, 4, 0, NULL);
    publish_dup(&c, 1, 4); /* acknowledged before: the device's own memory decides */
    expect(&c, "publish " MINE "t {} qos1 id4\npublish " MINE "t {} qos1 id4 dup\n> PUBACK 4 00\n");
    publish(&c, MINE "t", 1, 4); /* a new one with an id in use */
    expect(&c, "close 82\n");
    end_client(&c);
}

static void receive_maximum_is_enforced(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    for (int i = 1; i <= LIMIT_RECEIVE_MAXIMUM; i++)
        publish(&c, MINE "t", 1 + i % 2, i);
    assert_true(session_wants_input(c.session));
    buf_clear(&c.log);
    publish(&c, MINE "t", 1, 2000);
    expect(&c, "close 93\n> DISCONNECT 0 93\n");
    end_client(&c);
}

static void a_3_1_1_client_is_not_read_at_the_limit(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    for (int i = 1; i <= LIMIT_RECEIVE_MAXIMUM; i++)
        publish(&c, MINE "t", 1, i);
    assert_false(session_wants_input(c.session));
    struct mqtt_packet more = publish_packet(MINE "t", 1, 2000);
    assert_int_equal(feed(&c, &more), 0);
    c.env.now_us = 1000 * SECOND;
    session_tick(c.session, &c.env); /* the silence is ours */
    assert_false(session_ended(c.session));
    ack(&c, 1, 0, NULL);
    assert_true(session_wants_input(c.session));
    session_tick(c.session, &c.env);
    assert_false(session_ended(c.session));
    assert_true(feed(&c, &more) > 0);
    end_client(&c);
}

static void pubrels_are_read_at_the_limit(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    for (int i = 1; i <= LIMIT_RECEIVE_MAXIMUM; i++) {
        publish(&c, MINE "t", 2, i);
        ack(&c, i, 0, NULL);
    }
    assert_true(session_wants_input(c.session));
    collect(&c);
    buf_clear(&c.log);
    answer(&c, MQTT_PUBREL, 5, 0);
    expect(&c, "> PUBCOMP 5 00\n");
    publish(&c, MINE "t", 2, 2000);
    ack(&c, 2000, 0, NULL);
    buf_clear(&c.log);
    collect(&c);
    buf_clear(&c.log);
    publish(&c, MINE "t", 2, 2001);
    expect(&c, "close 93\n");
    end_client(&c);
}

static void aliases_stand_for_topics(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    static const char *const topics[] = {MINE "a", "", MINE "b", ""};
    for (size_t i = 0; i < 4; i++) {
        struct mqtt_packet packet = publish_packet(topics[i], 0, 0);
        packet.properties.topic_alias = 16;
        mqtt_mark(&packet.properties, MQTT_P_TOPIC_ALIAS);
        feed(&c, &packet);
    }
    expect(&c, "publish " MINE "a {} qos0 id0\npublish " MINE "a {} qos0 id0\n"
               "publish " MINE "b {} qos0 id0\npublish " MINE "b {} qos0 id0\n");
    end_client(&c);
}

static void keep_alive_is_one_and_a_half(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    assert_int_equal(session_deadline_us(c.session), 90 * SECOND);
    c.env.now_us = 89 * SECOND;
    session_tick(c.session, &c.env);
    feed_bytes(&c, "\xC0\0", 2);
    c.env.now_us = 178 * SECOND;
    session_tick(c.session, &c.env);
    expect(&c, "> PINGRESP\n");
    c.env.now_us = 179 * SECOND;
    session_tick(c.session, &c.env);
    session_tick(c.session, &c.env);
    expect(&c, "close 8d\n> DISCONNECT 0 8d\n");
    end_client(&c);
}

static void keep_alive_stands_still_while_paused(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    session_pause(c.session, 10 * SECOND);
    assert_false(session_wants_input(c.session));
    assert_true(session_deadline_us(c.session) == INT64_MAX);
    c.env.now_us = 1000 * SECOND;
    session_tick(c.session, &c.env);
    session_resume(c.session, c.env.now_us);
    session_tick(c.session, &c.env);
    expect(&c, "");
    assert_int_equal(session_deadline_us(c.session), 1090 * SECOND);
    end_client(&c);
}

static void a_silent_socket_is_closed(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_3_1_1);
    c.env.now_us = SESSION_CONNECT_TIMEOUT_US - 1;
    session_tick(c.session, &c.env);
    expect(&c, "");
    c.env.now_us++;
    session_tick(c.session, &c.env);
    expect(&c, "close 8d\n");
    end_client(&c);
}

enum ending { SOCKET_GONE, KICKED, DISCONNECTED, DISCONNECTED_WITH_WILL, ERROR_SENT, LATE };

static void wills_are_given_unless_the_client_says_goodbye(void **state)
{
    (void)state;
    static const char gone[] = "will " MINE "will gone qos1 id0 retain\n";
    static const struct {
        int version;
        enum ending ending;
        const char *expected;
        bool will;
    } cases[] = {
        {4, SOCKET_GONE, "", true},
        {5, SOCKET_GONE, "", true},
        {4, KICKED, "close 8e\n", true},
        {5, KICKED, "close 8e\n> DISCONNECT 0 8e taken over\n", true},
        {4, DISCONNECTED, "close 00\n", false},
        {5, DISCONNECTED, "close 00\n", false},
        {5, DISCONNECTED_WITH_WILL, "close 04\n", true},
        {4, ERROR_SENT, "close 81\n", true},
        {5, ERROR_SENT, "close 81\n> DISCONNECT 0 81\n", true},
        {4, LATE, "close 8d\n", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct client c;
        open_client(&c, cases[i].version);
        struct mqtt_packet packet = connect_packet("me");
        add_will(&packet, MINE "will");
        connect_with(&c, &packet, device_principal());
        c.env.now_us = cases[i].ending == LATE ? 91 * SECOND : 0;
        if (cases[i].ending == SOCKET_GONE)
            session_closed(c.session, &c.env);
        else if (cases[i].ending == KICKED)
            session_kick(c.session, &c.env, MQTT_TAKEN_OVER, "taken over", NULL);
        else if (cases[i].ending == DISCONNECTED)
            feed_bytes(&c, "\xE0\0", 2);
        else if (cases[i].ending == DISCONNECTED_WITH_WILL)
            feed_bytes(&c, "\xE0\1\4", 3);
        else if (cases[i].ending == ERROR_SENT)
            feed_bytes(&c, "\xC1\0", 2);
        else
            session_tick(c.session, &c.env);
        session_closed(c.session, &c.env);
        char text[512];
        snprintf(text, sizeof text, "%s%s", cases[i].will ? gone : "", cases[i].expected);
        expect(&c, text);
        end_client(&c);
    }
}

static void a_will_must_be_the_clients_own(void **state)
{
    (void)state;
    for (int version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct client c;
        open_client(&c, version);
        struct mqtt_packet packet = connect_packet("me");
        add_will(&packet, OTHER "/devices/" DEVICE "/will");
        feed(&c, &packet);
        buf_clear(&c.log);
        assert_int_equal(accept_as(&c, device_principal()), ERR_REFUSED);
        expect(&c, version == 4 ? "close 87\n> CONNACK 05\n"
                                : "close 87\n> CONNACK 87 the will's topic is not allowed\n");
        end_client(&c);
    }
}

static void a_kick_names_another_server(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    session_kick(c.session, &c.env, MQTT_SERVER_MOVED, NULL, "host:1884");
    struct mqtt_packet packet;
    uint8_t reason;
    assert_int_equal(mqtt_decode(c.out.data, c.out.len, MQTT_5, &packet, &reason), 0);
    assert_int_equal(packet.ack.reason, 0x9D);
    assert_memory_equal(packet.properties.server_reference.data, "host:1884", 9);
    session_kick(c.session, &c.env, MQTT_TAKEN_OVER, NULL, NULL);
    expect(&c, "close 9d\n> DISCONNECT 0 9d\n");
    assert_int_equal(deliver(&c, MINE "commands", 0), ERR_UNEXPECTED);
    end_client(&c);
}

static void subscriptions_stay_below_the_device(void **state)
{
    (void)state;
    static const char *const filters[] = {
        MINE "#",
        MINE "commands",
        MINE "+/x",
        "#",
        "+/devices/" DEVICE "/#",
        TENANT "/devices/+/#",
        "$SYS/#",
        OTHER "/devices/" DEVICE "/#",
        TENANT "/#",
        TENANT "/+/" DEVICE "/#",
        "$share/g/" MINE "#",
    };
    for (int version = MQTT_3_1_1; version <= MQTT_5; version++) {
        struct client c;
        open_device(&c, version);
        subscribe(&c, MQTT_SUBSCRIBE, filters, sizeof filters / sizeof *filters);
        expect(&c, version == 4 ? "subscribe " MINE "# qos1\nsubscribe " MINE
                                  "commands qos1\nsubscribe " MINE
                                  "+/x qos1\n> SUBACK 01 01 01 80 80 80 80 80 80 80 80\n"
                                : "subscribe " MINE "# qos1\nsubscribe " MINE
                                  "commands qos1\nsubscribe " MINE
                                  "+/x qos1\n> SUBACK 01 01 01 87 87 87 87 87 87 87 9e\n");
        c.subscribe_result = ERR_FULL;
        subscribe(&c, MQTT_SUBSCRIBE, filters, 1);
        expect(&c, version == 4 ? "subscribe " MINE "# qos1\n> SUBACK 80\n"
                                : "subscribe " MINE "# qos1\n> SUBACK 97\n");
        end_client(&c);
    }
}

static void unsubscribing_says_whether_there_was_one(void **state)
{
    (void)state;
    static const char *const filters[] = {MINE "#", "#"};
    struct client c;
    open_device(&c, MQTT_5);
    subscribe(&c, MQTT_UNSUBSCRIBE, filters, 2);
    expect(&c, "unsubscribe " MINE "#\n> UNSUBACK 00 11\n");
    c.unsubscribe_result = ERR_NOT_FOUND;
    subscribe(&c, MQTT_UNSUBSCRIBE, filters, 1);
    expect(&c, "unsubscribe " MINE "#\n> UNSUBACK 11\n");
    end_client(&c);
    open_device(&c, MQTT_3_1_1);
    subscribe(&c, MQTT_UNSUBSCRIBE, filters, 2);
    expect(&c, "unsubscribe " MINE "#\n> UNSUBACK\n");
    end_client(&c);
}

static void a_mounted_account_writes_no_tenant(void **state)
{
    (void)state;
    static const char *const filters[] = {"#", "+/devices/#"};
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("bridge");
    add_will(&packet, "bridge/state");
    connect_with(&c, &packet, service_principal("#", "#", true));
    publish(&c, "devices/x/commands", 0, 0);
    subscribe(&c, MQTT_SUBSCRIBE, filters, 2);
    assert_int_equal(deliver(&c, MINE "status", 0), 0);
    session_closed(c.session, &c.env);
    expect(&c, "publish " TENANT "/devices/x/commands {} qos0 id0\nsubscribe " TENANT
               "/# qos1\nsubscribe " TENANT "/+/devices/# qos1\nwill " TENANT
               "/bridge/state gone qos1 id0 retain\n> SUBACK 01 01\n> PUBLISH devices/" DEVICE
               "/status qos0 id0\n");
    end_client(&c);
}

static void a_service_account_has_its_filters(void **state)
{
    (void)state;
    static const struct {
        const char *publish, *subscribe, *topic;
        bool may_publish, may_subscribe;
    } cases[] = {
        {"#", "#", TENANT "/a", true, true},
        {"#", "#", TENANT "/#", true, true},
        {"#", "#", TENANT, false, false},
        {"#", "#", TENANT "/", false, false},
        {"#", "#", OTHER "/a", false, false},
        {"#", "#", "#", false, false},
        {"#", "#", "+/a", false, false},
        {"#", "#", "+/devices/" DEVICE "/#", false, false},
        {"#", "#", "$SYS/x", false, false},
        {"devices/+/commands", "devices/#", MINE "commands", true, true},
        {"devices/+/commands", "devices/#", MINE "telemetry", false, true},
        {"devices/+/commands", "devices/#", TENANT "/devices/+/telemetry", false, true},
        {"devices/+/commands", "devices/#", TENANT "/+/x", false, false},
        {"devices/+/commands", "devices/+/status", TENANT "/devices/#", false, false},
        {"bad#", "a/#/b", TENANT "/bad#", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct principal p = service_principal(cases[i].publish, cases[i].subscribe, false);
        size_t len = strlen(cases[i].topic);
        if ((principal_may_publish(&p, cases[i].topic, len) == 0) != cases[i].may_publish ||
            (principal_may_subscribe(&p, cases[i].topic, len) == 0) != cases[i].may_subscribe)
            fail_msg("case %zu: %s", i, cases[i].topic);
        principal_clear(&p);
        assert_int_equal(principal_may_publish(&p, cases[i].topic, len), ERR_REFUSED);
    }
}

static void a_device_has_its_own_topics(void **state)
{
    (void)state;
    static const struct {
        const char *topic;
        bool may_publish, may_subscribe;
    } cases[] = {
        {MINE "telemetry", true, true},
        {MINE "a/b/c", true, true},
        {MINE "status", false, true},
        {MINE "status/x", false, true},
        {MINE "alerts", false, true},
        {MINE "statuses", true, true},
        {MINE "x/status", true, true},
        {MINE, false, false},
        {TENANT "/devices/" DEVICE, false, false},
        {TENANT "/devices/" DEVICE "x/t", false, false},
        {TENANT "/devices/" TENANT "/t", false, false},
        {OTHER "/devices/" DEVICE "/t", false, false},
        {TENANT "/x/" DEVICE "/t", false, false},
    };
    struct principal p = device_principal();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].topic);
        if ((principal_may_publish(&p, cases[i].topic, len) == 0) != cases[i].may_publish ||
            (principal_may_subscribe(&p, cases[i].topic, len) == 0) != cases[i].may_subscribe)
            fail_msg("%s", cases[i].topic);
    }
}

static void deliveries_keep_to_the_window(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("me");
    packet.properties.receive_maximum = 2;
    mqtt_mark(&packet.properties, MQTT_P_RECEIVE_MAXIMUM);
    connect_with(&c, &packet, device_principal());
    assert_int_equal(deliver(&c, "a", 1), 0);
    assert_int_equal(deliver(&c, "b", 2), 0);
    assert_int_equal(deliver(&c, "c", 2), 0);
    assert_int_equal(deliver(&c, "d", 1), 0);
    assert_int_equal(deliver(&c, "e", 0), 0); /* QoS 0 needs no window */
    expect(&c, "> PUBLISH a qos1 id1\n> PUBLISH b qos2 id2\n> PUBLISH e qos0 id0\n");
    assert_int_equal(session_sending(c.session), 4);
    answer(&c, MQTT_PUBACK, 9, 0); /* unknown */
    answer(&c, MQTT_PUBACK, 1, 0);
    expect(&c, "> PUBLISH c qos2 id3\n");
    answer(&c, MQTT_PUBREC, 2, 0);
    expect(&c, "> PUBREL 2 00\n");
    answer(&c, MQTT_PUBCOMP, 3, 0); /* out of turn */
    answer(&c, MQTT_PUBCOMP, 2, 0);
    expect(&c, "> PUBLISH d qos1 id4\n");
    answer(&c, MQTT_PUBREC, 3, 0x87); /* ends it */
    answer(&c, MQTT_PUBREC, 77, 0);
    answer(&c, MQTT_PUBACK, 4, 0);
    expect(&c, "> PUBREL 77 92\n");
    assert_int_equal(session_sending(c.session), 0);
    end_client(&c);
}

static void packet_ids_in_flight_are_not_taken_again(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    assert_int_equal(deliver(&c, "kept", 1), 0);
    for (int i = 2; i <= 65536; i++) { /* once round: 65535 is followed by 2 */
        assert_int_equal(deliver(&c, "a", 1), 0);
        buf_clear(&c.out);
        answer(&c, MQTT_PUBACK, i <= 65535 ? i : 2, 0);
    }
    assert_int_equal(session_sending(c.session), 1);
    end_client(&c);
}

static void large_messages_are_dropped_for_small_clients(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("me");
    packet.properties.maximum_packet_size = 40;
    mqtt_mark(&packet.properties, MQTT_P_MAXIMUM_PACKET_SIZE);
    connect_with(&c, &packet, device_principal());
    assert_int_equal(deliver(&c, "0123456789012345678901234567890123456789", 1), ERR_TOO_LARGE);
    assert_int_equal(deliver(&c, "0123456789", 1), 0);
    publish(&c, MINE "t", 1, 1);
    ack(&c, 1, 0x99, "a reason string that is longer than the client's packets");
    expect(&c, "publish " MINE "t {} qos1 id1\n> PUBLISH 0123456789 qos1 id1\n> PUBACK 1 99\n");
    end_client(&c);
}

static void a_full_queue_drops_qos_0_and_ends_qos_1(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    c.env.unsent_bytes = LIMIT_CLIENT_QUEUE_BYTES - 10;
    assert_int_equal(deliver(&c, MINE "t", 0), ERR_FULL);
    assert_true(session_connected(c.session));
    assert_int_equal(deliver(&c, MINE "t", 1), ERR_FULL);
    expect(&c, "close 97\n> DISCONNECT 0 97\n");
    end_client(&c);
    open_device(&c, MQTT_3_1_1); /* the same behind the window, in the session's own queue */
    int rc = 0, n = 0;
    for (; rc == 0; n++) {
        rc = deliver(&c, MINE "t", 2);
        buf_clear(&c.out);
    }
    assert_int_equal(rc, ERR_FULL);
    assert_true(n > 5000 && n < 20000);
    expect(&c, "close 97\n");
    end_client(&c);
}

static void answers_wait_for_a_client_that_does_not_read(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    c.env.unsent_bytes = LIMIT_CLIENT_QUEUE_BYTES;
    assert_int_equal(feed_bytes(&c, "\xC0\0", 2), 0);
    c.env.unsent_bytes = 0;
    assert_int_equal(feed_bytes(&c, "\xC0\0", 2), 2);
    end_client(&c);
}

static void reason_strings_can_be_declined(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("me");
    mqtt_mark(&packet.properties, MQTT_P_REQUEST_PROBLEM_INFO); /* 0 */
    connect_with(&c, &packet, device_principal());
    publish(&c, MINE "t", 1, 1);
    buf_clear(&c.log);
    ack(&c, 1, 0x99, "no JSON");
    expect(&c, "> PUBACK 1 99\n");
    end_client(&c);
}

static void properties_are_forwarded(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    struct mqtt_properties given = {.topic_alias = 3, .payload_format = 1};
    mqtt_mark(&given, MQTT_P_TOPIC_ALIAS);
    mqtt_mark(&given, MQTT_P_PAYLOAD_FORMAT);
    mqtt_mark(&given, MQTT_P_USER);
    given.user = (struct mqtt_span){(const uint8_t *)"\x26\0\1a\0\1b", 7};
    struct session_delivery delivery = {
        .topic = mqtt_text("t"), .subscription_id = 300, .properties = &given};
    assert_int_equal(session_deliver(c.session, &c.env, &delivery), 0);
    struct mqtt_packet packet;
    uint8_t reason;
    assert_int_equal(mqtt_decode(c.out.data, c.out.len, MQTT_5, &packet, &reason), 0);
    assert_false(mqtt_has(&packet.properties, MQTT_P_TOPIC_ALIAS));
    assert_int_equal(packet.properties.payload_format, 1);
    assert_int_equal(packet.properties.subscription_id, 300);
    assert_int_equal(packet.properties.user.len, 7);
    end_client(&c);
}

static void an_idle_session_is_small(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    assert_true(session_memory(c.session) <= 512);
    for (int i = 1; i <= 1000; i++)
        publish(&c, MINE "t", 1 + i % 2, i);
    for (int i = 1; i <= 1000; i++)
        ack(&c, i, 0, NULL);
    for (int i = 2; i <= 1000; i++)
        answer(&c, MQTT_PUBREL, i, 0);
    for (int i = 1; i <= 200; i++)
        assert_int_equal(deliver(&c, MINE "t", 1), 0);
    for (int i = 1; i <= 200; i++)
        answer(&c, MQTT_PUBACK, i, 0);
    assert_int_equal(session_sending(c.session) + session_waiting(c.session), 0);
    assert_true(session_memory(c.session) <= 2048);
    end_client(&c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_client_connects_and_is_welcomed),
        cmocka_unit_test(connack_tells_the_terms),
        cmocka_unit_test(refused_clients_hear_why),
        cmocka_unit_test(wrong_bytes_end_the_session),
        cmocka_unit_test(packets_arrive_in_pieces),
        cmocka_unit_test(acks_leave_in_the_order_of_the_publishes),
        cmocka_unit_test(a_3_1_1_client_gets_its_puback_whatever_the_reason),
        cmocka_unit_test(refused_publishes_are_answered_in_their_turn),
        cmocka_unit_test(qos_2_is_routed_once_until_released),
        cmocka_unit_test(a_pending_qos_1_is_not_routed_twice),
        cmocka_unit_test(receive_maximum_is_enforced),
        cmocka_unit_test(a_3_1_1_client_is_not_read_at_the_limit),
        cmocka_unit_test(pubrels_are_read_at_the_limit),
        cmocka_unit_test(aliases_stand_for_topics),
        cmocka_unit_test(keep_alive_is_one_and_a_half),
        cmocka_unit_test(keep_alive_stands_still_while_paused),
        cmocka_unit_test(a_silent_socket_is_closed),
        cmocka_unit_test(wills_are_given_unless_the_client_says_goodbye),
        cmocka_unit_test(a_will_must_be_the_clients_own),
        cmocka_unit_test(a_kick_names_another_server),
        cmocka_unit_test(subscriptions_stay_below_the_device),
        cmocka_unit_test(unsubscribing_says_whether_there_was_one),
        cmocka_unit_test(a_mounted_account_writes_no_tenant),
        cmocka_unit_test(a_service_account_has_its_filters),
        cmocka_unit_test(a_device_has_its_own_topics),
        cmocka_unit_test(deliveries_keep_to_the_window),
        cmocka_unit_test(packet_ids_in_flight_are_not_taken_again),
        cmocka_unit_test(large_messages_are_dropped_for_small_clients),
        cmocka_unit_test(a_full_queue_drops_qos_0_and_ends_qos_1),
        cmocka_unit_test(answers_wait_for_a_client_that_does_not_read),
        cmocka_unit_test(reason_strings_can_be_declined),
        cmocka_unit_test(properties_are_forwarded),
        cmocka_unit_test(an_idle_session_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
