/* What an MQTT client publishes goes to the actor of its device: telemetry as readings, anything
 * else as a message for whoever subscribes to it. */
#include "node/clock.h"
#include "node/config.h"
#include "node/edge_mqtt.h"
#include "proto/check.h"
#include "proto/topic.h"
#include <xxhash.h>

#define SECOND_US 1000000LL
#define DAY_US (86400 * SECOND_US)

struct route {
    struct mqtt_conn *conn;
    const struct session_message *message;
    struct uuid tenant, device;
    struct msg_ref ref;
    uint16_t slot;
    uint8_t flags;
};

static uint8_t flags_of(const struct session_message *message)
{
    return (uint8_t)(message->qos | (message->dup ? MSG_DUP : 0) |
                     (message->retain ? MSG_RETAIN : 0));
}

static void reject(const struct route *route, const char *reason, uint8_t code)
{
    struct msg_reject item = {.tenant = route->tenant,
                              .device = route->device,
                              .ref = route->ref,
                              .flags = route->flags | MSG_LAST,
                              .code = code};
    edge_reject(route->conn->edge, route->slot, item, route->message, reason);
}

/* Partitions exist for this window; the actor's clock and ours are the same machine's. One bad
 * reading would have its whole batch tried apart. */
static const char *window_error(const struct readings *readings, int64_t kept_days, int64_t now_us)
{
    bool dropped = kept_days > 0 && kept_days < LIMIT_READING_PAST_DAYS;
    int64_t past_us = (dropped ? kept_days : LIMIT_READING_PAST_DAYS) * DAY_US;
    for (size_t i = 0; i < readings->count; i++) {
        int64_t at = readings->item[i].timestamp_us;
        if (at == 0)
            continue;
        if (at < now_us - past_us)
            return dropped ? "timestamp is older than readings are kept"
                           : "timestamp is older than 31 days";
        if (at > now_us + LIMIT_READING_FUTURE_DAYS * DAY_US)
            return "timestamp is more than a day in the future";
    }
    return NULL;
}

/* Its connection has gone: it cannot be read later. */
static const char *will_error(const struct route *route, const struct readings *readings)
{
    return route->message->is_will && route->conn->edge->exhausted &&
                   readings->count > LIMIT_WILL_READINGS
               ? "a will of so many readings came while there was no room for it"
               : NULL;
}

/* The same for a redelivery of the same PUBLISH: client, packet id and payload. */
static uint64_t message_key(const struct route *route)
{
    const char *client = session_client_id(route->conn->session);
    uint64_t seed = XXH64(client, strlen(client), route->message->packet_id);
    return XXH64(route->message->payload.data, route->message->payload.len, seed);
}

static void send_reading(const struct route *route, const struct reading *reading, uint64_t key,
                         int64_t now_us, bool last)
{
    struct msg_reading item = {
        .tenant = route->tenant,
        .device = route->device,
        .ref = route->ref,
        .flags = (uint8_t)(route->flags | (last ? MSG_LAST : 0)),
        .present = (uint8_t)reading->present,
        .message_key = (uint32_t)(key >> 32),
        .arrival_us = now_us,
        .timestamp_us = reading->timestamp_us != 0 ? reading->timestamp_us : now_us,
        .payload_len = reading->payload_len,
        .extra_len = reading->extra_len,
    };
    memcpy(item.value, reading->value, sizeof item.value);
    struct span texts[] = {{reading->payload, reading->payload_len},
                           {reading->extra, reading->extra_len}};
    edge_give(route->conn->edge, route->slot, MSG_READING, &item, texts, 2);
}

/* No two readings of an edge arrive in the same microsecond: those that have no timestamp of their
 * own keep their order. */
static int64_t next_arrival(const struct edge *edge)
{
    int64_t now_us = clock_real_us();
    return now_us > edge->last_arrival_us ? now_us : edge->last_arrival_us + 1;
}

static void route_telemetry(const struct route *route)
{
    struct readings *readings = route->conn->edge->readings;
    int64_t now_us = next_arrival(route->conn->edge);
    if (readings_parse(readings, (const char *)route->message->payload.data,
                       route->message->payload.len) != 0) {
        reject(route, readings->reason, 0x99); /* payload format invalid */
        return;
    }
    const struct config *config = route->conn->edge->config;
    const char *reason = will_error(route, readings);
    if (reason == NULL)
        reason = window_error(readings, config->retention_days, now_us);
    if (reason != NULL) {
        reject(route, reason, 0x99);
        return;
    }
    uint64_t key = message_key(route);
    for (size_t i = 0; i < readings->count; i++)
        send_reading(route, &readings->item[i], key + i * 0x9E3779B97F4A7C15ULL,
                     now_us + (int64_t)i, i + 1 == readings->count);
    route->conn->edge->last_arrival_us = now_us + (int64_t)readings->count - 1;
}

/* Unix time; 0: never. */
static int64_t expiry_of(const struct mqtt_properties *properties)
{
    return properties != NULL && mqtt_has(properties, MQTT_P_MESSAGE_EXPIRY)
               ? clock_real_us() + properties->message_expiry_s * SECOND_US
               : 0;
}

static void route_message(const struct route *route)
{
    const struct session_message *message = route->message;
    struct buf properties;
    /* A packet's, and the mount point that the session wrote before its response topic. */
    buf_init(&properties, LIMIT_PACKET_BYTES + PRINCIPAL_MOUNT_LEN);
    if (message->properties != NULL)
        mqtt_put_forwarded(&properties, message->properties);
    CHECK(!properties.failed);
    struct msg_message item = {.tenant = route->tenant,
                               .device = route->device,
                               .ref = route->ref,
                               .flags = route->flags,
                               .expires_us = expiry_of(message->properties),
                               .topic_len = (uint16_t)message->topic.len,
                               .payload_len = (uint32_t)message->payload.len,
                               .properties_len = (uint32_t)properties.len};
    struct span texts[] = {{message->topic.data, message->topic.len},
                           {message->payload.data, message->payload.len},
                           {properties.data, properties.len}};
    edge_give(route->conn->edge, route->slot, MSG_MESSAGE, &item, texts, 3);
    buf_free(&properties);
}

void edge_route_publish(struct mqtt_conn *conn, const struct session_message *message)
{
    struct route route = {.conn = conn,
                          .message = message,
                          .tenant = session_principal(conn->session)->tenant,
                          .ref = conn->ref,
                          .flags = flags_of(message)};
    const char *rest;
    size_t rest_len;
    struct uuid named;
    route.ref.packet_id = message->packet_id;
    /* That the topic lies below the sender's own tenant, the session has seen to. */
    bool of_device = topic_parse_device((const char *)message->topic.data, message->topic.len,
                                        &named, &route.device, &rest, &rest_len) == 0;
    route.slot = edge_slot(conn->edge, &route.tenant, of_device ? &route.device : NULL);
    if (of_device && rest_len == 9 && memcmp(rest, "telemetry", 9) == 0)
        route_telemetry(&route);
    else
        route_message(&route);
}
