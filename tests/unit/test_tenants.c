/* P7: row-level security shows a tenant its own rows, in every table, by every way in. */
#include "sql/ask.h"
#include "sql/db.h"
#include "sql/migrate.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define A "00000000-0000-0000-0000-00000000000a"
#define B "00000000-0000-0000-0000-00000000000b"

static struct private_pg pg;
static struct ask app;

static struct ask connect_as(const char *url, const char *role)
{
    char reason[300];
    struct ask db = {.conn = db_connect(url, "test", role, reason, sizeof reason)};
    if (db.conn == NULL)
        fail_msg("%s", reason);
    return db;
}

static void run(struct ask *db, const char *sql)
{
    if (ask_do(db, sql, 0, NULL) != 0)
        fail_msg("%s: %s", sql, db->reason);
}

/* A count, or -1: refused. */
static long number(struct ask *db, const char *sql)
{
    PGresult *row = ask_rows(db, sql, 0, NULL);
    if (row == NULL)
        return -1;
    long value = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return value;
}

/* A row of tenant `T` in every table that has a tenant's rows. */
static const char *const rows_of[] = {
    "INSERT INTO tenants (id, name) VALUES (T, 'one')",
    "INSERT INTO users (tenant_id, email, password_hash) VALUES (T, T || '@x', '')",
    "INSERT INTO refresh_tokens (token_hash, family, tenant_id, user_id, expires_at) "
    "SELECT uuid_send(T), T, T, id, now() FROM users WHERE tenant_id = T",
    "INSERT INTO devices (id, tenant_id, name) VALUES (T, T, 'one')",
    "INSERT INTO device_credentials (device_id, tenant_id, secret_hash) VALUES (T, T, '')",
    "INSERT INTO service_accounts (tenant_id, username, password_hash) VALUES (T, T::text, '')",
    "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq) VALUES (T, T, now(), 1)",
    "INSERT INTO telemetry_rejected (tenant_id, topic, reason, payload) VALUES (T, '', '', '')",
    "INSERT INTO alert_rules (id, tenant_id, device_id, metric, operator, threshold) "
    "VALUES (T, T, T, 'm', '>', 1)",
    "INSERT INTO alert_events (id, tenant_id, alert_rule_id, device_id, metric_name) "
    "VALUES (T, T, T, T, 'm')",
    "INSERT INTO outbox (tenant_id, kind, alert_event_id) VALUES (T, 'email', T)",
    "INSERT INTO audit_logs (tenant_id, action, resource_type) VALUES (T, 'a', 'r')",
    "SELECT rollup_rebuild(now() - interval '1 h', now() + interval '1 h', T)",
    "INSERT INTO retained_messages (tenant_id, topic, payload, qos) VALUES (T, 't', 'x', 0)",
    "INSERT INTO rollup_stale (tenant_id, device_id, hour) VALUES (T, T, now())",
    "INSERT INTO devices_gone (tenant_id, device_id) VALUES (T, T)",
};

static void fill(struct ask *admin, const char *tenant)
{
    for (size_t i = 0; i < sizeof rows_of / sizeof *rows_of; i++) {
        char sql[512], literal[64];
        size_t at = 0;
        snprintf(literal, sizeof literal, "'%s'::uuid", tenant);
        for (const char *c = rows_of[i]; *c != '\0'; c++) {
            bool is_name =
                c[0] == 'T' &&
                (c[1] == ',' || c[1] == ')' || c[1] == ' ' || c[1] == ':' || c[1] == '\0') &&
                (c[-1] == '(' || c[-1] == ' ');
            at += (size_t)snprintf(sql + at, sizeof sql - at, is_name ? "%s" : "%.1s",
                                   is_name ? literal : c);
        }
        run(admin, sql);
    }
}

/* The tables with a tenant's rows are found, not listed: one added later is tested too. */
static const char tables[] =
    "SELECT c.oid::regclass::text, CASE relname WHEN 'tenants' THEN 'id' ELSE 'tenant_id' END "
    "FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE nspname = 'public' "
    "AND relkind IN ('r', 'p', 'v') AND NOT relispartition AND (relname = 'tenants' OR EXISTS "
    "(SELECT FROM pg_attribute WHERE attrelid = c.oid AND attname = 'tenant_id'))";

