/* Retained MQTT messages: of each topic the last one of the batch, or its end. */
#include "sql/store_statement.h"

#define SQL_LAST                                                                                   \
    "SELECT DISTINCT ON (tenant_id, topic) * FROM "                                                \
    "unnest($1::uuid[], $2::text[], $3::bytea[], $4::int8[], $5::bytea[], $6::timestamptz[]) "     \
    "WITH ORDINALITY AS r (tenant_id, topic, payload, qos, properties, expires_at, n) "            \
    "ORDER BY tenant_id, topic, n DESC"

#define SQL_RETAINS                                                                                \
    "INSERT INTO retained_messages (tenant_id, topic, payload, qos, properties, expires_at) "      \
    "SELECT tenant_id, topic, payload, qos, properties, expires_at FROM (" SQL_LAST ") last "      \
    "JOIN tenants ON tenants.id = tenant_id WHERE payload <> '' "                                  \
    "ON CONFLICT (tenant_id, topic) DO UPDATE SET payload = EXCLUDED.payload, "                    \
    "qos = EXCLUDED.qos, retained_at = EXCLUDED.retained_at, "                                     \
    "properties = EXCLUDED.properties, expires_at = EXCLUDED.expires_at"

#define SQL_UNRETAINS                                                                              \
    "DELETE FROM retained_messages m USING (" SQL_LAST ") last "                                   \
    "WHERE m.tenant_id = last.tenant_id AND m.topic = last.topic AND last.payload = ''"

static uint32_t count_of(const struct batch *batch)
{
    return batch->retains_count;
}

static void encode(struct pgarray *params, const struct job *job, struct step step)
{
    const struct batch_retain *retains = job->batch->retains + step.from;
    pgarray_uuids(params, COLUMN(retains, tenant, step.count));
    pgarray_begin_texts(params, PGARRAY_TEXT);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_text(params, job->batch, retains[i].topic);
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_BYTEA);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_text(params, job->batch, retains[i].payload);
    pgarray_end(params);
    pgarray_begin_int8s(params);
    for (uint32_t i = 0; i < step.count; i++)
        pgarray_put_int8(params, retains[i].flags & MSG_QOS_MASK);
    pgarray_end(params);
    pgarray_begin_texts(params, PGARRAY_BYTEA);
    for (uint32_t i = 0; i < step.count; i++)
        store_put_text(params, job->batch, retains[i].properties);
    pgarray_end(params);
    pgarray_times(params, COLUMN(retains, expires_us, step.count));
}

const struct statement_def store_retains = {"retains", SQL_RETAINS, count_of, encode, NULL};
const struct statement_def store_unretains = {"unretains", SQL_UNRETAINS, count_of, encode, NULL};
