#pragma once
/*
 * uuid - 16 bytes, in the order of their text (RFC 9562).
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct uuid {
    uint8_t bytes[16];
};

#define UUID_TEXT_LEN 36

/* `len` characters of the form 8-4-4-4-12, either case. 0 or ERR_MALFORMED. */
int uuid_parse(const char *text, size_t len, struct uuid *ret_id) MUST_CHECK;
/* Writes 36 characters and no terminator; returns 36. */
size_t uuid_format(const struct uuid *id, char out[static UUID_TEXT_LEN]);
/* The text with a terminator, for logs and SQL. */
struct uuid_text {
    char s[UUID_TEXT_LEN + 1];
};
struct uuid_text uuid_text(const struct uuid *id);
/* XXH64 of the bytes: what slots and tables are keyed by. */
uint64_t uuid_hash(const struct uuid *id);
/* A random (version 4) id. */
struct uuid uuid_random(void);

static inline bool uuid_equal(const struct uuid *a, const struct uuid *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static inline bool uuid_is_nil(const struct uuid *id)
{
    static const struct uuid nil;
    return uuid_equal(id, &nil);
}
