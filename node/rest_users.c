#include "node/mail.h"
#include "node/password.h"
#include "node/rest_handlers.h"
#include <string.h>

/* Of a row r; what rest_auth.c answers of the signed-in user has the same members. */
/* clang-format off */
#define USER_JSON                                                                                  \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'email', r.email, 'full_name',"       \
    " r.full_name, 'role', r.role, 'status', r.status, " SQL_TIME_OF(r, last_login_at) ", "        \
    SQL_TIME_OF(r, created_at) ", " SQL_TIME_OF(r, updated_at) ")"
/* clang-format on */
#define USER_DETAILS "jsonb_build_object('email', email, 'role', role, 'status', status)"
#define PASSWORD_CHARACTERS_MIN 8
#define PASSWORD_CHARACTERS_MAX 256

static const char *const states[] = {"active", "disabled", NULL};

void users_list(struct call *call)
{
    static const char sql[] = SQL_PAGE(USER_JSON, "users", "true", "created_at, id");
    struct call_page page = param_page(call, 50);
    const char *values[] = {page.limit, page.offset};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 2, values, &rows))
        reply_page(call, rows, &page);
}

void users_get(struct call *call)
{
    static const char sql[] = "SELECT " USER_JSON " FROM users r WHERE id = $1";
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 1, values, &rows))
        reply_row(call, 200, rows, "user");
}

/* Nobody gives more rights than he has. */
static bool body_role(struct call *call, const char **ret_role)
{
    enum role role;
    const char *text = body_text(call, "role", 1, 20, false);
    *ret_role = text;
    if (text == NULL)
        return true;
    if (role_parse(text, &role) != 0) {
        call_wrong(call, "role", "must be TENANT_ADMIN, SITE_ADMIN, CLIENT or VIEWER");
        return true;
    }
    if (role <= call->request->claims.role)
        return true;
    reply_problem(call->request, 403, "role_too_low", "only a %s may give this role", text);
    return false;
}

/* One that alerts can be sent to. */
static const char *body_email(struct call *call, bool required)
{
    const char *text = body_text(call, "email", 3, 254, required);
    if (text != NULL && !mail_address_valid(text))
        call_wrong(call, "email", "must be an e-mail address");
    return text;
}

/* NULL: absent, or something is wrong already: hashing takes its time. */
static const char *body_password_hash(struct call *call, bool required, char *hash)
{
    const char *password =
        body_text(call, "password", PASSWORD_CHARACTERS_MIN, PASSWORD_CHARACTERS_MAX, required);
    if (password == NULL || call->errors.len > 0)
        return NULL;
    if (password_hash(password, strlen(password), hash) == 0)
        return hash;
    call_wrong(call, "password", "could not be hashed");
    return NULL;
}

void users_create(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (INSERT INTO users (tenant_id, email, full_name, password_hash, role,"
        " status) VALUES ($1::uuid, $4, COALESCE($5, ''), $6, COALESCE($7, 'CLIENT'),"
        " COALESCE($8, 'active')) RETURNING *)" SQL_LOGGED(
            "user.create", "user", USER_DETAILS) "SELECT " USER_JSON " FROM changed r";
    char hash[PASSWORD_HASH_SIZE];
    const char *role;
    if (!body_role(call, &role))
        return;
    const char *email = body_email(call, true), *name = body_text(call, "full_name", 0, 200, false);
    const char *state = body_choice(call, "status", states);
    const char *stored = body_password_hash(call, true, hash);
    const char *values[] = {CALL_ACTOR(call), email, name, stored, role, state};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 8, values, &rows))
        reply_row(call, 201, rows, "user");
}

/* Changes of users stand in line, tenant by tenant: of two administrators who remove each other
 * one must see what the other did. */
