#pragma once
/*
 * metric - the names of what a reading measures, and the five that have a column of their own.
 */
#include "proto/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* The metrics that have a column. */
enum metric {
    METRIC_TEMPERATURE,
    METRIC_HUMIDITY,
    METRIC_PRESSURE,
    METRIC_BATTERY,
    METRIC_RSSI,
    METRICS
};

extern const char *const metric_names[METRICS];
/* The column of `name`, METRICS when it has none. */
enum metric metric_find(const char *name, size_t len);
/* Whether `name` may name a metric: its characters, its length, and that it is not `timestamp`. */
bool metric_name_valid(const char *name, size_t len);

/* Whether `c` may stand in a name: an ASCII letter, a digit or `_`. */
static inline bool metric_character_valid(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* `timestamp` is the one name that is no metric. */
static inline bool metric_name_is_timestamp(const char *name, size_t len)
{
    return len == 9 && memcmp(name, "timestamp", 9) == 0;
}
