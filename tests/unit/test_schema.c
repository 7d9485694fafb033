/* Migrations, provisioning, home regions and upkeep, on a PostgreSQL of our own. */
#include "sql/ask.h"
#include "sql/db.h"
#include "sql/migrate.h"
#include "sql/provision.h"
#include "sql/seed.h"
#include "sql/upkeep.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-000000000001"
#define OTHER "00000000-0000-0000-0000-0000000000aa"

static struct private_pg pg;
static char reason[300];

static struct ask connect_as(const char *url, const char *name, const char *role)
{
    struct ask db = {.conn = db_connect(url, name, role, reason, sizeof reason)};
    if (db.conn == NULL)
        fail_msg("%s", reason);
    return db;
}

static struct ask as_node(const char *name)
{
    return connect_as(pg.app_url, name, "gito_ingest");
}

static void run(struct ask *db, const char *sql)
{
    if (ask_do(db, sql, 0, NULL) != 0)
        fail_msg("%s: %s", sql, db->reason);
}

static long number(struct ask *db, const char *sql)
{
    PGresult *row = ask_rows(db, sql, 0, NULL);
    if (row == NULL)
        fail_msg("%s: %s", sql, db->reason);
    long value = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return value;
}

static void migrations_run_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0)
            fail_msg("%s", reason);
    struct ask admin = connect_as(pg.admin_url, "test", NULL);
    assert_int_equal(number(&admin, "SELECT count(*) FROM schema_migrations"),
                     (long)migrations_count);
    struct ask node = as_node("test/1");
    assert_int_equal(migrate_check(node.conn, reason, sizeof reason), 0);
    PQfinish(node.conn);
    PQfinish(admin.conn);
}

static void a_changed_or_newer_schema_is_refused(void **state)
{
    (void)state;
    struct ask admin = connect_as(pg.admin_url, "test", NULL), node = as_node("test/1");
    run(&admin, "UPDATE schema_migrations SET checksum = 'x' || checksum WHERE version = 1");
    assert_int_equal(migrate_run(pg.admin_url, "", reason, sizeof reason), ERR_VERSION);
    assert_non_null(strstr(reason, "was changed after"));
    run(&admin, "UPDATE schema_migrations SET checksum = substr(checksum, 2) WHERE version = 1");
    run(&admin, "INSERT INTO schema_migrations VALUES (999, 'later', '')");
    assert_int_equal(migrate_run(pg.admin_url, "", reason, sizeof reason), ERR_VERSION);
    assert_non_null(strstr(reason, "999"));
    assert_int_equal(migrate_check(node.conn, reason, sizeof reason), ERR_VERSION);
    run(&admin, "DELETE FROM schema_migrations WHERE version = 999");
    PQfinish(node.conn);
    PQfinish(admin.conn);
}

static void the_demo_is_seeded_once(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(seed_demo(pg.admin_url, reason, sizeof reason), 0);
    struct ask admin = connect_as(pg.admin_url, "test", NULL);
    assert_int_equal(number(&admin, "SELECT count(*) FROM users WHERE tenant_id = '" TENANT "'"),
                     2);
    assert_int_equal(number(&admin, "SELECT count(*) FROM device_credentials"), 1);
    assert_int_equal(number(&admin, "SELECT count(*) FROM service_accounts "
                                    "WHERE username = 'admin' AND NOT mount_point"),
                     1);
    PQfinish(admin.conn);
}

static void provisioning_keeps_what_exists(void **state)
{
    (void)state;
    struct ask admin = connect_as(pg.admin_url, "test", NULL);
    assert_int_equal(provision_devices(pg.admin_url, OTHER, 10, "old-{n}", reason, sizeof reason),
                     0);
    assert_int_equal(
        provision_devices(pg.admin_url, OTHER, 12, "new-{n}-{n}", reason, sizeof reason), 0);
    assert_non_null(strstr(reason, "12 devices"));
    assert_non_null(strstr(reason, " 2 of them new"));
    assert_int_equal(number(&admin, "SELECT count(*) FROM devices WHERE tenant_id = '" OTHER "'"),
                     12);
    assert_int_equal(
        number(&admin, "SELECT count(*) FROM device_credentials WHERE (device_id, secret_hash) IN ("
                       "('00000000-0000-4000-8000-000000000009', sha256('old-9')),"
                       "('00000000-0000-4000-8000-000000000011', sha256('new-11-11')))"),
        2);
    assert_int_equal(provision_devices(pg.admin_url, TENANT, 1, "s", reason, sizeof reason),
                     ERR_REFUSED);
    assert_int_equal(provision_devices(pg.admin_url, "x", 1, "s", reason, sizeof reason),
                     ERR_CONFIG);
    assert_int_equal(provision_devices(pg.admin_url, OTHER, 0, "s", reason, sizeof reason),
                     ERR_CONFIG);
    for (int i = 0; i < 2; i++)
        assert_int_equal(
            provision_account(pg.admin_url, OTHER, "load", "pw", reason, sizeof reason), 0);
    assert_int_equal(provision_account(pg.admin_url, TENANT, "load", "pw", reason, sizeof reason),
                     ERR_REFUSED);
    PQfinish(admin.conn);
}

