#pragma once
/*
 * mqtt_wire - the data types of MQTT (5.0, 1.5) and its properties (2.2.2), for the decoder and
 * the encoder alone.
 *
 * A reader that fails keeps its first reason and reads zeros from then on, so callers check once.
 * A writer without `data` counts: the same code measures a packet and writes it.
 */
#include "proto/mqtt.h"

struct mqtt_reader {
    const uint8_t *at, *end;
    uint8_t reason; /* 0: all well */
};

struct mqtt_writer {
    uint8_t *data; /* NULL: count only */
    size_t len;
};

static inline void mqtt_fail(struct mqtt_reader *self, uint8_t reason)
{
    if (self->reason == 0)
        self->reason = reason;
    self->at = self->end;
}
static inline size_t mqtt_left(const struct mqtt_reader *self)
{
    return (size_t)(self->end - self->at);
}

uint8_t mqtt_read_u8(struct mqtt_reader *self);
uint16_t mqtt_read_u16(struct mqtt_reader *self);
uint32_t mqtt_read_u32(struct mqtt_reader *self);
/* Up to four bytes, in the shortest form (MQTT-1.5.5-1). */
uint32_t mqtt_read_varint(struct mqtt_reader *self);
struct mqtt_span mqtt_read_bytes(struct mqtt_reader *self);
struct mqtt_span mqtt_read_text(struct mqtt_reader *self);
struct mqtt_span mqtt_read_rest(struct mqtt_reader *self);

void mqtt_write_u8(struct mqtt_writer *self, uint8_t value);
void mqtt_write_u16(struct mqtt_writer *self, uint16_t value);
void mqtt_write_u32(struct mqtt_writer *self, uint32_t value);
void mqtt_write_varint(struct mqtt_writer *self, uint32_t value);
void mqtt_write_raw(struct mqtt_writer *self, struct mqtt_span span);
/* With its two bytes of length; what is not there is written as empty. */
void mqtt_write_bytes(struct mqtt_writer *self, struct mqtt_span span);

#define MQTT_VARINT_MAX 268435455u
size_t mqtt_varint_length(uint32_t value);

/* Where properties stand: a packet's type, or in the will of a CONNECT. */
#define MQTT_IN_WILL 0
void mqtt_read_properties(struct mqtt_reader *self, int place, struct mqtt_properties *ret);
/* The length and the properties that are present; those that `place` does not allow are left out.
 */
void mqtt_write_properties(struct mqtt_writer *self, int place,
                           const struct mqtt_properties *properties);
