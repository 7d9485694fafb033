#include "sql/provision.h"
#include "proto/uuid.h"
#include "sql/admin.h"
#include <argon2.h>
#include <inttypes.h>
#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Numbers and their ids, as a table to select from; $2 is how many. */
#define NUMBERED                                                                                   \
    "(SELECT n, ('00000000-0000-4000-8000-' || lpad(n::text, 12, '0'))::uuid AS id "               \
    " FROM generate_series(0, $2::bigint - 1) n) numbered "

int provision_password_hash(const char *password, char ret_hash[static PROVISION_HASH_MAX])
{
    unsigned char salt[16];
    if (RAND_bytes(salt, sizeof salt) != 1)
        return ERR_MEMORY;
    int rc = argon2id_hash_encoded(2, 19 * 1024, 1, password, strlen(password), salt, sizeof salt,
                                   32, ret_hash, PROVISION_HASH_MAX);
    return rc == ARGON2_OK ? 0 : ERR_MEMORY;
}

static int open_for_tenant(struct admin *db, const char *admin_url, const char *tenant,
                           char *ret_reason, size_t reason_size)
{
    struct uuid id;
    *db = (struct admin){.reason = ret_reason, .reason_size = reason_size};
    if (uuid_parse(tenant, strlen(tenant), &id) != 0)
        return admin_fail(db, ERR_CONFIG, "the tenant is not a UUID: %s", tenant);
    int rc = admin_open(db, admin_url, ret_reason, reason_size);
    if (rc != 0)
        return rc;
    admin_run(db, "begin", "BEGIN");
    return admin_do(db, "make the tenant",
                    "INSERT INTO tenants (id, name) VALUES ($1::uuid, 'Tenant ' || $1::uuid::text) "
                    "ON CONFLICT DO NOTHING",
                    1, &tenant);
}

static int finish(struct admin *db)
{
    admin_run(db, "commit", "COMMIT");
    admin_close(db);
    return db->error;
}

/* Ids are the whole platform's: one that another tenant has cannot be made here. */
static void refuse_foreign(struct admin *db, const char *const values[2])
{
    PGresult *foreign = admin_query(db, "look for devices of other tenants",
                                    "SELECT count(*) FROM " NUMBERED
                                    "JOIN devices USING (id) WHERE tenant_id <> $1::uuid",
                                    2, values);
    if (foreign != NULL && strcmp(PQgetvalue(foreign, 0, 0), "0") != 0)
        admin_fail(db, ERR_REFUSED, "%s of these devices belong to another tenant",
                   PQgetvalue(foreign, 0, 0));
    PQclear(foreign);
}

/* How many of them were not there before. */
static long make_devices(struct admin *db, const char *const values[2])
{
    PGresult *made =
        admin_query(db, "make the devices",
                    "INSERT INTO devices (id, tenant_id, name) SELECT id, $1::uuid, 'Device ' || n "
                    "FROM " NUMBERED "ON CONFLICT DO NOTHING",
                    2, values);
    long count = made != NULL ? atol(PQcmdTuples(made)) : 0;
    PQclear(made);
    return count;
}

int provision_devices(const char *admin_url, const char *tenant, int64_t count,
                      const char *secret_template, char *ret_reason, size_t reason_size)
{
    struct admin db;
    char number[24];
    const char *const values[] = {tenant, number, secret_template};
    snprintf(number, sizeof number, "%" PRId64, count);
    if (count < 1 || count > PROVISION_DEVICES_MAX) {
        snprintf(ret_reason, reason_size, "the number of devices is from 1 to %d",
                 PROVISION_DEVICES_MAX);
        return ERR_CONFIG;
    }
    if (open_for_tenant(&db, admin_url, tenant, ret_reason, reason_size) != 0)
        return finish(&db);
    refuse_foreign(&db, values);
    long made = make_devices(&db, values);
    admin_do(&db, "make their credentials",
             "INSERT INTO device_credentials (device_id, tenant_id, secret_hash) "
             "SELECT id, $1::uuid, sha256(convert_to(replace($3, '{n}', n::text), 'UTF8')) "
             "FROM " NUMBERED "ON CONFLICT DO NOTHING",
             3, values);
    admin_run(&db, "gather statistics", "ANALYZE devices, device_credentials");
    int rc = finish(&db);
    if (rc == 0)
        snprintf(
            ret_reason, reason_size,
            "tenant %s: %s devices from 00000000-0000-4000-8000-000000000000 on, %ld of them new",
            tenant, number, made);
    return rc;
}

int provision_account(const char *admin_url, const char *tenant, const char *username,
                      const char *password, char *ret_reason, size_t reason_size)
{
    struct admin db;
    char hash[PROVISION_HASH_MAX];
    const char *const values[] = {tenant, username, hash};
    if (provision_password_hash(password, hash) != 0) {
        snprintf(ret_reason, reason_size, "could not hash the password");
        return ERR_MEMORY;
    }
    if (open_for_tenant(&db, admin_url, tenant, ret_reason, reason_size) != 0)
        return finish(&db);
    PGresult *made =
        admin_query(&db, "make the service account",
                    "INSERT INTO service_accounts (tenant_id, username, password_hash) "
                    "VALUES ($1::uuid, $2, $3) ON CONFLICT (username) DO UPDATE "
                    "SET password_hash = EXCLUDED.password_hash, updated_at = now() "
                    "WHERE service_accounts.tenant_id = EXCLUDED.tenant_id RETURNING id",
                    3, values);
    if (made != NULL && PQntuples(made) == 0)
        admin_fail(&db, ERR_REFUSED, "service account %s belongs to another tenant", username);
    PQclear(made);
    int rc = finish(&db);
    if (rc == 0)
        snprintf(ret_reason, reason_size, "tenant %s: service account %s has this password", tenant,
                 username);
    return rc;
}
