#include "sql/membership.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct digits {
    char s[24];
};

static struct digits digits(int64_t value)
{
    struct digits out;
    snprintf(out.s, sizeof out.s, "%" PRId64, value);
    return out;
}

/* The sessions that could hold a row we are about to lock: of this node, and of nodes whose lease
 * has run out. Only gito_app may end them, only gito_ingest sees who they are. */
static int end_former_sessions(struct ask *db, const struct member *self)
{
    PGresult *expired =
        ask_rows(db,
                 "SELECT COALESCE(string_agg(node_id || '/' || incarnation, ','), '') "
                 "FROM cluster_nodes WHERE lease_until < clock_timestamp() AND node_id <> $1",
                 1, &self->node_id);
    if (expired == NULL)
        return ask_error(db);
    int rc = ask_do(db, "RESET ROLE", 0, NULL);
    if (rc == 0)
        rc = ask_do(db,
                    "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                    "AND usename = session_user AND (starts_with(application_name, $1 || '/') "
                    "OR application_name = ANY (string_to_array($2, ',')))",
                    2, (const char *[]){self->node_id, PQgetvalue(expired, 0, 0)});
    PQclear(expired);
    return rc == 0 ? ask_do(db, "SET ROLE gito_ingest", 0, NULL) : rc;
}

static int lock_view(struct ask *db)
{
    int rc = ask_do(db, "BEGIN", 0, NULL);
    if (rc == 0)
        rc = ask_do(db, "SET LOCAL lock_timeout = '1s'", 0, NULL);
    if (rc == 0)
        rc = ask_do(db, "SELECT FROM cluster_version FOR UPDATE", 0, NULL);
    return rc;
}

static int publish_view(struct ask *db)
{
    int rc = ask_do(db,
                    "WITH next AS (UPDATE cluster_version SET version = version + 1 "
                    "RETURNING version) SELECT pg_notify('gito_view', version::text) FROM next",
                    0, NULL);
    return rc == 0 ? ask_do(db, "COMMIT", 0, NULL) : rc;
}

/* The second statement sees a lease as the lock's last holder left it. now() is the same in both,
 * and leases only grow: what the second buries, the first has locked. */
static int bury_expired(struct ask *db, const struct member *self)
{
    int rc = ask_do(db,
                    "SELECT FROM cluster_nodes WHERE node_id = $1 OR lease_until < now() "
                    "ORDER BY node_id FOR UPDATE",
                    1, &self->node_id);
    if (rc == 0)
        rc = ask_do(db,
                    "UPDATE cluster_nodes SET state = 'dead' WHERE node_id <> $1 "
                    "AND state NOT IN ('dead', 'left') AND lease_until < now()",
                    1, &self->node_id);
    if (rc != 0)
        return rc;
    PGresult *alive =
        ask_rows(db,
                 "SELECT node_id FROM cluster_nodes WHERE node_id <> $1 AND region = $2 "
                 "AND state NOT IN ('dead', 'left') LIMIT 1",
                 2, (const char *[]){self->node_id, self->region});
    if (alive == NULL)
        return ask_error(db);
    if (PQntuples(alive) > 0) {
        snprintf(db->reason, sizeof db->reason, "node %s holds the slots of region %s",
                 PQgetvalue(alive, 0, 0), self->region);
        rc = ERR_REFUSED;
    }
    PQclear(alive);
    return rc;
}

static int upsert(struct ask *db, const struct member *self, int64_t *ret_incarnation)
{
    struct digits ttl = digits(self->ttl_ms);
    PGresult *row = ask_rows(
        db,
        "INSERT INTO cluster_nodes (node_id, incarnation, region, state, lease_until, endpoints,"
        " version, started_at) VALUES ($1, 1, $2, 'active',"
        " clock_timestamp() + $3 * interval '1 ms', $4::jsonb, $5, clock_timestamp()) "
        "ON CONFLICT (node_id) DO UPDATE SET incarnation = cluster_nodes.incarnation + 1,"
        " region = EXCLUDED.region, state = EXCLUDED.state, lease_until = EXCLUDED.lease_until,"
        " endpoints = EXCLUDED.endpoints, version = EXCLUDED.version,"
        " started_at = EXCLUDED.started_at RETURNING incarnation",
        5, (const char *[]){self->node_id, self->region, ttl.s, self->endpoints, self->version});
    if (row == NULL)
        return ask_error(db);
    *ret_incarnation = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return 0;
}

static int take_slots(struct ask *db, const struct member *self)
{
    const char *const values[] = {self->region, self->node_id};
    int rc = ask_do(db,
                    "INSERT INTO cluster_slots (region, slot) "
                    "SELECT $1, generate_series(0, 4095) ON CONFLICT DO NOTHING",
                    1, values);
    if (rc != 0)
        return rc;
    return ask_do(db,
                  "UPDATE cluster_slots SET owner = $2, state = 'owned', target = NULL,"
                  " epoch = epoch + (owner IS DISTINCT FROM $2)::int WHERE region = $1 AND"
                  " (owner IS DISTINCT FROM $2 OR state <> 'owned' OR target IS NOT NULL)",
                  2, values);
}

/* Leaves no transaction open, and keeps the reason of what failed. */
static int undo(struct ask *db, int error)
{
    struct ask quiet = {.conn = db->conn};
    if (error == ERR_UNAVAILABLE)
        return error;
    return ask_do(&quiet, "ROLLBACK", 0, NULL) == 0 ? error : ERR_UNAVAILABLE;
}

int membership_register(struct ask *db, const struct member *self, int64_t *ret_incarnation)
{
    int64_t incarnation = 0;
    int rc = end_former_sessions(db, self);
    if (rc == 0)
        rc = lock_view(db);
    if (rc == 0)
        rc = bury_expired(db, self);
    if (rc == 0)
        rc = upsert(db, self, &incarnation);
    if (rc == 0)
        rc = take_slots(db, self);
    if (rc == 0)
        rc = publish_view(db);
    if (rc != 0)
        return undo(db, rc);
    *ret_incarnation = incarnation;
    return 0;
}

/* ERR_FENCED when the statement touched no row. */
static int touch_own_row(struct ask *db, const char *sql, int count, const char *const *values)
{
    PGresult *result = ask_rows(db, sql, count, values);
    if (result == NULL)
        return ask_error(db);
    int rc = strcmp(PQcmdTuples(result), "0") == 0 ? ERR_FENCED : 0;
    PQclear(result);
    return rc;
}

int membership_renew(struct ask *db, const struct member *self, int64_t incarnation)
{
    struct digits number = digits(incarnation), ttl = digits(self->ttl_ms);
    return touch_own_row(db,
                         "UPDATE cluster_nodes "
                         "SET lease_until = clock_timestamp() + $3 * interval '1 ms' "
                         "WHERE node_id = $1 AND incarnation = $2 "
                         "AND state IN ('joining', 'active', 'draining')",
                         3, (const char *[]){self->node_id, number.s, ttl.s});
}

int membership_leave(struct ask *db, const struct member *self, int64_t incarnation)
{
    struct digits number = digits(incarnation);
    int rc = lock_view(db);
    if (rc == 0)
        rc = touch_own_row(
            db,
            "UPDATE cluster_nodes SET state = 'left', lease_until = clock_timestamp() "
            "WHERE node_id = $1 AND incarnation = $2 AND state <> 'dead'",
            2, (const char *[]){self->node_id, number.s});
    if (rc == 0)
        rc = publish_view(db);
    return rc == 0 ? 0 : undo(db, rc);
}
