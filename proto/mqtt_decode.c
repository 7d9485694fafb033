#include "proto/mqtt_wire.h"
#include "proto/topic.h"

#define CONNECT_LEVEL_AT 6 /* after the two bytes of length and "MQTT" */

int mqtt_frame_length(const uint8_t *data, size_t len, size_t max, size_t *ret_total)
{
    size_t remaining = 0;
    for (size_t i = 1; i < len; i++) {
        remaining |= (size_t)(data[i] & 0x7F) << (7 * (i - 1));
        if ((data[i] & 0x80) == 0) {
            size_t total = 1 + i + remaining;
            if (total > max)
                return ERR_TOO_LARGE;
            if (total > len)
                return 0;
            *ret_total = total;
            return 1;
        }
        if (i == 4)
            return ERR_MALFORMED; /* 2.1.4: four bytes at most */
    }
    return 0;
}

static bool has_topic_wildcard(struct mqtt_span topic)
{
    return topic.len > 0 &&
           (memchr(topic.data, '+', topic.len) || memchr(topic.data, '#', topic.len));
}

/* MQTT-4.7.3-1: at least one character; MQTT-3.3.2-2, MQTT-3.3.2-14: no wildcards. */
static void check_topic(struct mqtt_reader *in, struct mqtt_span topic)
{
    if (in->reason == 0 && (topic.len == 0 || has_topic_wildcard(topic)))
        mqtt_fail(in, MQTT_TOPIC_INVALID);
}

static void check_response_topic(struct mqtt_reader *in, const struct mqtt_properties *properties)
{
    if (mqtt_has(properties, MQTT_P_RESPONSE_TOPIC))
        check_topic(in, properties->response_topic);
}

static uint16_t read_packet_id(struct mqtt_reader *in)
{
    uint16_t id = mqtt_read_u16(in);
    if (in->reason == 0 && id == 0)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* MQTT-2.2.1-3, MQTT-2.2.1-4 */
    return id;
}

static uint8_t read_protocol(struct mqtt_reader *in)
{
    struct mqtt_span name = mqtt_read_text(in);
    uint8_t level = mqtt_read_u8(in);
    if (in->reason != 0)
        return 0;
    bool known = name.len == 4 && memcmp(name.data, "MQTT", 4) == 0; /* MQTT-3.1.2-1 */
    if (!known || (level != MQTT_3_1_1 && level != MQTT_5))
        mqtt_fail(in, MQTT_BAD_VERSION); /* MQTT-3.1.2-2 */
    return level;
}

static void read_will(struct mqtt_reader *in, uint8_t flags, int level, struct mqtt_will *will)
{
    will->present = (flags & 0x04) != 0;
    will->qos = flags >> 3 & 3;
    will->retain = (flags & 0x20) != 0;
    bool flags_wrong = !will->present && (will->qos != 0 || will->retain);
    if (flags_wrong || will->qos == 3) /* MQTT-3.1.2-11, MQTT-3.1.2-12, MQTT-3.1.2-13 */
        mqtt_fail(in, MQTT_MALFORMED);
    if (!will->present || in->reason != 0)
        return;
    if (level == MQTT_5) {
        mqtt_read_properties(in, MQTT_IN_WILL, &will->properties);
        check_response_topic(in, &will->properties);
    }
    will->topic = mqtt_read_text(in);
    will->payload = mqtt_read_bytes(in);
    check_topic(in, will->topic);
}

static void read_connect(struct mqtt_reader *in, struct mqtt_packet *ret)
{
    struct mqtt_connect *connect = &ret->connect;
    connect->level = read_protocol(in);
    uint8_t flags = mqtt_read_u8(in);
    connect->keep_alive_s = mqtt_read_u16(in);
    if ((flags & 0x01) != 0)
        mqtt_fail(in, MQTT_MALFORMED); /* MQTT-3.1.2-3: reserved */
    bool user = (flags & 0x80) != 0, password = (flags & 0x40) != 0;
    if (connect->level == MQTT_3_1_1 && password && !user)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* 3.1.1: MQTT-3.1.2-22 */
    connect->clean_start = (flags & 0x02) != 0;
    if (connect->level == MQTT_5)
        mqtt_read_properties(in, MQTT_CONNECT, &ret->properties);
    bool method = mqtt_has(&ret->properties, MQTT_P_AUTH_METHOD);
    if (in->reason == 0 && mqtt_has(&ret->properties, MQTT_P_AUTH_DATA) && !method)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* 3.1.2.11.10 */
    connect->client_id = mqtt_read_text(in);
    read_will(in, flags, connect->level, &connect->will);
    if (user)
        connect->user = mqtt_read_text(in);
    if (password)
        connect->password = mqtt_read_bytes(in);
}

