#include "node/http_head.h"
#include "node/edge_inside.h"

static const char protocol_name[] = "sec-websocket-protocol:";
static const char authorization_name[] = "authorization:";
static const char bearer[] = "bearer.";

/* What is to be done with a header's lines. */
struct plan {
    struct span token;
    bool live, protocol, unsafe, absolute;
};

static bool begins(const char *line, size_t len, const char *name)
{
    return len >= strlen(name) && strncasecmp(line, name, strlen(name)) == 0;
}

static size_t line_len(const char *at, const char *end)
{
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    return newline != NULL ? (size_t)(newline + 1 - at) : (size_t)(end - at);
}

bool http_head_is_live(const char *head, size_t len)
{
    static const char live[] = "GET /api/v1/ws";
    return len >= sizeof live - 1 && memcmp(head, live, sizeof live - 1) == 0;
}

bool http_head_has_method(const char *head, size_t len)
{
    static const char *const known[] = {"GET ",   "HEAD ",   "POST ",   "PUT ",
                                        "PATCH ", "DELETE ", "OPTIONS "};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (memcmp(head, known[i], len < strlen(known[i]) ? len : strlen(known[i])) == 0)
            return true;
    return false;
}

bool http_head_has_nul(const char *head, size_t len)
{
    size_t line = line_len(head, head + len);
    return memmem(head, line, "%00", 3) != NULL || memchr(head, '\0', line) != NULL;
}

/* The token of an element `bearer.<jwt>` of a Sec-WebSocket-Protocol line. */
static bool find_token(const char *line, size_t len, struct span *ret_token)
{
    const char *at = line + sizeof protocol_name - 1, *end = line + len;
    while (at < end) {
        while (at < end && strchr(" \t,", *at) != NULL)
            at++;
        const char *first = at;
        while (at < end && strchr(" \t,\r\n", *at) == NULL)
            at++;
        if (begins(first, (size_t)(at - first), bearer)) {
            first += sizeof bearer - 1;
            *ret_token = (struct span){first, (size_t)(at - first)};
            return true;
        }
        at += at < end;
    }
    return false;
}

/* Its name begins one that libwebsockets knows, and is none itself. */
static bool is_unsafe(const char *line, size_t len)
{
    const char *colon = memchr(line, ':', len);
    size_t n = colon != NULL ? (size_t)(colon + 1 - line) : 0;
    bool begins_one = false;
    for (int token = 0; n > 1 && token < WSI_TOKEN_COUNT; token++) {
        const char *known = (const char *)lws_token_to_string((enum lws_token_indexes)token);
        if (known == NULL || strlen(known) < n || strncasecmp(known, line, n - 1) != 0)
            continue;
        if (known[n - 1] == ':')
            return false;
        begins_one = true;
    }
    return begins_one;
}

/* Where the target's path begins, and where the target does. */
static const char *origin_of(const char *head, size_t len, const char **ret_target)
{
    const char *end = head + line_len(head, head + len), *target = memchr(head, ' ', len);
    *ret_target = target != NULL && target < end ? target + 1 : head;
    if (*ret_target == head)
        return head; /* there is none */
    size_t room = (size_t)(end - *ret_target);
    size_t scheme = begins(*ret_target, room, "http://")    ? 7
                    : begins(*ret_target, room, "https://") ? 8
                                                            : 0;
    const char *path = *ret_target + scheme;
    while (scheme > 0 && path < end && strchr("/? \r\n", *path) == NULL)
        path++;
    return path;
}

static struct plan make_plan(const char *head, size_t len)
{
    struct plan plan = {.live = http_head_is_live(head, len)};
    const char *end = head + len, *target;
    plan.absolute = origin_of(head, len, &target) != target;
    for (const char *at = head + line_len(head, end); at < end; at += line_len(at, end)) {
        size_t n = line_len(at, end);
        plan.unsafe |= is_unsafe(at, n);
        if (!plan.live || !begins(at, n, protocol_name))
            continue;
        plan.protocol = true;
        if (plan.token.data == NULL)
            find_token(at, n, &plan.token);
    }
    return plan;
}

static bool is_left_out(const struct plan *plan, const char *line, size_t n)
{
    return (plan->protocol && begins(line, n, protocol_name)) ||
           (plan->token.data != NULL && begins(line, n, authorization_name)) ||
           (plan->unsafe && !plan->live && begins(line, n, "connection:")) || is_unsafe(line, n);
}

static void put_request_line(const char *head, size_t n, struct buf *out)
{
    const char *target, *path = origin_of(head, n, &target);
    if (target != head)
        buf_put(out, head, (size_t)(target - head));
    if (path != target && (path == head + n || *path != '/'))
        buf_putc(out, '/');
    buf_put(out, path, (size_t)(head + n - path));
}

bool http_head_rewrite(const char *head, size_t len, struct buf *out)
{
    struct plan plan = make_plan(head, len);
    const char *end = head + len;
    size_t n = line_len(head, end);
    bool left_out = false;
    if (!plan.protocol && !plan.unsafe && !plan.absolute)
        return false;
    put_request_line(head, n, out);
    if (plan.token.data != NULL) {
        buf_puts(out, "Authorization: " EDGE_TOKEN_SCHEME);
        buf_put(out, plan.token.data, plan.token.len);
        buf_puts(out, "\r\n");
    }
    if (plan.unsafe && !plan.live)
        buf_puts(out, "Connection: close\r\n");
    for (const char *at = head + n; at < end; at += n) {
        n = line_len(at, end);
        if (*at != ' ' && *at != '\t') /* or it goes on (RFC 9112, 5.2) */
            left_out = is_left_out(&plan, at, n);
        if (!left_out)
            buf_put(out, at, n);
    }
    return !buf_failed(out);
}
