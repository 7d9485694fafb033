#include "proto/check.h"
#include "sql/store_statement.h"
#include "sql/store_text.h"
#include <endian.h>
#include <stdlib.h>

#define REJECT_TEXT_BYTES 1024

/* --- readings -------------------------------------------------------------------------------- */

/* unnest in the select list walks the arrays side by side; in FROM each array would be copied to a
 * table of its own first, which costs a third of the server's work at 5,000 rows. */
#define SQL_ROWS                                                                                   \
    "INSERT INTO telemetry (tenant_id, device_id, timestamp, seq, temperature, humidity, "         \
    "pressure, battery, rssi, extra) SELECT unnest($1::uuid[]), unnest($2::uuid[]), "              \
    "unnest($3::timestamptz[]), unnest($4::int8[]), unnest($5::float8[]), unnest($6::float8[]), "  \
    "unnest($7::float8[]), unnest($8::float8[]), unnest($9::float8[]), unnest($10::jsonb[])"

static uint32_t rows_count(const struct batch *batch)
{
    return batch->rows_count;
}

static void rows_encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_row *rows = job->batch->rows + step.from;
    pgarray_uuids(params, COLUMN(rows, tenant, step.count));
    pgarray_uuids(params, COLUMN(rows, device, step.count));
    pgarray_times(params, COLUMN(rows, timestamp_us, step.count));
    pgarray_int8s(params, COLUMN(rows, seq, step.count));
    for (uint32_t m = 0; m < METRICS; m++)
        pgarray_float8s_present(params, COLUMN(rows, value[m], step.count),
                                COLUMN(rows, present, step.count), 1u << m);
    pgarray_begin_texts(params, PGARRAY_JSONB);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_jsonb(params, job->batch, rows[i].extra);
    pgarray_end(params);
}

/* --- rollups --------------------------------------------------------------------------------- */

#define HOUR_COLUMNS(name) name "_count, " name "_min, " name "_max, " name "_sum, " name "_last"
#define HOUR_SETS(name)                                                                            \
    name "_count = EXCLUDED." name "_count, " name "_min = EXCLUDED." name "_min, " name           \
         "_max = EXCLUDED." name "_max, " name "_sum = EXCLUDED." name "_sum, " name               \
         "_last = EXCLUDED." name "_last"
#define HOUR_ALL(each)                                                                             \
    each("temperature") ", " each("humidity") ", " each("pressure") ", " each(                     \
        "battery") ", " each("rssi")
#define HOUR_ARRAYS(a, b, c, d, e)                                                                 \
    "$" #a "::int8[], $" #b "::float8[], $" #c "::float8[], $" #d "::float8[], $" #e "::float8[]"

/* Should a batch name an hour twice, the later one counts: one INSERT may not meet a row twice. */
/* clang-format off */
#define SQL_HOURS                                                                                  \
    "INSERT INTO telemetry_hourly (tenant_id, device_id, hour, sample_count, "                     \
        HOUR_ALL(HOUR_COLUMNS) ") "                                                                \
    "SELECT DISTINCT ON (device_id, hour) tenant_id, device_id, hour, sample_count, "              \
        HOUR_ALL(HOUR_COLUMNS) " "                                                                 \
    "FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[], $4::int8[], "                          \
        HOUR_ARRAYS(5, 6, 7, 8, 9) ", "                                                            \
        HOUR_ARRAYS(10, 11, 12, 13, 14) ", "                                                       \
        HOUR_ARRAYS(15, 16, 17, 18, 19) ", "                                                       \
        HOUR_ARRAYS(20, 21, 22, 23, 24) ", "                                                       \
        HOUR_ARRAYS(25, 26, 27, 28, 29) ") WITH ORDINALITY "                                       \
    "AS h (tenant_id, device_id, hour, sample_count, " HOUR_ALL(HOUR_COLUMNS) ", n) "              \
    "ORDER BY device_id, hour, n DESC "                                                            \
    "ON CONFLICT (device_id, hour) DO UPDATE SET tenant_id = EXCLUDED.tenant_id, "                 \
    "sample_count = EXCLUDED.sample_count, "                                                       \
        HOUR_ALL(HOUR_SETS)
/* clang-format on */
#define SQL_REBUILDS                                                                               \
    "SELECT rollup_rebuild(hour, hour + interval '1 hour', device) "                               \
    "FROM unnest($1::timestamptz[], $2::uuid[]) AS r (hour, device)"

