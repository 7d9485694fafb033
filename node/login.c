#include "node/login.h"
#include "node/log.h"
#include "proto/check.h"
#include <jansson.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define USER_LEN (2 * UUID_TEXT_LEN + 1)
#define FILTERS_MAX 256

static const struct database_scope before_tenant = {.tenant = NULL};

static const char device_sql[] =
    "SELECT encode(c.secret_hash, 'hex'), region_of(c.tenant_id, c.device_id),"
    " credentials_mark(c.tenant_id, c.device_id)"
    " FROM device_credentials c"
    " JOIN tenants t ON t.id = c.tenant_id AND t.status = 'active'"
    " WHERE c.device_id = $1 AND c.tenant_id = $2";

static const char service_sql[] =
    "SELECT s.id, s.tenant_id, s.password_hash, s.mount_point,"
    " to_json(s.publish_filters), to_json(s.subscribe_filters), region_of(s.tenant_id, NULL),"
    " credentials_mark(s.tenant_id, s.id)"
    " FROM service_accounts s"
    " JOIN tenants t ON t.id = s.tenant_id AND t.status = 'active'"
    " WHERE s.username = $1 AND s.active";

static int failure_status(const struct database *database, int rc, const char *what)
{
    if (rc == ERR_UNAVAILABLE)
        return 503;
    log_event(LEVEL_ERROR, "query_failed", "reason", "could not %s: %s", what,
              database_reason(database));
    return 503;
}

static bool is_device_user(const struct buf *user, struct uuid *ret_tenant, struct uuid *ret_device)
{
    const char *text = (const char *)user->data;
    return user->len == USER_LEN && text[UUID_TEXT_LEN] == ':' &&
           uuid_parse(text, UUID_TEXT_LEN, ret_tenant) == 0 &&
           uuid_parse(text + UUID_TEXT_LEN + 1, UUID_TEXT_LEN, ret_device) == 0;
}

static bool secret_is(const struct buf *secret, const char *stored_hex)
{
    uint8_t hash[SECRET_HASH_SIZE];
    char hex[2 * SECRET_HASH_SIZE + 1];
    secret_hash((const char *)secret->data, secret->len, hash);
    for (unsigned i = 0; i < SECRET_HASH_SIZE; i++)
        snprintf(hex + 2 * i, 3, "%02x", hash[i]);
    return strlen(stored_hex) == 2 * SECRET_HASH_SIZE &&
           CRYPTO_memcmp(hex, stored_hex, 2 * SECRET_HASH_SIZE) == 0;
}

static int device_login(struct request *request, struct database *database,
                        const struct uuid *tenant, const struct uuid *device)
{
    struct uuid_text device_text = uuid_text(device), tenant_text = uuid_text(tenant);
    const char *values[] = {device_text.s, tenant_text.s};
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(database, &before_tenant, device_sql, 2, values, &rows);
    if (rc != 0)
        return failure_status(database, rc, "look up a device");
    /* A device that is not there is compared with what no secret has. */
    const char *stored = PQntuples(rows) == 1 ? PQgetvalue(rows, 0, 0) : "";
    if (!secret_is(&request->password, stored))
        return 401;
    request->region = (unsigned)strtoul(PQgetvalue(rows, 0, 1), NULL, 10);
    request->mark = strtoll(PQgetvalue(rows, 0, 2), NULL, 10);
    request->principal =
        (struct principal){.tenant = *tenant, .device = *device, .kind = PRINCIPAL_DEVICE};
    return 200;
}

/* Points `ret_texts` into the array. */
static size_t filter_texts(const json_t *array, const char *ret_texts[static FILTERS_MAX])
{
    size_t count = 0;
    for (size_t i = 0; i < json_array_size(array) && count < FILTERS_MAX; i++) {
        const char *text = json_string_value(json_array_get(array, i));
        if (text != NULL)
            ret_texts[count++] = text;
    }
    return count;
}

static int adopt_service(struct request *request, const PGresult *rows)
{
    const char *publish[FILTERS_MAX], *subscribe[FILTERS_MAX];
    struct principal found = {.kind = PRINCIPAL_SERVICE, .mount = PQgetvalue(rows, 0, 3)[0] == 't'};
    if (uuid_parse(PQgetvalue(rows, 0, 0), UUID_TEXT_LEN, &found.device) != 0 ||
        uuid_parse(PQgetvalue(rows, 0, 1), UUID_TEXT_LEN, &found.tenant) != 0)
        return 503;
    json_t *may_publish = json_loads(PQgetvalue(rows, 0, 4), 0, NULL);
    json_t *may_subscribe = json_loads(PQgetvalue(rows, 0, 5), 0, NULL);
    size_t publish_count = filter_texts(may_publish, publish);
    size_t subscribe_count = filter_texts(may_subscribe, subscribe);
    found.filters = principal_filters_new(publish, publish_count, subscribe, subscribe_count);
    json_decref(may_publish);
    json_decref(may_subscribe);
    if (found.filters == NULL)
        return 503;
    request->region = (unsigned)strtoul(PQgetvalue(rows, 0, 6), NULL, 10);
    request->mark = strtoll(PQgetvalue(rows, 0, 7), NULL, 10);
    request->principal = found;
    return 200;
}

static bool text_of(const struct buf *bytes, char *ret_text, size_t size)
{
    if (bytes->len >= size || memchr(bytes->data, '\0', bytes->len) != NULL)
        return false;
    memcpy(ret_text, bytes->data, bytes->len);
    ret_text[bytes->len] = '\0';
    return true;
}

static int service_login(struct request *request, struct database *database,
                         struct passwords *passwords)
{
    char username[801]; /* 200 characters of UTF-8 */
    const char *values[] = {username};
    const char *password = (const char *)request->password.data;
    if (request->user.len == 0 || !text_of(&request->user, username, sizeof username))
        return 401;
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(database, &before_tenant, service_sql, 1, values, &rows);
    if (rc == ERR_REFUSED && strcmp(database_sqlstate(database), "22021") == 0)
        return 401; /* not UTF-8 */
    if (rc != 0)
        return failure_status(database, rc, "look up a service account");
    struct uuid account = {0};
    const char *stored = NULL;
    if (PQntuples(rows) == 1 && uuid_parse(PQgetvalue(rows, 0, 0), UUID_TEXT_LEN, &account) == 0)
        stored = PQgetvalue(rows, 0, 2);
    if (!passwords_verify(passwords, &account, stored, password, request->password.len))
        return 401;
    return adopt_service(request, rows);
}

void login_handle(struct request *request, struct database *database, struct passwords *passwords)
{
    struct uuid tenant, device;
    if (request->password.data == NULL)
        buf_put(&request->password, "", 0);
    if (is_device_user(&request->user, &tenant, &device))
        request->status = device_login(request, database, &tenant, &device);
    else
        request->status = service_login(request, database, passwords);
}

static const char watch_sql[] = "SELECT region_of(tenant_id, id) FROM devices WHERE id = $1";

void watch_handle(struct request *request, struct database *database)
{
    struct database_scope scope = {.tenant = &request->claims.tenant};
    struct uuid_text device = uuid_text(&request->device);
    const char *values[] = {device.s};
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(database, &scope, watch_sql, 1, values, &rows);
    if (rc != 0)
        request->status = failure_status(database, rc, "look up a device to watch");
    else
        request->status = PQntuples(rows) == 1 ? 200 : 404;
    if (request->status == 200)
        request->region = (unsigned)strtoul(PQgetvalue(rows, 0, 0), NULL, 10);
}
