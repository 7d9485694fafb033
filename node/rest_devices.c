#include "node/password.h"
#include "node/rest_handlers.h"
#include <stdio.h>
#include <string.h>

/* Of a row r. */
/* clang-format off */
#define DEVICE_JSON                                                                                \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'name', r.name, 'device_type',"       \
    " r.device_type, 'status', r.status, 'attributes', r.attributes, 'latest', r.latest,"          \
    " 'home_region', r.home_region, "                                                              \
    SQL_TIME_OF(r, last_seen) ", " SQL_TIME_OF(r, latest_at) ", "                                  \
    SQL_TIME_OF(r, created_at) ", " SQL_TIME_OF(r, updated_at) ")"
/* clang-format on */
#define DEVICES_WHERE "($3::text IS NULL OR name ILIKE $3) AND ($4::text IS NULL OR status = $4)"

static const char *const statuses[] = {"online", "offline", "idle", "error", "provisioning", NULL};

void devices_list(struct call *call)
{
    static const char sql[] = SQL_PAGE(DEVICE_JSON, "devices", DEVICES_WHERE, "created_at, id");
    struct call_page page = param_page(call, 50);
    const char *status = param_text(call, "status");
    const char *values[] = {page.limit, page.offset, param_like(call, "search"), status};
    unsigned i = 0;
    while (status != NULL && statuses[i] != NULL && strcmp(statuses[i], status) != 0)
        i++;
    if (statuses[i] == NULL)
        call_wrong(call, "status", "must be online, offline, idle, error or provisioning");
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 4, values, &rows))
        reply_page(call, rows, &page);
}

void devices_get(struct call *call)
{
    static const char sql[] = "SELECT " DEVICE_JSON " FROM devices r WHERE id = $1";
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 1, values, &rows))
        reply_row(call, 200, rows, "device");
}

/* A new secret and what is stored of it. */
struct made_secret {
    char text[SECRET_TEXT_LEN + 1];
    char stored[2 * SECRET_HASH_SIZE + 3]; /* bytea, as SQL reads it */
};

static void make_secret(struct made_secret *secret)
{
    uint8_t hash[SECRET_HASH_SIZE];
    secret_make(secret->text);
    secret_hash(secret->text, SECRET_TEXT_LEN, hash);
    memcpy(secret->stored, "\\x", 2);
    for (unsigned i = 0; i < sizeof hash; i++)
        snprintf(secret->stored + 2 + 2 * i, 3, "%02x", hash[i]);
}

/* The object of the first row, with the secret that is shown this once. */
static void reply_with_secret(struct call *call, int status, const PGresult *rows,
                              const struct made_secret *secret)
{
    if (PQntuples(rows) == 0) {
        reply_not_found(call, "device");
        return;
    }
    const char *object = PQgetvalue(rows, 0, 0);
    struct buf *out = &call->request->reply;
    reply_begin(call, status);
    buf_put(out, object, strlen(object) - 1);
    buf_printf(out, ",\"secret\":\"%s\",\"mqtt_username\":\"%s:%s\"}", secret->text,
               call->id_text[0], PQgetvalue(rows, 0, 1));
    reply_end(call);
}

void devices_create(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (INSERT INTO devices (tenant_id, name, device_type, attributes,"
        " home_region) SELECT $1::uuid, $4, COALESCE($5, 'sensor'),"
        " COALESCE($6::jsonb -> 'attributes', '{}'), $8 WHERE $8::text IS NULL"
        " OR EXISTS (SELECT FROM cluster_regions WHERE region = $8)"
        " RETURNING *), secret AS (INSERT INTO device_credentials (device_id, tenant_id,"
        " secret_hash) SELECT id, tenant_id, $7::bytea FROM changed)" SQL_LOGGED(
            "device.create", "device", "jsonb_build_object('name', name)") "SELECT " DEVICE_JSON
                                                                           ", id FROM changed r";
    struct made_secret secret;
    make_secret(&secret);
    const char *values[] = {CALL_ACTOR(call), body_text(call, "name", 1, 200, true),
                            body_text(call, "device_type", 1, 100, false),
                            body_object(call, "attributes"), secret.stored,
                            /* fixed from now on: its actor lives there */
                            body_text(call, "home_region", 1, 63, false)};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_valid(call) || !call_query(call, sql, 8, values, &rows))
        return;
    if (PQntuples(rows) == 0)
        call_wrong(call, "home_region", HOME_REGION_WRONG);
    if (call_valid(call))
        reply_with_secret(call, 201, rows, &secret);
}

void devices_update(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (UPDATE devices SET name = COALESCE($5, name),"
        " device_type = COALESCE($6, device_type),"
        " attributes = COALESCE($7::jsonb -> 'attributes', attributes), updated_at = now()"
        " WHERE id = $4 RETURNING *)" SQL_LOGGED(
            "device.update", "device", "jsonb_build_object('name', name)") "SELECT " DEVICE_JSON
                                                                           " FROM changed r";
    const char *values[] = {
        CALL_ACTOR(call), call->id_text[1], body_text(call, "name", 1, 200, false),
        body_text(call, "device_type", 1, 100, false), body_object(call, "attributes")};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 7, values, &rows))
        reply_row(call, 200, rows, "device");
}

void devices_delete(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (DELETE FROM devices WHERE id = $4 RETURNING id, name)" SQL_LOGGED(
            "device.delete", "device",
            "jsonb_build_object('name', name)") "SELECT json_build_object('id', id) FROM changed";
    const char *values[] = {CALL_ACTOR(call), call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 4, values, &rows))
        reply_row(call, 200, rows, "device");
}

void devices_rotate(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (INSERT INTO device_credentials (device_id, tenant_id, secret_hash,"
        " rotated_at) SELECT id, tenant_id, $5::bytea, now() FROM devices WHERE id = $4"
        " ON CONFLICT (device_id) DO UPDATE SET (secret_hash, rotated_at) ="
        " (EXCLUDED.secret_hash, EXCLUDED.rotated_at) RETURNING device_id AS id)" SQL_LOGGED(
            "device.rotate_credentials", "device",
            "'{}'::jsonb") "SELECT json_build_object('device_id', id), id FROM changed";
    struct made_secret secret;
    make_secret(&secret);
    const char *values[] = {CALL_ACTOR(call), call->id_text[1], secret.stored};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 5, values, &rows))
        reply_with_secret(call, 200, rows, &secret);
}
