#include "proto/topic.h"
#include <stdint.h>

#define SHARED "$share/"
#define SHARED_LEN 7
#define DEVICES "/devices/"
#define DEVICES_LEN 9

/* The level that starts at `at`: its length, up to `/` or the end. */
static size_t level_length(const char *text, size_t len, size_t at)
{
    const char *slash = memchr(text + at, '/', len - at);
    return slash ? (size_t)(slash - text) - at : len - at;
}

bool topic_name_valid(const char *topic, size_t len)
{
    return len > 0 && len <= UINT16_MAX && !memchr(topic, '+', len) && !memchr(topic, '#', len) &&
           !memchr(topic, '\0', len);
}

static bool levels_valid(const char *filter, size_t len)
{
    for (size_t at = 0; at <= len;) {
        size_t n = level_length(filter, len, at);
        bool plus = memchr(filter + at, '+', n), hash = memchr(filter + at, '#', n);
        if ((plus || hash) && n != 1)
            return false;
        if (hash && at + 1 != len)
            return false;
        at += n + 1;
    }
    return true;
}

bool topic_is_shared(const char *filter, size_t len)
{
    return len >= SHARED_LEN && memcmp(filter, SHARED, SHARED_LEN) == 0;
}

int topic_split_shared(const char *filter, size_t len, const char **ret_group,
                       size_t *ret_group_len, const char **ret_filter, size_t *ret_filter_len)
{
    if (!topic_is_shared(filter, len))
        return ERR_NOT_FOUND;
    size_t group = level_length(filter, len, SHARED_LEN);
    if (!topic_name_valid(filter + SHARED_LEN, group) || SHARED_LEN + group + 1 >= len)
        return ERR_MALFORMED;
    *ret_group = filter + SHARED_LEN;
    *ret_group_len = group;
    *ret_filter = filter + SHARED_LEN + group + 1;
    *ret_filter_len = len - SHARED_LEN - group - 1;
    return 0;
}

bool topic_filter_valid(const char *filter, size_t len)
{
    if (len == 0 || len > UINT16_MAX || memchr(filter, '\0', len))
        return false;
    const char *group;
    size_t group_len;
    if (topic_split_shared(filter, len, &group, &group_len, &filter, &len) == ERR_MALFORMED)
        return false;
    return levels_valid(filter, len);
}

/* Level by level; `#` also stands for the level above it ("sport/#" matches "sport", 4.7.1.2). A
 * wildcard in `narrow` is covered by one at least as wide. */
bool topic_covers(const char *wide, size_t wide_len, const char *narrow, size_t narrow_len)
{
    size_t w = 0, n = 0;
    for (;;) {
        if (w < wide_len && wide[w] == '#')
            return true;
        if (n > narrow_len)
            return w > wide_len;
        if (w > wide_len)
            return false;
        size_t wide_n = level_length(wide, wide_len, w);
        size_t narrow_n = level_length(narrow, narrow_len, n);
        bool narrow_hash = narrow_n == 1 && narrow[n] == '#';
        bool plus = wide_n == 1 && wide[w] == '+';
        bool same = wide_n == narrow_n && memcmp(wide + w, narrow + n, wide_n) == 0;
        if (narrow_hash || (!plus && !same))
            return false;
        w += wide_n + 1;
        n += narrow_n + 1;
    }
}

bool topic_matches(const char *filter, size_t filter_len, const char *topic, size_t topic_len)
{
    if (filter_len == 0 || topic_len == 0)
        return false;
    if (topic[0] == '$' && (filter[0] == '+' || filter[0] == '#'))
        return false; /* MQTT-4.7.2-1 */
    return topic_covers(filter, filter_len, topic, topic_len);
}

int topic_parse_device(const char *topic, size_t len, struct uuid *ret_tenant,
                       struct uuid *ret_device, const char **ret_rest, size_t *ret_rest_len)
{
    const size_t device_at = UUID_TEXT_LEN + DEVICES_LEN, rest_at = device_at + UUID_TEXT_LEN + 1;
    struct uuid tenant, device;
    if (len <= rest_at || topic[rest_at - 1] != '/' ||
        memcmp(topic + UUID_TEXT_LEN, DEVICES, DEVICES_LEN) != 0)
        return ERR_MALFORMED;
    if (uuid_parse(topic, UUID_TEXT_LEN, &tenant) < 0 ||
        uuid_parse(topic + device_at, UUID_TEXT_LEN, &device) < 0)
        return ERR_MALFORMED;
    *ret_tenant = tenant;
    *ret_device = device;
    *ret_rest = topic + rest_at;
    *ret_rest_len = len - rest_at;
    return 0;
}
