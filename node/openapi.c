/* The OpenAPI document, made from the table of routes: it cannot say other than what is served. */
#include "node/rest_handlers.h"
#include <stdio.h>
#include <string.h>

struct described {
    const char *method, *pattern, *name;
    enum role least;
    const char *summary, *body, *data, *params;
};

static const struct described routes[] = {
#define ROUTE(method, pattern, handler, least, summary, body, data, params)                        \
    {#method, pattern, #handler, least, summary, body, data, params},
#include "node/rest_routes.def"
#undef ROUTE
};
#define ROUTES (sizeof routes / sizeof *routes)

/* Schemas: name, members that must be there, members as `name:type`; a type that is no word of
 * JSON Schema is another schema or a format. */
static const struct {
    const char *name, *required, *members;
} schemas[] = {
#define SCHEMA(name, required, members) {name, required, members},
#include "node/openapi_schemas.def"
#undef SCHEMA
};

/* The next word of a list, `len` 0 at its end. */
static const char *word(const char **list, size_t *ret_len)
{
    *list += strspn(*list, " ");
    const char *start = *list;
    *ret_len = strcspn(start, " ");
    *list += *ret_len;
    return start;
}

static bool is(const char *text, size_t len, const char *name)
{
    return strlen(name) == len && memcmp(text, name, len) == 0;
}

static void put_type(struct buf *out, const char *type, size_t len)
{
    bool nullable = len > 0 && type[len - 1] == '?';
    len -= nullable;
    if (is(type, len, "uuid") || is(type, len, "date-time") || is(type, len, "email"))
        buf_printf(out, "{\"type\":\"string\",\"format\":\"%.*s\"", (int)len, type);
    else if (is(type, len, "strings"))
        buf_puts(out, "{\"type\":\"array\",\"items\":{\"type\":\"string\"}");
    else if (is(type, len, "objects"))
        buf_puts(out, "{\"type\":\"array\",\"items\":{\"type\":\"object\"}");
    else
        buf_printf(out, "{\"type\":\"%.*s\"", (int)len, type);
    buf_puts(out, nullable ? ",\"nullable\":true}" : "}");
}

static void put_schema(struct buf *out, size_t i)
{
    size_t len;
    const char *list = schemas[i].members, *comma = "";
    buf_printf(out, "%s\"%s\":{\"type\":\"object\",\"properties\":{", i > 0 ? "," : "",
               schemas[i].name);
    for (const char *at = word(&list, &len); len > 0; at = word(&list, &len)) {
        size_t name_len = strcspn(at, ":");
        buf_printf(out, "%s\"%.*s\":", comma, (int)name_len, at);
        put_type(out, at + name_len + 1, len - name_len - 1);
        comma = ",";
    }
    buf_putc(out, '}');
    list = schemas[i].required;
    comma = ",\"required\":[";
    for (const char *at = word(&list, &len); len > 0; at = word(&list, &len)) {
        buf_printf(out, "%s\"%.*s\"", comma, (int)len, at);
        comma = ",";
    }
    buf_puts(out, schemas[i].required[0] != '\0' ? "]}" : "}");
}

/* In the order of enum route_capture. */
static const char *const captured[ROUTE_CAPTURE_KINDS] = {
    "{\"type\":\"string\",\"format\":\"uuid\"}",
    "{\"type\":\"string\",\"pattern\":\"^[a-z0-9-]{1,63}$\"}", "{\"type\":\"integer\"}"};

static void put_parameters(struct buf *out, const struct described *route)
{
    size_t len;
    const char *list = route->params, *comma = "";
    buf_puts(out, ",\"parameters\":[");
    for (const char *at = strchr(route->pattern, '{'); at != NULL; at = strchr(at + 1, '{')) {
        enum route_capture kind = route_capture_kind(at, &len);
        buf_printf(out, "%s{\"name\":\"%.*s\",\"in\":\"path\",\"required\":true,\"schema\":%s}",
                   comma, (int)len, at + 1, captured[kind]);
        comma = ",";
    }
    for (const char *at = word(&list, &len); len > 0; at = word(&list, &len)) {
        buf_printf(out, "%s{\"name\":\"%.*s\",\"in\":\"query\",\"schema\":{\"type\":\"string\"}}",
                   comma, (int)len, at);
        comma = ",";
    }
    buf_putc(out, ']');
}

static void put_body(struct buf *out, const struct described *route)
{
    if (route->body[0] == '\0')
        return;
    bool lines = strcmp(route->body, "BulkDevice") == 0;
    buf_printf(out,
               ",\"requestBody\":{\"content\":{\"%s\":{\"schema\":"
               "{\"$ref\":\"#/components/schemas/%s\"}}}}",
               lines ? "application/x-ndjson" : "application/json", route->body);
}

static void put_responses(struct buf *out, const struct described *route)
{
    size_t len = strcspn(route->data, "[");
    bool list = route->data[len] == '[';
    buf_puts(out,
             ",\"responses\":{\"default\":{\"description\":\"a problem (RFC 9457)\",\"content\":"
             "{\"application/problem+json\":{\"schema\":{\"$ref\":"
             "\"#/components/schemas/Problem\"}}}},\"2XX\":{\"description\":\"done\"");
    if (strchr(route->data, '/') != NULL)
        buf_printf(out, ",\"content\":{\"%s\":{\"schema\":{\"type\":\"string\"}}}", route->data);
    else if (len > 0)
        buf_printf(out,
                   ",\"content\":{\"application/json\":{\"schema\":{\"type\":\"object\","
                   "\"properties\":{\"success\":{\"type\":\"boolean\"},\"data\":%s"
                   "{\"$ref\":\"#/components/schemas/%.*s\"}%s}}}}",
                   list ? "{\"type\":\"array\",\"items\":" : "", (int)len, route->data,
                   list ? "},\"meta\":{\"$ref\":\"#/components/schemas/Meta\"}" : "");
    buf_puts(out, "}}");
}

static void put_route(struct buf *out, const struct described *route)
{
    char method[8];
    for (size_t i = 0; i < sizeof method; i++) {
        method[i] = (char)(route->method[i] | (route->method[i] != '\0' ? 0x20 : 0));
        if (method[i] == '\0')
            break;
    }
    buf_printf(out, "\"%s\":{\"operationId\":\"%s\",\"summary\":", method, route->name);
    put_json_text(out, route->summary);
    if (route->least == ROLES)
        buf_puts(out, ",\"security\":[]");
    else
        buf_printf(out, ",\"description\":\"Needs the role %s or one above it.\"",
                   role_names[route->least]);
    put_parameters(out, route);
    put_body(out, route);
    put_responses(out, route);
    buf_putc(out, '}');
}

/* The pattern without the kinds of its captures. */
static void put_path(struct buf *out, const char *pattern)
{
    buf_putc(out, '"');
    for (size_t n; *pattern != '\0'; pattern += n) {
        n = *pattern == ':' ? strcspn(pattern, "}") : strcspn(pattern, ":");
        if (*pattern != ':')
            buf_put(out, pattern, n);
    }
    buf_puts(out, "\":{");
}

/* Routes of one path stand in one member. */
static void put_paths(struct buf *out)
{
    const char *comma = "";
    for (size_t i = 0; i < ROUTES; i++) {
        size_t first = 0;
        while (strcmp(routes[first].pattern, routes[i].pattern) != 0)
            first++;
        if (first < i)
            continue;
        buf_puts(out, comma);
        put_path(out, routes[i].pattern);
        for (size_t j = i; j < ROUTES; j++) {
            if (strcmp(routes[j].pattern, routes[i].pattern) != 0)
                continue;
            if (j > i)
                buf_putc(out, ',');
            put_route(out, &routes[j]);
        }
        buf_putc(out, '}');
        comma = ",";
    }
}

void openapi_get(struct call *call)
{
    struct buf *out = &call->request->reply;
    call->request->status = 200;
    buf_clear(out);
    buf_puts(out, "{\"openapi\":\"3.0.3\",\"info\":{\"title\":\"Gito\",\"version\":\"1\"},"
                  "\"servers\":[{\"url\":\"/api/v1\"}],\"security\":[{\"bearer\":[]}],\"paths\":{");
    put_paths(out);
    buf_puts(out, "},\"components\":{\"securitySchemes\":{\"bearer\":{\"type\":\"http\","
                  "\"scheme\":\"bearer\",\"bearerFormat\":\"JWT\"}},\"schemas\":{");
    for (size_t i = 0; i < sizeof schemas / sizeof *schemas; i++)
        put_schema(out, i);
    buf_puts(out, "}}}");
}
