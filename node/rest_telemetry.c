#include "node/clock.h"
#include "node/rest_handlers.h"
#include "node/rest_history.h"
#include "proto/metric.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What put_reading() writes, of a row t of telemetry. The payload is the columns that are there; it
 * is merged by SQL, as in the view telemetry_hot, only where there is more than them. */
#define READING_TIMES SQL_TIME("t.timestamp") ", " SQL_TIME("t.created_at")
#define READING_COLUMNS                                                                            \
    READING_TIMES                                                                                  \
    ", t.temperature, t.humidity, t.pressure, t.battery, t.rssi,"                                  \
    " CASE WHEN t.extra IS NOT NULL THEN jsonb_strip_nulls(jsonb_build_object('temperature',"      \
    " t.temperature, 'humidity', t.humidity, 'pressure', t.pressure, 'battery', t.battery,"        \
    " 'rssi', t.rssi)) || t.extra END, t.seq"
enum {
    COLUMN_TIMESTAMP,
    COLUMN_CREATED,
    COLUMN_METRICS,
    COLUMN_PAYLOAD = COLUMN_METRICS + METRICS,
    COLUMN_SEQ
};
/* How many readings the range has: whole hours are counted by the rollup. */
static bool count_readings(struct call *call, const struct bucket_range *range,
                           const struct history *history, int64_t *ret_count)
{
    static const char sql[] =
        "SELECT (SELECT count(*) FROM telemetry WHERE device_id = $1 AND timestamp >= $2 AND"
        " timestamp < $3) + (SELECT count(*) FROM telemetry WHERE device_id = $1 AND timestamp >="
        " $4 AND timestamp < $5) + (SELECT COALESCE(sum(sample_count), 0) FROM telemetry_hourly"
        " WHERE device_id = $1 AND hour >= $3 AND hour < $4)";
    struct bucket_range held = *range;
    if (held.from_us < history->oldest_us) /* hours may outlive the readings they came from */
        held.from_us = history->oldest_us;
    if (held.end_us > history->newest_us + 1)
        held.end_us = history->newest_us + 1;
    *ret_count = 0;
    if (!history->any || held.from_us >= held.end_us)
        return true;
    struct bucket_pieces pieces = bucket_split(&held, true, history->newest_us);
    const char *values[] = {call->id_text[1], time_text(call, pieces.from_us),
                            time_text(call, pieces.hours_from_us),
                            time_text(call, pieces.hours_end_us), time_text(call, pieces.end_us)};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_query_history(call, sql, 5, values, &rows))
        return false;
    *ret_count = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
    return true;
}

static void put_payload(struct buf *out, const PGresult *rows, int row)
{
    const char *comma = "";
    buf_puts(out, ",\"payload\":");
    if (!PQgetisnull(rows, row, COLUMN_PAYLOAD)) {
        buf_puts(out, PQgetvalue(rows, row, COLUMN_PAYLOAD));
        return;
    }
    buf_putc(out, '{');
    for (int m = 0; m < METRICS; m++) {
        if (PQgetisnull(rows, row, COLUMN_METRICS + m))
            continue;
        buf_printf(out, "%s\"%s\":%s", comma, metric_names[m],
                   PQgetvalue(rows, row, COLUMN_METRICS + m));
        comma = ",";
    }
    buf_putc(out, '}');
}

static void put_reading(struct call *call, const PGresult *rows, int row)
{
    struct buf *out = &call->request->reply;
    buf_printf(out, "{\"device_id\":\"%s\"", call->id_text[1]);
    buf_printf(out, ",\"timestamp\":\"%s\"", PQgetvalue(rows, row, COLUMN_TIMESTAMP));
    for (int m = 0; m < METRICS; m++)
        buf_printf(out, ",\"%s\":%s", metric_names[m],
                   PQgetisnull(rows, row, COLUMN_METRICS + m)
                       ? "null"
                       : PQgetvalue(rows, row, COLUMN_METRICS + m));
    put_payload(out, rows, row);
    buf_printf(out, ",\"created_at\":\"%s\"", PQgetvalue(rows, row, COLUMN_CREATED));
    buf_putc(out, '}');
}

struct cursor {
    int64_t timestamp_us, seq;
};

/* Opaque to clients: where the page before this one ended. */
static bool param_cursor(struct call *call, struct cursor *ret_cursor)
{
    const char *text = param_text(call, "cursor");
    unsigned long long timestamp, seq;
    int len = 0;
    if (text == NULL)
        return false;
    if (strlen(text) > 40 || sscanf(text, "%llx-%llx%n", &timestamp, &seq, &len) != 2 ||
        text[len] != '\0') {
        call_wrong(call, "cursor", "must be a next_cursor of an answer");
        return false;
    }
    *ret_cursor = (struct cursor){(int64_t)timestamp, (int64_t)seq};
    return true;
}

