#include "proto/reading.h"
#include "proto/check.h"
#include "proto/json_scan.h"
#include "proto/limits.h"
#include "proto/name_set.h"
#include "proto/number.h"
#include "proto/timestamp.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct name {
    const char *s;
    size_t len;
};

struct parser {
    struct json_scan scan;
    struct readings *out;
    struct reading *reading; /* the one being filled */
    bool in_array;
    bool timestamp_seen;
    uint32_t columns_seen;
    int metrics;
};

void readings_init(struct readings *self)
{
    *self = (struct readings){0};
}

void readings_free(struct readings *self)
{
    free(self->item);
    free(self->extra);
    name_set_destroy(&self->names);
    readings_init(self);
}

/* What is JSON but no telemetry. */
__attribute__((format(printf, 2, 3))) static int refuse(struct parser *self, const char *format,
                                                        ...)
{
    char *reason = self->out->reason;
    size_t size = sizeof self->out->reason;
    int at = self->in_array ? snprintf(reason, size, "reading %zu: ", self->out->count - 1) : 0;
    va_list args;
    va_start(args, format);
    vsnprintf(reason + at, size - (size_t)at, format, args);
    va_end(args);
    return ERR_MALFORMED;
}

static int refuse_syntax(struct parser *self, const char *expected)
{
    snprintf(self->out->reason, sizeof self->out->reason, "not JSON at byte %zu: expected %s",
             json_scan_offset(&self->scan), expected);
    return ERR_MALFORMED;
}

/* The texts of all members together fit a copy of the payload, which reserve() made room for. */
static void extra_put(struct readings *self, const char *bytes, size_t n)
{
    CHECK(n <= self->extra_cap - self->extra_len);
    memcpy(self->extra + self->extra_len, bytes, n);
    self->extra_len += n;
}

/* Adds the member `name` whose value is the text from `value` to the cursor. */
static void keep_in_extra(struct parser *self, struct name name, const char *value)
{
    struct readings *out = self->out;
    bool first = self->reading->extra == NULL;
    if (first)
        self->reading->extra = out->extra + out->extra_len;
    extra_put(out, first ? "{\"" : ",\"", 2);
    extra_put(out, name.s, name.len);
    extra_put(out, "\":", 2);
    extra_put(out, value, (size_t)(self->scan.at - value));
}

static void close_extra(struct parser *self)
{
    if (self->reading->extra == NULL)
        return;
    extra_put(self->out, "}", 1);
    self->reading->extra_len =
        (uint32_t)(self->out->extra + self->out->extra_len - self->reading->extra);
}

static int read_name(struct parser *self, struct name *ret_name)
{
    struct json_scan *scan = &self->scan;
    if (!json_scan_take(scan, '"'))
        return refuse_syntax(self, "a name in quotes");
    const char *s = scan->at;
    while (scan->at < scan->end && metric_character_valid(*scan->at))
        scan->at++;
    size_t len = (size_t)(scan->at - s), offset = (size_t)(s - scan->start);
    if (scan->at == scan->end)
        return refuse_syntax(self, "the end of the name");
    if (*scan->at == '\\')
        return refuse(self, "the name at byte %zu is written with an escape", offset);
    if (*scan->at != '"')
        return refuse(self, "the name at byte %zu has other characters than letters, digits and _",
                      offset);
    if (len < 1 || len > LIMIT_METRIC_NAME_BYTES)
        return refuse(self, "the name at byte %zu has not 1 to %d characters", offset,
                      LIMIT_METRIC_NAME_BYTES);
    scan->at++;
    *ret_name = (struct name){s, len};
    return 0;
}

static int timestamp_from_text(struct parser *self, int64_t *ret_us)
{
    struct json_scan *scan = &self->scan;
    const char *s = ++scan->at;
    /* An escaped quote ends the text here too; its backslash is refused as no part of a date. */
    if (!json_scan_skip_past(scan, '"'))
        return refuse_syntax(self, "the end of the timestamp");
    if (timestamp_parse_rfc3339(s, (size_t)(scan->at - 1 - s), ret_us) != 0)
        return refuse(self, "timestamp is not an RFC 3339 date and time of the years 1970 to 9999");
    return 0;
}

