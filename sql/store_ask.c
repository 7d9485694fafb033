#include "proto/check.h"
#include "sql/db.h"
#include "sql/store_statement.h"

/* Every result here starts with the element's number, from 1 (WITH ORDINALITY). False: the row
 * names none of the step's elements. */
static bool element_of(const PGresult *result, int row, struct step step, uint32_t *ret_index)
{
    int64_t n = db_int8(result, row, 0);
    if (n < 1 || n > step.count)
        return false;
    *ret_index = step.from + (uint32_t)(n - 1);
    return true;
}

/* --- alerts ---------------------------------------------------------------------------------- */

/* The rule's row decides whether an alert fires, however sure the actor was. Only the first alert
 * of a rule is tried; an event that is there already was committed by an attempt whose answer
 * was lost: it counts as fired, and does nothing more. */
#define SQL_ALERTS                                                                                 \
    "WITH asked AS (SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::uuid[], "         \
    "$5::text[], $6::text[], $7::float8[], $8::timestamptz[]) WITH ORDINALITY "                    \
    "AS a (event, rule, tenant, device, metric, message, value, fired_at, n)), "                   \
    "done AS (SELECT e.id FROM alert_events e WHERE e.id = ANY ($1::uuid[])), "                    \
    "first AS (SELECT DISTINCT ON (rule) * FROM asked ORDER BY rule, n), "                         \
    "fired AS (UPDATE alert_rules r SET last_fired_at = f.fired_at FROM first f "                  \
    "WHERE r.id = f.rule AND r.device_id = f.device AND r.tenant_id = f.tenant AND r.active "      \
    "AND (r.last_fired_at IS NULL "                                                                \
    "OR r.last_fired_at + make_interval(mins => r.cooldown_minutes) <= f.fired_at) "               \
    "AND NOT EXISTS (SELECT FROM done WHERE done.id = f.event) "                                   \
    "RETURNING f.event, f.tenant, f.rule, f.device, f.metric, f.value, f.message, f.fired_at), "   \
    "events AS (INSERT INTO alert_events (id, tenant_id, alert_rule_id, device_id, metric_name, "  \
    "metric_value, message, fired_at) "                                                            \
    "SELECT event, tenant, rule, device, metric, value, message, fired_at FROM fired), "           \
    "mails AS (INSERT INTO outbox (tenant_id, kind, alert_event_id) "                              \
    "SELECT tenant, 'email', event FROM fired) "                                                   \
    "SELECT a.n, EXISTS (SELECT FROM fired f WHERE f.event = a.event) "                            \
    "OR EXISTS (SELECT FROM done WHERE done.id = a.event), "                                       \
    "COALESCE((SELECT f.fired_at FROM fired f WHERE f.rule = a.rule), r.last_fired_at) "           \
    "FROM asked a LEFT JOIN alert_rules r ON r.id = a.rule"

static uint32_t alerts_count(const struct batch *batch)
{
    return batch->alerts_count;
}

/* An alert whose reading this attempt has refused is nobody's device's, and so does not fire; the
 * next attempt may find the reading good. */
static const struct uuid *alert_device(const struct batch *batch, const struct batch_alert *a)
{
    static const struct uuid nobody;
    return a->row < batch->rows_count && batch->rows[a->row].bad ? &nobody : &a->device;
}

static void alerts_encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_alert *alerts = job->batch->alerts + step.from;
    pgarray_uuids(params, COLUMN(alerts, event, step.count));
    pgarray_uuids(params, COLUMN(alerts, rule, step.count));
    pgarray_uuids(params, COLUMN(alerts, tenant, step.count));
    pgarray_begin_uuids(params);
    for (uint32_t i = 0; i < step.count; i++)
        pgarray_put_uuid(params, alert_device(job->batch, &alerts[i]));
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_TEXT);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_text(params, job->batch, alerts[i].metric);
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_TEXT);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_text(params, job->batch, alerts[i].message);
    pgarray_end(params);
    pgarray_float8s(params, COLUMN(alerts, value, step.count));
    pgarray_times(params, COLUMN(alerts, fired_at_us, step.count));
}

