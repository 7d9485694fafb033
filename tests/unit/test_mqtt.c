#include "proto/mqtt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define BYTES(literal) (const uint8_t *)(literal), sizeof(literal) - 1

struct refusal {
    const char *what;
    int version;
    const uint8_t *bytes;
    size_t len;
    uint8_t reason;
};

static const struct refusal refusals[] = {
    {"first packet is no CONNECT", 0, BYTES("\xC0\x00"), 0x82},
    {"type 0", 4, BYTES("\x00\x00"), 0x81},
    {"AUTH in 3.1.1", 4, BYTES("\xF0\x00"), 0x81},
    {"CONNECT with flags", 0, BYTES("\x11\x0C\0\4MQTT\4\2\0\0\0\0"), 0x81},
    {"CONNECT cut off", 0, BYTES("\x10\x0A\0\4MQTT\4\2\0\0"), 0x81},
    {"CONNECT with a byte too many", 0, BYTES("\x10\x0D\0\4MQTT\4\2\0\0\0\0x"), 0x81},
    {"protocol name", 0, BYTES("\x10\x0C\0\4MQTX\4\2\0\0\0\0"), 0x84},
    {"protocol of 3.1", 0, BYTES("\x10\x0E\0\6MQIsdp\3\2\0\0\0\0"), 0x84},
    {"level 6", 0, BYTES("\x10\x0C\0\4MQTT\6\2\0\0\0\0"), 0x84},
    {"reserved connect flag", 0, BYTES("\x10\x0C\0\4MQTT\4\3\0\0\0\0"), 0x81},
    {"will QoS without will", 0, BYTES("\x10\x0C\0\4MQTT\4\x0A\0\0\0\0"), 0x81},
    {"will retain without will", 0, BYTES("\x10\x0C\0\4MQTT\4\x22\0\0\0\0"), 0x81},
    {"will QoS 3", 0, BYTES("\x10\x11\0\4MQTT\4\x1E\0\0\0\0\0\1t\0\0"), 0x81},
    {"will topic with wildcard", 0, BYTES("\x10\x11\0\4MQTT\4\6\0\0\0\0\0\1#\0\0"), 0x90},
    {"password without user in 3.1.1", 0, BYTES("\x10\x0F\0\4MQTT\4\x42\0\0\0\0\0\1p"), 0x82},
    {"client id with U+0000", 0, BYTES("\x10\x0D\0\4MQTT\4\2\0\0\0\1\0"), 0x81},
    {"client id overlong", 0, BYTES("\x10\x0E\0\4MQTT\4\2\0\0\0\2\xC0\x80"), 0x81},
    {"client id surrogate", 0, BYTES("\x10\x0F\0\4MQTT\4\2\0\0\0\3\xED\xA0\x80"), 0x81},
    {"receive maximum 0", 0, BYTES("\x10\x10\0\4MQTT\5\2\0\0\3\x21\0\0\0\0"), 0x82},
    {"maximum packet size 0", 0, BYTES("\x10\x12\0\4MQTT\5\2\0\0\5\x27\0\0\0\0\0\0"), 0x82},
    {"property twice", 0, BYTES("\x10\x11\0\4MQTT\5\2\0\0\4\x17\0\x17\0\0\0"), 0x82},
    {"boolean of 2", 0, BYTES("\x10\x0F\0\4MQTT\5\2\0\0\2\x17\2\0\0"), 0x82},
    {"property of PUBLISH", 0, BYTES("\x10\x10\0\4MQTT\5\2\0\0\3\x23\0\1\0\0"), 0x81},
    {"unknown property", 0, BYTES("\x10\x0F\0\4MQTT\5\2\0\0\2\x7F\0\0\0"), 0x81},
    {"properties longer than the packet", 0, BYTES("\x10\x0D\0\4MQTT\5\2\0\0\x40\0\0"), 0x81},
    {"auth data without method", 0, BYTES("\x10\x11\0\4MQTT\5\2\0\0\4\x16\0\1x\0\0"), 0x82},
    {"remaining length in a longer form", 5, BYTES("\xC0\x80\x00"), 0x81},
    {"PINGREQ with a body", 4, BYTES("\xC0\x01x"), 0x81},
    {"PINGREQ with flags", 4, BYTES("\xC1\x00"), 0x81},
    {"QoS 3", 4, BYTES("\x36\x05\0\1t\0\1"), 0x81},
    {"DUP with QoS 0", 4, BYTES("\x38\x03\0\1t"), 0x81},
    {"packet id 0", 4, BYTES("\x32\x05\0\1t\0\0"), 0x82},
    {"empty topic", 4, BYTES("\x30\x02\0\0"), 0x90},
    {"empty topic without alias", 5, BYTES("\x30\x03\0\0\0"), 0x82},
    {"wildcard in topic", 4, BYTES("\x30\x05\0\3t/+"), 0x90},
    {"wildcard in topic", 5, BYTES("\x30\x04\0\1#\0"), 0x90},
    {"topic longer than the packet", 4, BYTES("\x30\x03\0\5t"), 0x81},
    {"alias 0", 5, BYTES("\x30\x07\0\1t\3\x23\0\0"), 0x94},
    {"payload format 2", 5, BYTES("\x30\x06\0\1t\2\1\2"), 0x82},
    {"response topic with wildcard", 5, BYTES("\x30\x08\0\1t\4\x08\0\1#"), 0x90},
    {"subscription id 0", 5, BYTES("\x30\x06\0\1t\2\x0B\0"), 0x82},
    {"PUBACK with flags", 4, BYTES("\x41\x02\0\1"), 0x81},
    {"PUBACK of packet id 0", 4, BYTES("\x40\x02\0\0"), 0x82},
    {"PUBACK with a reason in 3.1.1", 4, BYTES("\x40\x03\0\1\0"), 0x81},
    {"PUBACK with an unknown reason", 5, BYTES("\x40\x03\0\1\x92"), 0x81},
    {"PUBREL without its flags", 4, BYTES("\x60\x02\0\1"), 0x81},
    {"PUBREL with a reason of PUBACK", 5, BYTES("\x62\x03\0\1\x87"), 0x81},
    {"SUBSCRIBE without its flags", 4, BYTES("\x80\x06\0\1\0\1t\0"), 0x81},
    {"SUBSCRIBE without filters", 4, BYTES("\x82\x02\0\1"), 0x82},
    {"SUBSCRIBE without filters", 5, BYTES("\x82\x03\0\1\0"), 0x82},
    {"SUBSCRIBE with packet id 0", 4, BYTES("\x82\x06\0\0\0\1t\0"), 0x82},
    {"SUBSCRIBE with QoS 3", 4, BYTES("\x82\x06\0\1\0\1t\3"), 0x81},
    {"SUBSCRIBE with QoS 3", 5, BYTES("\x82\x07\0\1\0\0\1t\3"), 0x82},
    {"SUBSCRIBE with options of 5 in 3.1.1", 4, BYTES("\x82\x06\0\1\0\1t\4"), 0x81},
    {"SUBSCRIBE with reserved options", 5, BYTES("\x82\x07\0\1\0\0\1t\x40"), 0x81},
    {"SUBSCRIBE with retain handling 3", 5, BYTES("\x82\x07\0\1\0\0\1t\x30"), 0x82},
    {"no local on a shared one", 5, BYTES("\x82\x10\0\1\0\0\x0A$share/g/a\4"), 0x82},
    {"SUBSCRIBE without options", 4, BYTES("\x82\x05\0\1\0\1t"), 0x81},
    {"empty filter", 4, BYTES("\x82\x05\0\1\0\0\0"), 0x8F},
    {"wrong wildcard", 4, BYTES("\x82\x07\0\1\0\2a#\0"), 0x8F},
    {"UNSUBSCRIBE without filters", 4, BYTES("\xA2\x02\0\1"), 0x82},
    {"DISCONNECT with a body in 3.1.1", 4, BYTES("\xE0\x01\0"), 0x81},
    {"DISCONNECT with an unknown reason", 5, BYTES("\xE0\x01\x01"), 0x81},
    {"DISCONNECT with a property of CONNECT", 5, BYTES("\xE0\x05\0\3\x21\0\1"), 0x81},
    {"AUTH without a known reason", 5, BYTES("\xF0\x01\x01"), 0x81},
};