static int timestamp_from_number(struct parser *self, int64_t *ret_us)
{
    struct number number;
    if (number_parse(self->scan.at, self->scan.end, &number) != 0)
        return refuse(self, "timestamp is neither RFC 3339 text nor epoch milliseconds");
    if (!(number.value >= 0 && number.value <= (double)(TIMESTAMP_MAX / 1000)))
        return refuse(self, "timestamp is not in epoch milliseconds of the years 1970 to 9999");
    self->scan.at += number.len;
    /* Apart: the product itself may need more bits than a double has. */
    double whole = floor(number.value);
    *ret_us = (int64_t)whole * 1000 + (int64_t)lround((number.value - whole) * 1000);
    return 0;
}

static int read_timestamp(struct parser *self, struct name name)
{
    const char *value = self->scan.at;
    int64_t us = 0;
    if (self->timestamp_seen)
        return refuse(self, "timestamp appears twice");
    self->timestamp_seen = true;
    if (!json_scan_take_null(&self->scan)) {
        int r = *value == '"' ? timestamp_from_text(self, &us) : timestamp_from_number(self, &us);
        if (r != 0)
            return r;
        if (us == 0)
            return refuse(self, "timestamp is the Unix epoch itself: the clock is not set");
    }
    self->reading->timestamp_us = us;
    keep_in_extra(self, name, value);
    return 0;
}

/* Counts the metric and refuses one that was there before. */
static int admit_metric(struct parser *self, struct name name, enum metric metric)
{
    bool again;
    if (self->metrics == LIMIT_METRICS)
        return refuse(self, "more than %d metrics", LIMIT_METRICS);
    self->metrics++;
    if (metric < METRICS) {
        again = self->columns_seen >> metric & 1;
        self->columns_seen |= UINT32_C(1) << metric;
    } else {
        again = !name_set_add(self->out->names, name.s, name.len);
    }
    return again ? refuse(self, "metric \"%.*s\" appears twice", (int)name.len, name.s) : 0;
}

static int refuse_number(struct parser *self, struct name name, int r)
{
    char c = json_scan_peek(&self->scan);
    if (r == ERR_TOO_LARGE)
        return refuse(self, "value of \"%.*s\" has over %d characters or an exponent over %d",
                      (int)name.len, name.s, NUMBER_TEXT_MAX, NUMBER_EXPONENT_MAX);
    if (c != '\0' && strchr("\"{[tf", c) != NULL)
        return refuse(self, "metric \"%.*s\" is not a number or null", (int)name.len, name.s);
    return refuse_syntax(self, "a number or null");
}

static int read_metric(struct parser *self, struct name name)
{
    enum metric metric = metric_find(name.s, name.len);
    const char *value = self->scan.at;
    struct number number;
    int r = admit_metric(self, name, metric);
    if (r != 0)
        return r;
    if (json_scan_take_null(&self->scan)) {
        keep_in_extra(self, name, value);
        return 0;
    }
    r = number_parse(self->scan.at, self->scan.end, &number);
    if (r != 0)
        return refuse_number(self, name, r);
    if (fabs(number.value) > LIMIT_METRIC_VALUE)
        return refuse(self, "value of \"%.*s\" is larger than 1e10", (int)name.len, name.s);
    self->scan.at += number.len;
    if (metric < METRICS) {
        self->reading->value[metric] = number.value;
        self->reading->present |= UINT32_C(1) << metric;
    }
    if (metric == METRICS || !number.restorable)
        keep_in_extra(self, name, value);
    return 0;
}

static int read_member(struct parser *self)
{
    struct name name;
    json_scan_space(&self->scan);
    int r = read_name(self, &name);
    if (r != 0)
        return r;
    json_scan_space(&self->scan);
    if (!json_scan_take(&self->scan, ':'))
        return refuse_syntax(self, "':'");
    json_scan_space(&self->scan);
    if (self->scan.at == self->scan.end)
        return refuse_syntax(self, "a value");
    r = metric_name_is_timestamp(name.s, name.len) ? read_timestamp(self, name)
                                                   : read_metric(self, name);
    json_scan_space(&self->scan);
    return r;
}

static int read_object(struct parser *self)
{
    const char *start = self->scan.at;
    if (!json_scan_take(&self->scan, '{'))
        return refuse(self, "not a JSON object");
    json_scan_space(&self->scan);
    if (json_scan_peek(&self->scan) == '}')
        return refuse(self, "the object is empty");
    do {
        int r = read_member(self);
        if (r != 0)
            return r;
    } while (json_scan_take(&self->scan, ','));
    if (!json_scan_take(&self->scan, '}'))
        return refuse_syntax(self, "',' or '}'");
    if (self->metrics == 0)
        return refuse(self, "no metric beside timestamp");
    self->reading->payload = start;
    self->reading->payload_len = (uint32_t)(self->scan.at - start);
    close_extra(self);
    return 0;
}

