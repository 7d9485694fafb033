/* SUBSCRIBE and UNSUBSCRIBE: who may, and what is answered; the router keeps the subscriptions. */
#include "actors/session_state.h"
#include "proto/topic.h"
#include <stdlib.h>

/* The filter as it is outside, or the reason why not. */
static uint8_t admit(const session_t *self, struct mqtt_span filter, struct mqtt_span *ret_whole,
                     char **ret_owned)
{
    if (topic_is_shared((const char *)filter.data, filter.len))
        return MQTT_NO_SHARED;
    struct mqtt_span whole;
    char *owned;
    if (session_whole_topic(self, filter, &whole, &owned) < 0)
        return MQTT_QUOTA_EXCEEDED;
    if (whole.len > UINT16_MAX ||
        principal_may_subscribe(&self->principal, (const char *)whole.data, whole.len) < 0) {
        free(owned);
        return MQTT_NOT_AUTHORIZED;
    }
    *ret_whole = whole;
    *ret_owned = owned;
    return MQTT_SUCCESS;
}

static uint8_t subscribe(session_t *self, const struct session_env *env,
                         const struct mqtt_filter *filter, uint32_t subscription_id)
{
    struct session_subscription subscription = {
        .qos = filter->qos,
        .retain_handling = filter->retain_handling,
        .no_local = filter->no_local,
        .retain_as_published = filter->retain_as_published,
        .subscription_id = subscription_id,
    };
    char *owned = NULL;
    uint8_t code = admit(self, filter->filter, &subscription.filter, &owned);
    if (code == MQTT_SUCCESS)
        code = env->events->subscribe(env->context, &subscription) < 0 ? MQTT_QUOTA_EXCEEDED
                                                                       : filter->qos;
    free(owned);
    bool old = self->version == MQTT_3_1_1 && code >= MQTT_UNSPECIFIED;
    return old ? MQTT_UNSPECIFIED : code; /* 3.1.1: MQTT-3.9.3-2 */
}

static uint8_t unsubscribe(session_t *self, const struct session_env *env,
                           const struct mqtt_filter *filter)
{
    struct mqtt_span whole;
    char *owned = NULL;
    uint8_t code = admit(self, filter->filter, &whole, &owned);
    if (code == MQTT_SUCCESS && env->events->unsubscribe(env->context, whole) == 0) {
        free(owned);
        return MQTT_SUCCESS;
    }
    free(owned);
    return MQTT_NO_SUBSCRIPTION; /* there cannot be one that was refused */
}

static uint8_t excess_code(const session_t *self, bool adding)
{
    if (self->version == MQTT_3_1_1 || !adding)
        return MQTT_UNSPECIFIED;
    return MQTT_QUOTA_EXCEEDED;
}

/* A code for each filter, in their order (MQTT-3.8.4-6, MQTT-3.11.3-1). */
static void answer(session_t *self, const struct session_env *env, const struct mqtt_packet *packet)
{
    struct mqtt_filter filter;
    bool adding = packet->type == MQTT_SUBSCRIBE;
    size_t count = 0;
    uint8_t *codes = malloc(packet->subscribe.filters.len); /* more than it has filters */
    if (codes == NULL) {
        session_end(self, env, MQTT_QUOTA_EXCEEDED, NULL, NULL);
        return;
    }
    for (size_t at = 0; mqtt_next_filter(packet, &at, &filter); count++) {
        if (count >= LIMIT_SUBSCRIPTIONS) /* it can have no more, and looking for them takes time */
            codes[count] = excess_code(self, adding);
        else
            codes[count] = adding
                               ? subscribe(self, env, &filter, packet->properties.subscription_id)
                               : unsubscribe(self, env, &filter);
    }
    size_t before = env->out->len;
    mqtt_put_suback(env->out, self->version, adding ? MQTT_SUBACK : MQTT_UNSUBACK,
                    packet->subscribe.packet_id, codes, count);
    free(codes);
    if (session_unwrite(self, env, before)) /* it asked for more than it takes an answer to */
        session_end(self, env, MQTT_PACKET_TOO_LARGE, NULL, NULL);
}

void session_on_subscribe(session_t *self, const struct session_env *env,
                          const struct mqtt_packet *packet)
{
    answer(self, env, packet);
}

void session_on_unsubscribe(session_t *self, const struct session_env *env,
                            const struct mqtt_packet *packet)
{
    answer(self, env, packet);
}