static void malformed_packets_are_refused_with_their_reason(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        struct mqtt_packet packet;
        uint8_t reason = 0;
        size_t total = 0; /* refused for what it says, not for its length */
        if (mqtt_frame_length(r->bytes, r->len, 100, &total) != 1 || total != r->len)
            fail_msg("%s: not a frame", r->what);
        int rc = mqtt_decode(r->bytes, r->len, r->version, &packet, &reason);
        if (rc == 0 || reason != r->reason)
            fail_msg("%s: %d, 0x%02x in place of 0x%02x", r->what, rc, reason, r->reason);
    }
}

static void frames_are_measured_before_they_are_whole(void **state)
{
    (void)state;
    size_t total = 0;
    assert_int_equal(mqtt_frame_length(BYTES(""), 100, &total), 0);
    assert_int_equal(mqtt_frame_length(BYTES("\x30"), 100, &total), 0);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\x80"), 100, &total), 0);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\x02x"), 100, &total), 0);
    assert_int_equal(total, 0);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\x02xyz"), 100, &total), 1);
    assert_int_equal(total, 4);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\x63"), 100, &total), ERR_TOO_LARGE);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\x62"), 100, &total), 0);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\xFF\xFF\xFF\x7F"), 1000, &total), ERR_TOO_LARGE);
    assert_int_equal(mqtt_frame_length(BYTES("\x30\xFF\xFF\xFF\xFF"), 1000, &total), ERR_MALFORMED);
}