typedef void visit(const char *table, const char *column);

static void each_table(visit *look)
{
    struct ask admin = connect_as(pg.admin_url, NULL);
    PGresult *found = ask_rows(&admin, tables, 0, NULL);
    assert_non_null(found);
    assert_true(PQntuples(found) >= 15);
    for (int row = 0; row < PQntuples(found); row++)
        look(PQgetvalue(found, row, 0), PQgetvalue(found, row, 1));
    PQclear(found);
    PQfinish(admin.conn);
}

static long count_where(struct ask *db, const char *table, const char *column,
                        const char *condition)
{
    char sql[300];
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s WHERE %s %s", table, column, condition);
    return number(db, sql);
}

static void look_as_a(const char *table, const char *column)
{
    struct ask admin = connect_as(pg.admin_url, NULL);
    assert_true(count_where(&admin, table, column, "= '" B "'") > 0);
    PQfinish(admin.conn);
    long foreign = count_where(&app, table, column, "<> '" A "'");
    long own = count_where(&app, table, column, "= '" A "'");
    bool denied = strcmp(table, "outbox") == 0 || strcmp(table, "changes") == 0 ||
                  strcmp(table, "devices_gone") == 0;
    if (foreign != (denied ? -1 : 0) || (own > 0) == denied)
        fail_msg("%s shows %ld foreign rows, %ld own", table, foreign, own);
}

static void a_tenant_sees_its_own_in_every_table(void **state)
{
    (void)state;
    run(&app, "BEGIN");
    run(&app, "SET LOCAL app.tenant_id = '" A "'");
    run(&app, "COMMIT"); /* a setting of a transaction ends with it */
    run(&app, "SET app.tenant_id = '" A "'");
    each_table(look_as_a);
    run(&app, "RESET app.tenant_id");
}

static void look_as_nobody(const char *table, const char *column)
{
    if (count_where(&app, table, column, "IS NOT NULL") > 0)
        fail_msg("%s shows rows without a tenant", table);
}

static void without_a_tenant_nothing_is_seen(void **state)
{
    (void)state;
    each_table(look_as_nobody);
    run(&app, "BEGIN");
    run(&app, "SET LOCAL app.tenant_id = '" A "'");
    assert_int_equal(number(&app, "SELECT count(*) FROM devices"), 1);
    run(&app, "COMMIT");
    each_table(look_as_nobody); /* now the setting is '', not NULL */
}

static void nothing_is_written_for_another_tenant(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "INSERT INTO devices (tenant_id, name) VALUES ('" B "', 'x')",
        "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq) VALUES ('" B "', '" A
        "', now(), 9)",
        "INSERT INTO telemetry_hot (tenant_id, device_id) VALUES ('" B "', '" A "')",
        "UPDATE devices SET tenant_id = '" B "'",
        "INSERT INTO audit_logs (tenant_id, action, resource_type) VALUES ('" B "', 'a', 'r')",
        "UPDATE tenants SET name = 'x'",
        "UPDATE telemetry SET rssi = 1",
        "UPDATE audit_logs SET action = 'x'",
        "DELETE FROM audit_logs",
        "SELECT fence('eu-1', 1)",
        "SELECT partitions_drop_oldest('2000-01-01')",
        "SELECT * FROM cluster_nodes",
        "SELECT * FROM schema_migrations",
        "CREATE TABLE mine (a int)",
    };
    run(&app, "SET app.tenant_id = '" A "'");
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        if (ask_do(&app, refused[i], 0, NULL) != ERR_REFUSED)
            fail_msg("%s was not refused", refused[i]);
    run(&app, "DELETE FROM devices WHERE id = '" B "'"); /* finds none */
    run(&app, "DELETE FROM telemetry_hot WHERE device_id = '" B "'");
    run(&app, "DELETE FROM alert_events WHERE device_id = '" B "'");
    run(&app, "RESET app.tenant_id");
    struct ask admin = connect_as(pg.admin_url, NULL);
    assert_int_equal(number(&admin, "SELECT count(*) FROM devices WHERE name = 'one'"), 2);
    assert_int_equal(number(&admin, "SELECT count(*) FROM telemetry"), 2);
    assert_int_equal(number(&admin, "SELECT count(*) FROM alert_events"), 2);
    PQfinish(admin.conn);
}