static void expect_refused(struct ask *db, const char *sql, const char *why)
{
    if (ask_do(db, sql, 0, NULL) != ERR_REFUSED)
        fail_msg("%s was not refused", sql);
    if (strstr(db->reason, why) == NULL)
        fail_msg("%s: %s", sql, db->reason);
}

static long region_of(struct ask *db, const char *tenant, const char *device)
{
    char sql[200];
    snprintf(sql, sizeof sql, "SELECT region_of('%s', %s)", tenant, device);
    return number(db, sql);
}

#define AT_HOME "'00000000-0000-0000-0000-0000000000d1'"
#define ABROAD "'00000000-0000-0000-0000-0000000000d2'"
#define US_TENANT "00000000-0000-0000-0000-0000000000cc"

static void a_home_region_is_fixed(void **state)
{
    (void)state;
    struct ask admin = connect_as(pg.admin_url, "test", NULL), node = as_node("test/1");
    struct ask app = connect_as(pg.app_url, "test", NULL);
    run(&admin, "INSERT INTO cluster_regions (number, region) VALUES (0, 'eu'), (1, 'us'), "
                "(2, 'ap')");
    run(&admin, "INSERT INTO tenants (id, name, home_region) VALUES ('" US_TENANT "', 'a', 'us')");
    run(&app, "SET app.tenant_id = '" US_TENANT "'");
    run(&app, "INSERT INTO devices (id, tenant_id, name, home_region) VALUES (" AT_HOME
              ", '" US_TENANT "', 'd', NULL), (" ABROAD ", '" US_TENANT "', 'd', 'ap')");
    expect_refused(&app, "UPDATE devices SET home_region = 'eu' WHERE id = " ABROAD,
                   "the home region of a device is fixed");
    expect_refused(&app, "UPDATE devices SET home_region = 'eu' WHERE id = " AT_HOME,
                   "the home region of a device is fixed");
    run(&app, "UPDATE devices SET home_region = home_region, name = 'e'");
    expect_refused(&admin, "UPDATE tenants SET home_region = NULL WHERE id = '" US_TENANT "'",
                   "the home region of a tenant is fixed");
    expect_refused(&app,
                   "INSERT INTO devices (tenant_id, name, home_region) VALUES ('" US_TENANT
                   "', 'd', 'mars')",
                   "foreign key");

    assert_int_equal(region_of(&app, US_TENANT, ABROAD), 2);
    assert_int_equal(region_of(&app, US_TENANT, AT_HOME), 1);
    assert_int_equal(region_of(&node, US_TENANT, ABROAD), 2);
    assert_int_equal(region_of(&node, US_TENANT, "NULL"), 1);
    assert_int_equal(region_of(&node, TENANT, "NULL"), 0);
    assert_int_equal(region_of(&node, OTHER, ABROAD), 0); /* not its device */
    assert_int_equal(number(&app, "SELECT count(*) FROM cluster_regions"), 3);
    PQfinish(app.conn);
    PQfinish(node.conn);
    PQfinish(admin.conn);
}

static void upkeep_makes_and_drops_partitions(void **state)
{
    (void)state;
    static const char partitions[] =
        "SELECT count(*) FROM pg_inherits WHERE inhparent = 'telemetry'::regclass";
    struct ask node = as_node("eu-1/3");
    assert_int_equal(upkeep_partitions(&node, 0), 0);
    assert_true(number(&node, partitions) >= 40); /* 32 days back, today, 7 ahead */
    while (upkeep_retention(&node, 3) == 1)
        ;
    assert_int_equal(upkeep_retention(&node, 3), 0);
    assert_int_equal(upkeep_partitions(&node, 3), 0);
    assert_int_equal(number(&node, partitions), 3 + 1 + 7);
    assert_int_equal(upkeep_retention(&node, -1), ERR_REFUSED);
    assert_int_equal(upkeep_partitions(&node, 0), 0);
    PQfinish(node.conn);
}