static struct mqtt_packet decoded(const struct buf *bytes, int version)
{
    struct mqtt_packet packet;
    uint8_t reason = 0;
    if (mqtt_decode(bytes->data, bytes->len, version, &packet, &reason) < 0)
        fail_msg("not decoded: 0x%02x", reason);
    return packet;
}

static void assert_text(struct mqtt_span span, const char *text)
{
    assert_int_equal(span.len, strlen(text));
    assert_memory_equal(span.data, text, span.len);
}

static void connect_keeps_all_it_says(void **state)
{
    (void)state;
    struct mqtt_packet in = {.type = MQTT_CONNECT};
    in.connect = (struct mqtt_connect){.level = 5, .clean_start = true, .keep_alive_s = 60};
    in.connect.client_id = mqtt_text("me");
    in.connect.user = mqtt_text("user");
    in.connect.password = mqtt_text("");
    in.connect.will.present = in.connect.will.retain = true;
    in.connect.will.qos = 2;
    in.connect.will.topic = mqtt_text("will/topic");
    in.connect.will.payload = mqtt_text("gone");
    in.connect.will.properties.will_delay_s = 7;
    mqtt_mark(&in.connect.will.properties, MQTT_P_WILL_DELAY);
    in.properties.session_expiry_s = 70000;
    mqtt_mark(&in.properties, MQTT_P_SESSION_EXPIRY);
    in.properties.receive_maximum = 20;
    mqtt_mark(&in.properties, MQTT_P_RECEIVE_MAXIMUM);
    in.properties.maximum_packet_size = 123456;
    mqtt_mark(&in.properties, MQTT_P_MAXIMUM_PACKET_SIZE);
    struct buf bytes;
    buf_init(&bytes, 1000);
    assert_int_equal(mqtt_encode(&bytes, MQTT_5, &in), 0);
    struct mqtt_packet out = decoded(&bytes, MQTT_NO_VERSION);
    assert_int_equal(out.connect.level, 5);
    assert_true(out.connect.clean_start && out.connect.will.present && out.connect.will.retain);
    assert_int_equal(out.connect.keep_alive_s, 60);
    assert_text(out.connect.client_id, "me");
    assert_text(out.connect.user, "user");
    assert_non_null(out.connect.password.data);
    assert_int_equal(out.connect.password.len, 0);
    assert_int_equal(out.connect.will.qos, 2);
    assert_text(out.connect.will.topic, "will/topic");
    assert_text(out.connect.will.payload, "gone");
    assert_int_equal(out.connect.will.properties.will_delay_s, 7);
    assert_int_equal(out.properties.session_expiry_s, 70000);
    assert_int_equal(out.properties.receive_maximum, 20);
    assert_int_equal(out.properties.maximum_packet_size, 123456);
    assert_false(mqtt_has(&out.properties, MQTT_P_AUTH_METHOD));
    buf_free(&bytes);
}

