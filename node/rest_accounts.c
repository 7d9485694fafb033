#include "node/password.h"
#include "node/rest_handlers.h"
#include "proto/topic.h"
#include <string.h>

/* clang-format off */
#define ACCOUNT_JSON                                                                               \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'username', r.username,"              \
    " 'publish_filters', r.publish_filters, 'subscribe_filters', r.subscribe_filters,"             \
    " 'mount_point', r.mount_point, 'active', r.active, "                                          \
    SQL_TIME_OF(r, created_at) ", " SQL_TIME_OF(r, updated_at) ")"
/* clang-format on */
#define ACCOUNT_DETAILS                                                                            \
    "jsonb_build_object('username', username, 'publish_filters', publish_filters,"                 \
    " 'subscribe_filters', subscribe_filters, 'mount_point', mount_point, 'active', active)"
#define FILTERS_OF(parameter, name)                                                                \
    "(SELECT array_agg(f) FROM jsonb_array_elements_text(" parameter "::jsonb -> '" name "') f)"
#define FILTERS_MAX 64

void accounts_list(struct call *call)
{
    static const char sql[] = SQL_PAGE(ACCOUNT_JSON, "service_accounts", "true", "created_at, id");
    struct call_page page = param_page(call, 50);
    const char *values[] = {page.limit, page.offset};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 2, values, &rows))
        reply_page(call, rows, &page);
}

void accounts_get(struct call *call)
{
    static const char sql[] = "SELECT " ACCOUNT_JSON " FROM service_accounts r WHERE id = $1";
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 1, values, &rows))
        reply_row(call, 200, rows, "service account");
}

/* The body's text where the member is a list of filters, NULL where it is absent. */
static const char *body_filters(struct call *call, const char *name)
{
    const json_t *list = json_object_get(call->body, name), *item;
    size_t i;
    if (list == NULL || json_is_null(list))
        return NULL;
    bool ok = json_is_array(list) && json_array_size(list) <= FILTERS_MAX;
    if (ok) {
        json_array_foreach(list, i, item)
        {
            const char *text = json_string_value(item);
            ok = ok && text != NULL && topic_filter_valid(text, strlen(text)) &&
                 !topic_is_shared(text, strlen(text));
        }
    }
    if (!ok)
        call_wrong(call, name, "must be a list of at most %d topic filters", FILTERS_MAX);
    return ok ? call->body_text : NULL;
}

static const char *body_username(struct call *call, bool required)
{
    const char *text = body_text(call, "username", 1, 200, required);
    if (text != NULL && strchr(text, ':') != NULL)
        call_wrong(call, "username", "must not contain a colon: devices' user names do");
    return text;
}

/* The password to store: the one of the body, or with `make` a new one, kept in `secret`. */
static const char *stored_password(struct call *call, bool make, char *secret, char *hash)
{
    const char *password = body_text(call, "password", 8, 256, false);
    secret[0] = '\0';
    if (call->errors.len > 0 || (password == NULL && !make))
        return NULL;
    if (password == NULL) {
        secret_make(secret);
        password = secret;
    }
    if (password_hash(password, strlen(password), hash) == 0)
        return hash;
    call_wrong(call, "password", "could not be hashed");
    return NULL;
}

/* The account, with the password that was made for it: shown this once. */
static void reply_account(struct call *call, int status, const PGresult *rows, const char *secret)
{
    if (PQntuples(rows) == 0 || secret[0] == '\0') {
        reply_row(call, status, rows, "service account");
        return;
    }
    const char *object = PQgetvalue(rows, 0, 0);
    reply_begin(call, status);
    buf_put(&call->request->reply, object, strlen(object) - 1);
    buf_printf(&call->request->reply, ",\"password\":\"%s\"}", secret);
    reply_end(call);
}

