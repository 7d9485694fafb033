#include "actors/session_state.h"
#include "proto/check.h"
#include <malloc.h>
#include <stdlib.h>

#define TYPES (MQTT_AUTH + 1)

static session_action_fn *const actions[SESSION_ENDED][TYPES] = {
#define ROW(state, packet, action) [SESSION_##state][MQTT_##packet] = action,
#include "actors/session.def"
#undef ROW
};

session_t *session_new(int64_t now_us)
{
    session_t *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->heard_us = now_us;
    self->client_packet_max = UINT32_MAX;
    return self;
}

static void free_will(session_t *self)
{
    if (self->will != NULL)
        buf_free(self->will);
    free(self->will);
    self->will = NULL;
}

static void free_aliases(session_t *self)
{
    for (size_t i = 0; self->aliases != NULL && i < SESSION_ALIAS_MAXIMUM; i++)
        free(self->aliases[i].topic);
    free(self->aliases);
    self->aliases = NULL;
}

/* What only a living connection needs. */
static void free_parts(session_t *self)
{
    free_will(self);
    free_aliases(self);
    session_inbound_free(self);
    session_outbound_free(self);
}

void session_destroy(session_t **self_p)
{
    session_t *self = *self_p;
    if (self == NULL)
        return;
    free_parts(self);
    principal_clear(&self->principal);
    free(self->client_id);
    free(self);
    *self_p = NULL;
}

bool session_wants_input(const session_t *self)
{
    if (self->paused || self->state == SESSION_AUTHENTICATING || self->state == SESSION_ENDED)
        return false;
    /* Only what waits for us counts: PUBRELs have to be read. */
    return self->version != MQTT_3_1_1 || self->inbound.count < LIMIT_RECEIVE_MAXIMUM;
}

/* A first packet that is no CONNECT we speak: MQTT-3.1.4-1, and 3.1.1: MQTT-3.1.2-2. */
static void refuse_first(session_t *self, const struct session_env *env, const uint8_t *packet,
                         size_t len, uint8_t reason)
{
    int level = mqtt_connect_level(packet, len);
    self->version = level >= MQTT_5 ? MQTT_5 : MQTT_3_1_1;
    if (packet[0] == MQTT_CONNECT << 4 && (level >= MQTT_5 || reason == MQTT_BAD_VERSION))
        session_refuse_connect(self, env, reason, NULL);
    session_finish(self, env, reason);
}

static int take_packet(session_t *self, const struct session_env *env, const uint8_t *data,
                       size_t len)
{
    struct mqtt_packet packet;
    uint8_t reason;
    self->heard_us = env->now_us;
    int rc = mqtt_decode(data, len, self->version, &packet, &reason);
    if (rc < 0) {
        if (self->state == SESSION_OPEN)
            refuse_first(self, env, data, len, reason);
        else
            session_end(self, env, reason, NULL, NULL); /* MQTT-4.13.1-1 */
        return rc;
    }
    session_action_fn *action = actions[self->state][packet.type];
    if (action == NULL) {
        session_end(self, env, MQTT_PROTOCOL_ERROR, NULL, NULL);
        return ERR_UNEXPECTED;
    }
    action(self, env, &packet);
    if (buf_failed(env->out))
        session_finish(self, env, MQTT_QUOTA_EXCEEDED);
    return self->state == SESSION_ENDED ? ERR_REFUSED : 0;
}

static bool room_for_answers(const struct session_env *env)
{
    return env->unsent_bytes + env->out->len < LIMIT_CLIENT_QUEUE_BYTES;
}

/* The length that the fixed header at `data` announces; 0: not all there. */
static size_t announced_length(const uint8_t *data, size_t len)
{
    size_t remaining = 0;
    for (size_t i = 1; i < len && i <= 4; i++) {
        remaining |= (size_t)(data[i] & 0x7F) << (7 * (i - 1));
        if ((data[i] & 0x80) == 0)
            return 1 + i + remaining;
    }
    return 0;
}

static void end_unframed(session_t *self, const struct session_env *env, int error)
{
    uint8_t reason = error == ERR_TOO_LARGE ? MQTT_PACKET_TOO_LARGE : MQTT_MALFORMED;
    if (self->state == SESSION_OPEN)
        session_finish(self, env, reason);
    else
        session_end(self, env, reason, NULL, NULL);
}

int session_input(session_t *self, const struct session_env *env, const uint8_t *data, size_t len,
                  size_t *ret_used, size_t *ret_need)
{
    size_t used = 0, need = 0;
    int rc = self->state == SESSION_ENDED ? ERR_UNEXPECTED : 0;
    while (rc == 0 && used < len && session_wants_input(self) && room_for_answers(env)) {
        size_t total;
        int whole = mqtt_frame_length(data + used, len - used, LIMIT_PACKET_BYTES, &total);
        if (whole == 0) {
            need = announced_length(data + used, len - used);
            break;
        }
        if (whole < 0) {
            end_unframed(self, env, whole);
            rc = whole;
            break;
        }
        rc = take_packet(self, env, data + used, total);
        used += total;
    }
    *ret_used = used;
    *ret_need = need;
    return rc;
}

