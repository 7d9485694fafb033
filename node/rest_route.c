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

/* In the order of enum route_capture, with the most characters of each. */
static const struct {
    const char *name, *characters;
    size_t most;
} kinds[ROUTE_CAPTURE_KINDS] = {{"", "", 0},
                                {"node", "abcdefghijklmnopqrstuvwxyz0123456789-", 63},
                                {"number", "0123456789", 9}};

enum route_capture route_capture_kind(const char *segment, size_t *ret_name_len)
{
    size_t len = strcspn(segment + 1, "}"), name_len = strcspn(segment + 1, ":}");
    enum route_capture kind = ROUTE_UUID;
    for (unsigned i = 1; i < ROUTE_CAPTURE_KINDS && name_len < len; i++)
        if (strncmp(segment + 1 + name_len + 1, kinds[i].name, len - name_len - 1) == 0)
            kind = i;
    *ret_name_len = name_len;
    return kind;
}

int route_capture_text(const struct route_match *match, unsigned capture,
                       char ret_text[static ROUTE_TEXT_SIZE])
{
    const char *text = match->capture[capture];
    size_t len = match->capture_len[capture];
    enum route_capture kind = match->kind[capture];
    if (len > kinds[kind].most)
        return ERR_MALFORMED;
    for (size_t i = 0; i < len; i++)
        if (text[i] == '\0' || strchr(kinds[kind].characters, text[i]) == NULL)
            return ERR_MALFORMED;
    memcpy(ret_text, text, len);
    ret_text[len] = '\0';
    return 0;
}

static bool capture(struct route_match *match, const char *want, const char *text, size_t len)
{
    size_t name_len;
    if (match->captures == ROUTE_CAPTURES_MAX)
        return false;
    match->kind[match->captures] = route_capture_kind(want, &name_len);
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
        if (want == NULL || have == NULL)
            return want == NULL && have == NULL;
        if (*want == '{') {
            if (have_len == 0 || !capture(match, want, have, have_len))
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