static void what_was_refused_is_kept_as_long_as_readings(void **state)
{
    (void)state;
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    run(&admin, "INSERT INTO telemetry_rejected (tenant_id, topic, reason, payload, received_at) "
                "SELECT '" OTHER "', 't', 'r', 'p', date_trunc('day', now(), 'UTC') - "
                "(n <= 3000)::int * interval '1 us' - interval '3 days' "
                "FROM generate_series(1, 3001) n");
    assert_int_equal(upkeep_rejected(&node, 4), 0);
    assert_int_equal(upkeep_rejected(&node, 3), 1);
    assert_int_equal(upkeep_rejected(&node, 3), 0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM telemetry_rejected"), 1);
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

#define READING "INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, temperature) "
#define OF_ONE "'" OTHER "', '00000000-0000-4000-8000-000000000001'"

/* A partition made for a tool's reading is as those that are made ahead, and upkeep drops it. */
static void a_reading_by_sql_makes_its_day(void **state)
{
    (void)state;
    static const char bare[] =
        "SELECT count(*) FROM pg_class WHERE relname ~ '^telemetry_[0-9]{8}$' AND NOT "
        "(relispartition AND relrowsecurity AND relforcerowsecurity AND relhasindex AND relacl IS "
        "NULL AND relowner = 'gito_admin'::regrole)";
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL),
               app = connect_as(pg.app_url, "test", NULL);
    run(&admin, "DELETE FROM telemetry_retention");
    run(&app, "SET app.tenant_id = '" OTHER "'");
    run(&app, READING "SELECT " OF_ONE ", t, 20 FROM "
                      "(VALUES (now() - interval '40 days'), (now() + interval '10 days'), "
                      "('2024-02-29 23:59:59.999999Z'), ('2000-01-01Z')) v (t)");
    assert_int_equal(number(&app, "SELECT count(*) FROM telemetry_hot WHERE temperature = 20"), 4);
    assert_int_equal(number(&admin, bare), 0);
    expect_refused(&app, READING "VALUES (" OF_ONE ", '1999-12-31 23:59Z', 1)", "before the year");
    expect_refused(&app, READING "VALUES (" OF_ONE ", 'infinity', 1)", "more than a year ahead");
    expect_refused(&app,
                   READING "SELECT tenant_id, device_id, '2024-03-05', 1 FROM telemetry_hot WHERE "
                           "timestamp < now()",
                   "cannot make the partition of 2024-03-05");
    run(&app, "SELECT telemetry_day_ensure('2024-03-05')");

    run(&app, "SELECT rollup_refresh('00000000-0000-4000-8000-000000000001')");
    run(&admin, "INSERT INTO rollup_stale VALUES (" OF_ONE ", '2024-02-29 23:00Z')");

    /* Retention takes it, and from then on a reading that it would take is refused. */
    while (upkeep_retention(&node, 30) == 1)
        ;
    assert_int_equal(number(&app, "SELECT count(*) FROM telemetry_hot WHERE temperature = 20"), 1);
    expect_refused(&app, READING "VALUES (" OF_ONE ", now() - interval '31 days', 1)",
                   "RETENTION_DAYS");
    run(&app, READING "VALUES (" OF_ONE ", now() - interval '29 days', 1)");
    run(&app, "SELECT rollup_refresh('00000000-0000-4000-8000-000000000001')");
    assert_int_equal(number(&app, "SELECT sample_count FROM telemetry_hourly "
                                  "WHERE hour = '2024-02-29 23:00Z'"),
                     1); /* its sums outlive it */
    /* A node without a retention says nothing any more. */
    run(&admin, "UPDATE telemetry_retention SET told_at = now() - interval '25 hours'");
    run(&app, READING "VALUES (" OF_ONE ", now() - interval '31 days', 1)");
    PQfinish(app.conn);
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

/* A backfill that is long in its transaction keeps no node from its own days, and two of them meet
 * on a day without an error. */
static void a_long_backfill_is_in_nobodys_way(void **state)
{
    (void)state;
    static const char reading[] = READING "VALUES (" OF_ONE ", '2020-01-01', 1)";
    struct ask node = as_node("eu-1/3"), first = connect_as(pg.admin_url, "test", NULL),
               second = connect_as(pg.admin_url, "test", NULL);
    assert_int_equal(upkeep_partitions(&node, 0), 0);
    run(&second, "BEGIN");
    run(&second, READING "VALUES (" OF_ONE ", now(), 1)"); /* has the table as it was */
    run(&first, "BEGIN");
    run(&first, reading);
    assert_int_equal(upkeep_partitions(&node, 0), 0);
    assert_int_equal(PQsendQuery(second.conn, reading), 1);
    while (number(&node, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' "
                         "AND NOT granted") == 0)
        ;
    run(&first, "COMMIT");
    PGresult *result = PQgetResult(second.conn);
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        fail_msg("%s", PQerrorMessage(second.conn));
    PQclear(result);
    assert_null(PQgetResult(second.conn));
    run(&second, "COMMIT");
    PQfinish(second.conn);
    PQfinish(first.conn);
    PQfinish(node.conn);
}

static void tokens_go_when_they_have_expired(void **state)
{
    (void)state;
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    run(&admin, "INSERT INTO refresh_tokens (token_hash, family, tenant_id, user_id, used_at, "
                "expires_at) SELECT sha256(n::text::bytea), gen_random_uuid(), u.tenant_id, u.id, "
                "now(), now() + (n - 2999.5) * interval '1 hour' FROM generate_series(1, 3000) n, "
                "(SELECT * FROM users LIMIT 1) u");
    assert_int_equal(upkeep_tokens(&node), 1);
    assert_int_equal(upkeep_tokens(&node), 0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM refresh_tokens"), 1);
    run(&admin, "DELETE FROM refresh_tokens");
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

/* Their readings and sums go bit by bit, also one that comes after them; a device that was made
 * again keeps what is left of its own. */
static void readings_of_a_deleted_device_go(void **state)
{
    (void)state;
    static const char left[] = "SELECT (SELECT count(*) FROM telemetry WHERE rssi = 77) + "
                               "(SELECT count(*) FROM telemetry_hourly WHERE rssi_max = 77)";
    static const char due[] = "UPDATE devices_gone SET gone_at = now() - interval '2 hours', "
                              "due_at = now()";
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    run(&admin, "INSERT INTO devices (tenant_id, name) SELECT '" OTHER "', 'gone' "
                "FROM generate_series(1, 3)");
    run(&admin, "INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, rssi) "
                "SELECT tenant_id, id, now() - n * interval '1 minute', 77 FROM devices, "
                "generate_series(1, 1100) n WHERE name = 'gone'");
    run(&admin, "SELECT rollup_refresh(id) FROM devices WHERE name = 'gone'");
    run(&admin, "CREATE TEMP TABLE one AS SELECT id FROM devices WHERE name = 'gone' LIMIT 1");
    run(&admin, "DELETE FROM devices WHERE name = 'gone'");
    long before = number(&admin, left);
    assert_int_equal(upkeep_gone(&node), 1);
    long batch = before - number(&admin, left);
    assert_in_range(batch, 1100, 2100); /* readings, and the sums of one device or two */
    while (upkeep_gone(&node) == 1)
        ;
    assert_int_equal(number(&admin, left), 0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM rollup_stale s WHERE NOT EXISTS "
                                    "(SELECT FROM devices d WHERE d.id = s.device_id)"),
                     0);

    run(&admin, "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq, rssi) "
                "SELECT '" OTHER "', id, now(), 1, 77 FROM one");
    assert_int_equal(upkeep_gone(&node), 0);
    assert_int_equal(number(&admin, left), 1);
    run(&admin, due);
    assert_int_equal(upkeep_gone(&node), 0);
    assert_int_equal(number(&admin, left), 0);
    assert_int_equal(number(&admin, "SELECT count(*) FROM devices_gone"), 0);

    run(&admin, "INSERT INTO devices_gone SELECT id FROM one");
    run(&admin,
        "INSERT INTO devices (tenant_id, id, name) SELECT '" OTHER "', id, 'again' FROM one");
    run(&admin, "INSERT INTO telemetry_hot (tenant_id, device_id, rssi) SELECT '" OTHER
                "', id, 77 FROM one");
    assert_int_equal(upkeep_gone(&node), 0);
    assert_int_equal(number(&admin, left), 1);
    assert_int_equal(number(&admin, "SELECT count(*) FROM devices_gone"), 0);
    run(&admin, "DELETE FROM devices WHERE name = 'again'");
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

/* Made again by another tenant, a device has nothing of what it was: its sums are of its new
 * tenant's readings alone, and those of the former go. */
static void a_device_that_changes_hands_begins_anew(void **state)
{
    (void)state;
    static const char one_reading[] =
        "INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, rssi) "
        "SELECT tenant_id, id, now() - interval '3 hours', %d FROM devices WHERE name = 'sold'";
    static const char id[] = "'00000000-0000-4000-8000-00000000501d'";
    char sql[300];
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    for (int n = 0; n < 2; n++) {
        snprintf(sql, sizeof sql,
                 "INSERT INTO devices (id, tenant_id, name) VALUES (%s, '%s', 'sold')", id,
                 n == 0 ? OTHER : TENANT);
        run(&admin, sql);
        snprintf(sql, sizeof sql, one_reading, n == 0 ? 77 : 1);
        run(&admin, sql);
        snprintf(sql, sizeof sql, "SELECT rollup_rebuild(now() - interval '4 h', now(), %s)", id);
        run(&admin, sql);
        if (n == 0)
            run(&admin, "DELETE FROM devices WHERE name = 'sold'");
    }
    static const char sums[] = "SELECT sum(rssi_sum) FROM telemetry_hourly h JOIN devices d "
                               "USING (tenant_id) WHERE d.name = 'sold' AND h.device_id = d.id";
    assert_int_equal(number(&admin, sums), 1);
    assert_int_equal(upkeep_gone(&node), 0);
    assert_int_equal(number(&admin, "SELECT sum(rssi) FROM telemetry WHERE rssi IN (1, 77)"), 1);
    assert_int_equal(number(&admin, sums), 1);
    run(&admin, "DELETE FROM devices WHERE name = 'sold'");
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

static void count_awake(void *arg, const struct uuid *tenant, const struct uuid *device,
                        unsigned region)
{
    (void)tenant;
    unsigned *told = arg;
    told[device->bytes[15]] += 1 + 100 * region;
}

static void devices_that_are_awake_are_found_page_by_page(void **state)
{
    (void)state;
    unsigned told[256] = {0};
    struct uuid cursor = {0};
    struct ask node = as_node("eu-1/3");
    run(&node, "UPDATE devices SET status = 'online' WHERE tenant_id = '" OTHER "'");
    assert_int_equal(upkeep_awake(&node, &cursor, count_awake, told), 12);
    assert_int_equal(upkeep_awake(&node, &cursor, count_awake, told), 0);
    assert_int_equal(told[0x11], 1);
    PQfinish(node.conn);
}

/* The server is stopped, not dead: its sockets stay open and silent. */
static void a_silent_server_is_given_up(void **state)
{
    (void)state;
    struct ask node = as_node("eu-1/3");
    pid_t backend = (pid_t)number(&node, "SELECT pg_backend_pid()");
    assert_int_equal(kill(backend, SIGSTOP), 0);
    assert_int_equal(ask_do(&node, "SELECT 1", 0, NULL), ERR_UNAVAILABLE);
    assert_int_equal(kill(backend, SIGCONT), 0);
    PQfinish(node.conn);
}

static int start(void **state)
{
    (void)state;
    private_pg_start(&pg);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    private_pg_stop(&pg);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(migrations_run_once),
        cmocka_unit_test(a_changed_or_newer_schema_is_refused),
        cmocka_unit_test(the_demo_is_seeded_once),
        cmocka_unit_test(provisioning_keeps_what_exists),
        cmocka_unit_test(a_home_region_is_fixed),
        cmocka_unit_test(upkeep_makes_and_drops_partitions),
        cmocka_unit_test(what_was_refused_is_kept_as_long_as_readings),
        cmocka_unit_test(a_reading_by_sql_makes_its_day),
        cmocka_unit_test(a_long_backfill_is_in_nobodys_way),
        cmocka_unit_test(tokens_go_when_they_have_expired),
        cmocka_unit_test(readings_of_a_deleted_device_go),
        cmocka_unit_test(a_device_that_changes_hands_begins_anew),
        cmocka_unit_test(devices_that_are_awake_are_found_page_by_page),
        cmocka_unit_test(a_silent_server_is_given_up),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
