#include "sql/upkeep.h"
#include "proto/limits.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define DAYS_AHEAD "7"

int upkeep_partitions(struct ask *db, int64_t retention_days)
{
    char back[24];
    int64_t days = LIMIT_READING_PAST_DAYS + 1;
    if (retention_days > 0 && retention_days < days)
        days = retention_days;
    snprintf(back, sizeof back, "%" PRId64, days);
    return ask_do(db,
                  "SELECT partitions_ensure(today - $1::int, today + " DAYS_AHEAD ") "
                  "FROM (SELECT (now() AT TIME ZONE 'UTC')::date AS today) t",
                  1, (const char *[]){back});
}

int upkeep_retention(struct ask *db, int64_t retention_days)
{
    char days[24];
    snprintf(days, sizeof days, "%" PRId64, retention_days);
    PGresult *row =
        ask_rows(db, "SELECT partitions_drop_oldest((now() AT TIME ZONE 'UTC')::date - $1::int)", 1,
                 (const char *[]){days});
    if (row == NULL)
        return ask_error(db);
    int dropped = !PQgetisnull(row, 0, 0);
    PQclear(row);
    return dropped;
}

int upkeep_rejected(struct ask *db, int64_t retention_days)
{
    char days[24];
    snprintf(days, sizeof days, "%" PRId64, retention_days);
    PGresult *row = ask_rows(
        db,
        "WITH gone AS (DELETE FROM telemetry_rejected WHERE id IN (SELECT id FROM "
        "telemetry_rejected WHERE received_at < date_trunc('day', now(), 'UTC') - $1::int * "
        "interval '1 day' LIMIT 2000) RETURNING 1) "
        "SELECT FROM gone OFFSET 1999",
        1, (const char *[]){days});
    if (row == NULL)
        return ask_error(db);
    int more = PQntuples(row);
    PQclear(row);
    return more;
}

/* One that answers whether there is more to do now. */
static int delete_some(struct ask *db, const char *sql)
{
    PGresult *row = ask_rows(db, sql, 0, NULL);
    if (row == NULL)
        return ask_error(db);
    int more = PQgetvalue(row, 0, 0)[0] == 't';
    PQclear(row);
    return more;
}

/* Each reading may lie on a page of its own: a batch stays well within ASK_DEADLINE_MS. */
int upkeep_gone(struct ask *db)
{
    return delete_some(db, "SELECT devices_gone_erase(2000)");
}

/* Never waits for a row that a node is writing: that one is new. */
int upkeep_expired(struct ask *db)
{
    return delete_some(db,
                       "WITH gone AS (DELETE FROM retained_messages WHERE expires_at <= now() "
                       " AND (tenant_id, topic) IN (SELECT tenant_id, topic FROM retained_messages "
                       " WHERE expires_at <= now() LIMIT 2000 FOR UPDATE SKIP LOCKED) RETURNING 1) "
                       "SELECT count(*) = 2000 FROM gone");
}

int upkeep_tokens(struct ask *db)
{
    return delete_some(
        db, "WITH gone AS (DELETE FROM refresh_tokens WHERE token_hash IN "
            " (SELECT token_hash FROM refresh_tokens WHERE expires_at < now() "
            " LIMIT 2000 FOR UPDATE SKIP LOCKED) RETURNING 1) SELECT count(*) = 2000 FROM gone");
}

int upkeep_awake(struct ask *db, struct uuid *cursor, upkeep_tell *tell, void *arg)
{
    char limit[24];
    struct uuid_text after = uuid_text(cursor);
    struct uuid tenant, device;
    snprintf(limit, sizeof limit, "%d", UPKEEP_PAGE);
    PGresult *rows = ask_rows(db,
                              "SELECT d.id, d.tenant_id, COALESCE(r.number, 0) FROM devices d "
                              "JOIN tenants t ON t.id = d.tenant_id LEFT JOIN cluster_regions r "
                              "ON r.region = COALESCE(d.home_region, t.home_region) "
                              "WHERE d.status IN ('online', 'idle') AND d.id > $1::uuid "
                              "ORDER BY d.id LIMIT $2",
                              2, (const char *[]){after.s, limit});
    if (rows == NULL)
        return ask_error(db);
    int count = PQntuples(rows);
    for (int row = 0; row < count; row++)
        if (uuid_parse(PQgetvalue(rows, row, 0), UUID_TEXT_LEN, &device) == 0 &&
            uuid_parse(PQgetvalue(rows, row, 1), UUID_TEXT_LEN, &tenant) == 0) {
            tell(arg, &tenant, &device, (unsigned)strtoul(PQgetvalue(rows, row, 2), NULL, 10));
            *cursor = device;
        }
    PQclear(rows);
    return count;
}
