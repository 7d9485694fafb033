/* CONNECT, its answer, and the will. */
#include "actors/session_state.h"
#include <stdlib.h>

/* 3.1.1 has five refusals (table 3.1). */
static uint8_t old_return_code(uint8_t reason)
{
    switch (reason) {
    case MQTT_SUCCESS:
        return 0;
    case MQTT_BAD_VERSION:
        return 1;
    case MQTT_BAD_CLIENT_ID:
        return 2;
    case MQTT_BAD_CREDENTIALS:
        return 4;
    case MQTT_NOT_AUTHORIZED:
    case MQTT_BAD_AUTH_METHOD:
        return 5;
    default:
        return 3;
    }
}

/* 0, or ERR_TOO_LARGE with nothing written: the client does not take it. */
static int put_connack(session_t *self, const struct session_env *env, struct mqtt_packet *connack)
{
    connack->type = MQTT_CONNACK;
    if (self->version != MQTT_5)
        connack->connack.reason = old_return_code(connack->connack.reason);
    size_t before = env->out->len;
    if (mqtt_encode(env->out, self->version, connack) < 0)
        env->out->failed = true;
    return session_unwrite(self, env, before) ? ERR_TOO_LARGE : 0;
}

void session_refuse_connect(session_t *self, const struct session_env *env, uint8_t reason,
                            const char *text)
{
    struct mqtt_packet connack = {.connack = {.reason = reason}};
    if (text != NULL) {
        mqtt_mark(&connack.properties, MQTT_P_REASON_STRING);
        connack.properties.reason_string = mqtt_text(text);
    }
    if (put_connack(self, env, &connack) == 0)
        return;
    connack.properties.present = 0;
    (void)put_connack(self, env, &connack); /* or without a word */
}

/* Its terms are no mere information: without all of them the client would break them. */
static int welcome(session_t *self, const struct session_env *env)
{
    struct mqtt_packet connack = {0};
    struct mqtt_properties *properties = &connack.properties;
    properties->receive_maximum = LIMIT_RECEIVE_MAXIMUM;
    mqtt_mark(properties, MQTT_P_RECEIVE_MAXIMUM);
    properties->maximum_packet_size = LIMIT_PACKET_BYTES;
    mqtt_mark(properties, MQTT_P_MAXIMUM_PACKET_SIZE);
    properties->topic_alias_maximum = SESSION_ALIAS_MAXIMUM;
    mqtt_mark(properties, MQTT_P_TOPIC_ALIAS_MAXIMUM);
    mqtt_mark(properties, MQTT_P_SHARED_AVAILABLE); /* 0: none */
    if (self->session_expiry_asked)
        mqtt_mark(properties, MQTT_P_SESSION_EXPIRY); /* 0: ours, not the one asked for */
    if (self->keep_alive_s != self->client_keep_alive_s) {
        properties->server_keep_alive_s = self->keep_alive_s; /* MQTT-3.1.2-21 */
        mqtt_mark(properties, MQTT_P_SERVER_KEEP_ALIVE);
    }
    if (self->id_assigned) { /* MQTT-3.2.2-16 */
        properties->assigned_client_id = mqtt_text(self->client_id);
        mqtt_mark(properties, MQTT_P_ASSIGNED_CLIENT_ID);
    }
    return put_connack(self, env, &connack);
}

static int keep_will(session_t *self, const struct mqtt_will *will)
{
    struct mqtt_packet packet = {
        .type = MQTT_PUBLISH,
        .publish = {.qos = will->qos, .retain = will->retain, .packet_id = 1},
        .properties = will->properties,
    };
    packet.publish.topic = will->topic;
    packet.publish.payload = will->payload;
    struct buf *copy = malloc(sizeof *copy);
    if (copy == NULL)
        return ERR_MEMORY;
    buf_init(copy, 3 * LIMIT_PACKET_BYTES);
    int rc = mqtt_encode(copy, MQTT_5, &packet);
    if (rc < 0) {
        buf_free(copy);
        free(copy);
        return rc;
    }
    self->will = copy;
    return 0;
}

static void keep_terms(session_t *self, const struct mqtt_packet *packet)
{
    const struct mqtt_properties *properties = &packet->properties;
    uint16_t asked = packet->connect.keep_alive_s;
    self->client_keep_alive_s = self->keep_alive_s = asked;
    if (self->version == MQTT_5 && (asked == 0 || asked > SESSION_KEEP_ALIVE_MAX_S))
        self->keep_alive_s = SESSION_KEEP_ALIVE_MAX_S;
    bool has_max = mqtt_has(properties, MQTT_P_RECEIVE_MAXIMUM);
    self->client_receive_max = has_max ? properties->receive_maximum : UINT16_MAX;
    bool has_size = mqtt_has(properties, MQTT_P_MAXIMUM_PACKET_SIZE);
    self->client_packet_max = has_size ? properties->maximum_packet_size : UINT32_MAX;
    bool has_info = mqtt_has(properties, MQTT_P_REQUEST_PROBLEM_INFO);
    self->problem_info = !has_info || properties->request_problem_info != 0;
    self->session_expiry_asked = properties->session_expiry_s != 0;
}