static int grow_items(struct readings *self)
{
    size_t cap = self->cap ? self->cap * 2 : 16;
    struct reading *item = realloc(self->item, cap * sizeof *item);
    if (item == NULL)
        return ERR_MEMORY;
    self->item = item;
    self->cap = cap;
    return 0;
}

static int read_reading(struct parser *self)
{
    struct readings *out = self->out;
    if (out->count == out->cap) {
        int r = grow_items(out);
        if (r != 0)
            return r;
    }
    self->reading = &out->item[out->count++];
    *self->reading = (struct reading){0};
    self->timestamp_seen = false;
    self->columns_seen = 0;
    self->metrics = 0;
    name_set_clear(out->names);
    return read_object(self);
}

static int read_array(struct parser *self)
{
    self->scan.at++;
    json_scan_space(&self->scan);
    if (json_scan_peek(&self->scan) == ']')
        return refuse(self, "the array is empty");
    self->in_array = true;
    do {
        json_scan_space(&self->scan);
        int r = read_reading(self);
        if (r != 0)
            return r;
        json_scan_space(&self->scan);
    } while (json_scan_take(&self->scan, ','));
    if (!json_scan_take(&self->scan, ']'))
        return refuse_syntax(self, "',' or ']'");
    return 0;
}

static int read_payload(struct parser *self)
{
    json_scan_space(&self->scan);
    char c = json_scan_peek(&self->scan);
    if (c != '{' && c != '[')
        return refuse(self, "the payload is not a JSON object or an array of objects");
    int r = c == '[' ? read_array(self) : read_reading(self);
    if (r != 0)
        return r;
    json_scan_space(&self->scan);
    if (self->scan.at != self->scan.end)
        return refuse_syntax(self, "nothing more");
    return 0;
}

/* Room for the `extra` of a payload of `len` bytes. */
static int reserve(struct readings *self, size_t len)
{
    if (self->names == NULL && (self->names = name_set_new()) == NULL)
        return ERR_MEMORY;
    if (self->extra_cap >= len)
        return 0;
    size_t cap = self->extra_cap ? self->extra_cap : 512;
    while (cap < len)
        cap *= 2;
    char *extra = realloc(self->extra, cap);
    if (extra == NULL)
        return ERR_MEMORY;
    self->extra = extra;
    self->extra_cap = cap;
    return 0;
}

int readings_parse(struct readings *self, const char *json, size_t len)
{
    struct parser parser = {.scan = {json, json, json + len}, .out = self};
    self->count = 0;
    self->extra_len = 0;
    self->reason[0] = '\0';
    if (len > LIMIT_PAYLOAD_BYTES) {
        snprintf(self->reason, sizeof self->reason, "payload of %zu bytes is larger than %d", len,
                 LIMIT_PAYLOAD_BYTES);
        return ERR_TOO_LARGE;
    }
    int r = reserve(self, len);
    if (r == 0)
        r = read_payload(&parser);
    if (r == ERR_MEMORY)
        snprintf(self->reason, sizeof self->reason, "%s", err_text(r));
    if (r != 0)
        self->count = 0;
    return r;
}

/* In text without escapes and nesting a value ends before the next comma or brace. */
static bool skip_value(struct json_scan *scan)
{
    if (json_scan_take(scan, '"') && !json_scan_skip_past(scan, '"'))
        return false;
    while (scan->at < scan->end && *scan->at != ',' && *scan->at != '}')
        scan->at++;
    return true;
}

int reading_metric(const char *payload, size_t len, const char *name, size_t name_len,
                   double *ret_value)
{
    struct json_scan scan = {payload, payload, payload + len};
    struct number number;
    if (metric_name_is_timestamp(name, name_len))
        return 0;
    json_scan_space(&scan);
    if (!json_scan_take(&scan, '{'))
        return 0;
    do {
        json_scan_space(&scan);
        const char *at = scan.at + 1;
        if (!json_scan_take(&scan, '"') || !json_scan_skip_past(&scan, '"'))
            return 0;
        bool found = (size_t)(scan.at - 1 - at) == name_len && memcmp(at, name, name_len) == 0;
        json_scan_space(&scan);
        if (!json_scan_take(&scan, ':'))
            return 0;
        json_scan_space(&scan);
        if (found) {
            if (number_parse(scan.at, scan.end, &number) != 0 || !isfinite(number.value))
                return 0;
            *ret_value = number.value;
            return 1;
        }
    } while (skip_value(&scan) && json_scan_take(&scan, ','));
    return 0;
}
