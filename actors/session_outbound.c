/* PUBLISH to the client: packet ids, the window, the queue behind it, the client's answers. */
#include "actors/session_state.h"
#include <stdlib.h>

struct queued {
    int64_t expires_us; /* 0: never */
    uint32_t len;       /* of the packet that follows */
    uint32_t id_at;     /* where in it the packet id stands */
    uint8_t qos;
};

void session_outbound_free(session_t *self)
{
    if (self->outbound != NULL)
        buf_free(&self->outbound->queue);
    free(self->outbound);
    self->outbound = NULL;
}

static struct session_outbound *outbound(session_t *self)
{
    if (self->outbound == NULL) {
        self->outbound = calloc(1, sizeof *self->outbound);
        if (self->outbound != NULL)
            buf_init(&self->outbound->queue, 2 * LIMIT_CLIENT_QUEUE_BYTES);
    }
    return self->outbound;
}

size_t session_queued_bytes(const session_t *self)
{
    return self->outbound ? self->outbound->queue.len - self->outbound->queue_at : 0;
}

static unsigned window(const session_t *self)
{
    unsigned client = self->client_receive_max; /* MQTT-3.3.4-7 */
    return client < LIMIT_SEND_INFLIGHT ? client : LIMIT_SEND_INFLIGHT;
}

static struct session_flight *find_flight(const session_t *self, uint16_t packet_id)
{
    for (unsigned i = 0; self->outbound != NULL && i < self->outbound->flight_count; i++)
        if (self->outbound->flights[i].packet_id == packet_id)
            return &self->outbound->flights[i];
    return NULL;
}

/* The next id that is not 0 and not in flight (MQTT-2.2.1-4); there are more ids than flights. */
static uint16_t start_flight(session_t *self, uint8_t qos)
{
    do {
        self->last_packet_id++;
    } while (self->last_packet_id == 0 || find_flight(self, self->last_packet_id) != NULL);
    self->outbound->flights[self->outbound->flight_count++] = (struct session_flight){
        .packet_id = self->last_packet_id,
        .state = qos == 2 ? FLIGHT_PUBREC : FLIGHT_PUBACK,
    };
    return self->last_packet_id;
}

static bool is_expired(int64_t expires_us, int64_t now_us)
{
    return expires_us != 0 && expires_us <= now_us; /* MQTT-3.3.2-5 */
}

/* Whole seconds, at least 1 of what has not expired (MQTT-3.3.2-6). */
static uint32_t seconds_left(int64_t expires_us, int64_t now_us)
{
    int64_t seconds = (expires_us - now_us + 999999) / 1000000;
    return seconds < UINT32_MAX ? (uint32_t)seconds : UINT32_MAX;
}

/* The packet of the queue with what has become known or has changed since. */
static void send_queued(session_t *self, const struct session_env *env, const struct queued *item,
                        uint8_t *packet)
{
    uint16_t id = start_flight(self, item->qos);
    packet[item->id_at] = (uint8_t)(id >> 8);
    packet[item->id_at + 1] = (uint8_t)id;
    if (item->expires_us != 0 && self->version == MQTT_5)
        mqtt_set_expiry(packet + item->id_at + 2, seconds_left(item->expires_us, env->now_us));
    buf_put(env->out, packet, item->len);
}

/* Moves what waits into the window. */
static void pump(session_t *self, const struct session_env *env)
{
    struct session_outbound *out = self->outbound;
    while (out->queued > 0 && out->flight_count < window(self)) {
        struct queued head;
        memcpy(&head, out->queue.data + out->queue_at, sizeof head);
        if (!is_expired(head.expires_us, env->now_us))
            send_queued(self, env, &head, out->queue.data + out->queue_at + sizeof head);
        out->queue_at += sizeof head + head.len;
        out->queued--;
    }
    if (out->queued == 0) {
        buf_free(&out->queue);
        out->queue_at = 0;
    } else if (out->queue_at > out->queue.len / 2) {
        buf_consume(&out->queue, out->queue_at);
        out->queue_at = 0;
    }
}

static void end_flight(session_t *self, const struct session_env *env,
                       struct session_flight *flight)
{
    *flight = self->outbound->flights[--self->outbound->flight_count];
    pump(self, env);
}

static int enqueue(session_t *self, const struct mqtt_packet *packet, size_t len,
                   int64_t expires_us)
{
    struct buf *queue = &self->outbound->queue;
    size_t before = queue->len;
    struct queued item = {
        .expires_us = expires_us, .len = (uint32_t)len, .qos = packet->publish.qos};
    buf_put(queue, &item, sizeof item);
    if (buf_failed(queue) || mqtt_encode(queue, self->version, packet) < 0) {
        queue->len = before;
        queue->failed = false;
        return ERR_FULL;
    }
    const uint8_t *encoded = queue->data + before + sizeof item;
    size_t last = 1; /* byte of the remaining length */
    while ((encoded[last] & 0x80) != 0)
        last++;
    item.id_at = (uint32_t)(last + 1 + 2 + packet->publish.topic.len);
    memcpy(queue->data + before, &item, sizeof item);
    self->outbound->queued++;
    return 0;
}

