#include "packet.h"
#include <string.h>

enum { LENGTH_BYTES_MAX = 4, INCOMING_MAX = 1 << 20, SESSION_EXPIRY_S = 3600 };

static uint8_t *put_u16(uint8_t *out, size_t value)
{
    out[0] = (uint8_t)(value >> 8);
    out[1] = (uint8_t)value;
    return out + 2;
}

static uint8_t *put_text(uint8_t *out, const void *text, size_t len)
{
    out = put_u16(out, len);
    memcpy(out, text, len);
    return out + len;
}

/* A variable byte integer (MQTT-1.5.5): its length in bytes, 0 incomplete, -1 malformed. */
static int parse_varint(const uint8_t *data, size_t len, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (size_t i = 0; i < LENGTH_BYTES_MAX; i++) {
        if (i == len)
            return 0;
        value |= (uint32_t)(data[i] & 0x7f) << (7 * i);
        if ((data[i] & 0x80) == 0) {
            *ret_value = value;
            return (int)i + 1;
        }
    }
    return -1;
}

long packet_parse(const uint8_t *data, size_t len, struct packet *ret_packet)
{
    if (len < 2)
        return 0;
    uint32_t remaining;
    int n = parse_varint(data + 1, len - 1, &remaining);
    if (n <= 0)
        return n;
    if (remaining > INCOMING_MAX)
        return -1;
    size_t header = 1 + (size_t)n;
    if (len - header < remaining)
        return 0;
    ret_packet->type = data[0] >> 4;
    ret_packet->flags = data[0] & 0x0f;
    ret_packet->body = data + header;
    ret_packet->len = remaining;
    return (long)(header + remaining);
}

uint8_t *packet_header(uint8_t *out, uint8_t first, size_t remaining)
{
    *out++ = first;
    while (remaining > 0x7f) {
        *out++ = (uint8_t)(remaining | 0x80);
        remaining >>= 7;
    }
    *out++ = (uint8_t)remaining;
    return out;
}

/* Session Expiry Interval and Receive Maximum (MQTT-3.1.2.11); clean connections keep nothing. */
static uint8_t *put_connect_properties(uint8_t *out, bool clean)
{
    if (clean) {
        *out++ = 0;
        return out;
    }
    *out++ = 5;
    *out++ = 0x11;
    out = put_u16(out, 0);
    return put_u16(out, SESSION_EXPIRY_S);
}

void packet_put_connect(struct bytes *out, const struct packet_connect *connect)
{
    size_t texts = connect->client_id_len + connect->user_len + connect->pass_len;
    uint8_t *start = bytes_room(out, PACKET_HEADER_MAX + texts + 64);
    size_t remaining = 10 + 2 + connect->client_id_len;
    uint8_t flags = connect->clean ? 0x02 : 0;
    if (connect->user != NULL) {
        flags |= 0x80;
        remaining += 2 + connect->user_len;
    }
    if (connect->pass != NULL) {
        flags |= 0x40;
        remaining += 2 + connect->pass_len;
    }
    if (connect->v5)
        remaining += connect->clean ? 1 : 6;
    uint8_t *p = packet_header(start, 0x10, remaining);
    p = put_text(p, "MQTT", 4);
    *p++ = connect->v5 ? 5 : 4;
    *p++ = flags;
    p = put_u16(p, connect->keepalive);
    if (connect->v5)
        p = put_connect_properties(p, connect->clean);
    p = put_text(p, connect->client_id, connect->client_id_len);
    if (connect->user != NULL)
        p = put_text(p, connect->user, connect->user_len);
    if (connect->pass != NULL)
        p = put_text(p, connect->pass, connect->pass_len);
    out->end += (size_t)(p - start);
}

/* Bytes of the value of a CONNACK property (MQTT-3.2.2.3), -1 for one that does not belong there.
 */
static long property_len(uint8_t id, const uint8_t *value, size_t left)
{
    switch (id) {
    case 0x24:
    case 0x25:
    case 0x28:
    case 0x29:
    case 0x2a:
        return 1;
    case 0x13:
    case 0x21:
    case 0x22:
        return 2;
    case 0x11:
    case 0x27:
        return 4;
    case 0x12:
    case 0x15:
    case 0x16:
    case 0x1a:
    case 0x1c:
    case 0x1f:
        return left < 2 ? -1 : 2 + (value[0] << 8 | value[1]);
    case 0x26: {
        size_t first = left < 2 ? left : 2 + (size_t)(value[0] << 8 | value[1]);
        if (first + 2 > left)
            return -1;
        return (long)first + 2 + (value[first] << 8 | value[first + 1]);
    }
    default:
        return -1;
    }
}

static bool connack_properties(const uint8_t *p, size_t len, struct packet_connack *connack)
{
    uint32_t total;
    int n = parse_varint(p, len, &total);
    if (n <= 0 || total > len - (size_t)n)
        return false;
    const uint8_t *end = p + n + total;
    for (p += n; p < end;) {
        uint8_t id = *p++;
        long size = property_len(id, p, (size_t)(end - p));
        if (size < 0 || size > end - p)
            return false;
        if (id == 0x21)
            connack->receive_maximum = (uint16_t)(p[0] << 8 | p[1]);
        p += size;
    }
    return true;
}

bool packet_connack(const struct packet *packet, bool v5, struct packet_connack *ret_connack)
{
    if (packet->len < 2)
        return false;
    struct packet_connack connack = {.session_present = packet->body[0] & 1,
                                     .code = packet->body[1],
                                     .receive_maximum = PACKET_RECEIVE_MAXIMUM};
    /* A server that refuses before it knows the version may answer in the form of 3.1.1. */
    if (v5 && packet->len > 2 && !connack_properties(packet->body + 2, packet->len - 2, &connack))
        return false;
    *ret_connack = connack;
    return true;
}

bool packet_puback(const struct packet *packet, uint16_t *ret_id, uint8_t *ret_reason)
{
    if (packet->len < 2)
        return false;
    *ret_id = (uint16_t)(packet->body[0] << 8 | packet->body[1]);
    *ret_reason = packet->len > 2 ? packet->body[2] : 0;
    return true;
}
