/* Who is at home in a region of their own is read once, and then what is new, on a PostgreSQL of
 * our own. */
#include "sql/home.h"
#include "tests/unit/membership_fixture.h"

#define TENANT "00000000-0000-0000-0000-0000000000aa"
#define DEVICE(n) "00000000-0000-4000-8000-0000000000" n

static struct peer node;

/* Regions of devices …00 to …ff, by their last byte; 0 was not told, else the number plus 1. */
struct told {
    unsigned tenant;
    unsigned device[256], times[256];
    unsigned count;
};

static void note(void *arg, const struct uuid *id, unsigned region)
{
    struct told *told = arg;
    told->count++;
    if (id->bytes[6] == 0) {
        told->tenant = region + 1;
        return;
    }
    told->device[id->bytes[15]] = region + 1;
    told->times[id->bytes[15]]++;
}

static struct told read_homes(struct home_reader *reader)
{
    struct told told = {0};
    int rc = home_read(reader, &node.db, note, &told);
    if (rc != 0)
        fail_msg("%s", node.db.reason);
    return told;
}

static void make_in(struct ask *db, const char *last_byte, const char *region, int seconds_ago)
{
    char sql[400];
    snprintf(sql, sizeof sql,
             "INSERT INTO devices (id, tenant_id, name, home_region, created_at) VALUES "
             "('00000000-0000-4000-8000-0000000000%s', '" TENANT "', 'd%s', %s, "
             "now() - interval '%d s')",
             last_byte, last_byte, region, seconds_ago);
    run_in(db, sql);
}

static void make(const char *last_byte, const char *region, int seconds_ago)
{
    make_in(&admin, last_byte, region, seconds_ago);
}

/* Regions eu, us and ap have the numbers 0, 1 and 2. */
static int begin(void **state)
{
    no_nodes(state);
    run("DELETE FROM tenants WHERE id = '" TENANT "'");
    peer_init(&node, "eu-1");
    node.member.regions = "eu,us,ap";
    must(&node, peer_register(&node));
    run("INSERT INTO tenants (id, name, home_region, created_at) "
        "VALUES ('" TENANT "', 't', 'us', now() - interval '1 day')");
    return 0;
}

static int end(void **state)
{
    (void)state;
    part(&node, 1);
    run("DELETE FROM tenants WHERE id = '" TENANT "'"); /* regions are named by them */
    return 0;
}

static void all_are_told_at_first(void **state)
{
    (void)state;
    struct home_reader reader = {0};
    make("01", "'ap'", 86400 * 300);
    make("02", "'eu'", 0);
    make("03", "NULL", 0); /* its tenant's */
    struct told told = read_homes(&reader);
    assert_int_equal(told.tenant, 1 + 1);
    assert_int_equal(told.device[1], 2 + 1);
    assert_int_equal(told.device[2], 0 + 1);
    assert_int_equal(told.device[3], 0);
    assert_int_equal(told.count, 3);
    assert_true(reader.read_us > 0);
}

static void then_what_is_new_is_told(void **state)
{
    (void)state;
    struct home_reader reader = {0};
    make("01", "'ap'", 3600);
    assert_int_equal(read_homes(&reader).count, 2);
    assert_int_equal(read_homes(&reader).count, 0);
    make("02", "'ap'", 0);
    for (int i = 0; i < 2; i++) { /* for a minute it may be told again */
        struct told told = read_homes(&reader);
        assert_int_equal(told.count, 1);
        assert_int_equal(told.device[2], 2 + 1);
    }
    reader.read_us += (HOME_LATE_S + 5) * INT64_C(1000000); /* a minute later */
    assert_int_equal(read_homes(&reader).count, 0);
}

/* It was made when its transaction began, and is seen when that has committed. */
static void what_commits_late_is_told(void **state)
{
    (void)state;
    struct home_reader reader = {0};
    struct ask late = connect_as(pg.admin_url, "late", NULL);
    run_in(&late, "BEGIN");
    make_in(&late, "01", "'ap'", HOME_LATE_S - 10);
    assert_int_equal(read_homes(&reader).device[1], 0);
    assert_int_equal(read_homes(&reader).device[1], 0);
    run_in(&late, "COMMIT");
    assert_int_equal(read_homes(&reader).times[1], 1);
    PQfinish(late.conn);
}

static void a_reader_without_its_database_has_read_nothing(void **state)
{
    (void)state;
    struct home_reader reader = {0};
    struct told told = {0};
    read_homes(&reader);
    const int64_t before = reader.read_us;
    char sql[100];
    snprintf(sql, sizeof sql, "SELECT pg_terminate_backend(%d)", PQbackendPID(node.db.conn));
    private_pg_run(&pg, sql);
    assert_int_equal(home_read(&reader, &node.db, note, &told), ERR_UNAVAILABLE);
    assert_true(reader.read_us == before);
    assert_int_equal(told.count, 0);
}

/* It is asked each second. */
static void the_question_does_not_grow_with_the_devices(void **state)
{
    (void)state;
    run("INSERT INTO devices (tenant_id, name) SELECT '" TENANT "', 'n' || n "
        "FROM generate_series(1, 5000) n");
    make("01", "'ap'", 0);
    run("ANALYZE devices");
    PGresult *plan =
        ask_rows(&admin,
                 "EXPLAIN SELECT id, home_region FROM devices WHERE home_region IS NOT "
                 "NULL AND created_at >= now() - interval '1 minute'",
                 0, NULL);
    assert_non_null(plan);
    bool by_index = false;
    for (int row = 0; row < PQntuples(plan); row++)
        by_index |= strstr(PQgetvalue(plan, row, 0), "devices_home") != NULL;
    assert_true(by_index);
    PQclear(plan);
}

/* What shards and logins ask of one device says the same. */
static void a_devices_region_is_found_by_itself(void **state)
{
    (void)state;
    make("01", "'ap'", 0);
    make("02", "NULL", 0);
    assert_int_equal(number("SELECT region_of('" TENANT "', '" DEVICE("01") "')"), 2);
    assert_int_equal(number("SELECT region_of('" TENANT "', '" DEVICE("02") "')"), 1);
    assert_int_equal(number("SELECT region_of('" TENANT "', '" DEVICE("77") "')"), 1);
    assert_int_equal(number("SELECT region_of('" TENANT "', NULL)"), 1);
    assert_int_equal(number("SELECT region_of('" DEVICE("77") "', '" DEVICE("01") "')"), 0);
}

static void a_home_is_a_region_there_is(void **state)
{
    (void)state;
    static const char sql[] = "INSERT INTO tenants (name, home_region) VALUES ('x', 'moon')";
    assert_int_equal(ask_do(&admin, sql, 0, NULL), ERR_REFUSED);
    assert_non_null(strstr(admin.reason, "home_region"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(all_are_told_at_first),
        TEST(then_what_is_new_is_told),
        TEST(what_commits_late_is_told),
        TEST(a_reader_without_its_database_has_read_nothing),
        TEST(the_question_does_not_grow_with_the_devices),
        TEST(a_devices_region_is_found_by_itself),
        TEST(a_home_is_a_region_there_is),
    };
    return cmocka_run_group_tests(tests, start_pg, stop_pg);
}
