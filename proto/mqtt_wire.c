#include "proto/mqtt_wire.h"

uint8_t mqtt_read_u8(struct mqtt_reader *self)
{
    if (mqtt_left(self) < 1) {
        mqtt_fail(self, MQTT_MALFORMED);
        return 0;
    }
    return *self->at++;
}

uint16_t mqtt_read_u16(struct mqtt_reader *self)
{
    if (mqtt_left(self) < 2) {
        mqtt_fail(self, MQTT_MALFORMED);
        return 0;
    }
    uint16_t value = (uint16_t)(self->at[0] << 8 | self->at[1]);
    self->at += 2;
    return value;
}

uint32_t mqtt_read_u32(struct mqtt_reader *self)
{
    if (mqtt_left(self) < 4) {
        mqtt_fail(self, MQTT_MALFORMED);
        return 0;
    }
    uint32_t high = mqtt_read_u16(self);
    return high << 16 | mqtt_read_u16(self);
}

uint32_t mqtt_read_varint(struct mqtt_reader *self)
{
    uint32_t value = 0;
    for (unsigned shift = 0; shift < 28; shift += 7) {
        uint8_t byte = mqtt_read_u8(self);
        value |= (uint32_t)(byte & 0x7F) << shift;
        if ((byte & 0x80) != 0)
            continue;
        if (byte == 0 && shift > 0)
            break; /* a longer form than needed */
        return value;
    }
    mqtt_fail(self, MQTT_MALFORMED);
    return 0;
}

struct mqtt_span mqtt_read_bytes(struct mqtt_reader *self)
{
    size_t len = mqtt_read_u16(self);
    if (self->reason != 0 || mqtt_left(self) < len) {
        mqtt_fail(self, MQTT_MALFORMED);
        return (struct mqtt_span){0};
    }
    struct mqtt_span span = {self->at, len};
    self->at += len;
    return span;
}

struct mqtt_span mqtt_read_text(struct mqtt_reader *self)
{
    struct mqtt_span span = mqtt_read_bytes(self);
    if (!mqtt_utf8_valid(span.data, span.len))
        mqtt_fail(self, MQTT_MALFORMED);
    return span;
}

struct mqtt_span mqtt_read_rest(struct mqtt_reader *self)
{
    struct mqtt_span span = {self->at, mqtt_left(self)};
    self->at = self->end;
    return span;
}

/* Length of the sequence at `data`, 0 when it is not one. */
static size_t utf8_sequence(const uint8_t *data, size_t len)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t n = data[0] >= 0xF0 ? 4 : data[0] >= 0xE0 ? 3 : 2;
    if (data[0] < 0xC2 || data[0] > 0xF4 || len < n)
        return 0;
    uint32_t code = data[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if ((data[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (data[i] & 0x3F);
    }
    bool surrogate = code >= 0xD800 && code <= 0xDFFF;
    return code < least[n] || code > 0x10FFFF || surrogate ? 0 : n;
}

bool mqtt_utf8_valid(const uint8_t *data, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = data[i] < 0x80 ? data[i] != 0 : utf8_sequence(data + i, len - i);
        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

void mqtt_write_u8(struct mqtt_writer *self, uint8_t value)
{
    if (self->data != NULL)
        self->data[self->len] = value;
    self->len++;
}

void mqtt_write_u16(struct mqtt_writer *self, uint16_t value)
{
    mqtt_write_u8(self, (uint8_t)(value >> 8));
    mqtt_write_u8(self, (uint8_t)value);
}

void mqtt_write_u32(struct mqtt_writer *self, uint32_t value)
{
    mqtt_write_u16(self, (uint16_t)(value >> 16));
    mqtt_write_u16(self, (uint16_t)value);
}

void mqtt_write_varint(struct mqtt_writer *self, uint32_t value)
{
    for (; value > 0x7F; value >>= 7)
        mqtt_write_u8(self, (uint8_t)(value | 0x80));
    mqtt_write_u8(self, (uint8_t)value);
}

void mqtt_write_raw(struct mqtt_writer *self, struct mqtt_span span)
{
    if (self->data != NULL && span.len > 0)
        memcpy(self->data + self->len, span.data, span.len);
    self->len += span.len;
}

void mqtt_write_bytes(struct mqtt_writer *self, struct mqtt_span span)
{
    mqtt_write_u16(self, (uint16_t)span.len);
    mqtt_write_raw(self, (struct mqtt_span){span.data, span.len & 0xFFFF});
}

size_t mqtt_varint_length(uint32_t value)
{
    return value < 128 ? 1 : value < 16384 ? 2 : value < 2097152 ? 3 : 4;
}