static bool alerts_answer(const PGresult *result, struct batch *batch, struct step step)
{
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t index;
        if (!element_of(result, row, step, &index))
            return false;
        batch->alerts[index].fired = db_bool(result, row, 1);
        batch->alerts[index].last_fired_us = db_time_us(result, row, 2);
    }
    return true;
}

/* --- checks ---------------------------------------------------------------------------------- */

/* Which were stored; of those that were not, no row. A reading without a timestamp of its own is
 * looked for among its device's newest: 4096, and twice as many as are asked for together (a large
 * array); where it is known when each came, none before the first of them. One scan a device serves
 * all that is asked of it. The join is FULL, and its condition hidden in COALESCE so that it stays
 * that: no loop over all of both can make one, and a loop is what a plan without the values, for
 * ten items, would have. */
#define SQL_SAME                                                                                   \
    "jsonb_strip_nulls(jsonb_build_object("                                                        \
    "'temperature', t.temperature, 'humidity', t.humidity, 'pressure', t.pressure, "               \
    "'battery', t.battery, 'rssi', t.rssi)) || COALESCE(t.extra, '{}') = c.payload"
#define SQL_CHECKS                                                                                 \
    "WITH c AS MATERIALIZED (SELECT * FROM "                                                       \
    "unnest($1::uuid[], $2::timestamptz[], $3::int8[], $4::jsonb[], $5::timestamptz[]) "           \
    "WITH ORDINALITY AS c (device, at, key, payload, since, n)) "                                  \
    "SELECT c.n, c.at FROM c WHERE c.at IS NOT NULL AND EXISTS (SELECT FROM telemetry t "          \
    "WHERE t.device_id = c.device AND t.timestamp = c.at AND "                                     \
    "CASE WHEN (t.seq >> 32) = c.key THEN " SQL_SAME " ELSE false END) "                           \
    "UNION SELECT c.n, t.timestamp FROM (SELECT device, count(*) AS asked, "                       \
    "min(COALESCE(since, '-infinity')) AS since FROM c WHERE at IS NULL "                          \
    "GROUP BY device) d CROSS JOIN LATERAL (SELECT *, n.seq >> 32 AS key FROM telemetry n "        \
    "WHERE n.device_id = d.device AND n.timestamp >= d.since "                                     \
    "ORDER BY n.timestamp DESC, n.seq DESC "                                                       \
    "LIMIT 4096 + 2 * d.asked) t FULL JOIN c ON c.device = t.device_id AND c.key = t.key "         \
    "WHERE COALESCE(t.device_id IS NOT NULL AND c.at IS NULL AND "                                 \
    "(c.since IS NULL OR t.timestamp >= c.since) AND " SQL_SAME ", false)"

static uint32_t checks_count(const struct batch *batch)
{
    return batch->checks_count;
}

static void checks_encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_check *checks = job->batch->checks + step.from;
    pgarray_uuids(params, COLUMN(checks, device, step.count));
    pgarray_times(params, COLUMN(checks, timestamp_us, step.count));
    pgarray_begin_int8s(params);
    for (uint32_t i = 0; i < step.count; i++) /* seq is signed: so is its upper half */
        pgarray_put_int8(params, (int32_t)checks[i].message_key);
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_JSONB);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_jsonb(params, job->batch, checks[i].payload);
    pgarray_end(params);
    pgarray_times(params, COLUMN(checks, since_us, step.count));
}

static bool checks_answer(const PGresult *result, struct batch *batch, struct step step)
{
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t index;
        if (!element_of(result, row, step, &index))
            return false;
        batch->checks[index].stored = true;
        batch->checks[index].stored_us = db_time_us(result, row, 1);
    }
    return true;
}

/* --- loads ----------------------------------------------------------------------------------- */

#define SQL_LOADS                                                                                  \
    "SELECT l.n, d.tenant_id, d.status, d.last_seen, (SELECT t.timestamp FROM telemetry t "        \
    "WHERE t.device_id = d.id ORDER BY t.timestamp DESC LIMIT 1), COALESCE(g.number, 0), "         \
    "d.connected "                                                                                 \
    "FROM unnest($1::uuid[]) WITH ORDINALITY AS l (device, n) "                                    \
    "JOIN devices d ON d.id = l.device JOIN tenants o ON o.id = d.tenant_id "                      \
    "LEFT JOIN cluster_regions g ON g.region = COALESCE(d.home_region, o.home_region) "            \
    "WHERE o.status = 'active'"
