/* Publishes in both directions: order, windows, repetition, bounds. */
#include "tests/unit/session_client.h"

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
    ack(&c, 8, 0x87, "not authorized");
    ack(&c, 9, 0x87, "not authorized");
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
    ack(&c, 2, 0x87, "not yours");
    expect(&c, "");
    ack(&c, 1, 0, NULL);
    assert_int_equal(session_waiting(c.session), 1); /* the third is not on record yet */
    ack(&c, 3, 0x87, NULL);
    answer(&c, MQTT_PUBREL, 3, 0x92);
    expect(&c, "> PUBACK 1 00\n> PUBACK 2 87 not yours\n> PUBREC 3 87\n> PUBCOMP 3 92\n");
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

/* 1 to 65535, in an order of jumps: 7919 is prime to 65536. */
static int jumping_id(int i)
{
    return (int)((unsigned)i * 7919 & 0xFFFF);
}

static void a_3_1_1_client_may_have_every_packet_id_in_flight(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_3_1_1);
    for (int i = 1; i <= UINT16_MAX; i++) {
        publish(&c, MINE "t", 2, jumping_id(i));
        ack(&c, jumping_id(i), 0, NULL);
        buf_clear(&c.out);
        buf_clear(&c.log);
    }
    assert_true(session_wants_input(c.session));
    assert_true(session_memory(c.session) <= 256 * 1024);
    publish_dup(&c, 2, 5);
    expect(&c, "> PUBREC 5 00\n");
    answer(&c, MQTT_PUBREL, 5, 0);
    publish(&c, MINE "t", 2, 5);
    expect(&c, "publish " MINE "t {} qos2 id5\n> PUBCOMP 5 00\n");
    ack(&c, 5, 0, NULL);
    for (int i = 1; i <= UINT16_MAX; i++) {
        answer(&c, MQTT_PUBREL, UINT16_MAX + 1 - jumping_id(i), 0);
        buf_clear(&c.out);
    }
    publish(&c, MINE "t", 2, 5);
    expect(&c, "publish " MINE "t {} qos2 id5\n");
    assert_true(session_memory(c.session) <= 2048);
    end_client(&c);
}

