#include "node/rest.h"
#include "node/rest_handlers.h"
#include "proto/check.h"
#include <stdio.h>
#include <string.h>

#define PREFIX "/api/v1"
#define PREFIX_LEN (sizeof PREFIX - 1)

static const struct route_pattern patterns[] = {
#define ROUTE(method, pattern, ...) {#method, pattern},
#include "node/rest_routes.def"
#undef ROUTE
};
#define ROUTES (sizeof patterns / sizeof *patterns)

static const struct {
    call_handler *handler;
    enum role least;
    const char *body; /* schema, "" for none */
} routes[ROUTES] = {
#define ROUTE(method, pattern, handler, least, summary, body, ...) {handler, least, body},
#include "node/rest_routes.def"
#undef ROUTE
};

static int look_up(const struct request *request, struct route_match *ret_match,
                   char ret_allow[static ROUTE_ALLOW_SIZE])
{
    const char *path = (const char *)request->path.data;
    size_t len = request->path.len;
    if (len <= PREFIX_LEN || memcmp(path, PREFIX, PREFIX_LEN) != 0)
        return ERR_NOT_FOUND;
    return route_find(patterns, ROUTES, request->method, path + PREFIX_LEN, len - PREFIX_LEN,
                      ret_match, ret_allow);
}

bool rest_is_public(const struct request *request)
{
    struct route_match match;
    char allow[ROUTE_ALLOW_SIZE];
    return look_up(request, &match, allow) == 0 && routes[match.index].least == ROLES;
}

static int find(struct request *request, struct route_match *ret_match)
{
    int rc = look_up(request, ret_match, request->allow);
    if (rc == ERR_NOT_FOUND)
        reply_problem(request, 404, "no_such_path", "there is nothing at this path");
    if (rc == ERR_REFUSED)
        reply_problem(request, 405, "method_not_allowed", "this path takes %s", request->allow);
    return rc;
}

static int authorize(struct request *request, enum role least)
{
    if (least == ROLES)
        return 0;
    if (!request->has_claims) {
        reply_problem(request, 401, "unauthenticated", "a valid bearer token is needed");
        return ERR_REFUSED;
    }
    if (request->claims.role < least) {
        reply_problem(request, 403, "role_too_low", "this needs the role %s", role_names[least]);
        return ERR_REFUSED;
    }
    return 0;
}

static int read_id(struct call *call, const struct route_match *match, unsigned capture,
                   unsigned at)
{
    static const char *const wrong[ROUTE_CAPTURE_KINDS] = {
        "an id in the path is not a UUID", "what the path names is not the name of a node",
        "what the path names is not a whole number"};
    enum route_capture kind = match->kind[capture];
    int rc;
    if (kind == ROUTE_UUID) {
        rc = uuid_parse(match->capture[capture], match->capture_len[capture], &call->id[at]);
        memcpy(call->id_text[at], uuid_text(&call->id[at]).s, UUID_TEXT_LEN + 1);
    } else {
        rc = route_capture_text(match, capture, call->id_text[at]);
    }
    if (rc != 0)
        reply_problem(call->request, 422, "bad_id", "%s", wrong[kind]);
    return rc;
}

/* What the path captures; the first below /tenants/ must be the token's tenant. */
static int read_ids(struct call *call, const struct route_match *match)
{
    bool of_tenant = strncmp(patterns[match->index].pattern, "/tenants/", 9) == 0;
    for (unsigned i = 0; i < match->captures; i++) {
        int rc = read_id(call, match, i, of_tenant ? i : i + 1);
        if (rc != 0)
            return rc;
        if (i == 0 && of_tenant && !uuid_equal(&call->id[0], &call->request->claims.tenant)) {
            reply_problem(call->request, 403, "other_tenant", "this is another tenant's");
            return ERR_REFUSED;
        }
    }
    return 0;
}

static int read_query(struct call *call)
{
    const struct buf *query = &call->request->query;
    int rc = rest_params_parse((const char *)query->data, query->len, &call->params);
    if (rc == ERR_TOO_LARGE)
        reply_problem(call->request, 400, "too_many_parameters",
                      "too many parameters: a query string has at most %d", PARAMS_MAX);
    else if (rc != 0)
        reply_problem(call->request, 400, "bad_query", "the query string is malformed");
    return rc;
}

static int read_body(struct call *call)
{
    const struct buf *body = &call->request->body;
    json_error_t error;
    if (body->len == 0)
        return 0;
    call->body = json_loadb((const char *)body->data, body->len, 0, &error);
    if (call->body == NULL) {
        reply_problem(call->request, 400, "bad_json", "the body is no JSON: %s, line %d",
                      error.text, error.line);
        return ERR_MALFORMED;
    }
    if (!json_is_object(call->body)) {
        reply_problem(call->request, 400, "bad_json", "the body must be a JSON object");
        return ERR_MALFORMED;
    }
    if (!json_within(call->body, JSON_DEPTH_MAX)) {
        reply_problem(call->request, 400, "bad_json", "the body is nested deeper than %d levels",
                      JSON_DEPTH_MAX);
        return ERR_MALFORMED;
    }
    call->body_text = call_keep(call, "%.*s", (int)body->len, (const char *)body->data);
    return 0;
}

static void run(struct call *call, const struct route_match *match)
{
    const char *body = routes[match->index].body;
    if (authorize(call->request, routes[match->index].least) != 0 || read_ids(call, match) != 0 ||
        read_query(call) != 0)
        return;
    if (body[0] != '\0' && strcmp(body, "BulkDevice") != 0 && read_body(call) != 0)
        return;
    routes[match->index].handler(call);
}

/* Who has lost the token's role since it was made has lost the token; one that came to more keeps
 * it. */
static void scope_user(struct call *call)
{
    const struct claims *claims = &call->request->claims;
    size_t at = 0;
    for (unsigned role = claims->role; role < ROLES; role++)
        at += (size_t)snprintf(call->roles + at, sizeof call->roles - at, "%c%s",
                               role == claims->role ? '{' : ',', role_names[role]);
    snprintf(call->roles + at, sizeof call->roles - at, "}");
    call->scope.user = &claims->user;
    call->scope.roles = call->roles;
}

static void call_free(struct call *call)
{
    json_decref(call->body);
    rest_params_free(&call->params);
    buf_free(&call->errors);
    for (unsigned i = 0; i < call->kept_count; i++)
        free(call->kept[i]);
}

void rest_handle(struct request *request, const struct rest_context *context)
{
    struct route_match match;
    struct call call = {.request = request, .context = context};
    call.scope.tenant = &request->claims.tenant;
    if (request->has_claims)
        scope_user(&call);
    call.id[0] = request->claims.tenant;
    memcpy(call.id_text[0], uuid_text(call.scope.tenant).s, UUID_TEXT_LEN + 1);
    memcpy(call.user_text, uuid_text(&request->claims.user).s, sizeof call.user_text);
    buf_init(&call.errors, 65536);
    if (find(request, &match) == 0)
        run(&call, &match);
    call_free(&call);
    if (buf_failed(&request->reply))
        reply_problem(request, 500, "too_large", "the answer is too large: ask for less");
}
