#include "proto/mqtt_wire.h"

static void write_will(struct mqtt_writer *out, int version, const struct mqtt_will *will)
{
    if (version == MQTT_5)
        mqtt_write_properties(out, MQTT_IN_WILL, &will->properties);
    mqtt_write_bytes(out, will->topic);
    mqtt_write_bytes(out, will->payload);
}

static void write_connect(struct mqtt_writer *out, int version, const struct mqtt_packet *packet)
{
    const struct mqtt_connect *connect = &packet->connect;
    const struct mqtt_will *will = &connect->will;
    mqtt_write_bytes(out, mqtt_text("MQTT"));
    mqtt_write_u8(out, (uint8_t)version);
    unsigned flags = connect->clean_start ? 0x02u : 0;
    if (will->present)
        flags |= 0x04u | (unsigned)will->qos << 3 | (will->retain ? 0x20u : 0);
    flags |= connect->password.data ? 0x40u : 0;
    flags |= connect->user.data ? 0x80u : 0;
    mqtt_write_u8(out, (uint8_t)flags);
    mqtt_write_u16(out, connect->keep_alive_s);
    if (version == MQTT_5)
        mqtt_write_properties(out, MQTT_CONNECT, &packet->properties);
    mqtt_write_bytes(out, connect->client_id);
    if (will->present)
        write_will(out, version, will);
    if (connect->user.data)
        mqtt_write_bytes(out, connect->user);
    if (connect->password.data)
        mqtt_write_bytes(out, connect->password);
}

static void write_publish(struct mqtt_writer *out, int version, const struct mqtt_packet *packet)
{
    const struct mqtt_publish *publish = &packet->publish;
    mqtt_write_bytes(out, publish->topic);
    if (publish->qos > 0)
        mqtt_write_u16(out, publish->packet_id);
    if (version == MQTT_5)
        mqtt_write_properties(out, MQTT_PUBLISH, &packet->properties);
    mqtt_write_raw(out, publish->payload);
}

/* The shortest of the forms: without properties, without a reason of 0. */
static void write_ack(struct mqtt_writer *out, int version, const struct mqtt_packet *packet)
{
    if (packet->type != MQTT_DISCONNECT && packet->type != MQTT_AUTH)
        mqtt_write_u16(out, packet->ack.packet_id);
    bool properties = packet->properties.present != 0;
    if (version == MQTT_5 && (packet->ack.reason != 0 || properties))
        mqtt_write_u8(out, packet->ack.reason);
    if (version == MQTT_5 && properties)
        mqtt_write_properties(out, (int)packet->type, &packet->properties);
}

static void write_id_and_list(struct mqtt_writer *out, int version,
                              const struct mqtt_packet *packet, uint16_t id, struct mqtt_span list)
{
    mqtt_write_u16(out, id);
    if (version == MQTT_5)
        mqtt_write_properties(out, (int)packet->type, &packet->properties);
    if (packet->type != MQTT_UNSUBACK || version == MQTT_5)
        mqtt_write_raw(out, list);
}

static void write_body(struct mqtt_writer *out, int version, const struct mqtt_packet *packet)
{
    switch (packet->type) {
    case MQTT_CONNECT:
        write_connect(out, version, packet);
        return;
    case MQTT_CONNACK:
        mqtt_write_u8(out, packet->connack.session_present);
        mqtt_write_u8(out, packet->connack.reason);
        if (version == MQTT_5)
            mqtt_write_properties(out, MQTT_CONNACK, &packet->properties);
        return;
    case MQTT_PUBLISH:
        write_publish(out, version, packet);
        return;
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
    case MQTT_DISCONNECT:
    case MQTT_AUTH:
        write_ack(out, version, packet);
        return;
    case MQTT_SUBSCRIBE:
    case MQTT_UNSUBSCRIBE:
        write_id_and_list(out, version, packet, packet->subscribe.packet_id,
                          packet->subscribe.filters);
        return;
    case MQTT_SUBACK:
    case MQTT_UNSUBACK:
        write_id_and_list(out, version, packet, packet->suback.packet_id, packet->suback.codes);
        return;
    case MQTT_PINGREQ:
    case MQTT_PINGRESP:
        return;
    }
}