static uint32_t rollups_count(const struct batch *batch, bool rebuild)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < batch->rollups_count; i++)
        count += batch->rollups[i].rebuild == rebuild;
    return count;
}

/* Both kinds run over the whole list, and pick theirs. */
static uint32_t hours_count(const struct batch *batch)
{
    return rollups_count(batch, false) ? batch->rollups_count : 0;
}

static uint32_t rebuilds_count(const struct batch *batch)
{
    return rollups_count(batch, true) ? batch->rollups_count : 0;
}

#define FOR_HOURS(h, job, step)                                                                    \
    for (const struct batch_rollup *h = (job)->batch->rollups + (step).from,                       \
                                   *h##_end = h + (step).count;                                    \
         h < h##_end; h++)                                                                         \
        if (!h->rebuild)

/* min, max, sum and last of nothing are NULL. */
#define PUT_STAT(params, job, step, m, stat)                                                       \
    pgarray_begin_float8s(params);                                                                 \
    FOR_HOURS(h, job, step)                                                                        \
    {                                                                                              \
        if (h->stats.metric[m].count == 0)                                                         \
            pgarray_put_null(params);                                                              \
        else                                                                                       \
            pgarray_put_float8(params, h->stats.metric[m].stat);                                   \
    }                                                                                              \
    pgarray_end(params)

static void hours_encode_metric(struct pgarray *params, const struct job *job, struct step step,
                                uint32_t m)
{
    pgarray_begin_int8s(params);
    FOR_HOURS(h, job, step)
    pgarray_put_int8(params, (int64_t)h->stats.metric[m].count);
    pgarray_end(params);
    PUT_STAT(params, job, step, m, min);
    PUT_STAT(params, job, step, m, max);
    PUT_STAT(params, job, step, m, sum);
    PUT_STAT(params, job, step, m, last);
}

static void hours_encode(struct pgarray *params, const struct job *job, struct step step)
{
    pgarray_begin_uuids(params);
    FOR_HOURS(h, job, step)
    pgarray_put_uuid(params, &h->tenant);
    pgarray_end(params);
    pgarray_begin_uuids(params);
    FOR_HOURS(h, job, step)
    pgarray_put_uuid(params, &h->device);
    pgarray_end(params);
    pgarray_begin_times(params);
    FOR_HOURS(h, job, step)
    pgarray_put_time(params, h->hour_us);
    pgarray_end(params);
    pgarray_begin_int8s(params);
    FOR_HOURS(h, job, step)
    pgarray_put_int8(params, (int64_t)h->stats.samples);
    pgarray_end(params);
    for (uint32_t m = 0; m < METRICS; m++)
        hours_encode_metric(params, job, step, m);
}

static void rebuilds_encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_rollup *rollups = job->batch->rollups + step.from;
    pgarray_begin_times(params);
    for (uint32_t i = 0; i < step.count; i++)
        if (rollups[i].rebuild)
            pgarray_put_time(params, rollups[i].hour_us);
    pgarray_end(params);
    pgarray_begin_uuids(params);
    for (uint32_t i = 0; i < step.count; i++)
        if (rollups[i].rebuild)
            pgarray_put_uuid(params, &rollups[i].device);
    pgarray_end(params);
}

/* --- touches --------------------------------------------------------------------------------- */

/* A reading as new as the one that is kept replaces it: the actor sends what came last. */
#define SQL_TOUCHES                                                                                \
    "UPDATE devices d SET status = t.status, connected = t.connected::boolean, "                   \
    "last_seen = GREATEST(d.last_seen, t.last_seen), "                                             \
    "latest = CASE WHEN t.latest_at >= COALESCE(d.latest_at, '-infinity') THEN t.latest "          \
    "ELSE d.latest END, latest_at = GREATEST(d.latest_at, t.latest_at) "                           \
    "FROM unnest($1::uuid[], $2::text[], $3::text[], $4::timestamptz[], $5::timestamptz[], "       \
    "$6::jsonb[]) AS t (id, status, connected, last_seen, latest_at, latest) WHERE d.id = t.id"

static uint32_t touches_count(const struct batch *batch)
{
    return batch->touches_count;
}

static int touch_order(const void *a, const void *b)
{
    const struct batch_touch *x = a, *y = b;
    return memcmp(&x->device, &y->device, sizeof x->device);
}

