#include "node/log.h"
#include "node/password.h"
#include "node/rest_handlers.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

#define ACCESS_SECONDS 3600
#define REFRESH_DAYS "30"

static const struct database_scope before_tenant = {.tenant = NULL};

/* A refresh token and what is stored of it. */
struct refresh {
    char text[SECRET_TEXT_LEN + 1];
    char stored[2 * SECRET_HASH_SIZE + 3];
};

static void hash_text(const char *token, char ret_stored[static 2 * SECRET_HASH_SIZE + 3])
{
    uint8_t hash[SECRET_HASH_SIZE];
    secret_hash(token, strlen(token), hash);
    memcpy(ret_stored, "\\x", 2);
    for (unsigned i = 0; i < sizeof hash; i++)
        snprintf(ret_stored + 2 + 2 * i, 3, "%02x", hash[i]);
}

static void make_refresh(struct refresh *refresh)
{
    secret_make(refresh->text);
    hash_text(refresh->text, refresh->stored);
}

static void refuse(struct call *call, const char *code, const char *detail)
{
    reply_problem(call->request, 401, code, "%s", detail);
}

/* The members stand in `data`, as in every answer, and at the top, where OAuth clients look. */
static void reply_tokens(struct call *call, const struct claims *claims, const char *refresh)
{
    char *access = token_make(call->context->config->jwt_secret_key, claims);
    const char *members = NULL;
    if (access != NULL)
        members = call_keep(call,
                            "\"access_token\":\"%s\",\"refresh_token\":\"%s\","
                            "\"token_type\":\"bearer\",\"expires_in\":%d",
                            access, refresh, ACCESS_SECONDS);
    free(access);
    if (members == NULL) {
        call_failed(call, ERR_MEMORY);
        return;
    }
    reply_begin(call, 200);
    buf_printf(&call->request->reply, "{%s},%s", members, members);
    reply_end(call);
}

static int read_claims(const PGresult *rows, int user, int tenant, int role,
                       struct claims *ret_claims)
{
    struct claims claims = {.issued_s = time(NULL)};
    claims.expires_s = claims.issued_s + ACCESS_SECONDS;
    if (uuid_parse(PQgetvalue(rows, 0, user), UUID_TEXT_LEN, &claims.user) != 0 ||
        uuid_parse(PQgetvalue(rows, 0, tenant), UUID_TEXT_LEN, &claims.tenant) != 0 ||
        role_parse(PQgetvalue(rows, 0, role), &claims.role) != 0)
        return ERR_REFUSED;
    *ret_claims = claims;
    return 0;
}

/* The login itself, with its first refresh token; what has ended long ago is swept out. */
static bool store_login(struct call *call, const struct claims *claims, const char *stored)
{
    static const char sql[] =
        "WITH changed AS (UPDATE users SET last_login_at = now() WHERE id = $2::uuid RETURNING id),"
        " swept AS (DELETE FROM refresh_tokens WHERE user_id = $2::uuid AND expires_at < now()),"
        " family AS (INSERT INTO refresh_tokens (token_hash, family, tenant_id, user_id,"
        " expires_at) SELECT $4::bytea, gen_random_uuid(), $1::uuid, $2::uuid,"
        " now() + interval '" REFRESH_DAYS " days' FROM changed)" SQL_LOGGED(
            "auth.login", "user", "'{}'::jsonb") "SELECT id FROM changed";
    struct database_scope scope = {.tenant = &claims->tenant};
    struct uuid_text tenant = uuid_text(&claims->tenant), user = uuid_text(&claims->user);
    const char *values[] = {tenant.s, user.s, call->request->peer, stored};
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(call->context->database, &scope, sql, 4, values, &rows);
    if (rc != 0)
        call_failed(call, rc);
    return rc == 0;
}

void auth_login(struct call *call)
{
    static const char sql[] =
        "SELECT u.id, u.tenant_id, u.role, u.password_hash FROM users u JOIN tenants t"
        " ON t.id = u.tenant_id AND t.status = 'active'"
        " WHERE lower(u.email) = lower($1) AND u.status = 'active'";
    const char *values[] = {body_text(call, "email", 1, 254, true)};
    const char *password = body_text(call, "password", 1, PASSWORD_BYTES_MAX, true);
    OWNED(rows) PGresult *rows = NULL;
    if (!call_valid(call))
        return;
    int rc = database_once(call->context->database, &before_tenant, sql, 1, values, &rows);
    if (rc != 0) {
        call_failed(call, rc);
        return;
    }
    const char *hash = PQntuples(rows) == 1 ? PQgetvalue(rows, 0, 3) : NULL;
    struct claims claims;
    struct refresh refresh;
    if (!password_verify(hash, password, strlen(password)) ||
        read_claims(rows, 0, 1, 2, &claims) != 0) {
        refuse(call, "bad_credentials", "the e-mail address or the password is wrong");
        return;
    }
    make_refresh(&refresh);
    if (store_login(call, &claims, refresh.stored))
        reply_tokens(call, &claims, refresh.text);
}

static int revoke_family(struct database *database, const char *stored)
{
    static const char sql[] =
        "UPDATE refresh_tokens SET revoked_at = now() WHERE revoked_at IS NULL"
        " AND family IN (SELECT family FROM refresh_tokens"
        " WHERE token_hash = $1::bytea)";
    const char *values[] = {stored};
    OWNED(rows) PGresult *rows = NULL;
    return database_run(database, sql, 1, values, &rows);
}

/* Why a token is refused; NULL: it is good. The row is locked: of two uses at once the second waits
 * and sees the first. */
