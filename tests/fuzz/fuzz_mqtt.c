/*
 * Any bytes, before CONNECT and under both versions: no decoder reads past its input, and what
 * decodes is written back as something that decodes, and is written, the same again.
 */
#include "proto/check.h"
#include "proto/mqtt.h"
#include "proto/topic.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void walk(const struct mqtt_packet *packet)
{
    struct mqtt_span name, value;
    for (size_t at = 0; mqtt_next_user_property(packet->properties.user, &at, &name, &value);)
        CHECK(mqtt_utf8_valid(name.data, name.len) && mqtt_utf8_valid(value.data, value.len));
    if (packet->type != MQTT_SUBSCRIBE && packet->type != MQTT_UNSUBSCRIBE)
        return;
    struct mqtt_filter filter;
    size_t at = 0, count = 0;
    for (; mqtt_next_filter(packet, &at, &filter); count++)
        CHECK(topic_filter_valid((const char *)filter.filter.data, filter.filter.len));
    CHECK(count > 0 && at == packet->subscribe.filters.len);
}

static void round_trip(const struct mqtt_packet *packet, int version)
{
    struct buf first, second;
    struct mqtt_packet again;
    uint8_t reason;
    buf_init(&first, SIZE_MAX / 2);
    buf_init(&second, SIZE_MAX / 2);
    CHECK(mqtt_encode(&first, version, packet) == 0);
    CHECK(mqtt_encoded_length(version, packet) == (long)first.len);
    CHECK(mqtt_decode(first.data, first.len, version, &again, &reason) == 0);
    CHECK(again.type == packet->type && again.properties.present == packet->properties.present);
    CHECK(mqtt_encode(&second, version, &again) == 0);
    CHECK(second.len == first.len && memcmp(second.data, first.data, first.len) == 0);
    buf_free(&first);
    buf_free(&second);
}

/* What goes on from node to node says the same there. */
static void forward(const struct mqtt_packet *packet)
{
    struct mqtt_properties got;
    struct buf bytes;
    buf_init(&bytes, SIZE_MAX / 2);
    mqtt_put_forwarded(&bytes, &packet->properties);
    if (bytes.len > 0) {
        CHECK(mqtt_take_forwarded((struct mqtt_span){bytes.data, bytes.len}, &got) == 0);
        CHECK(got.present == (packet->properties.present & MQTT_FORWARDED));
        CHECK(got.response_topic.len == packet->properties.response_topic.len);
    }
    buf_free(&bytes);
}

static void decode(const uint8_t *data, size_t size, int version)
{
    struct mqtt_packet packet;
    uint8_t reason = 0;
    if (mqtt_decode(data, size, version, &packet, &reason) < 0) {
        CHECK(reason >= MQTT_UNSPECIFIED);
        return;
    }
    walk(&packet);
    if (packet.type == MQTT_PUBLISH)
        forward(&packet);
    round_trip(&packet, packet.type == MQTT_CONNECT ? packet.connect.level : version);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t total;
    struct mqtt_properties properties;
    (void)mqtt_connect_level(data, size);
    if (mqtt_take_forwarded((struct mqtt_span){data, size}, &properties) == 0)
        CHECK((properties.present & ~MQTT_FORWARDED) == 0);
    while (mqtt_frame_length(data, size, 1 << 20, &total) == 1) {
        CHECK(total >= 2 && total <= size);
        decode(data, total, MQTT_NO_VERSION);
        decode(data, total, MQTT_3_1_1);
        decode(data, total, MQTT_5);
        data += total;
        size -= total;
    }
    decode(data, size, MQTT_5);
    return 0;
}
