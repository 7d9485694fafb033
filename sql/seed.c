#include "sql/seed.h"
#include "sql/admin.h"
#include "sql/provision.h"

#define TENANT "00000000-0000-0000-0000-000000000001"

static void seed_user(struct admin *db, const char *id, const char *email, const char *name,
                      const char *password, const char *role)
{
    char hash[PROVISION_HASH_MAX];
    if (provision_password_hash(password, hash) != 0) {
        admin_fail(db, ERR_MEMORY, "could not hash a password");
        return;
    }
    admin_do(db, "make a demo user",
             "INSERT INTO users (id, tenant_id, email, full_name, password_hash, role) "
             "VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
             6, (const char *[]){id, TENANT, email, name, hash, role});
}

static void seed_account(struct admin *db)
{
    char hash[PROVISION_HASH_MAX];
    if (provision_password_hash("admin-password", hash) != 0) {
        admin_fail(db, ERR_MEMORY, "could not hash a password");
        return;
    }
    admin_do(db, "make the demo service account",
             "INSERT INTO service_accounts (tenant_id, username, password_hash) "
             "VALUES ($1, 'admin', $2) ON CONFLICT DO NOTHING",
             2, (const char *[]){TENANT, hash});
}

/* The device's secret is random and told to nobody: the demo publishes by its service account, and
 * who wants a secret rotates it. */
static const char devices[] =
    "INSERT INTO devices (id, tenant_id, name, device_type) VALUES"
    " ('00000000-0000-0000-0000-000000000100', '" TENANT "',"
    "  'Demo Temperature Sensor', 'temperature_sensor') ON CONFLICT DO NOTHING;"
    "INSERT INTO device_credentials (device_id, tenant_id, secret_hash)"
    " SELECT id, tenant_id, sha256(uuid_send(gen_random_uuid()) || uuid_send(gen_random_uuid()))"
    " FROM devices WHERE id = '00000000-0000-0000-0000-000000000100' AND tenant_id = '" TENANT "'"
    " ON CONFLICT DO NOTHING";

int seed_demo(const char *admin_url, char *ret_reason, size_t reason_size)
{
    struct admin db;
    int rc = admin_open(&db, admin_url, ret_reason, reason_size);
    if (rc != 0)
        return rc;
    admin_run(&db, "begin", "BEGIN");
    admin_run(&db, "make the demo tenant",
              "INSERT INTO tenants (id, name) VALUES ('" TENANT
              "', 'Demo') ON CONFLICT DO NOTHING");
    seed_user(&db, "00000000-0000-0000-0000-000000000010", "admin@gito.demo", "Demo Admin",
              "admin123", "TENANT_ADMIN");
    seed_user(&db, "00000000-0000-0000-0000-000000000011", "ops@gito.demo", "Demo Operator",
              "ops123", "SUPER_ADMIN");
    admin_run(&db, "make the demo device", devices);
    seed_account(&db);
    admin_run(&db, "commit", "COMMIT");
    admin_close(&db);
    return db.error;
}
