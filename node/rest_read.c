#include "node/rest_call.h"
#include "proto/check.h"
#include "proto/timestamp.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *call_keep(struct call *call, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    CHECK(call->kept_count < CALL_KEPT_MAX);
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0)
        text = NULL;
    va_end(args);
    CHECK(text != NULL);
    call->kept[call->kept_count++] = text;
    return text;
}

static const json_t *member(struct call *call, const char *name, bool required)
{
    const json_t *value = json_object_get(call->body, name);
    if (value != NULL && !json_is_null(value))
        return value;
    if (required)
        call_wrong(call, name, "is required");
    return NULL;
}

size_t text_characters(const char *text)
{
    size_t count = 0;
    for (; *text != '\0'; text++)
        count += ((unsigned char)*text & 0xC0) != 0x80;
    return count;
}

bool json_within(const json_t *value, unsigned levels)
{
    size_t i;
    const json_t *item;
    if (!json_is_array(value) && !json_is_object(value))
        return true;
    if (levels == 0)
        return false;
    json_array_foreach(value, i, item)
    {
        if (!json_within(item, levels - 1))
            return false;
    }
    void *at = json_object_iter((json_t *)value);
    for (; at != NULL; at = json_object_iter_next((json_t *)value, at))
        if (!json_within(json_object_iter_value(at), levels - 1))
            return false;
    return true;
}

const char *body_text(struct call *call, const char *name, size_t least, size_t most, bool required)
{
    const json_t *value = member(call, name, required);
    if (value == NULL)
        return NULL;
    const char *text = json_string_value(value);
    if (text == NULL) {
        call_wrong(call, name, "must be a string");
        return NULL;
    }
    size_t count = text_characters(text);
    if (count < least || count > most) {
        call_wrong(call, name, "must have %zu to %zu characters", least, most);
        return NULL;
    }
    return text;
}

const char *body_number(struct call *call, const char *name, double most, bool required)
{
    const json_t *value = member(call, name, required);
    if (value == NULL)
        return NULL;
    double number = json_number_value(value);
    if (!json_is_number(value) || !isfinite(number) || fabs(number) > most) {
        call_wrong(call, name, "must be a number from %g to %g", -most, most);
        return NULL;
    }
    return call_keep(call, "%.17g", number);
}

const char *body_integer(struct call *call, const char *name, int64_t least, int64_t most)
{
    const json_t *value = member(call, name, false);
    if (value == NULL)
        return NULL;
    double number = json_number_value(value);
    if (!json_is_number(value) || number != floor(number) || number < (double)least ||
        number > (double)most) {
        call_wrong(call, name, "must be a whole number from %ld to %ld", (long)least, (long)most);
        return NULL;
    }
    return call_keep(call, "%.0f", number);
}

const char *body_flag(struct call *call, const char *name)
{
    const json_t *value = member(call, name, false);
    if (value != NULL && !json_is_boolean(value))
        call_wrong(call, name, "must be true or false");
    if (!json_is_boolean(value))
        return NULL;
    return json_is_true(value) ? "true" : "false";
}

static const char *checked_id(struct call *call, const char *name, const char *text)
{
    struct uuid id;
    if (text == NULL)
        return NULL;
    if (uuid_parse(text, strlen(text), &id) != 0) {
        call_wrong(call, name, "must be a UUID");
        return NULL;
    }
    return text;
}

const char *body_id(struct call *call, const char *name, bool required)
{
    return checked_id(call, name, body_text(call, name, 1, 100, required));
}

const char *body_choice(struct call *call, const char *name, const char *const *names)
{
    char list[200] = "";
    const char *text = body_text(call, name, 0, 1000, false);
    if (text == NULL)
        return NULL;
    for (; *names != NULL; names++) {
        if (strcmp(text, *names) == 0)
            return *names;
        size_t at = strlen(list);
        snprintf(list + at, sizeof list - at, "%s%s", at > 0 ? ", " : "", *names);
    }
    call_wrong(call, name, "must be one of %s", list);
    return NULL;
}

const char *body_object(struct call *call, const char *name)
{
    const json_t *value = member(call, name, false);
    if (value != NULL && !json_is_object(value))
        call_wrong(call, name, "must be an object");
    return json_is_object(value) ? call->body_text : NULL;
}

const char *param_text(struct call *call, const char *name)
{
    return rest_params_get(&call->params, name);
}

const char *param_id(struct call *call, const char *name)
{
    return checked_id(call, name, param_text(call, name));
}

int param_flag(struct call *call, const char *name)
{
    int flag = 0;
    const char *text = param_text(call, name);
    if (text != NULL && rest_params_flag(text, &flag) != 0)
        call_wrong(call, name, "must be true or false");
    return flag;
}

bool param_time(struct call *call, const char *name, const char *other, int64_t *ret_us)
{
    const char *text = param_text(call, name);
    if (text == NULL) {
        name = other;
        text = param_text(call, name);
    }
    if (text == NULL)
        return false;
    if (timestamp_parse_query(text, strlen(text), ret_us) == 0)
        return true;
    call_wrong(call, name, "must be a time, as 2026-01-31T12:00:00Z");
    return false;
}

const char *time_text(struct call *call, int64_t us)
{
    char text[TIMESTAMP_TEXT_SIZE];
    timestamp_format(us, text);
    return call_keep(call, "%s", text);
}

const char *param_time_text(struct call *call, const char *name, const char *other)
{
    int64_t us;
    return param_time(call, name, other, &us) ? time_text(call, us) : NULL;
}

static int64_t param_integer(struct call *call, const char *name, int64_t most, int64_t fallback)
{
    int64_t value = fallback;
    const char *text = param_text(call, name);
    if (text != NULL && rest_params_integer(text, 1, most, &value) != 0)
        call_wrong(call, name, "must be a whole number from 1 to %ld", (long)most);
    return value;
}

struct call_page param_page(struct call *call, int64_t per_page)
{
    struct call_page page = {.page = param_integer(call, "page", 1000000, 1),
                             .per_page = param_integer(call, "per_page", PAGE_SIZE_MAX, per_page)};
    snprintf(page.limit, sizeof page.limit, "%ld", (long)page.per_page);
    snprintf(page.offset, sizeof page.offset, "%ld", (long)((page.page - 1) * page.per_page));
    return page;
}

const char *param_like(struct call *call, const char *name)
{
    char pattern[1024];
    size_t at = 0;
    const char *text = param_text(call, name);
    if (text == NULL)
        return NULL;
    if (strlen(text) > 400) {
        call_wrong(call, name, "must be shorter");
        return NULL;
    }
    pattern[at++] = '%';
    for (; *text != '\0'; text++) {
        if (strchr("%_\\", *text) != NULL)
            pattern[at++] = '\\';
        pattern[at++] = *text;
    }
    pattern[at++] = '%';
    pattern[at] = '\0';
    return call_keep(call, "%s", pattern);
}
