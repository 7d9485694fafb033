#include "node/rest_handlers.h"
#include "proto/limits.h"
#include "proto/metric.h"
#include <string.h>

/* clang-format off */
#define RULE_JSON                                                                                  \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'device_id', r.device_id, 'metric',"  \
    " r.metric, 'operator', r.operator, 'threshold', r.threshold, 'cooldown_minutes',"             \
    " r.cooldown_minutes, 'active', r.active, " SQL_TIME_OF(r, last_fired_at) ", "                 \
    SQL_TIME_OF(r, created_at) ", " SQL_TIME_OF(r, updated_at) ")"
#define EVENT_JSON                                                                                 \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'alert_rule_id', r.alert_rule_id,"    \
    " 'device_id', r.device_id, 'metric_name', r.metric_name, 'metric_value', r.metric_value,"     \
    " 'message', r.message, 'notification_sent', r.notification_sent, "                            \
    SQL_TIME_OF(r, notification_sent_at) ", " SQL_TIME_OF(r, fired_at) ")"
/* clang-format on */
#define RULE_DETAILS                                                                               \
    "jsonb_build_object('device_id', device_id, 'metric', metric, 'operator', operator,"           \
    " 'threshold', threshold, 'active', active)"

void rules_list(struct call *call)
{
    static const char sql[] = SQL_PAGE(
        RULE_JSON, "alert_rules",
        "($3::uuid IS NULL OR device_id = $3) AND (active OR NOT $4::boolean)", "created_at, id");
    struct call_page page = param_page(call, 50);
    const char *values[] = {page.limit, page.offset, param_id(call, "device_id"),
                            param_flag(call, "active_only") ? "true" : "false"};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 4, values, &rows))
        reply_page(call, rows, &page);
}

void rules_get(struct call *call)
{
    static const char sql[] = "SELECT " RULE_JSON " FROM alert_rules r WHERE id = $1";
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 1, values, &rows))
        reply_row(call, 200, rows, "alert rule");
}

/* Both spellings; stored and answered as the symbol. */
static const char *body_operator(struct call *call, bool required)
{
    static const char *const known[][3] = {{"gt", ">"},   {"gte", ">="},     {"lt", "<"},
                                           {"lte", "<="}, {"eq", "==", "="}, {"neq", "!=", "ne"}};
    const char *text = body_text(call, "operator", 1, 10, required);
    if (text == NULL)
        return NULL;
    for (unsigned i = 0; i < sizeof known / sizeof *known; i++)
        for (unsigned j = 0; j < 3 && known[i][j] != NULL; j++)
            if (strcmp(text, known[i][j]) == 0)
                return known[i][1];
    call_wrong(call, "operator", "must be one of gt, gte, lt, lte, eq, neq, >, >=, <, <=, ==, !=");
    return NULL;
}

static const char *body_metric(struct call *call, bool required)
{
    const char *text = body_text(call, "metric", 1, LIMIT_METRIC_NAME_BYTES, required);
    if (text != NULL && !metric_name_valid(text, strlen(text)))
        call_wrong(call, "metric", "must consist of letters, digits and _");
    return text;
}

void rules_create(struct call *call)
{
    /* The device is read under row-level security: a foreign key alone would not be. */
    static const char sql[] =
        "WITH changed AS (INSERT INTO alert_rules (tenant_id, device_id, metric, operator,"
        " threshold, cooldown_minutes, active) SELECT $1::uuid, id, $5, $6, $7::float8,"
        " COALESCE($8::integer, 5), COALESCE($9::boolean, true) FROM devices WHERE id = $4"
        " RETURNING *)" SQL_LOGGED("alert_rule.create", "alert_rule",
                                   RULE_DETAILS) "SELECT " RULE_JSON " FROM changed r";
    const char *values[] = {CALL_ACTOR(call),
                            body_id(call, "device_id", true),
                            body_metric(call, true),
                            body_operator(call, true),
                            body_number(call, "threshold", LIMIT_METRIC_VALUE, true),
                            body_integer(call, "cooldown_minutes", 1, 1440),
                            body_flag(call, "active")};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 9, values, &rows))
        reply_row(call, 201, rows, "device");
}

void rules_update(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (UPDATE alert_rules SET metric = COALESCE($5, metric),"
        " operator = COALESCE($6, operator), threshold = COALESCE($7::float8, threshold),"
        " cooldown_minutes = COALESCE($8::integer, cooldown_minutes),"
        " active = COALESCE($9::boolean, active), device_id = COALESCE((SELECT d.id FROM devices d"
        " WHERE d.id = $10), device_id), updated_at = now() WHERE id = $4 AND ($10::uuid IS NULL"
        " OR EXISTS (SELECT FROM devices d WHERE d.id = $10)) RETURNING *)" SQL_LOGGED(
            "alert_rule.update", "alert_rule",
            RULE_DETAILS) "SELECT (SELECT " RULE_JSON " FROM changed r), $10 IS NOT NULL"
                          " AND EXISTS (SELECT FROM alert_rules WHERE id = $4)";
    const char *values[] = {CALL_ACTOR(call),
                            call->id_text[1],
                            body_metric(call, false),
                            body_operator(call, false),
                            body_number(call, "threshold", LIMIT_METRIC_VALUE, false),
                            body_integer(call, "cooldown_minutes", 1, 1440),
                            body_flag(call, "active"),
                            body_id(call, "device_id", false)};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_valid(call) || !call_query(call, sql, 10, values, &rows))
        return;
    /* Of a rule that is there it is the device that is not. */
    if (PQgetisnull(rows, 0, 0))
        reply_not_found(call, PQgetvalue(rows, 0, 1)[0] == 't' ? "device" : "alert rule");
    else
        reply_row(call, 200, rows, "alert rule");
}

void rules_delete(struct call *call)
{
    static const char sql[] =
        "WITH changed AS (DELETE FROM alert_rules WHERE id = $4 RETURNING *)" SQL_LOGGED(
            "alert_rule.delete", "alert_rule",
            RULE_DETAILS) "SELECT json_build_object('id', id) FROM changed";
    const char *values[] = {CALL_ACTOR(call), call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query(call, sql, 4, values, &rows))
        reply_row(call, 200, rows, "alert rule");
}

void events_list(struct call *call)
{
    static const char sql[] =
        SQL_PAGE(EVENT_JSON, "alert_events",
                 "($3::uuid IS NULL OR device_id = $3) AND ($4::uuid IS NULL OR alert_rule_id = $4)"
                 " AND ($5::timestamptz IS NULL OR fired_at >= $5)"
                 " AND ($6::timestamptz IS NULL OR fired_at <= $6)",
                 "fired_at DESC, id");
    struct call_page page = param_page(call, 50);
    const char *values[] = {page.limit,
                            page.offset,
                            param_id(call, "device_id"),
                            param_id(call, "rule_id"),
                            param_time_text(call, "from", "start_time"),
                            param_time_text(call, "to", "end_time")};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 6, values, &rows))
        reply_page(call, rows, &page);
}
