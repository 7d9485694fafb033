/* The sums of hours in which a tool writes readings by SQL, and the device's node others. */
#include "tests/unit/store_fixture.h"

#define DEVICE "'00000000-0000-4000-8000-000000000001'"
#define HOUR "(date_trunc('hour', now(), 'UTC') - interval '3 hours')"
#define SAMPLES "SELECT sample_count FROM telemetry_hourly WHERE device_id = " DEVICE " AND hour = "
#define REFRESH "SELECT rollup_refresh(" DEVICE ")"

/* The device's node, in a transaction or not; so long after HOUR. */
static void node_stores(PGconn *node, const char *after, int n)
{
    char text[700];
    snprintf(text, sizeof text,
             "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq, rssi) "
             "VALUES ('" TENANT "', " DEVICE ", " HOUR " + interval '%s', %d, 1);"
             "UPDATE devices SET status = 'online', latest_at = " HOUR " + interval '%s' "
             "WHERE id = " DEVICE,
             after, n, after);
    PGresult *result = PQexec(node, text);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
}

static void tool_writes(const char *after)
{
    sql("INSERT INTO telemetry_hot (tenant_id, device_id, timestamp, rssi) VALUES ('" TENANT
        "', " DEVICE ", " HOUR " + interval '%s', 1)",
        after);
}

static const char *samples_after(const char *after)
{
    sql(REFRESH);
    return ask(SAMPLES HOUR " + interval '%s'", after);
}

/* The actor of the device knows nothing of what is newer, and closes its hour with sums of its own.
 */
static void a_tool_is_ahead_of_the_device(void **state)
{
    (void)state;
    node_stores(admin, "10 minutes", 1);
    tool_writes("5 minutes");
    tool_writes("2 hours");
    assert_string_equal(samples_after("0"), "2");
    node_stores(admin, "20 minutes", 2);
    assert_string_equal(samples_after("0"), "3");
    node_stores(admin, "1 hour", 3);
    sql("UPDATE telemetry_hourly SET sample_count = 2 WHERE device_id = " DEVICE
        " AND hour = " HOUR);
    assert_string_equal(samples_after("0"), "3");
    assert_string_equal(samples_after("1 hour"), "1"); /* it is filling that now */
    sql("UPDATE devices SET status = 'offline'");
    assert_string_equal(samples_after("1 hour"), "1");
    assert_string_equal(ask("SELECT count(*) FROM rollup_stale"), "1"); /* the tool's newest hour */
}

static void what_retention_took_keeps_its_sums(void **state)
{
    (void)state;
    static const char old[] = "date_trunc('hour', now(), 'UTC') - interval '400 days'";
    sql("INSERT INTO telemetry_hourly (tenant_id, device_id, hour, sample_count, "
        "temperature_count, humidity_count, pressure_count, battery_count, rssi_count) "
        "VALUES ('" TENANT "', " DEVICE ", %s, 7, 0, 0, 0, 0, 0)",
        old);
    sql("UPDATE devices SET status = 'online', latest_at = %s WHERE id = " DEVICE, old);
    tool_writes("2 hours"); /* of a device that was silent since, and comes back */
    sql(REFRESH);
    assert_string_equal(ask("SELECT sample_count FROM telemetry_hourly WHERE hour = %s", old), "7");
}

/* A late reading's transaction has summed up its hour, which had no row, and is not seen yet. */
static void a_late_reading_on_its_way_is_waited_for(void **state)
{
    (void)state;
    char reason[256];
    PGconn *node = db_connect(server.admin_url, "node", NULL, reason, sizeof reason);
    PGconn *reader = db_connect(server.admin_url, "reader", NULL, reason, sizeof reason);
    assert_true(node != NULL && reader != NULL);
    node_stores(admin, "2 hours", 1);
    tool_writes("5 minutes");
    PQclear(PQexec(node, "BEGIN"));
    node_stores(node, "10 minutes", 2);
    PQclear(
        PQexec(node, "SELECT rollup_rebuild(" HOUR ", " HOUR " + interval '1 hour', " DEVICE ")"));
    assert_int_equal(PQsendQuery(reader, REFRESH), 1);
    while (strcmp(ask("SELECT count(*) FROM pg_locks WHERE NOT granted"), "0") == 0)
        ;
    PQclear(PQexec(node, "COMMIT"));
    PGresult *result = PQgetResult(reader);
    assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
    PQclear(result);
    assert_string_equal(ask(SAMPLES HOUR), "2");
    PQfinish(reader);
    PQfinish(node);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_tool_is_ahead_of_the_device, set_up),
        cmocka_unit_test_setup(what_retention_took_keeps_its_sums, set_up),
        cmocka_unit_test_setup(a_late_reading_on_its_way_is_waited_for, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_server, tear_down_server);
}