static int look_at_refresh(struct database *database, const char *stored, PGresult **ret_rows,
                           const char **ret_refusal)
{
    static const char sql[] =
        "SELECT u.id, u.tenant_id, u.role, r.family, r.used_at IS NOT NULL, r.revoked_at IS NOT"
        " NULL OR r.expires_at < now() OR u.status <> 'active' OR t.status <> 'active'"
        " FROM refresh_tokens r JOIN users u ON u.id = r.user_id JOIN tenants t ON t.id ="
        " r.tenant_id WHERE r.token_hash = $1::bytea FOR UPDATE OF r";
    const char *values[] = {stored};
    PGresult *rows = NULL;
    int rc = database_run(database, sql, 1, values, &rows);
    if (rc != 0)
        return rc;
    *ret_refusal = NULL;
    if (PQntuples(rows) == 0 || PQgetvalue(rows, 0, 5)[0] == 't')
        *ret_refusal = "refresh_token_invalid";
    else if (PQgetvalue(rows, 0, 4)[0] == 't')
        *ret_refusal = "refresh_token_reused";
    *ret_rows = rows;
    return 0;
}

static int rotate(struct database *database, const char *old_stored, const char *new_stored)
{
    static const char sql[] =
        "WITH used AS (UPDATE refresh_tokens SET used_at = now() WHERE token_hash = $1::bytea"
        " RETURNING family, tenant_id, user_id) INSERT INTO refresh_tokens (token_hash, family,"
        " tenant_id, user_id, expires_at) SELECT $2::bytea, family, tenant_id, user_id,"
        " now() + interval '" REFRESH_DAYS " days' FROM used";
    const char *values[] = {old_stored, new_stored};
    OWNED(rows) PGresult *done = NULL;
    return database_run(database, sql, 2, values, &done);
}

/* In an open transaction: either the family goes on with a new token, or it ends. */
static int refresh_step(struct call *call, const char *stored, struct refresh *refresh,
                        struct claims *ret_claims, const char **ret_refusal)
{
    struct database *database = call->context->database;
    OWNED(rows) PGresult *rows = NULL;
    int rc = look_at_refresh(database, stored, &rows, ret_refusal);
    if (rc != 0)
        return rc;
    if (*ret_refusal != NULL) {
        if (strcmp(*ret_refusal, "refresh_token_reused") != 0)
            return 0;
        log_event(LEVEL_WARNING, "refresh_token_reused", "user", "%s", PQgetvalue(rows, 0, 0));
        return revoke_family(database, stored);
    }
    rc = read_claims(rows, 0, 1, 2, ret_claims);
    if (rc != 0)
        return rc;
    make_refresh(refresh);
    return rotate(database, stored, refresh->stored);
}

void auth_refresh(struct call *call)
{
    char stored[2 * SECRET_HASH_SIZE + 3];
    const char *token = body_text(call, "refresh_token", 1, 1000, true), *refusal = NULL;
    struct database *database = call->context->database;
    struct refresh refresh;
    struct claims claims;
    if (!call_valid(call))
        return;
    hash_text(token, stored);
    int rc = database_begin(database, &before_tenant);
    if (rc == 0)
        rc = refresh_step(call, stored, &refresh, &claims, &refusal);
    if (rc == 0)
        rc = database_commit(database);
    if (rc != 0) {
        call_failed(call, rc);
        database_rollback(database);
    } else if (refusal != NULL) {
        refuse(call, refusal, "this refresh token is no longer valid: sign in again");
    } else {
        reply_tokens(call, &claims, refresh.text);
    }
}

void auth_me(struct call *call)
{
    /* clang-format off */
    static const char sql[] =
        "SELECT json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'tenant_name', t.name,"
        " 'email', r.email, 'full_name', r.full_name, 'role', r.role, 'status', r.status, "
        SQL_TIME_OF(r, last_login_at) ", " SQL_TIME_OF(r, created_at) ") FROM users r"
        " JOIN tenants t ON t.id = r.tenant_id WHERE r.id = $1";
    /* clang-format on */
    const char *values[] = {call->user_text};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_query(call, sql, 1, values, &rows))
        return;
    if (PQntuples(rows) == 0)
        refuse(call, "unauthenticated", "this user is gone");
    else
        reply_row(call, 200, rows, "user");
}

/* The family of the token that was given; without one, all of the bearer's. */
void auth_logout(struct call *call)
{
    static const char family_sql[] =
        "UPDATE refresh_tokens SET revoked_at = now() WHERE revoked_at IS NULL AND family IN"
        " (SELECT family FROM refresh_tokens WHERE token_hash = $1::bytea)";
    static const char user_sql[] = "UPDATE refresh_tokens SET revoked_at = now()"
                                   " WHERE revoked_at IS NULL AND user_id = $1";
    char stored[2 * SECRET_HASH_SIZE + 3];
    const char *token = body_text(call, "refresh_token", 1, 1000, false);
    const char *values[] = {token != NULL ? stored : call->user_text};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_valid(call))
        return;
    if (token == NULL && !call->request->has_claims) {
        refuse(call, "unauthenticated", "a bearer token or a refresh_token is needed");
        return;
    }
    if (token != NULL)
        hash_text(token, stored);
    int rc = database_once(call->context->database, &before_tenant,
                           token != NULL ? family_sql : user_sql, 1, values, &rows);
    if (rc != 0) {
        call_failed(call, rc);
        return;
    }
    reply_begin(call, 200);
    buf_puts(&call->request->reply, "{}");
    reply_end(call);
}
