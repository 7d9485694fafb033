#include "proto/check.h"
#include "proto/mqtt_wire.h"

enum kind { NO_KIND, U8, U16, U32, VARINT, TEXT, BYTES, PAIR };

#define WILL (1u << MQTT_IN_WILL)
#define IN(type) (1u << MQTT_##type)
#define ACKS (IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP))
#define ANYWHERE 0xFFFFu

struct rule {
    enum kind kind;
    uint32_t places, least, greatest;
    size_t offset;
};

static const struct rule rules[] = {
#define PROPERTY(id, field, kind, places, least, greatest)                                         \
    [id] = {kind, places, least, greatest, offsetof(struct mqtt_properties, field)},
#include "proto/mqtt_property.def"
#undef PROPERTY
};
#define RULES (sizeof rules / sizeof *rules)

static const struct rule *rule_of(uint32_t id)
{
    return id < RULES && rules[id].kind != NO_KIND ? &rules[id] : NULL;
}

static uint32_t read_number(struct mqtt_reader *in, enum kind kind)
{
    if (kind == U8)
        return mqtt_read_u8(in);
    if (kind == U16)
        return mqtt_read_u16(in);
    return kind == U32 ? mqtt_read_u32(in) : mqtt_read_varint(in);
}

static void store_number(void *field, enum kind kind, uint32_t value)
{
    if (kind == U8)
        *(uint8_t *)field = (uint8_t)value;
    else if (kind == U16)
        *(uint16_t *)field = (uint16_t)value;
    else
        *(uint32_t *)field = value;
}

static uint32_t load_number(const void *field, enum kind kind)
{
    if (kind == U8)
        return *(const uint8_t *)field;
    return kind == U16 ? *(const uint16_t *)field : *(const uint32_t *)field;
}

static void read_value(struct mqtt_reader *in, const struct rule *rule, void *field)
{
    if (rule->kind == TEXT) {
        *(struct mqtt_span *)field = mqtt_read_text(in);
    } else if (rule->kind == BYTES) {
        *(struct mqtt_span *)field = mqtt_read_bytes(in);
    } else {
        uint32_t value = read_number(in, rule->kind);
        if (in->reason == 0 && (value < rule->least || value > rule->greatest))
            mqtt_fail(in, MQTT_PROTOCOL_ERROR);
        store_number(field, rule->kind, value);
    }
}

static void read_pair(struct mqtt_reader *in, const uint8_t *start, struct mqtt_properties *ret)
{
    (void)mqtt_read_text(in);
    (void)mqtt_read_text(in);
    if (ret->user.data == NULL)
        ret->user.data = start;
    ret->user.len = (size_t)(in->at - ret->user.data);
}

static void read_property(struct mqtt_reader *in, int place, struct mqtt_properties *ret)
{
    const uint8_t *start = in->at;
    uint32_t id = mqtt_read_varint(in);
    const struct rule *rule = rule_of(id);
    if (in->reason != 0 || rule == NULL || (rule->places >> place & 1) == 0) {
        mqtt_fail(in, MQTT_MALFORMED); /* 2.2.2.2: not valid for its packet type */
        return;
    }
    bool repeated = (ret->present >> id & 1) != 0;
    ret->present |= (uint64_t)1 << id;
    if (rule->kind == PAIR) {
        read_pair(in, start, ret);
    } else if (!repeated) {
        read_value(in, rule, (uint8_t *)ret + rule->offset);
    } else if (id == MQTT_P_SUBSCRIPTION_ID && place == MQTT_PUBLISH) {
        if (mqtt_read_varint(in) == 0) /* 3.3.2.3.8: several are allowed, 0 is not */
            mqtt_fail(in, MQTT_PROTOCOL_ERROR);
    } else {
        mqtt_fail(in, MQTT_PROTOCOL_ERROR); /* "included more than once" */
    }
}

void mqtt_read_properties(struct mqtt_reader *self, int place, struct mqtt_properties *ret)
{
    size_t len = mqtt_read_varint(self);
    if (self->reason != 0 || len > mqtt_left(self)) {
        mqtt_fail(self, MQTT_MALFORMED);
        return;
    }
    struct mqtt_reader in = {self->at, self->at + len, 0};
    self->at += len;
    while (in.reason == 0 && mqtt_left(&in) > 0)
        read_property(&in, place, ret);
    if (in.reason != 0)
        mqtt_fail(self, in.reason);
}

static void skip_value(struct mqtt_reader *in, enum kind kind)
{
    if (kind == TEXT || kind == BYTES)
        (void)mqtt_read_bytes(in);
    else
        (void)read_number(in, kind);
}

