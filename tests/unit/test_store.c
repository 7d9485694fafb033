/* The store against a real PostgreSQL: what each list of a batch does, and that nothing is lost or
 * stored twice while the server, the connection or the node fail. */
#include "cutting_proxy.h"
#include "private_postgres.h"
#include "sql/db.h"
#include "sql/store.h"
#include "sql/store_text.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define INCARNATION 7
#define TENANT "00000000-0000-0000-0000-000000000001"
#define DEVICE_FORMAT "00000000-0000-4000-8000-%012u"
#define DEVICES 20

static struct private_postgres server;
static PGconn *admin;
static int64_t now_us; /* a whole hour, in the past */
static uint32_t counter;

static struct uuid id_of(const char *text)
{
    struct uuid id;
    assert_int_equal(uuid_parse(text, strlen(text), &id), 0);
    return id;
}

static struct uuid device_of(unsigned n)
{
    char text[UUID_TEXT_LEN + 1];
    snprintf(text, sizeof text, DEVICE_FORMAT, n);
    return id_of(text);
}

static void sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void sql(const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    PGresult *result = PQexec(admin, text);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(admin));
    PQclear(result);
}

/* The first value of the query's answer, as text; "" for NULL and for no row. */
static const char *ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
static const char *ask(const char *format, ...)
{
    static char answer[4096];
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    PGresult *result = PQexec(admin, text);
    if (PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", text, PQerrorMessage(admin));
    snprintf(answer, sizeof answer, "%s", PQntuples(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return answer;
}

#define TELEMETRY_COUNT "SELECT count(*) FROM telemetry"

static int set_up_server(void **state)
{
    (void)state;
    char reason[256];
    private_postgres_new(&server);
    admin = db_connect(server.admin_url, "test", NULL, reason, sizeof reason);
    return admin == NULL;
}

static int tear_down_server(void **state)
{
    (void)state;
    PQfinish(admin);
    private_postgres_destroy(&server);
    return 0;
}

static int set_up(void **state)
{
    (void)state;
    sql("TRUNCATE tenants, cluster_nodes, telemetry, telemetry_hourly, telemetry_rejected CASCADE");
    sql("INSERT INTO tenants (id, name) VALUES ('%s', 'test')", TENANT);
    sql("INSERT INTO devices (id, tenant_id, name) SELECT ('00000000-0000-4000-8000-' || "
        "lpad(n::text, 12, '0'))::uuid, '%s', 'd' || n FROM generate_series(0, %d) n",
        TENANT, DEVICES - 1);
    sql("INSERT INTO cluster_nodes VALUES ('eu-1', %d, 'eu', 'active', now(), '{}', '', now())",
        INCARNATION);
    now_us = strtoll(ask("SELECT extract(epoch FROM date_trunc('hour', now()) - "
                         "interval '1 day')::bigint"),
                     NULL, 10) *
             1000000;
    return 0;
}

static store_t *new_store(void)
{
    const struct store_config config = {.url = server.url,
                                        .application_name = "eu-1/7",
                                        .node_id = "eu-1",
                                        .incarnation = INCARNATION};
    store_t *store = store_new(&config);
    assert_non_null(store);
    return store;
}

static void execute(struct batch *batch)
{
    store_t *store = new_store();
    assert_int_equal(store_execute(store, batch), 0);
    store_destroy(&store);
}

static struct text text_of(struct batch *batch, const char *text)
{
    return batch_text(batch, text, strlen(text));
}

static struct batch_row *add_row(struct batch *batch, unsigned device, int64_t at_us, uint32_t key)
{
    struct batch_row *row = batch_add_rows(batch);
    row->tenant = id_of(TENANT);
    row->device = device_of(device);
    row->timestamp_us = at_us;
    row->seq = (int64_t)((uint64_t)key << 32 | ++counter);
    row->value[METRIC_TEMPERATURE] = 21.5;
    row->present = 1u << METRIC_TEMPERATURE;
    row->payload = text_of(batch, "{\"temperature\":21.5,\"co2\":400}");
    row->extra = text_of(batch, "{\"co2\":400}");
    return row;
}

static struct batch_alert *add_alert(struct batch *batch, const char *rule, int64_t at_us)
{
    struct batch_alert *alert = batch_add_alerts(batch);
    alert->event = uuid_random();
    alert->rule = id_of(rule);
    alert->tenant = id_of(TENANT);
    alert->device = device_of(1);
    alert->metric = text_of(batch, "temperature");
    alert->message = text_of(batch, "too warm");
    alert->value = 31;
    alert->fired_at_us = at_us;
    return alert;
}

#define RULE "00000000-0000-0000-0000-00000000aaaa"
static void add_rule(void)
{
    sql("INSERT INTO alert_rules (id, tenant_id, device_id, metric, operator, threshold) "
        "VALUES ('%s', '%s', '" DEVICE_FORMAT "', 'temperature', '>', 30)",
        RULE, TENANT, 1u);
}

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

static void touch(struct batch *batch, unsigned device, int64_t at_us, const char *latest)
{
    struct batch_touch *added = batch_add_touches(batch);
    added->device = device_of(device);
    added->status = STATUS_ONLINE;
    added->last_seen_us = at_us;
    added->latest_us = at_us;
    added->latest = text_of(batch, latest);
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

static struct batch_check *add_check(struct batch *batch, int64_t at_us, uint32_t key,
                                     const char *payload)
{
    struct batch_check *check = batch_add_checks(batch);
    check->device = device_of(6);
    check->timestamp_us = at_us;
    check->message_key = key;
    check->payload = text_of(batch, payload);
    return check;
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

static void sets_a_bad_row_aside_and_stores_the_rest(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    for (unsigned i = 0; i < 100; i++)
        add_row(batch, i % DEVICES, now_us + i, i);
    batch->rows[37].timestamp_us = now_us - 400 * 86400000000LL; /* no partition so old */
    batch->rows[99].extra = text_of(batch, "{broken");
    add_check(batch, now_us, 1, "{broken");
    touch(batch, 5, now_us, "{}");
    execute(batch);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(batch->rows[i].bad, i == 37 || i == 99);
    assert_false(batch->checks[0].stored);
    assert_string_equal(ask(TELEMETRY_COUNT), "98");
    assert_string_equal(ask("SELECT count(*) || min(reason) FROM telemetry_rejected"),
                        "2invalid input syntax for type json");
    assert_string_equal(ask("SELECT status FROM devices WHERE id = '" DEVICE_FORMAT "'", 5u),
                        "online");
    batch_destroy(&batch);
}

static void a_fenced_node_writes_nothing(void **state)
{
    (void)state;
    sql("UPDATE cluster_nodes SET incarnation = incarnation + 1");
    struct batch *batch = batch_new();
    add_row(batch, 1, now_us, 1);
    batch_add_loads(batch)->device = device_of(1);
    store_t *store = new_store();
    assert_int_equal(store_execute(store, batch), ERR_FENCED);
    assert_int_equal(batch->error, ERR_FENCED);
    assert_string_equal(ask(TELEMETRY_COUNT), "0");
    sql("UPDATE cluster_nodes SET incarnation = %d", INCARNATION);
    assert_int_equal(store_execute(store, batch), 0); /* the connection is fit for use */
    store_destroy(&store);
    batch_destroy(&batch);
}

/* The proxy swallows the answers; once the transaction is seen committed, the way is cut. */
struct cutter {
    struct cutting_proxy proxy;
    int told_down, told_up;
};

static bool cut_when_committed(void *context)
{
    struct cutter *self = context;
    if (self->proxy.deaf && strcmp(ask(TELEMETRY_COUNT), "0") != 0) {
        self->proxy.deaf = false;
        self->proxy.cut = true;
    }
    return false;
}

static void count_states(void *context, bool up, const char *reason)
{
    struct cutter *self = context;
    assert_true(up || reason[0] != '\0');
    *(up ? &self->told_up : &self->told_down) += 1;
}

static struct batch *batch_of_everything(void)
{
    struct batch *batch = batch_new();
    for (unsigned i = 0; i < 3000; i++)
        add_row(batch, i % DEVICES, now_us + i, i);
    add_alert(batch, RULE, now_us);
    touch(batch, 5, now_us, "{}");
    struct batch_reject *reject = batch_add_rejects(batch);
    reject->tenant = id_of(TENANT);
    reject->topic = reject->reason = reject->payload = text_of(batch, "x");
    batch_add_loads(batch)->device = device_of(1);
    return batch;
}

static void after_an_unknown_outcome_all_is_stored_once(void **state)
{
    (void)state;
    struct cutter cutter = {0};
    char path[128], url[128];
    add_rule();
    snprintf(path, sizeof path, "%s/.s.PGSQL.5432", server.folder);
    cutting_proxy_start(&cutter.proxy, path);
    snprintf(url, sizeof url, "host=127.0.0.1 port=%d user=gito_app dbname=gito sslmode=disable",
             cutter.proxy.port);
    const struct store_config config = {.url = url,
                                        .application_name = "eu-1/7",
                                        .node_id = "eu-1",
                                        .incarnation = INCARNATION,
                                        .should_stop = cut_when_committed,
                                        .on_state = count_states,
                                        .context = &cutter};
    store_t *store = store_new(&config);
    struct batch *empty = batch_new(), *batch = batch_of_everything();
    assert_int_equal(store_execute(store, empty), 0); /* connects */
    cutter.proxy.deaf = true;
    assert_int_equal(store_execute(store, batch), 0);
    assert_false(cutter.proxy.deaf);
    assert_true(batch->alerts[0].fired);
    assert_int_equal(batch->loads[0].rules_count, 1);
    assert_int_equal(batch->rules_count, 1);
    assert_string_equal(ask(TELEMETRY_COUNT), "3000");
    assert_string_equal(ask("SELECT (SELECT count(*) FROM alert_events) || ',' || (SELECT count(*) "
                            "FROM outbox) || ',' || (SELECT count(*) FROM telemetry_rejected)"),
                        "1,1,1");
    assert_true(store_stats(store)->retries >= 1);
    assert_int_equal(cutter.told_down, 1);
    assert_int_equal(cutter.told_up, 1);
    store_destroy(&store);
    cutting_proxy_stop(&cutter.proxy);
    batch_destroy(&empty);
    batch_destroy(&batch);
}

static void *crash_and_restart(void *committed)
{
    for (int crash = 1; crash <= 3; crash++) {
        while (atomic_load((atomic_int *)committed) < crash * 20)
            usleep(1000);
        private_postgres_kill(&server);
        private_postgres_start(&server);
    }
    return NULL;
}

static void crashes_of_the_server_lose_and_double_nothing(void **state)
{
    (void)state;
    static atomic_int committed;
    pthread_t crasher;
    store_t *store = new_store();
    struct batch *batch = batch_new();
    pthread_create(&crasher, NULL, crash_and_restart, &committed);
    for (; committed < 80; committed++) {
        batch_clear(batch);
        for (unsigned i = 0; i < 500; i++)
            add_row(batch, i % DEVICES, now_us + i, (uint32_t)committed);
        assert_int_equal(store_execute(store, batch), 0);
    }
    pthread_join(crasher, NULL);
    PQreset(admin);
    assert_string_equal(ask(TELEMETRY_COUNT), "40000");
    assert_true(store_stats(store)->retries >= 3);
    store_destroy(&store);
    batch_destroy(&batch);
}

static bool after_three(void *context)
{
    return ++*(int *)context > 3;
}

static void without_a_server_it_ends_when_told(void **state)
{
    (void)state;
    int asked = 0;
    const struct store_config config = {.url = "host=/nonexistent dbname=gito",
                                        .application_name = "eu-1/7",
                                        .node_id = "eu-1",
                                        .should_stop = after_three,
                                        .context = &asked};
    store_t *store = store_new(&config);
    struct batch *batch = batch_new();
    assert_int_equal(store_execute(store, batch), ERR_UNAVAILABLE);
    assert_int_equal(batch->error, ERR_UNAVAILABLE);
    store_destroy(&store);
    batch_destroy(&batch);
}

static void knows_what_failures_mean(void **state)
{
    (void)state;
    const struct {
        const char *state;
        enum db_failure failure;
    } known[] = {{"53100", DB_RETRY},  {"53300", DB_RETRY}, {"40001", DB_RETRY},
                 {"40P01", DB_RETRY},  {"55P03", DB_RETRY}, {"57014", DB_RETRY},
                 {"57P01", DB_RETRY},  {"58030", DB_RETRY}, {"25006", DB_RETRY},
                 {"42P01", DB_RETRY},  {"08006", DB_LOST},  {"23505", DB_DUPLICATE},
                 {"GT001", DB_FENCED}, {"22P02", DB_DATA},  {"23514", DB_DATA},
                 {"23503", DB_DATA},   {"54000", DB_DATA}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        assert_int_equal(db_classify_state(known[i].state), known[i].failure);
    assert_int_equal(db_classify(NULL, NULL), DB_LOST);
}

static void makes_any_bytes_a_text(void **state)
{
    (void)state;
    const struct {
        const char *in, *out;
        size_t size;
    } cases[] = {
        {"plain", "plain", 99},
        {"\xc0\x80", "\\xc0\\x80", 99},                                 /* overlong */
        {"\xed\xa0\x80", "\\xed\\xa0\\x80", 99},                        /* a surrogate */
        {"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80", 99},               /* past U+10FFFF */
        {"\xf0\x9f\x98\x80\xe2\x82", "\xf0\x9f\x98\x80\\xe2\\x82", 99}, /* cut short */
        {"ab\xc3\xa4", "ab", 3},                                        /* no half characters */
        {"ab\xff", "ab", 5},                                            /* no half escapes */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char out[100] = "";
        size_t n = store_text(cases[i].in, strlen(cases[i].in), out, cases[i].size);
        out[n] = '\0';
        assert_string_equal(out, cases[i].out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_failures_mean),
        cmocka_unit_test(makes_any_bytes_a_text),
        cmocka_unit_test(without_a_server_it_ends_when_told),
        cmocka_unit_test_setup(stores_readings_as_they_are, set_up),
        cmocka_unit_test_setup(writes_and_rebuilds_hours, set_up),
        cmocka_unit_test_setup(an_alert_fires_once_per_cooldown, set_up),
        cmocka_unit_test_setup(an_inactive_rule_does_not_fire, set_up),
        cmocka_unit_test_setup(a_late_touch_does_not_overwrite, set_up),
        cmocka_unit_test_setup(keeps_rejects_whatever_their_bytes, set_up),
        cmocka_unit_test_setup(a_check_finds_what_is_stored, set_up),
        cmocka_unit_test_setup(loads_devices_and_their_rules, set_up),
        cmocka_unit_test_setup(sets_a_bad_row_aside_and_stores_the_rest, set_up),
        cmocka_unit_test_setup(a_fenced_node_writes_nothing, set_up),
        cmocka_unit_test_setup(after_an_unknown_outcome_all_is_stored_once, set_up),
        cmocka_unit_test_setup(crashes_of_the_server_lose_and_double_nothing, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_server, tear_down_server);
}
