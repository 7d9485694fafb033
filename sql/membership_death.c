#include "sql/membership.h"
#include "sql/view_edit.h"
#include "sql/view_plan.h"
#include <stdlib.h>
#include <string.h>

#define VOTE_COUNTS "interval '10 s'"

int membership_expiry_ms(struct ask *db, const struct member *self, int64_t *ret_ms)
{
    struct digits hold_down = digits(self->hold_down_ms);
    PGresult *row = ask_rows(
        db,
        "SELECT (extract(epoch FROM LEAST("
        " (SELECT min(lease_until) FROM cluster_live WHERE node_id <> $1),"
        " (SELECT min(GREATEST(due_at, clock_timestamp()))"
        "  FROM cluster_failover($2 * interval '1 ms') f WHERE due_at < 'infinity'"
        "  AND EXISTS (SELECT FROM cluster_live WHERE state = 'active' AND weight > 0)"
        "  AND (EXISTS (SELECT FROM cluster_slots s WHERE s.owner IS NULL AND s.region = f.region)"
        "   OR EXISTS (SELECT FROM cluster_nodes n JOIN cluster_slots s ON s.owner = n.node_id"
        "    WHERE n.state IN ('dead', 'left') AND s.region = f.region)))"
        ") - clock_timestamp()) * 1000)::bigint",
        2, (const char *[]){self->node_id, hold_down.s});
    if (row == NULL)
        return ask_error(db);
    *ret_ms = PQgetisnull(row, 0, 0) ? INT64_MAX : strtoll(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return 0;
}

/* The second statement sees a lease as the lock's last holder left it. now() is the same in both,
 * and with the view locked a lease only grows: what the second buries, the first has locked. */
static long bury_expired(struct ask *db, const struct member *self)
{
    int rc = ask_do(db,
                    "SELECT FROM cluster_nodes WHERE number IS NOT NULL AND node_id <> $1 "
                    "AND state NOT IN ('dead', 'left') AND lease_until < now() "
                    "ORDER BY node_id FOR UPDATE",
                    1, &self->node_id);
    if (rc != 0)
        return rc;
    return view_edit_rows(db,
                          "UPDATE cluster_nodes SET state = 'dead', left_at = clock_timestamp() "
                          "WHERE number IS NOT NULL AND node_id <> $1 "
                          "AND state NOT IN ('dead', 'left') AND lease_until < now()",
                          1, &self->node_id);
}

int membership_bury(struct ask *db, const struct member *self, int64_t incarnation,
                    placement_fn *plan, size_t *ret_buried)
{
    struct view_edit edit;
    long buried = 0;
    size_t changes = 0;
    /* Whose own lease has run out ends nobody's sessions; in the transaction it counts again. */
    int rc = view_edit_own_row(db, self->node_id, incarnation, true);
    if (rc == 0)
        rc = view_edit_end_expired(db, self->node_id);
    if (rc != 0)
        return rc;
    rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = view_edit_own_row(db, self->node_id, incarnation, true);
    if (rc == 0) {
        buried = bury_expired(db, self);
        rc = buried < 0 ? (int)buried : 0;
    }
    if (rc == 0)
        rc = view_plan_apply(&edit, plan, self->hold_down_ms, 0, &changes);
    if (rc == 0)
        rc = view_edit_finish(&edit, buried > 0 || changes > 0);
    if (rc != 0)
        return view_edit_undo(db, rc);
    *ret_buried = (size_t)buried;
    return 0;
}

struct suspect {
    char node_id[64];
    bool lives, condemned;
};

static int find_suspect(struct ask *db, uint16_t number, int64_t incarnation,
                        struct suspect *ret_suspect)
{
    struct digits numbers[] = {digits(number), digits(incarnation)};
    PGresult *row = ask_rows(db,
                             "SELECT node_id, state = 'condemned' FROM cluster_live "
                             "WHERE number = $1 AND incarnation = $2",
                             2, (const char *[]){numbers[0].s, numbers[1].s});
    if (row == NULL)
        return ask_error(db);
    *ret_suspect = (struct suspect){.lives = PQntuples(row) == 1};
    if (ret_suspect->lives) {
        snprintf(ret_suspect->node_id, sizeof ret_suspect->node_id, "%s", PQgetvalue(row, 0, 0));
        ret_suspect->condemned = PQgetvalue(row, 0, 1)[0] == 't';
    }
    PQclear(row);
    return 0;
}

static int cast_vote(struct ask *db, const char *voter, int64_t voter_incarnation,
                     const char *suspect, int64_t suspect_incarnation)
{
    struct digits own = digits(voter_incarnation), theirs = digits(suspect_incarnation);
    int rc = ask_do(
        db, "DELETE FROM cluster_suspicions WHERE voted_at < clock_timestamp() - " VOTE_COUNTS, 0,
        NULL);
    if (rc != 0)
        return rc;
    return ask_do(db,
                  "INSERT INTO cluster_suspicions (voter, voter_incarnation, suspect,"
                  " suspect_incarnation, voted_at) VALUES ($1, $2, $3, $4, clock_timestamp()) "
                  "ON CONFLICT (suspect, voter) DO UPDATE SET"
                  " voter_incarnation = EXCLUDED.voter_incarnation,"
                  " suspect_incarnation = EXCLUDED.suspect_incarnation,"
                  " voted_at = EXCLUDED.voted_at",
                  4, (const char *[]){voter, own.s, suspect, theirs.s});
}

/* 1: more than half of those that may vote have done so. They are the incarnations that live now:
 * whoever was condemned, or has started again since, is not among them. */
static long condemn_by_majority(struct ask *db, const char *suspect, int64_t incarnation)
{
    struct digits number = digits(incarnation);
    return view_edit_rows(
        db,
        "UPDATE cluster_nodes SET state = 'condemned' WHERE node_id = $1 AND 2 * "
        "(SELECT count(*) FROM cluster_live n JOIN cluster_suspicions v ON v.voter = n.node_id"
        " AND v.voter_incarnation = n.incarnation WHERE n.state IN ('active', 'draining')"
        " AND v.suspect = $1 AND v.suspect_incarnation = $2) > "
        "(SELECT count(*) FROM cluster_live WHERE node_id <> $1"
        " AND state IN ('active', 'draining'))",
        2, (const char *[]){suspect, number.s});
}

static int vote(struct ask *db, const struct member *self, int64_t incarnation,
                const struct suspect *suspect, int64_t suspect_incarnation, bool *ret_changed)
{
    if (strcmp(suspect->node_id, self->node_id) == 0)
        return view_edit_refuse(db, "nobody votes about itself");
    int rc = cast_vote(db, self->node_id, incarnation, suspect->node_id, suspect_incarnation);
    if (rc != 0)
        return rc;
    long condemned = condemn_by_majority(db, suspect->node_id, suspect_incarnation);
    *ret_changed = condemned > 0;
    return condemned < 0 ? (int)condemned : 0;
}

int membership_vote(struct ask *db, const struct member *self, int64_t incarnation,
                    uint16_t suspect_number, int64_t suspect_incarnation, bool *ret_condemned)
{
    struct view_edit edit;
    struct suspect suspect;
    bool changed = false;
    int rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = view_edit_own_row(db, self->node_id, incarnation, true);
    if (rc == 0)
        rc = find_suspect(db, suspect_number, suspect_incarnation, &suspect);
    if (rc == 0 && suspect.lives && !suspect.condemned)
        rc = vote(db, self, incarnation, &suspect, suspect_incarnation, &changed);
    if (rc == 0)
        rc = view_edit_finish(&edit, changed);
    if (rc != 0)
        return view_edit_undo(db, rc);
    *ret_condemned = suspect.condemned || changed;
    return 0;
}