static void connect_of_3_1_1_has_no_properties(void **state)
{
    (void)state;
    struct mqtt_packet packet;
    uint8_t reason;
    assert_int_equal(mqtt_decode(BYTES("\x10\x0D\0\4MQTT\4\2\0\x3C\0\1a"), 0, &packet, &reason), 0);
    assert_int_equal(packet.connect.level, 4);
    assert_int_equal(packet.connect.keep_alive_s, 60);
    assert_null(packet.connect.user.data);
    assert_null(packet.connect.password.data);
    assert_int_equal(mqtt_connect_level(BYTES("\x10\x0C\0\4MQTT\6\2\0\0\0\0")), 6);
    assert_int_equal(mqtt_connect_level(BYTES("\x10\x0C\0\4MQTX\6\2\0\0\0\0")), -1);
    assert_int_equal(mqtt_connect_level(BYTES("\x10\x0C\0\4MQ")), -1);
}

/* User properties around another property: the other is not lost and not doubled. */
static void user_properties_are_forwarded_unchanged(void **state)
{
    (void)state;
    struct mqtt_packet packet;
    uint8_t reason;
    static const char right[] = "\x32\x1D\0\1t\0\5\x14"
                                "\x26\0\1a\0\1b"
                                "\1\1"
                                "\x26\0\1c\0\2de"
                                "\x23\0\2"
                                "pay";
    assert_int_equal(mqtt_decode(BYTES(right), MQTT_5, &packet, &reason), 0);
    assert_int_equal(packet.properties.payload_format, 1);
    assert_int_equal(packet.properties.topic_alias, 2);
    assert_text(packet.publish.payload, "pay");
    struct mqtt_span name, value;
    size_t at = 0;
    assert_true(mqtt_next_user_property(packet.properties.user, &at, &name, &value));
    assert_text(name, "a");
    assert_true(mqtt_next_user_property(packet.properties.user, &at, &name, &value));
    assert_text(value, "de");
    assert_false(mqtt_next_user_property(packet.properties.user, &at, &name, &value));
    struct buf out;
    buf_init(&out, 1000);
    assert_int_equal(mqtt_encode(&out, MQTT_5, &packet), 0);
    assert_int_equal(out.len, sizeof right - 1);
    struct mqtt_packet again = decoded(&out, MQTT_5);
    assert_int_equal(again.properties.present, packet.properties.present);
    assert_int_equal(again.properties.user.len, 15);
    buf_free(&out);
}