static void receive_maximum_counts_what_is_not_released(void **state)
{
    (void)state;
    struct client c;
    open_device(&c, MQTT_5);
    for (int i = 1; i <= LIMIT_RECEIVE_MAXIMUM; i++) {
        publish(&c, MINE "t", 2, i);
        ack(&c, i, 0, NULL);
    }
    collect(&c);
    buf_clear(&c.log);
    answer(&c, MQTT_PUBREL, 5, 0);
    expect(&c, "> PUBCOMP 5 00\n");
    publish(&c, MINE "t", 2, 2000);
    ack(&c, 2000, 0, NULL);
    collect(&c);
    buf_clear(&c.log);
    publish(&c, MINE "t", 2, 2001);
    expect(&c, "close 93\n> DISCONNECT 0 93\n");
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

/* Connects one that takes packets of so many bytes; what session_auth() says. */
static int connect_small(struct client *c, const char *id, uint32_t bytes)
{
    open_client(c, MQTT_5);
    struct mqtt_packet packet = connect_packet(id);
    packet.properties.maximum_packet_size = bytes;
    mqtt_mark(&packet.properties, MQTT_P_MAXIMUM_PACKET_SIZE);
    feed(c, &packet);
    buf_clear(&c->log);
    return accept_as(c, device_principal());
}

/* No packet is larger than the client takes: what is only information goes, else the connection. */
static void small_clients_are_sent_small_packets(void **state)
{
    (void)state;
    static const char *const filters[] = {MINE "a", MINE "b", MINE "c", MINE "d", MINE "e",
                                          MINE "f", MINE "g", MINE "h", MINE "i", MINE "j",
                                          MINE "k", MINE "l", MINE "m", MINE "n"};
    struct client c;
    assert_int_equal(connect_small(&c, "me", 4), ERR_TOO_LARGE);
    expect(&c, "close 83\n");
    end_client(&c);
    assert_int_equal(connect_small(&c, "me", 17), ERR_TOO_LARGE);
    expect(&c, "close 83\n> CONNACK 83\n");
    end_client(&c);
    assert_int_equal(connect_small(&c, "", 18), ERR_TOO_LARGE); /* its client id is too long */
    expect(&c, "close 83\n> CONNACK 83\n");
    end_client(&c);
    assert_int_equal(connect_small(&c, "me", 18), 0);
    expect(&c, "> CONNACK 00\n");
    session_kick(c.session, &c.env, MQTT_SERVER_MOVED, NULL, "a-host-with-a-long-name:1883");
    expect(&c, "close 9d\n> DISCONNECT 0 9d\n");
    end_client(&c);
    for (enum mqtt_type type = MQTT_SUBSCRIBE; type <= MQTT_UNSUBSCRIBE; type += 2) {
        assert_int_equal(connect_small(&c, "me", 18), 0);
        subscribe(&c, type, filters, 13); /* two bytes, packet id, no properties: 18 */
        assert_false(session_ended(c.session));
        collect(&c);
        subscribe(&c, type, filters, 14);
        buf_clear(&c.log);
        expect(&c, "> DISCONNECT 0 95\n");
        end_client(&c);
    }
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

static int deliver_for(struct client *c, const char *topic, int qos, int64_t us)
{
    struct mqtt_properties given = {.payload_format = 1};
    mqtt_mark(&given, MQTT_P_PAYLOAD_FORMAT);
    struct session_delivery delivery = {.topic = mqtt_text(topic),
                                        .qos = (uint8_t)qos,
                                        .expires_us = c->env.now_us + us,
                                        .properties = &given};
    return session_deliver(c->session, &c->env, &delivery);
}

/* Before and behind the window, by either version. */
static void what_expires_while_it_waits_is_not_sent(int version, const char *log)
{
    struct client c;
    open_device(&c, version);
    c.env.now_us = 1000000;
    for (unsigned i = 0; i < LIMIT_SEND_INFLIGHT; i++)
        assert_int_equal(deliver(&c, "a", 1), 0);
    collect(&c);
    buf_clear(&c.log);
    assert_int_equal(deliver_for(&c, "over", 0, 0), 0);
    assert_int_equal(deliver_for(&c, "b", 0, 1), 0);
    assert_int_equal(deliver_for(&c, "c", 1, 9500000), 0);
    assert_int_equal(deliver_for(&c, "over", 1, 4000000), 0);
    assert_int_equal(deliver(&c, "d", 1), 0);
    assert_int_equal(deliver_for(&c, "e", 1, INT64_C(4294967295000000)), 0);
    c.env.now_us += 4000000;
    for (int id = 1; id <= 3; id++)
        answer(&c, MQTT_PUBACK, id, 0);
    expect(&c, log);
    end_client(&c);
}

static void expired_messages_are_not_sent(void **state)
{
    (void)state;
    what_expires_while_it_waits_is_not_sent(
        MQTT_5, "> PUBLISH b qos0 id0 expiry1\n> PUBLISH c qos1 id65 expiry6\n"
                "> PUBLISH d qos1 id66\n> PUBLISH e qos1 id67 expiry4294967291\n");
    what_expires_while_it_waits_is_not_sent(
        MQTT_3_1_1, "> PUBLISH b qos0 id0\n> PUBLISH c qos1 id65\n> PUBLISH d qos1 id66\n"
                    "> PUBLISH e qos1 id67\n");
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
        cmocka_unit_test(acks_leave_in_the_order_of_the_publishes),
        cmocka_unit_test(a_3_1_1_client_gets_its_puback_whatever_the_reason),
        cmocka_unit_test(refused_publishes_are_answered_in_their_turn),
        cmocka_unit_test(qos_2_is_routed_once_until_released),
        cmocka_unit_test(a_pending_qos_1_is_not_routed_twice),
        cmocka_unit_test(receive_maximum_is_enforced),
        cmocka_unit_test(a_3_1_1_client_is_not_read_at_the_limit),
        cmocka_unit_test(a_3_1_1_client_may_have_every_packet_id_in_flight),
        cmocka_unit_test(receive_maximum_counts_what_is_not_released),
        cmocka_unit_test(aliases_stand_for_topics),
        cmocka_unit_test(deliveries_keep_to_the_window),
        cmocka_unit_test(packet_ids_in_flight_are_not_taken_again),
        cmocka_unit_test(large_messages_are_dropped_for_small_clients),
        cmocka_unit_test(small_clients_are_sent_small_packets),
        cmocka_unit_test(a_full_queue_drops_qos_0_and_ends_qos_1),
        cmocka_unit_test(answers_wait_for_a_client_that_does_not_read),
        cmocka_unit_test(reason_strings_can_be_declined),
        cmocka_unit_test(properties_are_forwarded),
        cmocka_unit_test(expired_messages_are_not_sent),
        cmocka_unit_test(an_idle_session_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
