/* How connections begin and end, who is let in, what he may subscribe to. */
#include "tests/unit/session_client.h"

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
        {true, 5, SENT("\x30\3\0\0\0"), "close 82\n> DISCONNECT 0 82\n"},
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

static void on_mounted_publish(void *context, const struct session_message *message)
{
    struct mqtt_span *got = context;
    static uint8_t copy[256];
    assert_true(message->properties->response_topic.len <= sizeof copy);
    memcpy(copy, message->properties->response_topic.data, message->properties->response_topic.len);
    *got = (struct mqtt_span){copy, message->properties->response_topic.len};
}

/* Who is asked answers below the tenant; who is mounted knows no tenant. */
static void a_response_topic_is_mounted_as_a_topic_is(void **state)
{
    (void)state;
    struct client c;
    open_client(&c, MQTT_5);
    struct mqtt_packet packet = connect_packet("bridge");
    connect_with(&c, &packet, service_principal("#", "#", true));
    struct mqtt_packet asks = {.type = MQTT_PUBLISH,
                               .publish.topic = mqtt_text("devices/x/commands")};
    asks.properties.response_topic = mqtt_text("bridge/answers");
    mqtt_mark(&asks.properties, MQTT_P_RESPONSE_TOPIC);
    struct mqtt_span got = {0};
    struct session_events mounted = *c.env.events;
    struct session_env env = c.env;
    mounted.publish = on_mounted_publish;
    c.env.events = &mounted;
    c.env.context = &got;
    feed(&c, &asks);
    c.env = env;
    assert_memory_equal(got.data, TENANT "/bridge/answers", got.len);
    struct mqtt_properties given = {.response_topic = got};
    mqtt_mark(&given, MQTT_P_RESPONSE_TOPIC);
    struct session_delivery delivery = {.topic = mqtt_text(MINE "status"), .properties = &given};
    collect(&c);
    assert_int_equal(session_deliver(c.session, &c.env, &delivery), 0);
    uint8_t reason;
    assert_int_equal(mqtt_decode(c.out.data, c.out.len, MQTT_5, &packet, &reason), 0);
    assert_int_equal(packet.properties.response_topic.len, 14);
    assert_memory_equal(packet.properties.response_topic.data, "bridge/answers", 14);
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
        cmocka_unit_test(keep_alive_is_one_and_a_half),
        cmocka_unit_test(keep_alive_stands_still_while_paused),
        cmocka_unit_test(a_silent_socket_is_closed),
        cmocka_unit_test(wills_are_given_unless_the_client_says_goodbye),
        cmocka_unit_test(a_will_must_be_the_clients_own),
        cmocka_unit_test(a_kick_names_another_server),
        cmocka_unit_test(subscriptions_stay_below_the_device),
        cmocka_unit_test(unsubscribing_says_whether_there_was_one),
        cmocka_unit_test(a_mounted_account_writes_no_tenant),
        cmocka_unit_test(a_response_topic_is_mounted_as_a_topic_is),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
