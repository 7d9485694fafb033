#pragma once
/*
 * topic - names and filters of MQTT topics (MQTT 5, 4.7), and the platform's own names.
 *
 * All take bytes and a length, never a terminator; UTF-8 has been checked by the decoder.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stddef.h>

/* 1 to 65535 bytes, no wildcard, no U+0000 (MQTT-4.7.3-1, MQTT-4.7.3-2, MQTT-3.3.2-2). */
bool topic_name_valid(const char *topic, size_t len);
/* Wildcards alone in their level, `#` last (MQTT-4.7.1-1, MQTT-4.7.1-2). $share/… is valid when its
 * group and its filter are (MQTT-4.8.2-1, MQTT-4.8.2-2). */
bool topic_filter_valid(const char *filter, size_t len);
/* Both valid. A filter that starts with a wildcard never matches a topic that starts with `$`
 * (MQTT-4.7.2-1). A $share prefix has to be split off before. */
bool topic_matches(const char *filter, size_t filter_len, const char *topic, size_t topic_len);
/* Every topic that `narrow` (a filter, or a topic) can match is matched by `wide`. `$` is not
 * special here: for filters relative to a tenant. */
bool topic_covers(const char *wide, size_t wide_len, const char *narrow, size_t narrow_len);

/* `{tenant}/devices/{device}/{rest}`, rest not empty. 0 or ERR_MALFORMED; rest points into topic.
 */
int topic_parse_device(const char *topic, size_t len, struct uuid *ret_tenant,
                       struct uuid *ret_device, const char **ret_rest,
                       size_t *ret_rest_len) MUST_CHECK;

bool topic_is_shared(const char *filter, size_t len);
/* `$share/{group}/{filter}`. 0, ERR_NOT_FOUND: not a shared one, ERR_MALFORMED. */
int topic_split_shared(const char *filter, size_t len, const char **ret_group,
                       size_t *ret_group_len, const char **ret_filter,
                       size_t *ret_filter_len) MUST_CHECK;
