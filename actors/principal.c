#include "actors/principal.h"
#include "proto/topic.h"
#include <stdlib.h>
#include <string.h>

#define DEVICE_MIDDLE "/devices/"
#define DEVICE_MIDDLE_LEN 9
#define DEVICE_PREFIX_LEN (UUID_TEXT_LEN + DEVICE_MIDDLE_LEN + UUID_TEXT_LEN + 1)

/* The filters' texts stand one behind the other, each with its terminator, publish first. */
struct principal_filters {
    size_t publish_count, subscribe_count;
    char texts[];
};

static size_t texts_length(const char *const *filters, size_t count, size_t *valid)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(filters[i]);
        if (!topic_filter_valid(filters[i], len))
            continue;
        total += len + 1;
        ++*valid;
    }
    return total;
}

static char *copy_texts(char *out, const char *const *filters, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t len = strlen(filters[i]);
        if (!topic_filter_valid(filters[i], len))
            continue;
        memcpy(out, filters[i], len + 1);
        out += len + 1;
    }
    return out;
}

struct principal_filters *principal_filters_new(const char *const *publish, size_t publish_count,
                                                const char *const *subscribe,
                                                size_t subscribe_count)
{
    size_t publish_valid = 0, subscribe_valid = 0;
    size_t bytes = texts_length(publish, publish_count, &publish_valid) +
                   texts_length(subscribe, subscribe_count, &subscribe_valid);
    struct principal_filters *self = malloc(sizeof *self + bytes);
    if (self == NULL)
        return NULL;
    self->publish_count = publish_valid;
    self->subscribe_count = subscribe_valid;
    copy_texts(copy_texts(self->texts, publish, publish_count), subscribe, subscribe_count);
    return self;
}

void principal_clear(struct principal *self)
{
    free(self->filters);
    *self = (struct principal){.kind = PRINCIPAL_NONE};
}

void principal_mount(const struct principal *self, char out[static PRINCIPAL_MOUNT_LEN])
{
    uuid_format(&self->tenant, out);
    out[UUID_TEXT_LEN] = '/';
}

/* What stands behind `{tenant}/devices/{device}/`, literally; NULL: nothing, or another's. */
static const char *below_device(const struct principal *self, const char *topic, size_t len,
                                size_t *rest_len)
{
    char prefix[DEVICE_PREFIX_LEN];
    uuid_format(&self->tenant, prefix);
    memcpy(prefix + UUID_TEXT_LEN, DEVICE_MIDDLE, DEVICE_MIDDLE_LEN);
    uuid_format(&self->device, prefix + UUID_TEXT_LEN + DEVICE_MIDDLE_LEN);
    prefix[DEVICE_PREFIX_LEN - 1] = '/';
    if (len <= sizeof prefix || memcmp(topic, prefix, sizeof prefix) != 0)
        return NULL;
    *rest_len = len - sizeof prefix;
    return topic + sizeof prefix;
}

static bool first_level_is(const char *rest, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len >= n && memcmp(rest, name, n) == 0 && (len == n || rest[n] == '/');
}

static int device_may_publish(const struct principal *self, const char *topic, size_t len)
{
    size_t rest_len;
    const char *rest = below_device(self, topic, len, &rest_len);
    if (rest == NULL || first_level_is(rest, rest_len, "status") ||
        first_level_is(rest, rest_len, "alerts"))
        return ERR_REFUSED;
    return 0;
}

/* Below its tenant and covered by one of `count` filters, the `skip` first texts left out. */
static int service_may(const struct principal *self, size_t skip, size_t count, const char *topic,
                       size_t len)
{
    char mount[PRINCIPAL_MOUNT_LEN];
    principal_mount(self, mount);
    if (len <= sizeof mount || memcmp(topic, mount, sizeof mount) != 0)
        return ERR_REFUSED;
    const char *wide = self->filters->texts;
    for (size_t i = 0; i < skip + count; i++, wide += strlen(wide) + 1)
        if (i >= skip && topic_covers(wide, strlen(wide), topic + sizeof mount, len - sizeof mount))
            return 0;
    return ERR_REFUSED;
}

int principal_may_publish(const struct principal *self, const char *topic, size_t len)
{
    if (self->kind == PRINCIPAL_DEVICE)
        return device_may_publish(self, topic, len);
    if (self->kind != PRINCIPAL_SERVICE || self->filters == NULL)
        return ERR_REFUSED;
    return service_may(self, 0, self->filters->publish_count, topic, len);
}

int principal_may_subscribe(const struct principal *self, const char *filter, size_t len)
{
    if (self->kind == PRINCIPAL_DEVICE) {
        size_t rest_len;
        return below_device(self, filter, len, &rest_len) ? 0 : ERR_REFUSED;
    }
    if (self->kind != PRINCIPAL_SERVICE || self->filters == NULL)
        return ERR_REFUSED;
    return service_may(self, self->filters->publish_count, self->filters->subscribe_count, filter,
                       len);
}