static void forwarded_properties_are_bytes_and_come_back(void **state)
{
    (void)state;
    struct mqtt_properties given = {.payload_format = 1, .topic_alias = 3, .message_expiry_s = 9};
    struct mqtt_properties got;
    struct buf bytes;
    buf_init(&bytes, 1000);
    mqtt_put_forwarded(&bytes, &given);
    assert_int_equal(bytes.len, 0);
    mqtt_mark(&given, MQTT_P_TOPIC_ALIAS);
    mqtt_mark(&given, MQTT_P_MESSAGE_EXPIRY);
    mqtt_put_forwarded(&bytes, &given);
    assert_int_equal(bytes.len, 0); /* neither is what goes on unchanged */
    mqtt_mark(&given, MQTT_P_PAYLOAD_FORMAT);
    mqtt_mark(&given, MQTT_P_CORRELATION_DATA);
    mqtt_mark(&given, MQTT_P_USER);
    given.correlation_data = (struct mqtt_span){BYTES("\0\xff")};
    given.user = (struct mqtt_span){BYTES("\x26\0\1a\0\1b\x26\0\1a\0\1c")};
    mqtt_put_forwarded(&bytes, &given);
    assert_memory_equal(bytes.data, "\x15\1\1\x09\0\2\0\xff\x26\0\1a\0\1b\x26\0\1a\0\1c", 22);
    assert_int_equal(bytes.len, 22);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(mqtt_take_forwarded((struct mqtt_span){bytes.data, len}, &got),
                         ERR_MALFORMED);
    assert_int_equal(mqtt_take_forwarded((struct mqtt_span){bytes.data, bytes.len}, &got), 0);
    assert_int_equal(got.present, given.present & MQTT_FORWARDED);
    assert_int_equal(got.payload_format, 1);
    assert_memory_equal(got.correlation_data.data, "\0\xff", 2);
    assert_int_equal(got.user.len, 14);
    buf_free(&bytes);
}

static void filters_come_with_their_options(void **state)
{
    (void)state;
    struct buf list, out;
    buf_init(&list, 1000);
    buf_init(&out, 1000);
    mqtt_put_filter(&list, "a/#", 0x2E);
    mqtt_put_filter(&list, "b", 1);
    struct mqtt_packet packet = {.type = MQTT_SUBSCRIBE};
    packet.subscribe = (struct mqtt_subscribe){77, {list.data, list.len}};
    packet.properties.subscription_id = 300;
    mqtt_mark(&packet.properties, MQTT_P_SUBSCRIPTION_ID);
    assert_int_equal(mqtt_encode(&out, MQTT_5, &packet), 0);
    struct mqtt_packet got = decoded(&out, MQTT_5);
    assert_int_equal(got.subscribe.packet_id, 77);
    assert_int_equal(got.properties.subscription_id, 300);
    struct mqtt_filter filter;
    size_t at = 0;
    assert_true(mqtt_next_filter(&got, &at, &filter));
    assert_text(filter.filter, "a/#");
    assert_int_equal(filter.qos, 2);
    assert_true(filter.no_local && filter.retain_as_published);
    assert_int_equal(filter.retain_handling, 2);
    assert_true(mqtt_next_filter(&got, &at, &filter));
    assert_text(filter.filter, "b");
    assert_int_equal(filter.qos, 1);
    assert_false(mqtt_next_filter(&got, &at, &filter));
    buf_free(&list);
    buf_free(&out);
}

static void answers_have_their_exact_bytes(void **state)
{
    (void)state;
    static const struct {
        int version;
        enum mqtt_type type;
        uint8_t reason;
        const char *text;
        const uint8_t *bytes;
        size_t len;
    } cases[] = {
        {4, MQTT_PUBACK, 0x87, "no", BYTES("\x40\2\1\2")},
        {5, MQTT_PUBACK, 0, NULL, BYTES("\x40\2\1\2")},
        {5, MQTT_PUBREC, 0x87, NULL, BYTES("\x50\3\1\2\x87")},
        {5, MQTT_PUBACK, 0x99, "no", BYTES("\x40\x09\1\2\x99\5\x1F\0\2no")},
        {4, MQTT_PUBREL, 0, NULL, BYTES("\x62\2\1\2")},
        {5, MQTT_PUBREL, 0x92, NULL, BYTES("\x62\3\1\2\x92")},
        {5, MQTT_PUBCOMP, 0, NULL, BYTES("\x70\2\1\2")},
    };
    struct buf out;
    buf_init(&out, 1000);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buf_clear(&out);
        mqtt_put_ack(&out, cases[i].version, cases[i].type, 0x0102, cases[i].reason, cases[i].text);
        assert_int_equal(out.len, cases[i].len);
        assert_memory_equal(out.data, cases[i].bytes, out.len);
    }
    buf_clear(&out);
    mqtt_put_disconnect(&out, MQTT_3_1_1, 0x8E, NULL, NULL);
    assert_int_equal(out.len, 0);
    mqtt_put_disconnect(&out, MQTT_5, 0x9D, NULL, "h:1");
    assert_memory_equal(out.data, "\xE0\x08\x9D\6\x1C\0\3h:1", out.len);
    buf_clear(&out);
    mqtt_put_suback(&out, MQTT_5, MQTT_SUBACK, 5, (const uint8_t[]){1, 0x87}, 2);
    assert_memory_equal(out.data, "\x90\5\0\5\0\1\x87", out.len);
    buf_clear(&out);
    mqtt_put_suback(&out, MQTT_3_1_1, MQTT_UNSUBACK, 5, (const uint8_t[]){0x11}, 1);
    assert_int_equal(out.len, 4);
    assert_memory_equal(out.data, "\xB0\2\0\5", out.len);
    buf_free(&out);
}

