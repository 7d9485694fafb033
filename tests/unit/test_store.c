/* What each list of a batch does to a real PostgreSQL, and what it answers. */
#include "store_fixture.h"

static void stores_readings_as_they_are(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    struct batch_row *row = add_row(batch, 3, now_us + 123456, 0xfeedbeef);
    row->value[METRIC_RSSI] = -70.25;
    row->present |= 1u << METRIC_RSSI;
    add_row(batch, 4, now_us, 1)->extra.len = 0;
    execute(batch);
    assert_string_equal(ask("SELECT payload FROM telemetry_hot WHERE device_id = '" DEVICE_FORMAT
                            "' AND timestamp = to_timestamp(%lld) + interval '123456 us'",
                            3u, (long long)(now_us / 1000000)),
                        "{\"co2\": 400, \"rssi\": -70.25, \"temperature\": 21.5}");
    assert_string_equal(ask("SELECT humidity IS NULL AND extra IS NULL AND tenant_id = '%s' FROM "
                            "telemetry WHERE device_id = '" DEVICE_FORMAT "'",
                            TENANT, 4u),
                        "t");
    batch_destroy(&batch);
}

static void writes_and_rebuilds_hours(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    add_row(batch, 2, now_us + 1000000, 1)->value[METRIC_TEMPERATURE] = 10;
    add_row(batch, 2, now_us + 2000000, 2)->value[METRIC_TEMPERATURE] = 30;
    for (unsigned device = 1; device <= 2; device++) {
        struct batch_rollup *hour = batch_add_rollups(batch);
        hour->tenant = id_of(TENANT);
        hour->device = device_of(device);
        hour->hour_us = now_us;
        hour->rebuild = device == 2;
        hour->stats.samples = 5;
        hour->stats.metric[METRIC_BATTERY].count = 4;
        hour->stats.metric[METRIC_BATTERY].sum = 12;
        hour->stats.metric[METRIC_BATTERY].last = 3.5;
    }
    execute(batch);
    execute(batch); /* a new batch with the same keys: readings stay, hours are replaced */
    const char *format = "SELECT concat_ws(',', sample_count, battery_count, battery_sum, "
                         "battery_last, temperature_count, temperature_min, temperature_max, "
                         "temperature_last) FROM telemetry_hourly "
                         "WHERE device_id = '" DEVICE_FORMAT "'";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    assert_string_equal(ask(format, 1u), "5,4,12,3.5,0");
    assert_string_equal(ask(format, 2u), "2,0,2,10,30,30");
#pragma GCC diagnostic pop
    assert_string_equal(ask(TELEMETRY_COUNT), "2");
    batch_destroy(&batch);
}

static void an_alert_fires_once_per_cooldown(void **state)
{
    (void)state;
    add_rule();
    struct batch *batch = batch_new();
    add_alert(batch, RULE, now_us);
    add_alert(batch, RULE, now_us + 1);
    add_alert(batch, "00000000-0000-0000-0000-00000000bbbb", now_us);
    execute(batch);
    assert_true(batch->alerts[0].fired);
    assert_int_equal(batch->alerts[0].last_fired_us, now_us);
    assert_false(batch->alerts[1].fired);
    assert_int_equal(batch->alerts[1].last_fired_us, now_us);
    assert_false(batch->alerts[2].fired); /* no such rule */
    assert_int_equal(batch->alerts[2].last_fired_us, 0);
    execute(batch); /* again, as after an unknown outcome */
    assert_true(batch->alerts[0].fired);
    assert_false(batch->alerts[1].fired);
    batch_clear(batch);
    add_alert(batch, RULE, now_us + 299 * 1000000LL);
    execute(batch);
    assert_false(batch->alerts[0].fired);
    assert_int_equal(batch->alerts[0].last_fired_us, now_us);
    assert_string_equal(ask("SELECT count(*) || ',' || (SELECT count(*) FROM outbox) || ',' || "
                            "max(message) FROM alert_events"),
                        "1,1,too warm");
    batch_clear(batch);
    add_alert(batch, RULE, now_us + 300 * 1000000LL);
    execute(batch);
    assert_true(batch->alerts[0].fired);
    assert_string_equal(ask("SELECT count(*) FROM changes WHERE created_at > (SELECT created_at "
                            "FROM alert_rules)"),
                        "0"); /* a node's own alert is no change to tell */
    batch_destroy(&batch);
}

static void an_inactive_rule_does_not_fire(void **state)
{
    (void)state;
    add_rule();
    sql("UPDATE alert_rules SET active = false");
    struct batch *batch = batch_new();
    add_alert(batch, RULE, now_us);
    execute(batch);
    assert_false(batch->alerts[0].fired);
    batch_destroy(&batch);
}

