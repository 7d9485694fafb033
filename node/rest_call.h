#pragma once
/*
 * rest_call - one REST call under way: what handlers read from it, run for it, and answer.
 *
 * Owner: rest_handle(), for the time of the call.
 * Holds: a reader that finds a wrong value notes it and goes on, so that one answer names all the
 *        wrong fields; a handler asks call_valid() before it runs anything.
 */
#include "node/rest.h"
#include "node/rest_params.h"
#include "node/rest_route.h"
#include "proto/check.h"
#include <jansson.h>

#define CALL_KEPT_MAX 32
#define CALL_ROLES_SIZE 80
#define PAGE_SIZE_MAX 1000
/* Libraries give up far below what ours reads: an object nested deeper would, once stored, break
 * the answers that hold it. */
#define JSON_DEPTH_MAX 64

struct call {
    struct request *request;
    const struct rest_context *context;
    struct database_scope scope; /* of the token's tenant and user */
    char roles[CALL_ROLES_SIZE]; /* the scope's */
    /* [0] is the token's tenant; what the path says behind /tenants/{tenant_id}, or from its begin
     * on, comes from [1] on. Only UUIDs have both. */
    struct uuid id[ROUTE_CAPTURES_MAX + 1];
    char id_text[ROUTE_CAPTURES_MAX + 1][ROUTE_TEXT_SIZE];
    char user_text[UUID_TEXT_LEN + 1];
    struct params params;
    json_t *body;          /* an object, or NULL */
    const char *body_text; /* its text, checked to be JSON */
    struct buf errors;     /* elements of the member `errors` */
    char *kept[CALL_KEPT_MAX];
    unsigned kept_count;
};

typedef void call_handler(struct call *call);

struct call_page {
    int64_t page, per_page;
    char limit[24], offset[24]; /* for SQL */
};

/* What is wrong with the field `name` of the body or the query string. */
void call_wrong(struct call *call, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* False: fields are wrong, and 422 is answered. */
bool call_valid(struct call *call);
/* Text that lives as long as the call. */
const char *call_keep(struct call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Characters of UTF-8. */
size_t text_characters(const char *text);
/* Whether objects and arrays lie at most `levels` deep in each other, `value` itself being one. */
bool json_within(const json_t *value, unsigned levels);

#define HOME_REGION_WRONG "must be a region of the cluster"

/* Members of the body as text for SQL; NULL: absent (or null, or wrong and noted). */
const char *body_text(struct call *call, const char *name, size_t least, size_t most,
                      bool required);
const char *body_number(struct call *call, const char *name, double most, bool required);
const char *body_integer(struct call *call, const char *name, int64_t least, int64_t most);
const char *body_flag(struct call *call, const char *name);
const char *body_id(struct call *call, const char *name, bool required);
/* One of `names`; NULL ends them. */
const char *body_choice(struct call *call, const char *name, const char *const *names);
/* The body's text where the member is an object, NULL where it is absent. */
const char *body_object(struct call *call, const char *name);

/* Parameters of the query string, likewise. */
const char *param_text(struct call *call, const char *name);
const char *param_id(struct call *call, const char *name);
int param_flag(struct call *call, const char *name); /* 0 where it is absent */
/* The first of two names that is there; false: absent. Microseconds since the epoch. */
bool param_time(struct call *call, const char *name, const char *other, int64_t *ret_us);
const char *param_time_text(struct call *call, const char *name, const char *other);
struct call_page param_page(struct call *call, int64_t per_page);
/* For `ILIKE`: the text anywhere, its wildcards taken literally. */
const char *param_like(struct call *call, const char *name);
const char *time_text(struct call *call, int64_t us);

/* Runs for the tenant; false: the failure is answered. `call_query_history`: reads that may lag,
 * over many partitions. */
bool call_query(struct call *call, const char *sql, int count, const char *const *values,
                PGresult **ret_rows);
bool call_query_history(struct call *call, const char *sql, int count, const char *const *values,
                        PGresult **ret_rows);
/* As call_query_history, rows for the functions of sql/db.h. */
bool call_query_binary(struct call *call, const char *sql, int count, const char *const *values,
                       PGresult **ret_rows);
/* Answers what a database_…() call returned. */
void call_failed(struct call *call, int rc);
/* The end of such a call, as the three above have it: false: the failure is answered. */
bool call_done(struct call *call, int rc);

void reply_problem(struct request *request, int status, const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void reply_not_found(struct call *call, const char *what);
/* `{"success":true,"data":…}` around what is put between the two. */
void reply_begin(struct call *call, int status);
void reply_end(struct call *call);
/* The JSON of the first row, or 404 without one. `what`: "device". */
void reply_row(struct call *call, int status, const PGresult *rows, const char *what);
/* The JSON array and the total of the first row, with meta. */
void reply_page(struct call *call, const PGresult *rows, const struct call_page *page);
/* `"name":"text"`, escaped. */
void put_json_text(struct buf *out, const char *text);

/* A timestamptz as JSON has it, in one shape everywhere: PostgreSQL's own leaves zeros at the end
 * out, and not every client's library reads a fraction of four digits. The session's zone is UTC.
 */
#define SQL_TIME(column) "to_char(" column ", 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"+00:00\"')"
/* A member of json_build_object(): the column `name` of `row`. */
#define SQL_TIME_OF(row, name) "'" #name "', " SQL_TIME(#row "." #name)
/* Pages of a table: $1 limit, $2 offset; `json` of row r. */
#define SQL_PAGE(json, table, where, order)                                                        \
    "SELECT (SELECT COALESCE(json_agg(" json "), '[]') FROM (SELECT * FROM " table " WHERE " where \
    " ORDER BY " order " LIMIT $1 OFFSET $2) r),"                                                  \
    " (SELECT count(*) FROM " table " WHERE " where ")"
/* What was done, by `changed` (the rows it returns), as a part of WITH: $1 tenant, $2 user, $3
 * address. */
#define SQL_LOGGED(action, type, details)                                                          \
    ", logged AS (INSERT INTO audit_logs (tenant_id, user_id, action, resource_type, resource_id," \
    " details, ip_address) SELECT $1::uuid, $2::uuid, '" action "', '" type                        \
    "', id::text, " details ", $3::text FROM changed) "
/* The values of $1, $2 and $3. */
#define CALL_ACTOR(call) (call)->id_text[0], (call)->user_text, (call)->request->peer
