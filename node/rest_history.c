#include "node/rest_history.h"
#include "node/clock.h"
#include "proto/metric.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Buckets begin at whole multiples of their length from a Monday on, UTC. */
#define BUCKET_OF(time) "date_bin($2::interval, " time ", '2001-01-01T00:00:00Z')"

#define RAW_METRIC(x)                                                                              \
    ", count(" x ") AS " x "_count, min(" x ") AS " x "_min, max(" x ") AS " x "_max, sum(" x      \
    ") AS " x "_sum, (array_agg(" x " ORDER BY timestamp DESC, seq DESC) FILTER (WHERE " x         \
    " IS NOT NULL))[1] AS " x "_last"
#define HOUR_METRIC(x) ", " x "_count, " x "_min, " x "_max, " x "_sum, " x "_last"
#define MERGED_METRIC(x)                                                                           \
    ", sum(" x "_sum) / NULLIF(sum(" x "_count), 0), min(" x "_min), max(" x "_max), sum(" x       \
    "_sum), (array_agg(" x "_last ORDER BY at DESC) FILTER (WHERE " x "_last IS NOT NULL))[1]"
#define ALL(of) of("temperature") of("humidity") of("pressure") of("battery") of("rssi")
#define RAW_PART(from, to)                                                                         \
    "SELECT " BUCKET_OF("timestamp") " AS bucket, max(timestamp) AS at, count(*) AS n" ALL(        \
        RAW_METRIC) " FROM telemetry WHERE device_id = $1 AND timestamp >= " from                  \
                    "::timestamptz AND timestamp < " to "::timestamptz GROUP BY 1"

/* $1 device, $2 length, then the pieces: readings, hours, readings. */
static const char aggregate_sql[] = "WITH part AS (" RAW_PART("$3", "$4") " UNION ALL " RAW_PART(
    "$5",
    "$6") " UNION ALL SELECT " BUCKET_OF("hour") ", hour, sample_count" ALL(HOUR_METRIC) " FROM "
                                                                                         "telemetry"
                                                                                         "_hourly "
                                                                                         "WHERE "
                                                                                         "device_"
                                                                                         "id = $1 "
                                                                                         "AND hour "
                                                                                         ">= $4 "
                                                                                         "AND hour "
                                                                                         "< $5)"
                                                                                         " SELECT "
                                                                                         "to_json("
                                                                                         "bucket), "
                                                                                         "sum("
                                                                                         "n)" ALL(
                                                                                             MERGED_METRIC) " FROM part GROUP BY bucket ORDER BY bucket";

/* Columns of a metric in the result, as MERGED_METRIC has them. */
enum { COLUMN_AVG, COLUMN_MIN, COLUMN_MAX, COLUMN_SUM, COLUMN_LAST, METRIC_COLUMNS };
static const char *const functions[METRIC_COLUMNS] = {"avg", "min", "max", "sum", "last"};

static void put_value(struct buf *out, const char *metric, const char *suffix, const PGresult *rows,
                      int row, int column)
{
    buf_printf(out, ",\"%s%s\":%s", metric, suffix,
               PQgetisnull(rows, row, column) ? "null" : PQgetvalue(rows, row, column));
}

/* `function` METRIC_COLUMNS: all but the sum, the average under the metric's own name. */
static void put_bucket(struct buf *out, const PGresult *rows, int row, int function)
{
    bool all = function == METRIC_COLUMNS;
    buf_printf(out, "{\"time_bucket\":%s", PQgetvalue(rows, row, 0));
    for (int metric = 0; metric < METRICS; metric++) {
        int first = 2 + metric * METRIC_COLUMNS;
        put_value(out, metric_names[metric], "", rows, row, first + (all ? COLUMN_AVG : function));
        if (!all)
            continue;
        put_value(out, metric_names[metric], "_min", rows, row, first + COLUMN_MIN);
        put_value(out, metric_names[metric], "_max", rows, row, first + COLUMN_MAX);
        put_value(out, metric_names[metric], "_last", rows, row, first + COLUMN_LAST);
    }
    buf_printf(out, ",\"sample_count\":%s}", PQgetvalue(rows, row, 1));
}

static void reply_buckets(struct call *call, const PGresult *rows, int function, int64_t seconds)
{
    struct buf *out = &call->request->reply;
    int count = PQntuples(rows);
    reply_begin(call, 200);
    for (int row = 0; row < count; row++) {
        buf_putc(out, row == 0 ? '[' : ',');
        put_bucket(out, rows, row, function);
    }
    buf_puts(out, count == 0 ? "[]" : "]");
    buf_printf(out, ",\"meta\":{\"page\":1,\"per_page\":%d,\"total\":%d,\"bucket_seconds\":%ld}",
               count, count, (long)seconds);
    reply_end(call);
}

static int function_asked(struct call *call)
{
    const char *name = param_text(call, "aggregation");
    int i = 0;
    while (name != NULL && i < METRIC_COLUMNS && strcmp(functions[i], name) != 0)
        i++;
    if (i == METRIC_COLUMNS)
        call_wrong(call, "aggregation", "must be raw, avg, min, max, sum or last");
    return name != NULL ? i : METRIC_COLUMNS;
}

static int64_t bucket_asked(struct call *call, const struct bucket_range *range)
{
    int64_t seconds = bucket_automatic(range);
    const char *text = param_text(call, "bucket");
    if (text != NULL && bucket_parse(text, &seconds) != 0)
        call_wrong(call, "bucket", "must be a length of time, as 300, 5m, 1h or 1d");
    else if (bucket_count(range, seconds) > BUCKETS_MAX)
        call_wrong(call, "bucket", "would make more than %d buckets", BUCKETS_MAX);
    return seconds;
}

/* Without its beginning a range is the last day of what it has. */
static struct bucket_range asked_range(struct call *call)
{
    bool given;
    struct bucket_range range = history_range(call, &given);
    if (param_text(call, "end_time") == NULL && param_text(call, "to") == NULL) {
        int64_t now = clock_real_us();
        range.end_us = (range.from_us > now ? range.from_us : now) + 1;
    }
    if (!given)
        range.from_us = range.end_us > DAY_US ? range.end_us - DAY_US : 0;
    return range;
}

void history_aggregate(struct call *call)
{
    struct history history;
    struct bucket_range range = asked_range(call);
    int function = function_asked(call);
    if (!call_valid(call))
        return;
    int64_t seconds = bucket_asked(call, &range);
    if (!call_valid(call) || !history_read(call, &history))
        return;
    bool use_hours = history.any && seconds % 3600 == 0;
    struct bucket_pieces pieces = bucket_split(&range, use_hours, history.newest_us);
    const char *values[] = {call->id_text[1],
                            call_keep(call, "%ld seconds", (long)seconds),
                            time_text(call, pieces.from_us),
                            time_text(call, pieces.hours_from_us),
                            time_text(call, pieces.hours_end_us),
                            time_text(call, pieces.end_us)};
    OWNED(rows) PGresult *rows = NULL;
    if (call_query_history(call, aggregate_sql, 6, values, &rows))
        reply_buckets(call, rows, function, seconds);
}
