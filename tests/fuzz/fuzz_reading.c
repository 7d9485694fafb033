/*
 * A payload that is accepted is JSON to jansson too, with the same numbers; columns and extra
 * together are the payload; and one that is called "not JSON" is none to jansson either.
 */
#include "proto/check.h"
#include "proto/limits.h"
#include "proto/reading.h"
#include "proto/timestamp.h"
#include <jansson.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static json_t *load(const char *text, size_t len)
{
    return json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL, NULL);
}

static void check_column(const struct reading *item, int metric, const json_t *given)
{
    bool present = item->present >> metric & 1;
    CHECK(present == json_is_number(given));
    CHECK(fabs(item->value[metric]) <= LIMIT_METRIC_VALUE);
    CHECK(item->value[metric] == json_number_value(given)); /* 0 for no number */
}

/* A member of the payload is where the store will look for it. */
static void check_member(const struct reading *item, const char *name, const json_t *given,
                         const json_t *extra)
{
    double value = 7;
    size_t len = strlen(name);
    enum metric metric = metric_find(name, len);
    json_t *kept = json_object_get(extra, name);
    int found = reading_metric(item->payload, item->payload_len, name, len, &value);
    if (strcmp(name, "timestamp") == 0) {
        CHECK(found == 0 && json_equal(given, kept));
        return;
    }
    CHECK(metric_name_valid(name, len));
    CHECK(json_is_number(given) || json_is_null(given));
    CHECK(found == json_is_number(given));
    CHECK(found == 0 || (value == json_number_value(given) && fabs(value) <= LIMIT_METRIC_VALUE));
    if (kept != NULL)
        CHECK(json_equal(given, kept));
    else
        CHECK(metric < METRICS && (item->present >> metric & 1));
}

static void check_reading(const struct reading *item, const char *text, size_t size)
{
    CHECK(item->payload >= text && item->payload + item->payload_len <= text + size);
    CHECK(item->timestamp_us >= TIMESTAMP_MIN && item->timestamp_us <= TIMESTAMP_MAX);
    json_t *given = load(item->payload, item->payload_len);
    json_t *extra = item->extra == NULL ? NULL : load(item->extra, item->extra_len);
    CHECK(json_is_object(given) && json_object_size(given) <= LIMIT_METRICS + 1);
    CHECK((item->extra == NULL) == (extra == NULL) && (extra == NULL) == (item->extra_len == 0));
    CHECK(extra == NULL || (json_is_object(extra) && json_object_size(extra) > 0));
    for (int metric = 0; metric < METRICS; metric++)
        check_column(item, metric, json_object_get(given, metric_names[metric]));
    const char *name;
    json_t *member;
    json_object_foreach(given, name, member) check_member(item, name, member, extra);
    json_object_foreach(extra, name, member) CHECK(json_object_get(given, name) != NULL);
    json_decref(given);
    json_decref(extra);
}

static void check_reason(const char *reason)
{
    CHECK(reason[0] != '\0');
    for (; *reason != '\0'; reason++)
        CHECK(*reason >= ' ' && *reason <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct readings readings;
    const char *text = (const char *)data;
    double value;
    (void)!reading_metric(text, size, "temperature", 11, &value);
    int r = readings_parse(&readings, text, size);
    json_t *whole = load(text, size);
    if (r == 0) {
        CHECK(readings.count >= 1 && readings.reason[0] == '\0');
        CHECK(readings.count == (json_is_array(whole) ? json_array_size(whole) : 1));
        CHECK(whole != NULL);
        for (size_t i = 0; i < readings.count; i++)
            check_reading(&readings.item[i], text, size);
    } else {
        CHECK(readings.count == 0);
        check_reason(readings.reason);
        /* jansson 2.14 overlooks a NUL behind a number; we do not. */
        CHECK(strncmp(readings.reason, "not JSON", 8) != 0 || whole == NULL ||
              memchr(data, '\0', size) != NULL);
    }
    json_decref(whole);
    return 0;
}
