#include "node/rest_history.h"
#include "node/clock.h"
#include "node/rest_aggregate.h"
#include "proto/timestamp.h"
#include "sql/db.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The newest reading may be this far ahead of the clock: LIMIT_READING_FUTURE_DAYS, and a day. */
#define AHEAD_US (2 * DAY_US)
/* Where a range ends now, `now` is ours and its beginning was reckoned from the client's: the
 * request's own way and the difference of two clocks do not make an hour longer than an hour. */
#define NOW_SLACK_US (60 * SECOND_US)

/* $1 device, $2 from, $3 before. */
static const char readings_sql[] =
    "SELECT timestamp, temperature, humidity, pressure, battery, rssi FROM telemetry"
    " WHERE device_id = $1 AND timestamp >= $2 AND timestamp < $3 ORDER BY timestamp, seq";
/* $4 the length of a bucket. Hours are made into buckets where they are: a month has 720 of them,
 * and sending each took twice the time of adding it up. Each bucket's come newest first. */
#define HOURS_OF(x)                                                                                \
    ", COALESCE(sum(" x "_count)::int8, 0), min(" x "_min), max(" x "_max), sum(" x "_sum),"       \
    " (array_agg(" x "_last) FILTER (WHERE " x "_count > 0))[1]"
static const char hours_sql[] = "SELECT bucket, sum(sample_count)::int8" HOURS_OF("temperature")
    HOURS_OF("humidity") HOURS_OF("pressure") HOURS_OF("battery") HOURS_OF(
        "rssi") " FROM (SELECT date_bin($4, hour, '2001-01-01Z') AS bucket, * FROM telemetry_hourly"
                " WHERE device_id = $1 AND hour >= $2 AND hour < $3 ORDER BY bucket, hour DESC) AS "
                "hours"
                " GROUP BY bucket ORDER BY bucket";

struct bucket_range history_range(struct call *call, bool *ret_given)
{
    struct bucket_range range = {0, clock_real_us() + AHEAD_US};
    int64_t last;
    *ret_given = param_time(call, "start_time", "from", &range.from_us);
    if (param_time(call, "end_time", "to", &last))
        range.end_us = last + 1;
    if (range.end_us <= range.from_us)
        call_wrong(call, "end_time", "must not lie before start_time");
    return range;
}

/* Readings that came by SQL have no actor to sum up their hours: it is done now. */
static bool refresh_hours(struct call *call)
{
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    return call_query(call, "SELECT rollup_refresh($1)", 1, values, &rows);
}

bool history_read(struct call *call, struct history *ret_history)
{
    /* clang-format off */
    static const char sql[] =
        "SELECT (SELECT " EPOCH_US("timestamp") " FROM telemetry WHERE device_id = $1"
        " ORDER BY timestamp LIMIT 1), (SELECT " EPOCH_US("timestamp") " FROM telemetry"
        " WHERE device_id = $1 ORDER BY timestamp DESC LIMIT 1),"
        " EXISTS (SELECT FROM rollup_stale WHERE device_id = $1) FROM devices WHERE id = $1";
    /* clang-format on */
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_query_history(call, sql, 1, values, &rows))
        return false;
    if (PQntuples(rows) == 0) {
        reply_not_found(call, "device");
        return false;
    }
    ret_history->any = !PQgetisnull(rows, 0, 0);
    ret_history->oldest_us = strtoll(PQgetvalue(rows, 0, 0), NULL, 10);
    ret_history->newest_us = strtoll(PQgetvalue(rows, 0, 1), NULL, 10);
    return PQgetvalue(rows, 0, 2)[0] != 't' || refresh_hours(call);
}

static void add_readings(struct aggregate *aggregate, const PGresult *rows)
{
    struct aggregate_value metric[METRICS];
    for (int row = 0; row < PQntuples(rows); row++) {
        for (int m = 0; m < METRICS; m++) {
            double value = db_float8(rows, row, 1 + m);
            int64_t count = !PQgetisnull(rows, row, 1 + m);
            metric[m] = (struct aggregate_value){count, value, value, value, value};
        }
        aggregate_add(aggregate, db_time_us(rows, row, 0), 1, metric);
    }
}

static void add_hours(struct aggregate *aggregate, const PGresult *rows)
{
    struct aggregate_value metric[METRICS];
    for (int row = 0; row < PQntuples(rows); row++) {
        for (int m = 0; m < METRICS; m++) {
            int first = 2 + 5 * m;
            metric[m] = (struct aggregate_value){
                db_int8(rows, row, first), db_float8(rows, row, first + 1),
                db_float8(rows, row, first + 2), db_float8(rows, row, first + 3),
                db_float8(rows, row, first + 4)};
        }
        aggregate_add(aggregate, db_time_us(rows, row, 0), db_int8(rows, row, 1), metric);
    }
}