static void an_encoder_fails_whole(void **state)
{
    (void)state;
    struct buf out;
    buf_init(&out, 8);
    struct mqtt_packet packet = {.type = MQTT_PUBLISH};
    packet.publish.topic = mqtt_text("topic");
    packet.publish.payload = mqtt_text("payload");
    assert_int_equal(mqtt_encoded_length(MQTT_3_1_1, &packet), 16);
    assert_int_equal(mqtt_encode(&out, MQTT_3_1_1, &packet), ERR_TOO_LARGE);
    assert_int_equal(out.len, 0);
    packet.type = MQTT_AUTH;
    assert_int_equal(mqtt_encode(&out, MQTT_3_1_1, &packet), ERR_MALFORMED);
    buf_free(&out);
}

static void utf8_is_checked_to_its_edges(void **state)
{
    (void)state;
    static const struct {
        const uint8_t *bytes;
        size_t len;
        bool valid;
    } cases[] = {
        {BYTES(""), true},
        {BYTES("\x7F"), true},
        {BYTES("\xC2\x80"), true},
        {BYTES("\xDF\xBF"), true},
        {BYTES("\xE0\xA0\x80"), true},
        {BYTES("\xED\x9F\xBF"), true},
        {BYTES("\xEE\x80\x80"), true},
        {BYTES("\xEF\xBB\xBF"), true},
        {BYTES("\xF4\x8F\xBF\xBF"), true},
        {BYTES("a\0b"), false},
        {BYTES("\x80"), false},
        {BYTES("\xC1\xBF"), false},
        {BYTES("\xE0\x9F\xBF"), false},
        {BYTES("\xED\xA0\x80"), false},
        {BYTES("\xED\xBF\xBF"), false},
        {BYTES("\xF0\x8F\xBF\xBF"), false},
        {BYTES("\xF4\x90\x80\x80"), false},
        {BYTES("\xF5\x80\x80\x80"), false},
        {BYTES("\xE2\x82"), false},
        {BYTES("\xC2"), false},
        {BYTES("\xE2\x28\xA1"), false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (mqtt_utf8_valid(cases[i].bytes, cases[i].len) != cases[i].valid)
            fail_msg("case %zu", i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_packets_are_refused_with_their_reason),
        cmocka_unit_test(frames_are_measured_before_they_are_whole),
        cmocka_unit_test(connect_keeps_all_it_says),
        cmocka_unit_test(connect_of_3_1_1_has_no_properties),
        cmocka_unit_test(user_properties_are_forwarded_unchanged),
        cmocka_unit_test(forwarded_properties_are_bytes_and_come_back),
        cmocka_unit_test(filters_come_with_their_options),
        cmocka_unit_test(answers_have_their_exact_bytes),
        cmocka_unit_test(an_encoder_fails_whole),
        cmocka_unit_test(utf8_is_checked_to_its_edges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
