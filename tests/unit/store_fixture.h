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

static inline struct uuid id_of(const char *text)
{
    struct uuid id;
    assert_int_equal(uuid_parse(text, strlen(text), &id), 0);
    return id;
}

static inline struct uuid device_of(unsigned n)
{
    char text[UUID_TEXT_LEN + 1];
    snprintf(text, sizeof text, DEVICE_FORMAT, n);
    return id_of(text);
}

static inline void sql(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void sql(const char *format, ...)
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
static inline const char *ask(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline const char *ask(const char *format, ...)
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

static inline int set_up_server(void **state)
{
    (void)state;
    char reason[256];
    private_postgres_new(&server);
    admin = db_connect(server.admin_url, "test", NULL, reason, sizeof reason);
    return admin == NULL;
}

static inline int tear_down_server(void **state)
{
    (void)state;
    PQfinish(admin);
    private_postgres_destroy(&server);
    return 0;
}

static inline int set_up(void **state)
{
    (void)state;
    sql("TRUNCATE tenants, cluster_nodes, telemetry, telemetry_hourly, telemetry_rejected, "
        "rollup_stale CASCADE");
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

static inline store_t *new_store(void)
{
    const struct store_config config = {.url = server.url,
                                        .application_name = "eu-1/7",
                                        .node_id = "eu-1",
                                        .incarnation = INCARNATION};
    store_t *store = store_new(&config);
    assert_non_null(store);
    return store;
}

static inline void execute(struct batch *batch)
{
    store_t *store = new_store();
    assert_int_equal(store_execute(store, batch), 0);
    store_destroy(&store);
}

static inline struct text text_of(struct batch *batch, const char *text)
{
    return batch_text(batch, text, strlen(text));
}

static inline struct batch_row *add_row(struct batch *batch, unsigned device, int64_t at_us,
                                        uint32_t key)
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

static inline struct batch_alert *add_alert(struct batch *batch, const char *rule, int64_t at_us)
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
static inline void add_rule(void)
{
    sql("INSERT INTO alert_rules (id, tenant_id, device_id, metric, operator, threshold) "
        "VALUES ('%s', '%s', '" DEVICE_FORMAT "', 'temperature', '>', 30)",
        RULE, TENANT, 1u);
}

static inline void touch(struct batch *batch, unsigned device, int64_t at_us, const char *latest)
{
    struct batch_touch *added = batch_add_touches(batch);
    added->device = device_of(device);
    added->status = STATUS_ONLINE;
    added->last_seen_us = at_us;
    added->latest_us = at_us;
    added->latest = text_of(batch, latest);
}

static inline struct batch_check *add_check(struct batch *batch, int64_t at_us, uint32_t key,
                                            const char *payload)
{
    struct batch_check *check = batch_add_checks(batch);
    check->device = device_of(6);
    check->timestamp_us = at_us;
    check->message_key = key;
    check->payload = text_of(batch, payload);
    return check;
}