bool mqtt_next_user_property(struct mqtt_span user, size_t *at, struct mqtt_span *ret_name,
                             struct mqtt_span *ret_value)
{
    if (*at >= user.len)
        return false;
    struct mqtt_reader in = {user.data + *at, user.data + user.len, 0};
    while (in.reason == 0 && mqtt_left(&in) > 0) {
        const struct rule *rule = rule_of(mqtt_read_varint(&in));
        if (rule == NULL)
            break;
        if (rule->kind != PAIR) {
            skip_value(&in, rule->kind);
            continue;
        }
        struct mqtt_span name = mqtt_read_bytes(&in), value = mqtt_read_bytes(&in);
        *at = (size_t)(in.at - user.data);
        if (in.reason == 0) {
            *ret_name = name;
            *ret_value = value;
        }
        return in.reason == 0;
    }
    *at = user.len;
    return false;
}

static void write_user(struct mqtt_writer *out, struct mqtt_span user)
{
    struct mqtt_span name, value;
    for (size_t at = 0; mqtt_next_user_property(user, &at, &name, &value);) {
        mqtt_write_u8(out, MQTT_P_USER);
        mqtt_write_bytes(out, name);
        mqtt_write_bytes(out, value);
    }
}

static void write_value(struct mqtt_writer *out, uint8_t id, const struct rule *rule,
                        const void *field)
{
    if (rule->kind == PAIR) {
        write_user(out, *(const struct mqtt_span *)field);
        return;
    }
    mqtt_write_u8(out, id);
    if (rule->kind == TEXT || rule->kind == BYTES)
        mqtt_write_bytes(out, *(const struct mqtt_span *)field);
    else if (rule->kind == U8)
        mqtt_write_u8(out, (uint8_t)load_number(field, U8));
    else if (rule->kind == U16)
        mqtt_write_u16(out, (uint16_t)load_number(field, U16));
    else if (rule->kind == U32)
        mqtt_write_u32(out, load_number(field, U32));
    else
        mqtt_write_varint(out, load_number(field, VARINT));
}

static void write_all(struct mqtt_writer *out, int place, const struct mqtt_properties *properties)
{
    for (uint64_t left = properties->present; left != 0; left &= left - 1) {
        uint8_t id = (uint8_t)__builtin_ctzll(left);
        const struct rule *rule = rule_of(id);
        if (rule != NULL && (rule->places >> place & 1) != 0)
            write_value(out, id, rule, (const uint8_t *)properties + rule->offset);
    }
}

void mqtt_write_properties(struct mqtt_writer *self, int place,
                           const struct mqtt_properties *properties)
{
    struct mqtt_writer count = {NULL, 0};
    write_all(&count, place, properties);
    mqtt_write_varint(self, (uint32_t)count.len);
    write_all(self, place, properties);
}

void mqtt_put_forwarded(struct buf *out, const struct mqtt_properties *properties)
{
    struct mqtt_properties forwarded = *properties;
    struct mqtt_writer writer = {NULL, 0};
    forwarded.present &= MQTT_FORWARDED;
    if (forwarded.present == 0)
        return;
    mqtt_write_properties(&writer, MQTT_PUBLISH, &forwarded);
    writer.data = buf_reserve(out, writer.len);
    if (writer.data == NULL)
        return;
    out->len += writer.len;
    writer.len = 0;
    mqtt_write_properties(&writer, MQTT_PUBLISH, &forwarded);
}

int mqtt_take_forwarded(struct mqtt_span bytes, struct mqtt_properties *ret)
{
    struct mqtt_reader reader = {bytes.data, bytes.data + bytes.len, 0};
    *ret = (struct mqtt_properties){0};
    mqtt_read_properties(&reader, MQTT_PUBLISH, ret);
    ret->present &= MQTT_FORWARDED;
    return reader.reason == 0 && mqtt_left(&reader) == 0 ? 0 : ERR_MALFORMED;
}

void mqtt_set_expiry(uint8_t *properties, uint32_t seconds)
{
    uint8_t *at = properties;
    while ((*at++ & 0x80) != 0) /* the length of them all */
        continue;
    if (*at == MQTT_P_PAYLOAD_FORMAT) /* the one that is written before it: a byte and its value */
        at += 2;
    CHECK(*at == MQTT_P_MESSAGE_EXPIRY);
    struct mqtt_writer writer = {at + 1, 0};
    mqtt_write_u32(&writer, seconds);
}
