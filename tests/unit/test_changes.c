/* The feed of what changed, on a PostgreSQL of our own: nothing is missed, nothing told twice. */
#include "sql/changes.h"
#include "sql/db.h"
#include "sql/migrate.h"
#include "sql/provision.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

static void count_device(void *arg, const struct change *change)
{
    unsigned *told = arg;
    assert_false(change->credentials);
    told[change->holder.bytes[15]]++;
}

/* Rules of devices …-000000000000 to …-000000000011 (provisioned by start). */
static void add_rule(struct ask *db, int device)
{
    char sql[300];
    snprintf(sql, sizeof sql,
             "INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold) VALUES "
             "('" OTHER "', '00000000-0000-4000-8000-%012d', 'temperature', '>', 1)",
             device);
    run(db, sql);
}

static void a_change_that_commits_late_is_told(void **state)
{
    (void)state;
    struct changes changes;
    unsigned told[256] = {0};
    struct ask node = as_node("eu-1/3"), late = connect_as(pg.admin_url, "test", NULL),
               quick = connect_as(pg.admin_url, "test", NULL);
    changes_init(&changes);
    run(&node, "LISTEN gito_changes");
    assert_int_equal(changes_start(&changes, &node), 0);
    run(&late, "BEGIN");
    add_rule(&late, 1);
    add_rule(&quick, 2);
    assert_int_equal(changes_read(&changes, &node, count_device, told), 0);
    assert_int_equal(told[1], 0);
    assert_int_equal(told[2], 1);
    add_rule(&quick, 3);
    assert_int_equal(changes_read(&changes, &node, count_device, told), 0);
    run(&late, "COMMIT");
    for (int i = 0; i < 3; i++)
        assert_int_equal(changes_read(&changes, &node, count_device, told), 0);
    for (int device = 1; device <= 3; device++)
        assert_int_equal(told[device], 1);
    PGnotify *notify = PQnotifies(node.conn);
    assert_non_null(notify);
    PQfreemem(notify);
    run(&late, "UPDATE changes SET created_at = now() - interval '2 hours'");
    assert_int_equal(changes_prune(&changes, &node), 0);
    assert_int_equal(number(&late, "SELECT count(*) FROM changes"), 0);
    changes_free(&changes);
    PQfinish(quick.conn);
    PQfinish(late.conn);
    PQfinish(node.conn);
}

static void more_changes_than_a_page_are_all_told(void **state)
{
    (void)state;
    struct changes changes;
    unsigned told[256] = {0}, sum = 0;
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    changes_init(&changes);
    assert_int_equal(changes_start(&changes, &node), 0);
    run(&admin, "INSERT INTO changes (tenant_id, device_id) SELECT '" OTHER "',"
                "('00000000-0000-4000-8000-' || lpad(to_hex(n % 256), 12, '0'))::uuid "
                "FROM generate_series(1, 2560) n");
    assert_int_equal(changes_read(&changes, &node, count_device, told), 0);
    assert_int_equal(changes_read(&changes, &node, count_device, told), 0);
    for (int i = 0; i < 256; i++) {
        assert_int_equal(told[i], 10);
        sum += told[i];
    }
    assert_int_equal(sum, 2560);
    changes_free(&changes);
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

/* The mark that comes with the change of a holder's credentials, by the last byte of its id; -1: it
 * is told of none. */
static void note_mark(void *arg, const struct change *change)
{
    int64_t *marks = arg;
    if (change->credentials)
        marks[change->holder.bytes[15]] = change->mark;
}

static int64_t mark_after(struct changes *changes, struct ask *node, struct ask *admin, int holder,
                          const char *sql)
{
    int64_t marks[256];
    for (int i = 0; i < 256; i++)
        marks[i] = -1;
    run(admin, sql);
    assert_int_equal(changes_read(changes, node, note_mark, marks), 0);
    return marks[holder];
}

/* What let a holder in before is told apart from what does now; where nothing does it is 0. */
static void a_change_of_credentials_is_told_with_what_holds_now(void **state)
{
    (void)state;
#define HOLDER "00000000-0000-0000-0000-0000000000e"
#define OF_TENANT " WHERE tenant_id = '" HOLDER "0'"
#define MARK_OF(n) "SELECT credentials_mark('" HOLDER "0', '" HOLDER n "')"
    static const struct {
        int holder;
        bool lets_in, as_before;
        const char *sql;
    } cases[] = {
        {0xe1, true, false, "UPDATE device_credentials SET secret_hash = 'two'" OF_TENANT},
        {0xe1, true, true, "UPDATE device_credentials SET rotated_at = now()" OF_TENANT},
        {0xe2, true, false, "UPDATE service_accounts SET password_hash = 'y'" OF_TENANT},
        {0xe2, true, false, "UPDATE service_accounts SET publish_filters = '{a}'" OF_TENANT},
        {0xe2, true, true, "UPDATE service_accounts SET updated_at = now()" OF_TENANT},
        {0xe2, false, false, "UPDATE service_accounts SET active = false" OF_TENANT},
        {0xe2, true, false, "UPDATE service_accounts SET active = true" OF_TENANT},
        {0xe1, false, false, "UPDATE tenants SET status = 'suspended' WHERE id = '" HOLDER "0'"},
        {0xe2, false, true, "DELETE FROM service_accounts" OF_TENANT},
        {0xe1, false, true, "DELETE FROM devices" OF_TENANT},
    };
    struct changes changes;
    struct ask node = as_node("eu-1/3"), admin = connect_as(pg.admin_url, "test", NULL);
    changes_init(&changes);
    run(&admin, "INSERT INTO tenants (id, name) VALUES ('" HOLDER "0', 't')");
    run(&admin,
        "INSERT INTO devices (id, tenant_id, name) VALUES ('" HOLDER "1', '" HOLDER "0', 'd')");
    run(&admin,
        "INSERT INTO device_credentials (device_id, tenant_id, secret_hash) VALUES ('" HOLDER
        "1', '" HOLDER "0', 'one')");
    run(&admin,
        "INSERT INTO service_accounts (id, tenant_id, username, password_hash) VALUES ('" HOLDER
        "2', '" HOLDER "0', 'revoked', 'x')");
    int64_t marks[256] = {
        [0xe1] = number(&node, MARK_OF("1")), [0xe2] = number(&node, MARK_OF("2"))};
    assert_int_equal(changes_start(&changes, &node), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int holder = cases[i].holder;
        int64_t mark = mark_after(&changes, &node, &admin, holder, cases[i].sql);
        if (mark == -1 || (mark != 0) != cases[i].lets_in ||
            (mark == marks[holder]) != cases[i].as_before)
            fail_msg("%s", cases[i].sql);
        marks[0xe1] = number(&node, MARK_OF("1"));
        marks[0xe2] = number(&node, MARK_OF("2"));
    }
    changes_free(&changes);
    PQfinish(admin.conn);
    PQfinish(node.conn);
}

static int start(void **state)
{
    (void)state;
    private_pg_start(&pg);
    if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0)
        return -1;
    return provision_devices(pg.admin_url, OTHER, 12, "s", reason, sizeof reason);
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
        cmocka_unit_test(a_change_that_commits_late_is_told),
        cmocka_unit_test(more_changes_than_a_page_are_all_told),
        cmocka_unit_test(a_change_of_credentials_is_told_with_what_holds_now),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
