#pragma once
/*
 * json_scan - a cursor over JSON text that knows its tokens' first characters and nothing else.
 *
 * Bound: never reads at or past `end`.
 */
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct json_scan {
    const char *start, *at, *end;
};

/* The next character, '\0' at the end (which no grammar rule accepts). */
static inline char json_scan_peek(const struct json_scan *self)
{
    return self->at < self->end ? *self->at : '\0';
}

/* White space of RFC 8259, clause 2. */
static inline void json_scan_space(struct json_scan *self)
{
    while (self->at < self->end &&
           (*self->at == ' ' || *self->at == '\t' || *self->at == '\n' || *self->at == '\r'))
        self->at++;
}

static inline bool json_scan_take(struct json_scan *self, char c)
{
    if (self->at == self->end || *self->at != c)
        return false;
    self->at++;
    return true;
}

static inline bool json_scan_take_null(struct json_scan *self)
{
    if (self->end - self->at < 4 || memcmp(self->at, "null", 4) != 0)
        return false;
    self->at += 4;
    return true;
}

/* Past the next `c`; false when there is none. */
static inline bool json_scan_skip_past(struct json_scan *self, char c)
{
    const char *found = memchr(self->at, c, (size_t)(self->end - self->at));
    if (found == NULL)
        return false;
    self->at = found + 1;
    return true;
}

static inline size_t json_scan_offset(const struct json_scan *self)
{
    return (size_t)(self->at - self->start);
}