/* Of today's partition, and of all others at once: none has a grant, each forces its policies. */
static void a_partition_asked_directly_is_denied(void **state)
{
    (void)state;
    struct ask node = connect_as(pg.app_url, "gito_ingest");
    struct ask admin = connect_as(pg.admin_url, NULL);
    char today[64], sql[128];
    PGresult *name = ask_rows(&admin, "SELECT tableoid::regclass FROM telemetry LIMIT 1", 0, NULL);
    assert_non_null(name);
    snprintf(today, sizeof today, "%s", PQgetvalue(name, 0, 0));
    PQclear(name);
    snprintf(sql, sizeof sql, "SELECT count(*) FROM %s", today);
    run(&app, "SET app.tenant_id = '" A "'");
    assert_int_equal(number(&app, sql), -1);
    run(&app, "RESET app.tenant_id");
    assert_int_equal(number(&node, sql), -1);
    assert_int_equal(number(&admin,
                            "SELECT count(*) FROM pg_class WHERE relispartition "
                            "AND relkind = 'r' AND NOT (relrowsecurity AND relforcerowsecurity)"),
                     0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM pg_class c, aclexplode(relacl) a "
                                    "WHERE relispartition AND a.grantee <> relowner"),
                     0);
    PQfinish(node.conn);
    PQfinish(admin.conn);
}

static void roles_reach_no_further_than_they_should(void **state)
{
    (void)state;
    struct ask admin = connect_as(pg.admin_url, NULL);
    assert_int_equal(number(&admin,
                            "SELECT count(*) FROM pg_roles WHERE rolname LIKE 'gito\\_%' "
                            "AND rolname <> 'gito_admin' AND (rolsuper OR rolbypassrls "
                            "OR rolcreaterole OR rolcreatedb OR rolinherit AND rolcanlogin)"),
                     0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM pg_class JOIN pg_namespace n "
                                    "ON n.oid = relnamespace WHERE nspname = 'public' "
                                    "AND relowner <> 'gito_admin'::regrole"),
                     0);
    PQfinish(admin.conn);
    assert_int_equal(ask_do(&app, "SET ROLE gito_admin", 0, NULL), ERR_REFUSED);
    assert_int_equal(ask_do(&app, "SET ROLE postgres", 0, NULL), ERR_REFUSED);
    run(&app, "SET ROLE gito_ingest");
    assert_int_equal(number(&app, "SELECT count(*) FROM devices"), 2);
    assert_int_equal(ask_do(&app, "DELETE FROM devices", 0, NULL), ERR_REFUSED);
    assert_int_equal(ask_do(&app, "UPDATE users SET role = 'SUPER_ADMIN'", 0, NULL), ERR_REFUSED);
    assert_int_equal(ask_do(&app, "UPDATE device_credentials SET secret_hash = ''", 0, NULL),
                     ERR_REFUSED);
    assert_int_equal(ask_do(&app, "DELETE FROM telemetry", 0, NULL), ERR_REFUSED);
    run(&app, "RESET ROLE");
}

static int start(void **state)
{
    (void)state;
    char reason[300];
    private_pg_start(&pg);
    if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0)
        fail_msg("%s", reason);
    struct ask admin = connect_as(pg.admin_url, NULL);
    fill(&admin, A);
    fill(&admin, B);
    PQfinish(admin.conn);
    app = connect_as(pg.app_url, NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    PQfinish(app.conn);
    private_pg_stop(&pg);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_tenant_sees_its_own_in_every_table),
        cmocka_unit_test(without_a_tenant_nothing_is_seen),
        cmocka_unit_test(nothing_is_written_for_another_tenant),
        cmocka_unit_test(a_partition_asked_directly_is_denied),
        cmocka_unit_test(roles_reach_no_further_than_they_should),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