void accounts_create(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (INSERT INTO service_accounts (tenant_id, username, password_hash,"
        " publish_filters, subscribe_filters, mount_point, active) VALUES ($1::uuid, $4, $5,"
        " CASE WHEN $6::text IS NULL THEN '{#}' ELSE COALESCE(" FILTERS_OF(
            "$6",
            "publish_filters") ", '{}') END, CASE WHEN $7::text IS NULL THEN '{#}' ELSE"
                               " COALESCE(" FILTERS_OF(
                                   "$7",
                                   "subscribe_filters") ", '{}')"
                                                        " END, COALESCE($8::boolean, false),"
                                                        " COALESCE($9::boolean, true)) RETURNING "
                                                        "*)" SQL_LOGGED(
                                                            "service_account.create",
                                                            "service_account",
                                                            ACCOUNT_DETAILS) "SELECT " ACCOUNT_JSON
                                                                             " FROM changed r";
    char secret[SECRET_TEXT_LEN + 1], hash[PASSWORD_HASH_SIZE];
    const char *username = body_username(call, true);
    const char *publish = body_filters(call, "publish_filters");
    const char *subscribe = body_filters(call, "subscribe_filters");
    const char *mount = body_flag(call, "mount_point"), *active = body_flag(call, "active");
    const char *stored = stored_password(call, true, secret, hash);
    const char *values[] = {CALL_ACTOR(call), username, stored, publish, subscribe, mount, active};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 9, values, &rows))
        reply_account(call, 201, rows, secret);
}

void accounts_update(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (UPDATE service_accounts SET username = COALESCE($5, username),"
        " password_hash = COALESCE($6, password_hash), publish_filters = CASE WHEN $7::text IS"
        " NULL THEN publish_filters ELSE COALESCE(" FILTERS_OF(
            "$7",
            "publish_filters") ", '{}') END, subscribe_filters = CASE WHEN $8::text IS NULL THEN"
                               " subscribe_filters ELSE COALESCE(" FILTERS_OF(
                                   "$8",
                                   "subscribe_filters") ", '{}') END,"
                                                        " mount_point = COALESCE($9::boolean,"
                                                        " mount_point), active ="
                                                        " COALESCE($10::boolean, active),"
                                                        " updated_at = now() WHERE id = $4"
                                                        " RETURNING *)" SQL_LOGGED(
                                                            "service_account.update",
                                                            "service_account",
                                                            ACCOUNT_DETAILS) "SELECT " ACCOUNT_JSON
                                                                             " FROM changed r";
    char secret[SECRET_TEXT_LEN + 1], hash[PASSWORD_HASH_SIZE];
    const char *username = body_username(call, false);
    const char *publish = body_filters(call, "publish_filters");
    const char *subscribe = body_filters(call, "subscribe_filters");
    const char *mount = body_flag(call, "mount_point"), *active = body_flag(call, "active");
    const char *stored = stored_password(call, false, secret, hash);
    const char *values[] = {CALL_ACTOR(call), call->id_text[1], username, stored,
                            publish,          subscribe,        mount,    active};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 10, values, &rows))
        reply_row(call, 200, rows, "service account");
}

void accounts_delete(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (DELETE FROM service_accounts WHERE id = $4 RETURNING *)" SQL_LOGGED(
            "service_account.delete", "service_account",
            ACCOUNT_DETAILS) "SELECT json_build_object('id', id) FROM changed";
    const char *values[] = {CALL_ACTOR(call), call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 4, values, &rows))
        reply_row(call, 200, rows, "service account");
}

void accounts_rotate(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (UPDATE service_accounts SET password_hash = $5, updated_at = now()"
        " WHERE id = $4 RETURNING *)" SQL_LOGGED("service_account.rotate_credentials",
                                                 "service_account",
                                                 "'{}'::jsonb") "SELECT " ACCOUNT_JSON
                                                                " FROM changed r";
    char secret[SECRET_TEXT_LEN + 1], hash[PASSWORD_HASH_SIZE];
    const char *stored = stored_password(call, true, secret, hash);
    const char *values[] = {CALL_ACTOR(call), call->id_text[1], stored};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 5, values, &rows))
        reply_account(call, 200, rows, secret);
}