static uint8_t first_byte(const struct mqtt_packet *packet)
{
    unsigned flags = 0;
    if (packet->type == MQTT_PUBLISH)
        flags = (packet->publish.dup ? 8u : 0) | (unsigned)packet->publish.qos << 1 |
                (packet->publish.retain ? 1u : 0);
    if (packet->type == MQTT_PUBREL || packet->type == MQTT_SUBSCRIBE ||
        packet->type == MQTT_UNSUBSCRIBE)
        flags = 2;
    return (uint8_t)((unsigned)packet->type << 4 | flags);
}

static bool encodable(int version, const struct mqtt_packet *packet)
{
    bool known = packet->type >= MQTT_CONNECT && packet->type <= MQTT_AUTH;
    return known && (version == MQTT_5 || (version == MQTT_3_1_1 && packet->type != MQTT_AUTH));
}

/* Of the part behind the fixed header, or ERR_*. */
static long body_length(int version, const struct mqtt_packet *packet)
{
    if (!encodable(version, packet))
        return ERR_MALFORMED;
    struct mqtt_writer count = {NULL, 0};
    write_body(&count, version, packet);
    return count.len > MQTT_VARINT_MAX ? ERR_TOO_LARGE : (long)count.len;
}

long mqtt_encoded_length(int version, const struct mqtt_packet *packet)
{
    long body = body_length(version, packet);
    return body < 0 ? body : 1 + (long)mqtt_varint_length((uint32_t)body) + body;
}

int mqtt_encode(struct buf *out, int version, const struct mqtt_packet *packet)
{
    long body = body_length(version, packet);
    if (body < 0)
        return (int)body;
    size_t total = 1 + mqtt_varint_length((uint32_t)body) + (size_t)body;
    struct mqtt_writer writer = {buf_reserve(out, total), 0};
    if (writer.data == NULL)
        return ERR_TOO_LARGE;
    mqtt_write_u8(&writer, first_byte(packet));
    mqtt_write_varint(&writer, (uint32_t)body);
    write_body(&writer, version, packet);
    out->len += total;
    return 0;
}

static void put(struct buf *out, int version, const struct mqtt_packet *packet)
{
    if (mqtt_encode(out, version, packet) < 0)
        out->failed = true;
}

static void set_reason_text(struct mqtt_packet *packet, const char *text)
{
    if (text == NULL)
        return;
    mqtt_mark(&packet->properties, MQTT_P_REASON_STRING);
    packet->properties.reason_string = mqtt_text(text);
}

void mqtt_put_ack(struct buf *out, int version, enum mqtt_type type, uint16_t packet_id,
                  uint8_t reason, const char *text)
{
    if (version == MQTT_3_1_1 || (reason == 0 && text == NULL)) { /* the common one: four bytes */
        uint8_t flags = type == MQTT_PUBREL ? 2 : 0;
        uint8_t bytes[] = {(uint8_t)((unsigned)type << 4 | flags), 2, (uint8_t)(packet_id >> 8),
                           (uint8_t)packet_id};
        buf_put(out, bytes, sizeof bytes);
        return;
    }
    struct mqtt_packet packet = {.type = type, .ack = {packet_id, reason}};
    set_reason_text(&packet, text);
    put(out, version, &packet);
}

void mqtt_put_suback(struct buf *out, int version, enum mqtt_type type, uint16_t packet_id,
                     const uint8_t *codes, size_t count)
{
    put(out, version, &(struct mqtt_packet){.type = type, .suback = {packet_id, {codes, count}}});
}

void mqtt_put_pingresp(struct buf *out)
{
    buf_put(out, (const uint8_t[]){MQTT_PINGRESP << 4, 0}, 2);
}

void mqtt_put_disconnect(struct buf *out, int version, uint8_t reason, const char *text,
                         const char *server_reference)
{
    if (version != MQTT_5)
        return;
    struct mqtt_packet packet = {.type = MQTT_DISCONNECT, .ack = {0, reason}};
    set_reason_text(&packet, text);
    if (server_reference != NULL) {
        mqtt_mark(&packet.properties, MQTT_P_SERVER_REFERENCE);
        packet.properties.server_reference = mqtt_text(server_reference);
    }
    put(out, version, &packet);
}

void mqtt_put_filter(struct buf *payload, const char *filter, int options)
{
    size_t len = strlen(filter);
    buf_putc(payload, (char)(len >> 8));
    buf_putc(payload, (char)len);
    buf_put(payload, filter, len);
    if (options >= 0)
        buf_putc(payload, (char)options);
}