/* 0, or the reason to refuse it with. */
static uint8_t take_connect(session_t *self, const struct mqtt_packet *packet)
{
    const struct mqtt_connect *connect = &packet->connect;
    keep_terms(self, packet);
    if (mqtt_has(&packet->properties, MQTT_P_AUTH_METHOD))
        return MQTT_BAD_AUTH_METHOD; /* MQTT-4.12.0-1 */
    bool nameless = connect->client_id.len == 0;
    if (nameless && self->version == MQTT_3_1_1 && !connect->clean_start)
        return MQTT_BAD_CLIENT_ID; /* 3.1.1: MQTT-3.1.3-8 */
    self->client_id = strndup((const char *)connect->client_id.data, connect->client_id.len);
    if (self->client_id == NULL)
        return MQTT_SERVER_BUSY;
    if (connect->will.present && keep_will(self, &connect->will) < 0)
        return MQTT_SERVER_BUSY;
    return MQTT_SUCCESS;
}

void session_on_connect(session_t *self, const struct session_env *env,
                        const struct mqtt_packet *packet)
{
    const struct mqtt_connect *connect = &packet->connect;
    self->version = connect->level;
    self->state = SESSION_AUTHENTICATING;
    uint8_t reason = take_connect(self, packet);
    if (reason != MQTT_SUCCESS) {
        session_end(self, env, reason, NULL, NULL);
        return;
    }
    struct session_login login = {
        .version = self->version,
        .client_id = connect->client_id,
        .user = connect->user,
        .password = connect->password,
    };
    env->events->authenticate(env->context, &login);
}

/* Decodes the kept will; its spans point into self->will. */
static bool read_will(const session_t *self, struct mqtt_packet *ret)
{
    uint8_t reason;
    return self->will != NULL &&
           mqtt_decode(self->will->data, self->will->len, MQTT_5, ret, &reason) == 0;
}

static int check_will(const session_t *self, const struct principal *principal)
{
    struct mqtt_packet will;
    struct mqtt_span topic;
    char *owned;
    if (!read_will(self, &will))
        return 0;
    session_t asking = {.principal = *principal};
    int rc = session_whole_topic(&asking, will.publish.topic, &topic, &owned);
    if (rc < 0)
        return rc;
    rc = topic.len > UINT16_MAX
             ? ERR_REFUSED
             : principal_may_publish(principal, (const char *)topic.data, topic.len);
    free(owned);
    return rc;
}

void session_give_will(session_t *self, const struct session_env *env)
{
    struct mqtt_packet will;
    struct mqtt_properties properties;
    struct mqtt_span topic;
    char *owned, *response;
    if (!read_will(self, &will) ||
        session_whole_topic(self, will.publish.topic, &topic, &owned) < 0)
        return;
    if (session_whole_properties(self, &will.properties, &properties, &response) < 0) {
        free(owned);
        return;
    }
    struct session_message message = {
        .topic = topic,
        .payload = will.publish.payload,
        .qos = will.publish.qos,
        .retain = will.publish.retain,
        .is_will = true,
        .properties = &properties,
    };
    env->events->will(env->context, &message);
    free(owned);
    free(response);
}

static int take_assigned_id(session_t *self, const char *id)
{
    if (self->client_id[0] != '\0' || id == NULL)
        return 0;
    char *copy = strdup(id);
    if (copy == NULL)
        return ERR_MEMORY;
    free(self->client_id);
    self->client_id = copy;
    self->id_assigned = true;
    return 0;
}

/* Accepted, and still not let in. */
static void end_unwelcome(session_t *self, const struct session_env *env, int rc)
{
    if (rc == ERR_REFUSED)
        session_end(self, env, MQTT_NOT_AUTHORIZED, "the will's topic is not allowed", NULL);
    else if (rc == ERR_TOO_LARGE) /* MQTT-3.1.2-24 */
        session_end(self, env, MQTT_IMPLEMENTATION_ERROR, NULL, NULL);
    else
        session_end(self, env, MQTT_SERVER_BUSY, NULL, NULL);
}

int session_auth(session_t *self, const struct session_env *env, const struct session_auth *result)
{
    if (self->state != SESSION_AUTHENTICATING)
        return ERR_UNEXPECTED;
    if (!result->accepted) {
        session_end(self, env, result->reason, result->reason_text, NULL);
        return 0;
    }
    int rc = check_will(self, result->principal);
    if (rc == 0)
        rc = take_assigned_id(self, result->assigned_id);
    if (rc == 0)
        rc = welcome(self, env);
    if (rc < 0) {
        end_unwelcome(self, env, rc);
        return rc;
    }
    self->principal = *result->principal;
    *result->principal = (struct principal){.kind = PRINCIPAL_NONE};
    self->state = SESSION_LIVE;
    self->heard_us = env->now_us;
    return 0;
}
