#include "node/rest_route.h"
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

/* The next segment of `*at`, which moves behind it; NULL at the end. A slash at the end of all
 * makes no segment. */
static const char *segment(const char **at, const char *end, size_t *ret_len)
{
    const char *start = *at;
    if (start == end || *start != '/' || start + 1 == end)
        return NULL;
    start++;
    const char *slash = memchr(start, '/', (size_t)(end - start));
    *at = slash != NULL ? slash : end;
    *ret_len = (size_t)(*at - start);
    return start;
}

static bool capture(struct route_match *match, const char *text, size_t len)
{
    if (match->captures == ROUTE_CAPTURES_MAX)
        return false;
    match->capture[match->captures] = text;
    match->capture_len[match->captures++] = len;
    return true;
}

static bool fits(const char *pattern, const char *path, size_t len, struct route_match *match)
{
    const char *pattern_end = pattern + strlen(pattern), *path_end = path + len;
    match->captures = 0;
    for (;;) {
        size_t want_len = 0, have_len = 0;
        const char *want = segment(&pattern, pattern_end, &want_len);
        const char *have = segment(&path, path_end, &have_len);
        if (want != NULL && want_len == 1 && *want == '*')
            return true;
        if (want == NULL || have == NULL)
            return want == NULL && have == NULL;
        if (*want == '{') {
            if (have_len == 0 || !capture(match, have, have_len))
                return false;
        } else if (want_len != have_len || memcmp(want, have, want_len) != 0) {
            return false;
        }
    }
}

int route_find(const struct route_pattern *table, size_t count, const char *method,
               const char *path, size_t len, struct route_match *ret_match,
               char ret_allow[static ROUTE_ALLOW_SIZE])
{
    char allow[ROUTE_ALLOW_SIZE] = "";
    struct route_match match;
    for (size_t i = 0; i < count; i++) {
        if (!fits(table[i].pattern, path, len, &match))
            continue;
        if (strcmp(table[i].method, method) == 0) {
            match.index = i;
            *ret_match = match;
            return 0;
        }
        if (strstr(allow, table[i].method) == NULL) {
            size_t at = strlen(allow);
            snprintf(allow + at, sizeof allow - at, "%s%s", at > 0 ? ", " : "", table[i].method);
        }
    }
    if (allow[0] == '\0')
        return ERR_NOT_FOUND;
    memcpy(ret_allow, allow, sizeof allow);
    return ERR_REFUSED;
}