/* Adds what lies in [from, end); false: the failure is answered. */
static bool add_piece(struct call *call, struct aggregate *aggregate, bool hours, int64_t from_us,
                      int64_t end_us)
{
    char from[TIMESTAMP_TEXT_SIZE], end[TIMESTAMP_TEXT_SIZE], width[32];
    const char *values[] = {call->id_text[1], from, end, width};
    OWNED(rows) PGresult *rows = NULL;
    timestamp_format(from_us, from);
    timestamp_format(end_us, end);
    snprintf(width, sizeof width, "%ld seconds", (long)(aggregate->width_us / SECOND_US));
    if (!call_query_binary(call, hours ? hours_sql : readings_sql, hours ? 4 : 3, values, &rows))
        return false;
    if (hours)
        add_hours(aggregate, rows);
    else
        add_readings(aggregate, rows);
    return true;
}

/* Readings day by day, as their partitions are: a long range of them need not fit in memory. */
static bool add_readings_of(struct call *call, struct aggregate *aggregate,
                            const struct history *history, int64_t from_us, int64_t end_us)
{
    int64_t next;
    if (from_us < history->oldest_us)
        from_us = history->oldest_us;
    if (end_us > history->newest_us + 1)
        end_us = history->newest_us + 1;
    for (; from_us < end_us; from_us = next) {
        next = from_us - from_us % DAY_US + DAY_US;
        if (!add_piece(call, aggregate, false, from_us, next < end_us ? next : end_us))
            return false;
    }
    return true;
}

static bool add_pieces(struct call *call, struct aggregate *aggregate,
                       const struct history *history, const struct bucket_pieces *pieces)
{
    if (!add_readings_of(call, aggregate, history, pieces->from_us, pieces->hours_from_us))
        return false;
    if (pieces->hours_from_us < pieces->hours_end_us &&
        !add_piece(call, aggregate, true, pieces->hours_from_us, pieces->hours_end_us))
        return false;
    return add_readings_of(call, aggregate, history, pieces->hours_end_us, pieces->end_us);
}

/* `others`: what the path takes beside the functions, to be named with them. */
static enum aggregate_function function_asked(struct call *call, const char *others)
{
    const char *name = param_text(call, "aggregation");
    if (name == NULL)
        return AGGREGATE_ALL;
    enum aggregate_function i = 0;
    while (i < AGGREGATE_FUNCTIONS && strcmp(aggregate_names[i], name) != 0)
        i++;
    if (i == AGGREGATE_FUNCTIONS)
        call_wrong(call, "aggregation", "must be %savg, min, max, sum or last", others);
    return i;
}

static bool ends_now(struct call *call)
{
    return param_text(call, "end_time") == NULL && param_text(call, "to") == NULL;
}

static int64_t bucket_asked(struct call *call, const struct bucket_range *range)
{
    int64_t seconds = bucket_automatic(range, ends_now(call) ? NOW_SLACK_US : 0);
    const char *text = param_text(call, "bucket");
    if (text != NULL && bucket_parse(text, &seconds) != 0)
        call_wrong(call, "bucket", "must be a length of time, as 300, 5m, 1h or 1d");
    else if (bucket_count(range, seconds) > BUCKETS_MAX)
        call_wrong(call, "bucket", "would make more than %d buckets", BUCKETS_MAX);
    return seconds;
}

/* Without its beginning a range is the day before its end. */
static struct bucket_range asked_range(struct call *call)
{
    bool given;
    struct bucket_range range = history_range(call, &given);
    if (ends_now(call)) {
        int64_t now = clock_real_us();
        range.end_us = (range.from_us > now ? range.from_us : now) + 1;
    }
    if (!given)
        range.from_us = range.end_us > DAY_US ? range.end_us - DAY_US : 0;
    return range;
}

static void reply_buckets(struct call *call, const struct aggregate *aggregate,
                          const struct call_page *page)
{
    const struct buf *elements = aggregate->out;
    struct buf *out = &call->request->reply;
    if (buf_failed(elements)) {
        call_failed(call, ERR_TOO_LARGE);
        return;
    }
    reply_begin(call, 200);
    buf_putc(out, '[');
    buf_put(out, elements->data, elements->len);
    buf_printf(out,
               "],\"meta\":{\"page\":%ld,\"per_page\":%ld,\"total\":%ld,\"bucket_seconds\":%ld}",
               (long)page->page, (long)page->per_page, (long)aggregate->buckets,
               (long)(aggregate->width_us / SECOND_US));
    reply_end(call);
}

void history_aggregate(struct call *call, const char *others)
{
    struct history history;
    struct aggregate aggregate;
    struct buf elements;
    struct bucket_range range = asked_range(call);
    enum aggregate_function function = function_asked(call, others);
    struct call_page page = param_page(call, BUCKETS_MAX); /* who asks for no pages gets all */
    if (!call_valid(call))
        return;
    int64_t seconds = bucket_asked(call, &range);
    if (!call_valid(call) || !history_read(call, &history))
        return;
    bool use_hours = history.any && seconds % 3600 == 0;
    struct bucket_pieces pieces = bucket_split(&range, use_hours, history.newest_us);
    buf_init(&elements, 32 * 1024 * 1024);
    aggregate_begin(&aggregate, &elements, seconds, function);
    aggregate_page(&aggregate, (page.page - 1) * page.per_page, page.per_page);
    if (!history.any || add_pieces(call, &aggregate, &history, &pieces)) {
        aggregate_end(&aggregate);
        reply_buckets(call, &aggregate, &page);
    }
    buf_free(&elements);
}