void session_on_pingreq(session_t *self, const struct session_env *env,
                        const struct mqtt_packet *packet)
{
    (void)self;
    (void)packet;
    mqtt_put_pingresp(env->out);
}

void session_on_disconnect(session_t *self, const struct session_env *env,
                           const struct mqtt_packet *packet)
{
    if (packet->properties.session_expiry_s != 0 && !self->session_expiry_asked) {
        session_end(self, env, MQTT_PROTOCOL_ERROR, NULL, NULL); /* 3.14.2.2.2 */
        return;
    }
    if (packet->ack.reason == MQTT_SUCCESS) /* MQTT-3.14.4-3; 3.1.1 has no other */
        free_will(self);
    session_finish(self, env, packet->ack.reason);
}

void session_finish(session_t *self, const struct session_env *env, uint8_t reason)
{
    if (self->state == SESSION_ENDED)
        return;
    if (self->state == SESSION_LIVE)
        session_give_will(self, env);
    self->state = SESSION_ENDED;
    free_parts(self);
    env->events->close(env->context, reason);
}

bool session_unwrite(const session_t *self, const struct session_env *env, size_t before)
{
    if (env->out->len - before <= self->client_packet_max)
        return false;
    env->out->len = before;
    return true;
}

static void put_disconnect(session_t *self, const struct session_env *env, uint8_t reason,
                           const char *text, const char *server_reference)
{
    size_t before = env->out->len;
    mqtt_put_disconnect(env->out, self->version, reason, text, server_reference);
    if (session_unwrite(self, env, before))
        mqtt_put_disconnect(env->out, self->version, reason, NULL, NULL);
}

void session_end(session_t *self, const struct session_env *env, uint8_t reason, const char *text,
                 const char *server_reference)
{
    /* MQTT-3.14.0-1: no DISCONNECT before CONNACK. */
    if (self->state == SESSION_AUTHENTICATING)
        session_refuse_connect(self, env, reason, text);
    else if (self->state == SESSION_LIVE)
        put_disconnect(self, env, reason, text, server_reference);
    session_finish(self, env, reason);
}

void session_kick(session_t *self, const struct session_env *env, uint8_t reason, const char *text,
                  const char *server_reference)
{
    session_end(self, env, reason, text, server_reference);
}

void session_closed(session_t *self, const struct session_env *env)
{
    if (self->state == SESSION_ENDED)
        return;
    if (self->state == SESSION_LIVE)
        session_give_will(self, env);
    self->state = SESSION_ENDED;
    free_parts(self);
}

void session_pause(session_t *self, int64_t now_us)
{
    (void)now_us;
    self->paused = true;
}

void session_resume(session_t *self, int64_t now_us)
{
    if (self->paused)
        self->heard_us = now_us;
    self->paused = false;
}

int64_t session_deadline_us(const session_t *self)
{
    if (!session_wants_input(self))
        return INT64_MAX;
    if (self->state == SESSION_OPEN)
        return self->heard_us + SESSION_CONNECT_TIMEOUT_US;
    if (self->keep_alive_s == 0)
        return INT64_MAX;
    return self->heard_us + (int64_t)self->keep_alive_s * 1500000;
}

void session_tick(session_t *self, const struct session_env *env)
{
    if (env->now_us < session_deadline_us(self))
        return;
    if (self->state == SESSION_OPEN)
        session_finish(self, env, MQTT_KEEP_ALIVE_TIMEOUT); /* 3.1.4: no CONNECT in time */
    else
        session_end(self, env, MQTT_KEEP_ALIVE_TIMEOUT, NULL, NULL);
}

bool session_connected(const session_t *self)
{
    return self->state == SESSION_LIVE;
}
bool session_ended(const session_t *self)
{
    return self->state == SESSION_ENDED;
}
int session_version(const session_t *self)
{
    return self->version;
}
const char *session_client_id(const session_t *self)
{
    return self->client_id ? self->client_id : "";
}
const struct principal *session_principal(const session_t *self)
{
    return &self->principal;
}

static size_t block(const void *p)
{
    return malloc_usable_size((void *)(uintptr_t)p);
}

size_t session_memory(const session_t *self)
{
    size_t total = block(self) + block(self->client_id) + block(self->will) + block(self->aliases) +
                   block(self->outbound) + block(self->inbound.ring) +
                   block(self->inbound.unreleased) + block(self->principal.filters);
    if (self->will != NULL)
        total += self->will->cap;
    if (self->outbound != NULL)
        total += self->outbound->queue.cap;
    for (size_t i = 0; self->aliases != NULL && i < SESSION_ALIAS_MAXIMUM; i++)
        total += block(self->aliases[i].topic);
    return total;
}