/* What a mounted client sees of a topic. */
static struct mqtt_span inner_topic(const session_t *self, struct mqtt_span topic)
{
    char mount[PRINCIPAL_MOUNT_LEN];
    if (!self->principal.mount || topic.len <= sizeof mount)
        return topic;
    principal_mount(&self->principal, mount);
    if (memcmp(topic.data, mount, sizeof mount) != 0)
        return topic;
    return (struct mqtt_span){topic.data + sizeof mount, topic.len - sizeof mount};
}

static void fill_publish(const session_t *self, const struct session_env *env,
                         const struct session_delivery *delivery, struct mqtt_packet *packet)
{
    packet->type = MQTT_PUBLISH;
    packet->publish.qos = delivery->qos;
    packet->publish.retain = delivery->retain;
    packet->publish.topic = inner_topic(self, delivery->topic);
    packet->publish.payload = delivery->payload;
    if (self->version != MQTT_5)
        return;
    if (delivery->properties != NULL) {
        packet->properties = *delivery->properties;
        packet->properties.present &= MQTT_FORWARDED;
        packet->properties.response_topic = inner_topic(self, packet->properties.response_topic);
    }
    if (delivery->expires_us != 0) {
        packet->properties.message_expiry_s = seconds_left(delivery->expires_us, env->now_us);
        mqtt_mark(&packet->properties, MQTT_P_MESSAGE_EXPIRY);
    }
    if (delivery->subscription_id != 0) {
        packet->properties.subscription_id = delivery->subscription_id;
        mqtt_mark(&packet->properties, MQTT_P_SUBSCRIPTION_ID);
    }
}

static int send_or_queue(session_t *self, const struct session_env *env, struct mqtt_packet *packet,
                         size_t len, int64_t expires_us)
{
    if (packet->publish.qos > 0) {
        struct session_outbound *out = outbound(self);
        if (out == NULL)
            return ERR_FULL;
        if (out->queued > 0 || out->flight_count >= window(self))
            return enqueue(self, packet, len, expires_us);
        packet->publish.packet_id = start_flight(self, packet->publish.qos);
    }
    return mqtt_encode(env->out, self->version, packet) < 0 ? ERR_FULL : 0;
}

int session_deliver(session_t *self, const struct session_env *env,
                    const struct session_delivery *delivery)
{
    if (self->state != SESSION_LIVE)
        return ERR_UNEXPECTED;
    if (is_expired(delivery->expires_us, env->now_us))
        return 0;
    struct mqtt_packet packet = {0};
    fill_publish(self, env, delivery, &packet);
    long len = mqtt_encoded_length(self->version, &packet);
    if (len < 0 || (unsigned long)len > self->client_packet_max)
        return ERR_TOO_LARGE; /* MQTT-3.1.2-24, MQTT-3.1.2-25 */
    size_t backlog = env->unsent_bytes + env->out->len + session_queued_bytes(self);
    int rc = backlog + (size_t)len > LIMIT_CLIENT_QUEUE_BYTES
                 ? ERR_FULL
                 : send_or_queue(self, env, &packet, (size_t)len, delivery->expires_us);
    if (rc == ERR_FULL && (delivery->qos > 0 || buf_failed(env->out)))
        session_end(self, env, MQTT_QUOTA_EXCEEDED, NULL, NULL);
    return rc;
}

void session_on_puback(session_t *self, const struct session_env *env,
                       const struct mqtt_packet *packet)
{
    struct session_flight *flight = find_flight(self, packet->ack.packet_id);
    if (flight != NULL && flight->state == FLIGHT_PUBACK)
        end_flight(self, env, flight);
}

void session_on_pubrec(session_t *self, const struct session_env *env,
                       const struct mqtt_packet *packet)
{
    uint16_t id = packet->ack.packet_id;
    struct session_flight *flight = find_flight(self, id);
    bool known = flight != NULL && flight->state != FLIGHT_PUBACK;
    if (known && packet->ack.reason >= MQTT_UNSPECIFIED) { /* MQTT-4.3.3-4: it ends here */
        end_flight(self, env, flight);
        return;
    }
    if (known)
        flight->state = FLIGHT_PUBCOMP;
    uint8_t reason = known ? MQTT_SUCCESS : MQTT_ID_NOT_FOUND;
    mqtt_put_ack(env->out, self->version, MQTT_PUBREL, id, reason, NULL);
}

void session_on_pubcomp(session_t *self, const struct session_env *env,
                        const struct mqtt_packet *packet)
{
    struct session_flight *flight = find_flight(self, packet->ack.packet_id);
    if (flight != NULL && flight->state == FLIGHT_PUBCOMP)
        end_flight(self, env, flight);
}

size_t session_sending(const session_t *self)
{
    return self->outbound ? self->outbound->flight_count + self->outbound->queued : 0;
}
