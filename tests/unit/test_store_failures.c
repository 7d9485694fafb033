/* Nothing is lost or stored twice while rows, the connection, the server or the node fail. */
#include "cutting_proxy.h"
#include "sql/store_text.h"
#include "store_fixture.h"

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
    add_rule();
    struct batch_alert *alert = add_alert(batch, RULE, now_us);
    alert->row = 37;
    execute(batch);
    for (uint32_t i = 0; i < 100; i++)
        assert_int_equal(batch->rows[i].bad, i == 37 || i == 99);
    assert_false(alert->fired); /* its reading is not there */
    assert_string_equal(ask("SELECT count(*)::text FROM alert_events"), "0");
    assert_false(batch->checks[0].stored);
    assert_string_equal(ask(TELEMETRY_COUNT), "98");
    assert_string_equal(ask("SELECT count(*) || min(reason) FROM telemetry_rejected"),
                        "2invalid input syntax for type json");
    assert_string_equal(ask("SELECT status FROM devices WHERE id = '" DEVICE_FORMAT "'", 5u),
                        "online");
    batch_destroy(&batch);
}

#define OLD_DAY "2020-01-01"

/* Each time it is told that the way is cut: the reading's day is made while it is. */
static void make_the_day(void *context, bool up, const char *reason)
{
    (void)context, (void)reason;
    if (!up) {
        sql("SELECT partitions_make('" OLD_DAY "', '" OLD_DAY "')");
        sql("DROP TRIGGER fails ON telemetry_rejected");
    }
}

/* The attempt that refused a reading fails later on, and the next one takes the reading. */
static void an_alert_fires_with_its_reading_whichever_attempt_takes_it(void **state)
{
    (void)state;
    const struct store_config config = {.url = server.url,
                                        .application_name = "eu-1/7",
                                        .node_id = "eu-1",
                                        .incarnation = INCARNATION,
                                        .on_state = make_the_day};
    struct batch *batch = batch_new();
    store_t *store = store_new(&config);
    add_rule();
    add_row(
        batch, 1,
        strtoll(ask("SELECT extract(epoch FROM timestamptz '" OLD_DAY "Z')::bigint"), NULL, 10) *
            1000000,
        1);
    add_alert(batch, RULE, now_us)->row = 0;
    sql("CREATE FUNCTION fails() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'no disk' USING ERRCODE = 'disk_full'; END $$");
    sql("CREATE TRIGGER fails BEFORE INSERT ON telemetry_rejected EXECUTE FUNCTION fails()");
    assert_int_equal(store_execute(store, batch), 0);
    sql("DROP FUNCTION fails");
    assert_false(batch->rows[0].bad);
    assert_string_equal(ask(TELEMETRY_COUNT), "1");
    assert_true(batch->alerts[0].fired);
    store_destroy(&store);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(knows_what_failures_mean),
        cmocka_unit_test(makes_any_bytes_a_text),
        cmocka_unit_test(without_a_server_it_ends_when_told),
        cmocka_unit_test_setup(sets_a_bad_row_aside_and_stores_the_rest, set_up),
        cmocka_unit_test_setup(an_alert_fires_with_its_reading_whichever_attempt_takes_it, set_up),
        cmocka_unit_test_setup(a_fenced_node_writes_nothing, set_up),
        cmocka_unit_test_setup(after_an_unknown_outcome_all_is_stored_once, set_up),
        cmocka_unit_test_setup(crashes_of_the_server_lose_and_double_nothing, set_up),
    };
    return cmocka_run_group_tests(tests, set_up_server, tear_down_server);
}