#define SQL_RULES                                                                                  \
    "SELECT l.n, r.id, r.threshold, r.cooldown_minutes, r.last_fired_at, r.operator, r.metric "    \
    "FROM unnest($1::uuid[]) WITH ORDINALITY AS l (device, n) "                                    \
    "JOIN alert_rules r ON r.device_id = l.device WHERE r.active "                                 \
    "ORDER BY l.n, r.created_at, r.id"

static uint32_t loads_count(const struct batch *batch)
{
    return batch->loads_count;
}

static void loads_encode(struct pgarray *params, const struct job *job, struct step step)
{
    pgarray_uuids(params, COLUMN(job->batch->loads + step.from, device, step.count));
}

/* What is neither online nor idle (also 'error' and 'provisioning') has yet to come. */
static uint8_t status_of(const char *name)
{
    if (strcmp(name, "online") == 0)
        return STATUS_ONLINE;
    return strcmp(name, "idle") == 0 ? STATUS_IDLE : STATUS_OFFLINE;
}

static bool loads_answer(const PGresult *result, struct batch *batch, struct step step)
{
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t index;
        if (!element_of(result, row, step, &index))
            return false;
        struct batch_load *load = &batch->loads[index];
        load->found = true;
        load->tenant = db_uuid(result, row, 1);
        load->status = status_of(db_text(result, row, 2));
        load->last_seen_us = db_time_us(result, row, 3);
        load->newest_us = db_time_us(result, row, 4);
        load->region = (uint8_t)db_int4(result, row, 5);
        load->connected = db_bool(result, row, 6);
    }
    return true;
}

static bool operator_of(const char *symbol, uint8_t *ret_operator)
{
    static const char *const symbols[RULE_OPERATORS] = {
        [RULE_GT] = ">",   [RULE_GTE] = ">=", [RULE_LT] = "<",
        [RULE_LTE] = "<=", [RULE_EQ] = "==",  [RULE_NEQ] = "!=",
    };
    for (uint8_t i = 0; i < RULE_OPERATORS; i++)
        if (strcmp(symbols[i], symbol) == 0) {
            *ret_operator = i;
            return true;
        }
    return false;
}

static bool rule_read(const PGresult *result, int row, struct batch_rule *rule)
{
    const char *metric = db_text(result, row, 6);
    if (!operator_of(db_text(result, row, 5), &rule->operator) ||
        strlen(metric) > LIMIT_METRIC_NAME_BYTES)
        return false;
    rule->id = db_uuid(result, row, 1);
    rule->threshold = db_float8(result, row, 2);
    rule->cooldown_us = db_int4(result, row, 3) * INT64_C(60000000);
    rule->last_fired_us = db_time_us(result, row, 4);
    strcpy(rule->metric, metric);
    return true;
}

/* They come ordered by device: each load's rules lie together. */
static bool rules_answer(const PGresult *result, struct batch *batch, struct step step)
{
    for (int row = 0; row < PQntuples(result); row++) {
        uint32_t index;
        if (!element_of(result, row, step, &index))
            return false;
        struct batch_load *load = &batch->loads[index];
        if (!load->found)
            continue;
        struct batch_rule *rule = batch_add_rules(batch);
        CHECK(rule != NULL);
        if (!rule_read(result, row, rule)) /* of a newer schema: not ours to judge */
            batch->rules_count--;
        else if (load->rules_count++ == 0)
            load->rules_at = batch->rules_count - 1;
    }
    return true;
}

const struct statement_def store_alerts = {"alerts", SQL_ALERTS, alerts_count, alerts_encode,
                                           alerts_answer};
const struct statement_def store_checks = {"checks", SQL_CHECKS, checks_count, checks_encode,
                                           checks_answer};
const struct statement_def store_loads = {"loads", SQL_LOADS, loads_count, loads_encode,
                                          loads_answer};
const struct statement_def store_rules = {"rules", SQL_RULES, loads_count, loads_encode,
                                          rules_answer};