static int open_change(struct call *call, bool *ret_found, bool *ret_admin, bool *ret_above)
{
    static const char lock_sql[] = "SELECT pg_advisory_xact_lock(hashtextextended('users', 0) #"
                                   " hashtextextended($1, 0))";
    static const char look_sql[] = "SELECT role = 'TENANT_ADMIN' AND status = 'active',"
                                   " role = 'SUPER_ADMIN' FROM users WHERE id = $1";
    const char *tenant[] = {call->id_text[0]}, *user[] = {call->id_text[1]};
    struct database *database = call->context->database;
    OWNED(rows) PGresult *locked = NULL;
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_begin(database, &call->scope);
    if (rc == 0)
        rc = database_run(database, lock_sql, 1, tenant, &locked);
    if (rc == 0)
        rc = database_run(database, look_sql, 1, user, &rows);
    if (rc != 0)
        return rc;
    *ret_found = PQntuples(rows) == 1;
    *ret_admin = *ret_found && PQgetvalue(rows, 0, 0)[0] == 't';
    *ret_above = *ret_found && PQgetvalue(rows, 0, 1)[0] == 't' &&
                 call->request->claims.role < ROLE_SUPER_ADMIN;
    return 0;
}

static int admin_remains(struct call *call, bool *ret_remains)
{
    static const char sql[] = "SELECT EXISTS (SELECT FROM users WHERE role = 'TENANT_ADMIN'"
                              " AND status = 'active')";
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_run(call->context->database, sql, 0, NULL, &rows);
    if (rc == 0)
        *ret_remains = PQgetvalue(rows, 0, 0)[0] == 't';
    return rc;
}

/* Runs `sql` on the user of the path, unless he stands above the caller or is the last
 * administrator; `extra_sql` may be NULL. */
static void change_user(struct call *call, const char *sql, int count, const char *const *values,
                        const char *extra_sql)
{
    struct database *database = call->context->database;
    const char *user[] = {call->id_text[1]};
    bool found = false, admin = false, above = false, remains = true;
    OWNED(rows) PGresult *rows = NULL;
    OWNED(rows) PGresult *extra = NULL;
    int rc = open_change(call, &found, &admin, &above);
    if (rc == 0 && found && !above) {
        rc = database_run(database, sql, count, values, &rows);
        if (rc == 0 && extra_sql != NULL)
            rc = database_run(database, extra_sql, 1, user, &extra);
        if (rc == 0 && admin)
            rc = admin_remains(call, &remains);
        if (rc == 0 && remains)
            rc = database_commit(database);
    }
    if (rc != 0)
        call_failed(call, rc);
    else if (!found)
        reply_not_found(call, "user");
    else if (above)
        reply_problem(call->request, 403, "role_too_low", "this user stands above you");
    else if (!remains)
        reply_problem(call->request, 409, "last_admin", "a tenant keeps one administrator");
    else
        reply_row(call, 200, rows, "user");
    database_rollback(database);
}

void users_update(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (UPDATE users SET email = COALESCE($5, email), full_name = COALESCE($6,"
        " full_name), password_hash = COALESCE($7, password_hash), role = COALESCE($8, role),"
        " status = COALESCE($9, status), updated_at = now() WHERE id = $4 RETURNING *)" SQL_LOGGED(
            "user.update", "user", USER_DETAILS) "SELECT " USER_JSON " FROM changed r";
    /* Other rights or another password: who is signed in has to sign in again. */
    static const char revoke_sql[] = "UPDATE refresh_tokens SET revoked_at = now() WHERE user_id ="
                                     " $1 AND revoked_at IS NULL";
    char hash[PASSWORD_HASH_SIZE];
    const char *role;
    if (!body_role(call, &role))
        return;
    const char *email = body_email(call, false);
    const char *name = body_text(call, "full_name", 0, 200, false);
    const char *state = body_choice(call, "status", states);
    const char *stored = body_password_hash(call, false, hash);
    bool revokes = role != NULL || state != NULL || stored != NULL;
    const char *values[] = {CALL_ACTOR(call), call->id_text[1], email, name, stored, role, state};
    if (call_valid(call))
        change_user(call, sql, 9, values, revokes ? revoke_sql : NULL);
}

void users_delete(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (DELETE FROM users WHERE id = $4 RETURNING *)" SQL_LOGGED(
            "user.delete", "user", USER_DETAILS) "SELECT json_build_object('id', id) FROM changed";
    const char *values[] = {CALL_ACTOR(call), call->id_text[1]};
    change_user(call, sql, 4, values, NULL);
}
