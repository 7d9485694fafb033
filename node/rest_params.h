#pragma once
/*
 * rest_params - the query string of a request: name=value pairs, decoded. Pure.
 *
 * Bound: PARAMS_MAX pairs; more are refused. The second of two with one name is not seen.
 */
#include "proto/buf.h"
#include <stddef.h>
#include <stdint.h>

#define PARAMS_MAX 32

struct params {
    char *text; /* owned: all names and values, terminated */
    unsigned count;
    const char *name[PARAMS_MAX], *value[PARAMS_MAX];
};

/* application/x-www-form-urlencoded. 0, ERR_MALFORMED (a bad %XX, a zero byte), ERR_TOO_LARGE (too
 * many pairs) or ERR_MEMORY. */
int rest_params_parse(const char *query, size_t len, struct params *ret_params) MUST_CHECK;
void rest_params_free(struct params *self);
/* NULL: absent. An empty value counts as absent: `?search=` searches nothing. */
const char *rest_params_get(const struct params *self, const char *name);
/* A whole decimal number within least..most. 0 or ERR_MALFORMED. */
int rest_params_integer(const char *text, int64_t least, int64_t most,
                        int64_t *ret_value) MUST_CHECK;
/* true, false, 1, 0 in any case. 0 or ERR_MALFORMED. */
int rest_params_flag(const char *text, int *ret_flag) MUST_CHECK;
/* Adds an argument `name=value` that somebody has decoded already, encoded again, so that a decoded
 * '&' or '=' is not taken for a separator. */
void rest_params_put(struct buf *out, const char *argument);