static void a_late_touch_does_not_overwrite(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    touch(batch, 5, now_us, "{\"a\":2}");
    touch(batch, 4, now_us, "{\"a\":2}");
    execute(batch);
    batch_clear(batch);
    touch(batch, 5, now_us - 1, "{\"a\":1}");
    batch->touches[0].status = STATUS_IDLE;
    struct batch_touch *status_only = batch_add_touches(batch);
    status_only->device = device_of(4);
    status_only->status = STATUS_OFFLINE;
    execute(batch);
    const char *seen = "SELECT status || latest || (extract(epoch FROM last_seen) * 1000000 = %lld "
                       "AND latest_at = last_seen) FROM devices WHERE id = '" DEVICE_FORMAT "'";
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    assert_string_equal(ask(seen, (long long)now_us, 5u), "idle{\"a\": 2}true");
    assert_string_equal(ask(seen, (long long)now_us, 4u), "offline{\"a\": 2}true");
#pragma GCC diagnostic pop
    batch_destroy(&batch);
}

static void keeps_rejects_whatever_their_bytes(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    struct batch_reject *reject = batch_add_rejects(batch);
    reject->tenant = id_of(TENANT);
    reject->topic = text_of(batch, "t/devices/x/telemetry");
    reject->reason = text_of(batch, "not JSON");
    reject->payload = batch_text(batch, "a\0\xff\xc3\xa4", 5);
    execute(batch);
    assert_string_equal(ask("SELECT payload || (device_id IS NULL) FROM telemetry_rejected"),
                        "a\\x00\\xff\xc3\xa4true");
    batch_destroy(&batch);
}

static void a_check_finds_what_is_stored(void **state)
{
    (void)state;
    const char *payload = "{\"co2\":400.0,\"temperature\":2.15e1}", *other = "{\"co2\":1}";
    struct batch *batch = batch_new();
    add_row(batch, 6, now_us, 0xf0000001);
    add_check(batch, now_us, 0xf0000001, payload); /* sees this batch's own readings */
    add_check(batch, 0, 0xf0000001, payload);
    add_check(batch, now_us + 1, 0xf0000001, payload);
    add_check(batch, now_us, 0xf0000002, payload);
    add_check(batch, now_us, 0xf0000001, other);
    add_check(batch, 0, 0xf0000001, other);
    execute(batch);
    for (uint32_t i = 0; i < batch->checks_count; i++)
        assert_int_equal(batch->checks[i].stored, i < 2);
    batch_destroy(&batch);
}

/* Nothing is there that could be taken for it: not even the absence of a row. */
static void a_check_finds_no_empty_reading_that_is_not_stored(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    add_row(batch, 6, now_us, 1);
    add_check(batch, 0, 0xf0000007, "{}");
    add_check(batch, now_us, 0xf0000007, "{}");
    execute(batch);
    for (uint32_t i = 0; i < batch->checks_count; i++)
        assert_false(batch->checks[i].stored);
    batch_destroy(&batch);
}

static void loads_devices_and_their_rules(void **state)
{
    (void)state;
    add_rule();
    sql("INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold, active) "
        "VALUES ('%s', '" DEVICE_FORMAT "', 'x', '<', 1, false)",
        TENANT, 1u);
    sql("UPDATE devices SET status = 'idle', last_seen = now() WHERE id = '" DEVICE_FORMAT "'", 1u);
    struct batch *batch = batch_new();
    add_row(batch, 1, now_us, 1);
    add_row(batch, 1, now_us - 1, 1);
    const unsigned devices[] = {99, 2, 1};
    for (size_t i = 0; i < 3; i++)
        batch_add_loads(batch)->device = device_of(devices[i]);
    execute(batch);
    assert_false(batch->loads[0].found);
    assert_true(batch->loads[1].found);
    assert_int_equal(batch->loads[1].newest_us, 0);
    assert_int_equal(batch->loads[1].rules_count, 0);
    const struct batch_load *load = &batch->loads[2];
    assert_true(load->found);
    assert_int_equal(load->status, STATUS_IDLE);
    assert_int_equal(load->newest_us, now_us);
    assert_true(load->last_seen_us > now_us);
    assert_int_equal(load->rules_count, 1);
    const struct batch_rule *rule = &batch->rules[load->rules_at];
    assert_string_equal(rule->metric, "temperature");
    assert_int_equal(rule->operator, RULE_GT);
    assert_true(rule->threshold == 30 && rule->cooldown_us == 300000000);
    sql("UPDATE tenants SET status = 'suspended'");
    batch_clear(batch);
    batch_add_loads(batch)->device = device_of(1);
    execute(batch);
    assert_false(batch->loads[0].found);
    assert_int_equal(batch->rules_count, 0);
    batch_destroy(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(stores_readings_as_they_are, set_up),
        cmocka_unit_test_setup(writes_and_rebuilds_hours, set_up),
        cmocka_unit_test_setup(an_alert_fires_once_per_cooldown, set_up),
        cmocka_unit_test_setup(an_inactive_rule_does_not_fire, set_up),
        cmocka_unit_test_setup(a_late_touch_does_not_overwrite, set_up),
        cmocka_unit_test_setup(keeps_rejects_whatever_their_bytes, set_up),
        cmocka_unit_test_setup(a_check_finds_what_is_stored, set_up),
        cmocka_unit_test_setup(a_check_finds_no_empty_reading_that_is_not_stored, set_up),
        cmocka_unit_test_setup(loads_devices_and_their_rules, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_server, tear_down_server);
}