static void read_connack(struct mqtt_reader *in, int version, struct mqtt_packet *ret)
{
    uint8_t flags = mqtt_read_u8(in);
    ret->connack.session_present = flags != 0;
    ret->connack.reason = mqtt_read_u8(in);
    if (flags > 1 || (version == MQTT_3_1_1 && ret->connack.reason > 5))
        mqtt_fail(in, MQTT_MALFORMED); /* MQTT-3.2.2-1 */
    if (ret->connack.reason != 0 && ret->connack.session_present)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* MQTT-3.2.2-6 */
    if (version == MQTT_5)
        mqtt_read_properties(in, MQTT_CONNACK, &ret->properties);
}

static void read_publish(struct mqtt_reader *in, uint8_t flags, int version,
                         struct mqtt_packet *ret)
{
    struct mqtt_publish *publish = &ret->publish;
    publish->retain = (flags & 1) != 0;
    publish->qos = flags >> 1 & 3;
    publish->dup = (flags & 8) != 0;
    if (publish->qos == 3 || (publish->dup && publish->qos == 0))
        mqtt_fail(in, MQTT_MALFORMED); /* MQTT-3.3.1-4, MQTT-3.3.1-2 */
    publish->topic = mqtt_read_text(in);
    if (publish->qos > 0)
        publish->packet_id = read_packet_id(in);
    if (version == MQTT_5)
        mqtt_read_properties(in, MQTT_PUBLISH, &ret->properties);
    if (in->reason != 0)
        return;
    const struct mqtt_properties *properties = &ret->properties;
    if (mqtt_has(properties, MQTT_P_TOPIC_ALIAS) && properties->topic_alias == 0)
        mqtt_fail(in, MQTT_ALIAS_INVALID); /* MQTT-3.3.2-8 */
    if (version == MQTT_5 && publish->topic.len == 0) {
        if (!mqtt_has(properties, MQTT_P_TOPIC_ALIAS))
            mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* 3.3.2.1 */
    } else {
        check_topic(in, publish->topic);
    }
    check_response_topic(in, properties);
    publish->payload = mqtt_read_rest(in);
}

/* Each packet of MQTT 5 knows some reasons alone
 * (MQTT-3.4.2-1, 3.5.2-1, 3.6.2-1, 3.7.2-1, 3.14.2-1, 3.15.2-1); the codes of CONNACK are left to
 * the client. */
static bool reason_known(enum mqtt_type type, uint8_t reason)
{
    static const uint8_t publish[] = {0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99};
    static const uint8_t release[] = {0x00, 0x92};
    static const uint8_t disconnect[] = {0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D,
                                         0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96, 0x97, 0x98, 0x99,
                                         0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2};
    static const uint8_t auth[] = {0x00, 0x18, 0x19};
    if (type == MQTT_PUBACK || type == MQTT_PUBREC)
        return memchr(publish, reason, sizeof publish) != NULL;
    if (type == MQTT_DISCONNECT)
        return memchr(disconnect, reason, sizeof disconnect) != NULL;
    if (type == MQTT_AUTH)
        return memchr(auth, reason, sizeof auth) != NULL;
    return memchr(release, reason, sizeof release) != NULL;
}

/* Acknowledgements, DISCONNECT, AUTH: reason and properties may both be cut off at the end. */
static void read_ack(struct mqtt_reader *in, int version, struct mqtt_packet *ret)
{
    if (ret->type != MQTT_DISCONNECT && ret->type != MQTT_AUTH)
        ret->ack.packet_id = read_packet_id(in);
    if (version == MQTT_3_1_1 || mqtt_left(in) == 0)
        return;
    ret->ack.reason = mqtt_read_u8(in);
    if (!reason_known(ret->type, ret->ack.reason))
        mqtt_fail(in, MQTT_MALFORMED);
    if (mqtt_left(in) > 0)
        mqtt_read_properties(in, (int)ret->type, &ret->properties);
}

static void check_options(struct mqtt_reader *in, int version, struct mqtt_span filter,
                          uint8_t options)
{
    if ((options & (version == MQTT_5 ? 0xC0 : 0xFC)) != 0)
        mqtt_fail(in, MQTT_MALFORMED); /* MQTT-3.8.3-5; 3.1.1: MQTT-3-8.3-4 */
    if ((options & 3) == 3)
        mqtt_fail(in, version == MQTT_5 ? MQTT_PROTOCOL_ERROR : MQTT_MALFORMED); /* 3.8.3.1 */
    if ((options >> 4 & 3) == 3)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* 3.8.3.1 */
    if ((options & 4) != 0 && topic_is_shared((const char *)filter.data, filter.len))
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* MQTT-3.8.3-4 */
}

static void read_filters(struct mqtt_reader *in, int version, struct mqtt_packet *ret)
{
    ret->subscribe.packet_id = read_packet_id(in);
    if (version == MQTT_5)
        mqtt_read_properties(in, (int)ret->type, &ret->properties);
    ret->subscribe.filters = (struct mqtt_span){in->at, mqtt_left(in)};
    if (mqtt_left(in) == 0)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* MQTT-3.8.3-2, MQTT-3.10.3-2 */
    while (in->reason == 0 && mqtt_left(in) > 0) {
        struct mqtt_span filter = mqtt_read_text(in);
        if (in->reason == 0 && !topic_filter_valid((const char *)filter.data, filter.len))
            mqtt_fail(in, MQTT_FILTER_INVALID); /* MQTT-4.7.1-1, MQTT-4.7.1-2, MQTT-4.7.3-1 */
        if (in->reason == 0 && ret->type == MQTT_SUBSCRIBE)
            check_options(in, version, filter, mqtt_read_u8(in));
    }
}

