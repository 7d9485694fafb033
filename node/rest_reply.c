#include "node/http_status.h"
#include "node/log.h"
#include "node/rest_call.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void put_json_text(struct buf *out, const char *text)
{
    buf_putc(out, '"');
    for (; *text != '\0'; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            buf_printf(out, "\\%c", c);
        else if (c < 0x20)
            buf_printf(out, "\\u%04x", c);
        else
            buf_putc(out, (char)c);
    }
    buf_putc(out, '"');
}

static void put_problem(struct request *request, int status, const char *code, const char *detail)
{
    struct buf *out = &request->reply;
    request->status = status;
    request->reply_type = "application/problem+json";
    buf_clear(out);
    buf_printf(out, "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,\"code\":\"%s\"",
               http_status_phrase(status), status, code);
    buf_puts(out, ",\"detail\":");
    put_json_text(out, detail);
}

void reply_problem(struct request *request, int status, const char *code, const char *format, ...)
{
    char detail[512];
    va_list args;
    va_start(args, format);
    vsnprintf(detail, sizeof detail, format, args);
    va_end(args);
    put_problem(request, status, code, detail);
    buf_putc(&request->reply, '}');
}

void reply_not_found(struct call *call, const char *what)
{
    char code[64];
    size_t len = (size_t)snprintf(code, sizeof code, "%s_not_found", what);
    for (size_t i = 0; i < len && i < sizeof code; i++)
        if (code[i] == ' ')
            code[i] = '_';
    reply_problem(call->request, 404, code, "there is no such %s", what);
}

void call_wrong(struct call *call, const char *name, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (call->errors.len > 0)
        buf_putc(&call->errors, ',');
    buf_puts(&call->errors, "{\"field\":");
    put_json_text(&call->errors, name);
    buf_puts(&call->errors, ",\"message\":");
    put_json_text(&call->errors, text);
    buf_putc(&call->errors, '}');
}

bool call_valid(struct call *call)
{
    struct buf *out = &call->request->reply;
    if (call->errors.len == 0)
        return true;
    put_problem(call->request, 422, "validation_failed", "some fields are wrong: see errors");
    buf_puts(out, ",\"errors\":[");
    buf_put(out, call->errors.data, call->errors.len);
    buf_puts(out, "]}");
    return false;
}

void reply_begin(struct call *call, int status)
{
    call->request->status = status;
    buf_clear(&call->request->reply);
    buf_puts(&call->request->reply, "{\"success\":true,\"data\":");
}

void reply_end(struct call *call)
{
    buf_putc(&call->request->reply, '}');
}

void reply_row(struct call *call, int status, const PGresult *rows, const char *what)
{
    if (PQntuples(rows) == 0) {
        reply_not_found(call, what);
        return;
    }
    reply_begin(call, status);
    buf_puts(&call->request->reply, PQgetisnull(rows, 0, 0) ? "null" : PQgetvalue(rows, 0, 0));
    reply_end(call);
}

void reply_page(struct call *call, const PGresult *rows, const struct call_page *page)
{
    reply_begin(call, 200);
    buf_puts(&call->request->reply, PQgetvalue(rows, 0, 0));
    buf_printf(&call->request->reply, ",\"meta\":{\"page\":%ld,\"per_page\":%ld,\"total\":%s}",
               (long)page->page, (long)page->per_page, PQgetvalue(rows, 0, 1));
    reply_end(call);
}

static void reply_away(struct request *request, const char *code, const char *detail)
{
    reply_problem(request, 503, code, "%s", detail);
    snprintf(request->retry_after, sizeof request->retry_after, "1");
}

/* What PostgreSQL refused, by class of SQLSTATE (PostgreSQL 15, appendix A). */
static void reply_refused(struct call *call, const struct database *database)
{
    const char *state = database_sqlstate(database);
    struct request *request = call->request;
    if (strcmp(state, DATABASE_USER_GONE) == 0)
        reply_problem(request, 401, "unauthenticated",
                      "this user may not do this any more: sign in again");
    else if (strcmp(state, "23505") == 0)
        reply_problem(request, 409, "duplicate", "this already exists (%s)",
                      database_constraint(database));
    else if (strcmp(state, "23503") == 0)
        reply_problem(request, 409, "reference", "something that this refers to is gone");
    else if (strcmp(state, "23514") == 0 || strncmp(state, "22", 2) == 0)
        reply_problem(request, 422, "invalid_value", "%s", database_reason(database));
    else if (strcmp(state, "57014") == 0)
        reply_away(request, "timeout", "the query took too long");
    else if (strncmp(state, "40", 2) == 0 || strncmp(state, "53", 2) == 0)
        reply_away(request, "busy", "the database is busy");
    else {
        log_event(LEVEL_ERROR, "query_failed", "reason", "could not answer %s: %s: %s",
                  request->method, state, database_reason(database));
        reply_problem(request, 500, "internal", "the request failed; the log says why");
    }
}

void call_failed(struct call *call, int rc)
{
    if (rc == ERR_UNAVAILABLE)
        reply_away(call->request, "database_unavailable", "the database is unavailable");
    else if (rc == ERR_REFUSED)
        reply_refused(call, call->context->database);
    else
        reply_problem(call->request, 500, "internal", "%s", err_text(rc));
}

bool call_done(struct call *call, int rc)
{
    if (rc != 0)
        call_failed(call, rc);
    else
        call->scope.user = NULL; /* asked for once a call is enough */
    return rc == 0;
}

bool call_query(struct call *call, const char *sql, int count, const char *const *values,
                PGresult **ret_rows)
{
    return call_done(
        call, database_once(call->context->database, &call->scope, sql, count, values, ret_rows));
}

static bool query_history(struct call *call, bool binary, const char *sql, int count,
                          const char *const *values, PGresult **ret_rows)
{
    struct database_scope scope = call->scope;
    struct database *history = call->context->history, *first = call->context->database;
    scope.partitioned = true;
    scope.binary = binary;
    int rc = database_once(history, &scope, sql, count, values, ret_rows);
    /* The copy is away, or cancelled the query to catch up: the original has the same rows. */
    if (rc != 0 && history != first)
        rc = database_once(first, &scope, sql, count, values, ret_rows);
    return call_done(call, rc);
}

bool call_query_history(struct call *call, const char *sql, int count, const char *const *values,
                        PGresult **ret_rows)
{
    return query_history(call, false, sql, count, values, ret_rows);
}

bool call_query_binary(struct call *call, const char *sql, int count, const char *const *values,
                       PGresult **ret_rows)
{
    return query_history(call, true, sql, count, values, ret_rows);
}