static const char *status_name(uint8_t status)
{
    static const char *const names[STATUSES] = {"offline", "online", "idle"};
    CHECK(status < STATUSES);
    return names[status];
}

/* Sorted, so that concurrent writers lock devices in one order. Stable only in the caller's
 * order of *different* devices: the shard gathers a device's touches into one. */
static void touches_encode(struct pgarray *params, const struct job *job, struct step step)
{
    struct batch_touch *touches = job->batch->touches + step.from;
    qsort(touches, step.count, sizeof *touches, touch_order);
    pgarray_uuids(params, COLUMN(touches, device, step.count));
    pgarray_begin_texts(params, PGARRAY_TEXT);
    for (uint32_t i = 0; i < step.count; i++) {
        const char *name = status_name(touches[i].status);
        pgarray_put_text(params, name, strlen(name));
    }
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_TEXT);
    for (uint32_t i = 0; i < step.count; i++)
        pgarray_put_text(params, touches[i].connected ? "t" : "f", 1);
    pgarray_end(params);
    pgarray_times(params, COLUMN(touches, last_seen_us, step.count));
    pgarray_times(params, COLUMN(touches, latest_us, step.count));
    pgarray_begin_texts(params, PGARRAY_JSONB);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_jsonb(params, job->batch, touches[i].latest);
    pgarray_end(params);
}

/* --- rejects --------------------------------------------------------------------------------- */

/* The id is ours, so that a retry after an unknown outcome stores no second row. */
#define SQL_REJECTS                                                                                \
    "INSERT INTO telemetry_rejected (id, tenant_id, device_id, topic, reason, payload) "           \
    "SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], "            \
    "$6::text[]) ON CONFLICT (id) DO NOTHING"

static uint32_t rejects_count(const struct batch *batch)
{
    return batch->rejects_count;
}

static struct uuid reject_id(const struct job *job, uint32_t index)
{
    struct uuid id = job->reject_base;
    index = htobe32(index);
    memcpy(id.bytes + 12, &index, sizeof index);
    return id;
}

static void put_safe(struct pgarray *params, const struct batch *batch, struct text text)
{
    char safe[REJECT_TEXT_BYTES];
    pgarray_put_text(params, safe,
                     store_text(batch_text_of(batch, text), text.len, safe, sizeof safe));
}

#define PUT_SAFE(params, batch, rejects, count, field)                                             \
    pgarray_begin_texts(params, PGARRAY_TEXT);                                                     \
    for (uint32_t i = 0; i < (count); i++)                                                         \
        put_safe(params, batch, (rejects)[i].field);                                               \
    pgarray_end(params)

static void rejects_encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_reject *rejects = job->batch->rejects + step.from;
    pgarray_begin_uuids(params);
    for (uint32_t i = 0; i < step.count; i++) {
        struct uuid id = reject_id(job, step.from + i);
        pgarray_put_uuid(params, &id);
    }
    pgarray_end(params);
    pgarray_uuids(params, COLUMN(rejects, tenant, step.count));
    pgarray_begin_uuids(params);
    for (uint32_t i = 0; i < step.count; i++) {
        if (uuid_is_nil(&rejects[i].device))
            pgarray_put_null(params);
        else
            pgarray_put_uuid(params, &rejects[i].device);
    }
    pgarray_end(params);
    PUT_SAFE(params, job->batch, rejects, step.count, topic);
    PUT_SAFE(params, job->batch, rejects, step.count, reason);
    PUT_SAFE(params, job->batch, rejects, step.count, payload);
}

const struct statement_def store_rows = {"rows", SQL_ROWS, rows_count, rows_encode, NULL};
const struct statement_def store_rows_again = {"rows_again", SQL_ROWS " ON CONFLICT DO NOTHING",
                                               rows_count, rows_encode, NULL};
const struct statement_def store_hours = {"hours", SQL_HOURS, hours_count, hours_encode, NULL};
const struct statement_def store_rebuilds = {"rebuilds", SQL_REBUILDS, rebuilds_count,
                                             rebuilds_encode, NULL};
const struct statement_def store_touches = {"touches", SQL_TOUCHES, touches_count, touches_encode,
                                            NULL};
const struct statement_def store_rejects = {"rejects", SQL_REJECTS, rejects_count, rejects_encode,
                                            NULL};
