/* PUBLISH from the client and its acknowledgement: 4.3.2, 4.3.3 (receiver), 4.6. */
#include "actors/session_state.h"
#include <stdlib.h>
#include <string.h>

#define RING_MIN 16

static struct session_arrival *arrival(struct session_inbound *in, unsigned i)
{
    return &in->ring[(in->head + i) & (in->cap - 1u)];
}

static struct session_arrival *find_arrival(struct session_inbound *in, uint16_t packet_id)
{
    for (unsigned i = 0; i < in->count; i++)
        if (arrival(in, i)->packet_id == packet_id)
            return arrival(in, i);
    return NULL;
}

/* Where the id stands, or would: they are in ascending order, for a 3.1.1 client may have them all.
 */
static unsigned unreleased_at(const struct session_inbound *in, uint16_t packet_id)
{
    unsigned from = 0, to = in->unreleased_count;
    while (from < to) {
        unsigned middle = (from + to) / 2;
        if (in->unreleased[middle] < packet_id)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

static bool is_unreleased(const struct session_inbound *in, uint16_t packet_id)
{
    unsigned at = unreleased_at(in, packet_id);
    return at < in->unreleased_count && in->unreleased[at] == packet_id;
}

void session_inbound_free(session_t *self)
{
    struct session_inbound *in = &self->inbound;
    for (unsigned i = 0; i < in->count; i++)
        free(arrival(in, i)->text);
    free(in->ring);
    free(in->unreleased);
    *in = (struct session_inbound){0};
}

static int grow_ring(struct session_inbound *in)
{
    unsigned cap = in->cap ? in->cap * 2u : RING_MIN;
    struct session_arrival *ring = malloc(cap * sizeof *ring);
    if (ring == NULL)
        return ERR_MEMORY;
    for (unsigned i = 0; i < in->count; i++)
        ring[i] = *arrival(in, i);
    free(in->ring);
    in->ring = ring;
    in->head = 0;
    in->cap = (uint16_t)cap;
    return 0;
}

/* A burst's ring is not kept by an idle client. */
static void shrink_ring(struct session_inbound *in)
{
    if (in->count > 0 || in->cap <= RING_MIN)
        return;
    free(in->ring);
    in->ring = NULL;
    in->cap = in->head = 0;
}

static struct session_arrival *push_arrival(struct session_inbound *in,
                                            const struct mqtt_publish *publish)
{
    if (in->count == in->cap && grow_ring(in) < 0)
        return NULL;
    struct session_arrival *item = arrival(in, in->count++);
    *item = (struct session_arrival){.packet_id = publish->packet_id, .qos = publish->qos};
    return item;
}

static int add_unreleased(struct session_inbound *in, uint16_t packet_id)
{
    if (in->unreleased_count == in->unreleased_cap) {
        unsigned cap = in->unreleased_cap ? in->unreleased_cap * 2u : RING_MIN;
        if (cap > UINT16_MAX) /* there are no more ids */
            cap = UINT16_MAX;
        uint16_t *ids = realloc(in->unreleased, cap * sizeof *ids);
        if (ids == NULL)
            return ERR_MEMORY;
        in->unreleased = ids;
        in->unreleased_cap = (uint16_t)cap;
    }
    unsigned at = unreleased_at(in, packet_id);
    uint16_t *place = in->unreleased + at;
    memmove(place + 1, place, (in->unreleased_count++ - at) * sizeof *place);
    *place = packet_id;
    return 0;
}

static void remove_unreleased(struct session_inbound *in, uint16_t packet_id)
{
    uint16_t *place = in->unreleased + unreleased_at(in, packet_id);
    memmove(place, place + 1,
            (size_t)(in->unreleased + --in->unreleased_count - place) * sizeof *place);
    if (in->unreleased_count > 0 || in->unreleased_cap <= RING_MIN)
        return;
    free(in->unreleased); /* a burst's, as the ring */
    in->unreleased = NULL;
    in->unreleased_cap = 0;
}

static void acknowledge(session_t *self, const struct session_env *env,
                        const struct session_arrival *item)
{
    enum mqtt_type type = item->qos == 2 ? MQTT_PUBREC : MQTT_PUBACK;
    uint8_t reason = self->version == MQTT_5 ? item->reason : MQTT_SUCCESS;
    /* MQTT-4.3.3-9: a refusing PUBREC frees the packet id at once. */
    if (item->qos == 2 && reason < MQTT_UNSPECIFIED &&
        add_unreleased(&self->inbound, item->packet_id) < 0)
        env->out->failed = true;
    mqtt_put_ack(env->out, self->version, type, item->packet_id, reason,
                 session_reason_text(self, item->text));
}

/* Acknowledges from the oldest on, up to the first that is not durable (MQTT-4.6.0-2, -3). */
static void flush_arrivals(session_t *self, const struct session_env *env)
{
    struct session_inbound *in = &self->inbound;
    bool waited = !session_wants_input(self);
    while (in->count > 0 && arrival(in, 0)->done) {
        struct session_arrival item = *arrival(in, 0);
        in->head = (uint16_t)((in->head + 1u) & (in->cap - 1u));
        in->count--;
        acknowledge(self, env, &item);
        free(item.text);
    }
    shrink_ring(in);
    if (waited && session_wants_input(self))
        self->heard_us = env->now_us; /* the silence was ours */
    if (buf_failed(env->out))
        session_finish(self, env, MQTT_QUOTA_EXCEEDED);
}

int session_ack(session_t *self, const struct session_env *env, uint16_t packet_id, uint8_t reason,
                const char *text)
{
    struct session_arrival *item =
        self->state == SESSION_LIVE ? find_arrival(&self->inbound, packet_id) : NULL;
    if (item == NULL || item->done)
        return ERR_NOT_FOUND;
    item->done = true;
    item->reason = reason;
    if (text != NULL && self->version == MQTT_5)
        item->text = strdup(text); /* without memory: without a text */
    flush_arrivals(self, env);
    return 0;
}

const char *session_reason_text(const session_t *self, const char *text)
{
    const size_t around = 16; /* a fixed header, packet id, reason, property lengths */
    if (text == NULL || !self->problem_info || strlen(text) + around > self->client_packet_max)
        return NULL;
    return text;
}

int session_whole_topic(const session_t *self, struct mqtt_span topic, struct mqtt_span *ret,
                        char **ret_owned)
{
    if (!self->principal.mount) {
        *ret = topic;
        *ret_owned = NULL;
        return 0;
    }
    char *whole = malloc(PRINCIPAL_MOUNT_LEN + topic.len);
    if (whole == NULL)
        return ERR_MEMORY;
    principal_mount(&self->principal, whole);
    memcpy(whole + PRINCIPAL_MOUNT_LEN, topic.data, topic.len);
    *ret = (struct mqtt_span){(uint8_t *)whole, PRINCIPAL_MOUNT_LEN + topic.len};
    *ret_owned = whole;
    return 0;
}

int session_whole_properties(const session_t *self, const struct mqtt_properties *properties,
                             struct mqtt_properties *ret, char **ret_owned)
{
    *ret = *properties;
    *ret_owned = NULL;
    if (!mqtt_has(properties, MQTT_P_RESPONSE_TOPIC))
        return 0;
    int rc = session_whole_topic(self, properties->response_topic, &ret->response_topic, ret_owned);
    if (rc == 0 && ret->response_topic.len > UINT16_MAX)
        mqtt_unmark(ret, MQTT_P_RESPONSE_TOPIC);
    return rc;
}

static int set_alias(session_t *self, uint16_t alias, struct mqtt_span topic)
{
    if (self->aliases == NULL)
        self->aliases = calloc(SESSION_ALIAS_MAXIMUM, sizeof *self->aliases);
    uint8_t *copy = self->aliases ? malloc(topic.len) : NULL;
    if (copy == NULL)
        return ERR_MEMORY;
    memcpy(copy, topic.data, topic.len);
    struct session_alias *slot = &self->aliases[alias - 1];
    free(slot->topic);
    *slot = (struct session_alias){copy, topic.len};
    return 0;
}

/* 3.3.2.3.4. 0 with the topic the client means, or the reason to end the session with. */
static uint8_t resolve_alias(session_t *self, const struct mqtt_packet *packet,
                             struct mqtt_span *ret_topic)
{
    struct mqtt_span topic = packet->publish.topic;
    uint16_t alias = packet->properties.topic_alias;
    if (mqtt_has(&packet->properties, MQTT_P_TOPIC_ALIAS)) {
        if (alias > SESSION_ALIAS_MAXIMUM)
            return MQTT_ALIAS_INVALID; /* MQTT-3.3.2-9 */
        if (topic.len > 0 && set_alias(self, alias, topic) < 0)
            return MQTT_SERVER_BUSY;
        if (self->aliases == NULL || self->aliases[alias - 1].topic == NULL)
            return MQTT_PROTOCOL_ERROR;
        struct session_alias *slot = &self->aliases[alias - 1];
        topic = (struct mqtt_span){slot->topic, slot->len};
    }
    *ret_topic = topic;
    return 0;
}

/* True: this packet id is under way already, and the PUBLISH is dealt with. */
static bool is_repeated(session_t *self, const struct session_env *env,
                        const struct mqtt_publish *publish)
{
    struct session_inbound *in = &self->inbound;
    struct session_arrival *pending = find_arrival(in, publish->packet_id);
    if (pending != NULL) { /* acknowledged once, with the first */
        if (!publish->dup || pending->qos != publish->qos)
            session_end(self, env, MQTT_PROTOCOL_ERROR, NULL, NULL); /* MQTT-2.2.1-3 */
        return true;
    }
    if (!is_unreleased(in, publish->packet_id))
        return false;
    if (publish->qos == 2) /* MQTT-4.3.3-10: answered again, not routed again */
        mqtt_put_ack(env->out, self->version, MQTT_PUBREC, publish->packet_id, 0, NULL);
    else
        session_end(self, env, MQTT_PROTOCOL_ERROR, NULL, NULL);
    return true;
}

static void route(session_t *self, const struct session_env *env, const struct mqtt_packet *packet,
                  struct mqtt_span topic, const struct mqtt_properties *properties)
{
    const struct mqtt_publish *publish = &packet->publish;
    struct session_message message = {
        .topic = topic,
        .payload = publish->payload,
        .qos = publish->qos,
        .retain = publish->retain,
        .dup = publish->dup,
        .packet_id = publish->packet_id,
        .properties = properties,
    };
    if (publish->qos > 0 && push_arrival(&self->inbound, publish) == NULL) {
        session_end(self, env, MQTT_SERVER_BUSY, NULL, NULL);
        return;
    }
    if (topic.len > UINT16_MAX)
        env->events->refused(env->context, &message, MQTT_TOPIC_INVALID);
    else if (principal_may_publish(&self->principal, (const char *)topic.data, topic.len) < 0)
        env->events->refused(env->context, &message, MQTT_NOT_AUTHORIZED);
    else
        env->events->publish(env->context, &message);
}

static uint8_t check_publish(session_t *self, const struct mqtt_packet *packet)
{
    const struct session_inbound *in = &self->inbound;
    if (mqtt_has(&packet->properties, MQTT_P_SUBSCRIPTION_ID))
        return MQTT_PROTOCOL_ERROR; /* MQTT-3.3.4-6 */
    /* MQTT-3.3.4-9. A 3.1.1 client was told of no maximum: its packet ids are one. */
    if (self->version == MQTT_5 && packet->publish.qos > 0 &&
        in->count + in->unreleased_count >= LIMIT_RECEIVE_MAXIMUM)
        return MQTT_RECEIVE_MAXIMUM_EXCEEDED;
    return MQTT_SUCCESS;
}

void session_on_publish(session_t *self, const struct session_env *env,
                        const struct mqtt_packet *packet)
{
    struct mqtt_span topic = packet->publish.topic;
    struct mqtt_properties properties;
    char *owned = NULL, *response = NULL;
    uint8_t reason = resolve_alias(self, packet, &topic); /* first: also a repeated one sets it */
    if (reason == MQTT_SUCCESS && packet->publish.qos > 0 &&
        is_repeated(self, env, &packet->publish))
        return;
    if (reason == MQTT_SUCCESS)
        reason = check_publish(self, packet);
    if (reason == MQTT_SUCCESS &&
        (session_whole_topic(self, topic, &topic, &owned) < 0 ||
         session_whole_properties(self, &packet->properties, &properties, &response) < 0))
        reason = MQTT_SERVER_BUSY;
    if (reason == MQTT_SUCCESS)
        route(self, env, packet, topic, &properties);
    else
        session_end(self, env, reason, NULL, NULL);
    free(owned);
    free(response);
}

void session_on_pubrel(session_t *self, const struct session_env *env,
                       const struct mqtt_packet *packet)
{
    struct session_inbound *in = &self->inbound;
    uint16_t id = packet->ack.packet_id;
    bool known = is_unreleased(in, id);
    if (!known && find_arrival(in, id) != NULL) {
        session_end(self, env, MQTT_PROTOCOL_ERROR, NULL, NULL); /* PUBREL before its PUBREC */
        return;
    }
    if (known)
        remove_unreleased(in, id);
    uint8_t reason = known ? MQTT_SUCCESS : MQTT_ID_NOT_FOUND;
    mqtt_put_ack(env->out, self->version, MQTT_PUBCOMP, id, reason, NULL); /* MQTT-4.3.3-11 */
}

size_t session_waiting(const session_t *self)
{
    return self->inbound.count;
}
