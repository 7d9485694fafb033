#include "sql/view_edit.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

int view_edit_begin(struct view_edit *self, struct ask *db)
{
    PGresult *row = ask_rows(db,
                             "BEGIN; SET LOCAL lock_timeout = '1s'; "
                             "SELECT version + 1 FROM cluster_version FOR UPDATE",
                             0, NULL);
    if (row == NULL)
        return ask_error(db);
    *self = (struct view_edit){.db = db, .version = strtoll(PQgetvalue(row, 0, 0), NULL, 10)};
    PQclear(row);
    return 0;
}

int view_edit_finish(const struct view_edit *self, bool changed)
{
    return ask_do(self->db,
                  changed ? "WITH next AS (UPDATE cluster_version SET version = version + 1 "
                            "RETURNING version) "
                            "SELECT pg_notify('gito_view', version::text) FROM next; COMMIT"
                          : "COMMIT",
                  0, NULL);
}

int view_edit_undo(struct ask *db, int error)
{
    struct ask quiet = {.conn = db->conn};
    if (error == ERR_UNAVAILABLE)
        return error;
    return ask_do(&quiet, "ROLLBACK", 0, NULL) == 0 ? error : ERR_UNAVAILABLE;
}

int view_edit_refuse(struct ask *db, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(db->reason, sizeof db->reason, format, args);
    va_end(args);
    return ERR_REFUSED;
}

long view_edit_rows(struct ask *db, const char *sql, int count, const char *const *values)
{
    PGresult *result = ask_rows(db, sql, count, values);
    if (result == NULL)
        return ask_error(db);
    long rows = strtol(PQcmdTuples(result), NULL, 10);
    PQclear(result);
    return rows;
}

int view_edit_own_row(struct ask *db, const char *node_id, int64_t incarnation, bool leased)
{
    struct digits number = digits(incarnation);
    const char *const values[] = {node_id, number.s};
    long rows = view_edit_rows(db,
                               "SELECT FROM cluster_nodes WHERE node_id = $1 AND incarnation = $2 "
                               "AND state IN ('active', 'draining') FOR KEY SHARE",
                               2, values);
    if (rows <= 0)
        return rows < 0 ? (int)rows : ERR_FENCED;
    if (!leased)
        return 0;
    rows = view_edit_rows(
        db, "SELECT FROM cluster_nodes WHERE node_id = $1 AND lease_until > clock_timestamp()", 1,
        values);
    if (rows == 0)
        return view_edit_refuse(db, "the lease of %s itself has run out", node_id);
    return rows < 0 ? (int)rows : 0;
}

/* Of a session's name the server keeps so much. */
#define NAME_KEPT "63"

/* Only gito_app may end its sessions; gito_ingest has the rows. */
static int end_sessions(struct ask *db, const char *node_id, const char *names)
{
    int rc = ask_do(db, "RESET ROLE", 0, NULL);
    if (rc != 0)
        return rc;
    rc = ask_do(db,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() "
                "AND usename = session_user AND "
                "(starts_with(application_name, left($1 || '/', " NAME_KEPT ")) "
                "OR application_name IN (SELECT left(name, " NAME_KEPT ")"
                " FROM unnest(string_to_array($2, ',')) AS name))",
                2, (const char *[]){node_id, names});
    struct ask quiet = {.conn = db->conn};
    if (rc == ERR_UNAVAILABLE || ask_do(&quiet, "SET ROLE gito_ingest", 0, NULL) != 0)
        return ERR_UNAVAILABLE;
    return rc;
}

int view_edit_end_sessions(struct ask *db, const char *node_id)
{
    return end_sessions(db, node_id, "");
}

int view_edit_end_expired(struct ask *db, const char *node_id)
{
    PGresult *expired =
        ask_rows(db,
                 "SELECT string_agg(node_id || '/' || incarnation, ',') FROM cluster_live "
                 "WHERE lease_until < clock_timestamp() AND node_id <> $1",
                 1, &node_id);
    if (expired == NULL)
        return ask_error(db);
    int rc = 0;
    if (!PQgetisnull(expired, 0, 0))
        rc = end_sessions(db, NULL, PQgetvalue(expired, 0, 0));
    PQclear(expired);
    return rc;
}