/* `row` -1: this was the last page. */
static void put_next_cursor(struct buf *out, const PGresult *rows, int row)
{
    if (row < 0)
        buf_puts(out, "null");
    else
        buf_printf(out, "\"%llx-%llx\"", strtoull(PQgetvalue(rows, row, COLUMN_SEQ + 1), NULL, 10),
                   (unsigned long long)strtoll(PQgetvalue(rows, row, COLUMN_SEQ), NULL, 10));
}

static void reply_readings(struct call *call, const PGresult *rows, const struct call_page *page,
                           int64_t total)
{
    struct buf *out = &call->request->reply;
    int count = PQntuples(rows);
    reply_begin(call, 200);
    buf_putc(out, '[');
    for (int row = 0; row < count; row++) {
        if (row > 0)
            buf_putc(out, ',');
        put_reading(call, rows, row);
    }
    buf_printf(out, "],\"meta\":{\"page\":%ld,\"per_page\":%ld,\"total\":%ld,\"next_cursor\":",
               (long)page->page, (long)page->per_page, (long)total);
    put_next_cursor(out, rows, count == page->per_page ? count - 1 : -1);
    buf_putc(out, '}');
    reply_end(call);
}

static void list_readings(struct call *call)
{
    static const char sql[] =
        "SELECT " READING_COLUMNS
        ", " EPOCH_US("t.timestamp") " FROM telemetry t"
                                     " WHERE device_id = $1 AND timestamp >= $2 AND timestamp <= $3"
                                     " AND (timestamp, seq) < ($4::timestamptz, $5::bigint)"
                                     " ORDER BY timestamp DESC, seq DESC LIMIT $6 OFFSET $7";
    bool given;
    int64_t total;
    struct history history;
    struct bucket_range range = history_range(call, &given);
    struct cursor cursor = {range.end_us, INT64_MIN};
    bool follows = param_cursor(call, &cursor);
    struct call_page page = param_page(call, 100);
    if (!call_valid(call) || !history_read(call, &history) ||
        !count_readings(call, &range, &history, &total))
        return;
    /* What is not there need not be searched for: whole partitions fall away. */
    int64_t from = range.from_us > history.oldest_us ? range.from_us : history.oldest_us;
    int64_t end = cursor.timestamp_us < range.end_us ? cursor.timestamp_us : range.end_us;
    const char *values[] = {call->id_text[1],
                            time_text(call, from),
                            time_text(call, end),
                            time_text(call, cursor.timestamp_us),
                            call_keep(call, "%ld", (long)cursor.seq),
                            page.limit,
                            follows ? "0" : page.offset};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query_history(call, sql, 7, values, &rows))
        reply_readings(call, rows, &page, total);
}

void telemetry_list(struct call *call)
{
    const char *function = param_text(call, "aggregation");
    if (function == NULL || strcmp(function, "raw") == 0)
        list_readings(call);
    else
        history_aggregate(call, "raw, ");
}

static void reply_latest(struct call *call, const PGresult *rows)
{
    if (PQntuples(rows) == 0) {
        reply_not_found(call, "device");
        return;
    }
    reply_begin(call, 200);
    if (PQgetisnull(rows, 0, COLUMN_TIMESTAMP))
        buf_puts(&call->request->reply, "null");
    else
        put_reading(call, rows, 0);
    reply_end(call);
}

void telemetry_latest(struct call *call)
{
    static const char sql[] =
        "SELECT " READING_COLUMNS " FROM devices d LEFT JOIN LATERAL (SELECT * FROM telemetry"
        " WHERE device_id = $1 AND timestamp >= $2 ORDER BY timestamp DESC, seq DESC LIMIT 1) t"
        " ON true WHERE d.id = $1";
    int64_t minutes = 0;
    const char *text = param_text(call, "minutes");
    if (text != NULL && rest_params_integer(text, 1, 366 * 24 * 60, &minutes) != 0)
        call_wrong(call, "minutes", "must be a whole number from 1 to 527040");
    const char *values[] = {
        call->id_text[1],
        time_text(call, text != NULL ? clock_real_us() - minutes * 60 * SECOND_US : 0)};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query_history(call, sql, 2, values, &rows))
        reply_latest(call, rows);
}

void telemetry_aggregated(struct call *call)
{
    history_aggregate(call, "");
}