static void read_suback(struct mqtt_reader *in, int version, struct mqtt_packet *ret)
{
    ret->suback.packet_id = read_packet_id(in);
    if (version == MQTT_5)
        mqtt_read_properties(in, (int)ret->type, &ret->properties);
    if (ret->type == MQTT_SUBACK || version == MQTT_5) {
        if (mqtt_left(in) == 0)
            mqtt_fail(in, MQTT_PROTOCOL_ERROR);
        ret->suback.codes = mqtt_read_rest(in);
    }
}

static void read_body(struct mqtt_reader *in, uint8_t flags, int version, struct mqtt_packet *ret)
{
    switch (ret->type) {
    case MQTT_CONNECT:
        read_connect(in, ret);
        return;
    case MQTT_CONNACK:
        read_connack(in, version, ret);
        return;
    case MQTT_PUBLISH:
        read_publish(in, flags, version, ret);
        return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        read_ack(in, version, ret);
        return;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        read_filters(in, version, ret);
        return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        read_suback(in, version, ret);
        return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return;
    }
}

/* MQTT-2.1.3-1: the flags are fixed but in PUBLISH. */
static bool flags_valid(enum mqtt_type type, uint8_t flags)
{
    if (type == MQTT_PUBLISH)
        return true;
    bool two = type == MQTT_PUBREL || type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE;
    return flags == (two ? 2 : 0);
}

static void read_packet(struct mqtt_reader *in, uint8_t first, int version, struct mqtt_packet *ret)
{
    ret->type = (enum mqtt_type)(first >> 4);
    if (version == MQTT_NO_VERSION && ret->type != MQTT_CONNECT)
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* MQTT-3.1.0-1 */
    if (ret->type < MQTT_CONNECT || (ret->type == MQTT_AUTH && version == MQTT_3_1_1) ||
        !flags_valid(ret->type, first & 0x0F))
        mqtt_fail(in, MQTT_MALFORMED);
    if (in->reason == 0)
        read_body(in, first & 0x0F, version, ret);
    if (in->reason == 0 && mqtt_left(in) > 0)
        mqtt_fail(in, MQTT_MALFORMED); /* bytes behind the end */
}

int mqtt_decode(const uint8_t *packet, size_t len, int version, struct mqtt_packet *ret,
                uint8_t *ret_reason)
{
    struct mqtt_packet decoded = {0};
    size_t total = 0;
    struct mqtt_reader in = {packet, packet + len, 0};
    if (mqtt_frame_length(packet, len, SIZE_MAX, &total) != 1 || total != len)
        mqtt_fail(&in, MQTT_MALFORMED);
    uint8_t first = mqtt_read_u8(&in);
    uint32_t remaining = mqtt_read_varint(&in); /* MQTT-1.5.5-1: the shortest form */
    if (in.reason == 0 && remaining != mqtt_left(&in))
        mqtt_fail(&in, MQTT_MALFORMED);
    if (in.reason == 0)
        read_packet(&in, first, version, &decoded);
    if (in.reason != 0) {
        *ret_reason = in.reason;
        return in.reason == MQTT_BAD_VERSION ? ERR_VERSION : ERR_MALFORMED;
    }
    *ret = decoded;
    return 0;
}

int mqtt_connect_level(const uint8_t *packet, size_t len)
{
    size_t body = 1;
    while (body < len && body < 4 && (packet[body] & 0x80) != 0)
        body++;
    body++;
    if (len <= body + CONNECT_LEVEL_AT || packet[0] != MQTT_CONNECT << 4)
        return -1;
    return memcmp(packet + body, "\0\4MQTT", 6) == 0 ? packet[body + CONNECT_LEVEL_AT] : -1;
}

bool mqtt_next_filter(const struct mqtt_packet *packet, size_t *at, struct mqtt_filter *ret)
{
    struct mqtt_span filters = packet->subscribe.filters;
    if (*at >= filters.len)
        return false;
    struct mqtt_reader in = {filters.data + *at, filters.data + filters.len, 0};
    struct mqtt_filter next = {.filter = mqtt_read_bytes(&in)};
    if (packet->type == MQTT_SUBSCRIBE) {
        uint8_t options = mqtt_read_u8(&in);
        next.qos = options & 3;
        next.no_local = (options & 4) != 0;
        next.retain_as_published = (options & 8) != 0;
        next.retain_handling = options >> 4 & 3;
    }
    if (in.reason != 0)
        return false;
    *at = (size_t)(in.at - filters.data);
    *ret = next;
    return true;
}
