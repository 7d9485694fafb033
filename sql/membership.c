#include "sql/membership.h"
#include "sql/view_edit.h"
#include "sql/view_plan.h"
#include <stdlib.h>
#include <string.h>

/* A node whose lease ran out this long ago speaks no version of the mesh any more. */
#define MESH_VERSION_GRACE "interval '1 minute'"
/* Who ended this long ago may lose its number to a new node. */
#define NUMBER_GRACE "interval '1 hour'"

static const char *regions_of(const struct member *self)
{
    return self->regions != NULL ? self->regions : "";
}

/* Any other member of a mesh version that this one does not speak is a reason not to come. */
static int check_mesh_version(struct ask *db, const struct member *self)
{
    struct digits version = digits(self->mesh_version);
    PGresult *other =
        ask_rows(db,
                 "SELECT node_id, mesh_version FROM cluster_live WHERE node_id <> $1 "
                 "AND abs(mesh_version - $2) > 1 "
                 "AND lease_until > clock_timestamp() - " MESH_VERSION_GRACE " LIMIT 1",
                 2, (const char *[]){self->node_id, version.s});
    if (other == NULL)
        return ask_error(db);
    int rc = 0;
    if (PQntuples(other) > 0)
        rc = view_edit_refuse(db,
                              "node %s speaks version %s of the mesh, this one version %s: they "
                              "may differ by one",
                              PQgetvalue(other, 0, 0), PQgetvalue(other, 0, 1), version.s);
    PQclear(other);
    return rc;
}

#define NAMED_REGIONS                                                                              \
    "(SELECT btrim(name) AS region, min(place) AS place FROM "                                     \
    "unnest(string_to_array($1, ',') || $2::text) WITH ORDINALITY AS named (name, place) "         \
    "WHERE btrim(name) <> '' GROUP BY 1) named"

/* Those of the list that are new get the next numbers, in its order, its own region last. */
static int make_regions(const struct view_edit *edit, const struct member *self)
{
    const char *const values[] = {regions_of(self), self->region};
    struct digits most = digits(LIMIT_REGIONS), version = digits(edit->version);
    long many = view_edit_rows(edit->db,
                               "SELECT FROM " NAMED_REGIONS
                               " FULL JOIN cluster_regions USING (region) HAVING count(*) > $3",
                               3, (const char *[]){values[0], values[1], most.s});
    if (many < 0)
        return (int)many;
    if (many > 0)
        return view_edit_refuse(edit->db, "a cluster has at most %s regions", most.s);
    int rc =
        ask_do(edit->db,
               "INSERT INTO cluster_regions (number, region) "
               "SELECT (SELECT count(*) FROM cluster_regions) - 1 + row_number() OVER (ORDER BY "
               "place), region FROM " NAMED_REGIONS
               " WHERE region NOT IN (SELECT region FROM cluster_regions)",
               2, values);
    if (rc != 0)
        return rc;
    return ask_do(edit->db,
                  "INSERT INTO cluster_slots (region, slot, changed) "
                  "SELECT region, generate_series(0, 4095), $1 FROM cluster_regions r WHERE NOT "
                  "EXISTS (SELECT FROM cluster_slots s WHERE s.region = r.region)",
                  1, (const char *[]){version.s});
}

/* With no number left a new node takes the place of the one that ended first. An incarnation
 * above all that ever were: nobody mistakes it for a former owner of the number, and the fence
 * refuses whoever had this name before. */
static int take_place(struct ask *db, const struct member *self, struct digits *ret_incarnation)
{
    struct digits most = digits(LIMIT_NODES);
    PGresult *row =
        ask_rows(db,
                 "WITH gone AS (DELETE FROM cluster_nodes WHERE node_id = (SELECT node_id FROM "
                 "cluster_nodes n WHERE number IS NOT NULL AND state IN ('dead', 'left') "
                 "AND left_at < clock_timestamp() - " NUMBER_GRACE
                 " AND NOT EXISTS (SELECT FROM cluster_slots WHERE owner = n.node_id) "
                 "ORDER BY left_at LIMIT 1) "
                 "AND NOT EXISTS (SELECT FROM cluster_nodes WHERE node_id = $1) "
                 "AND (SELECT count(number) FROM cluster_nodes) >= $2 RETURNING node_id) "
                 "SELECT COALESCE(max(incarnation), 0) + 1 FROM cluster_nodes "
                 "WHERE EXISTS (SELECT FROM gone)",
                 2, (const char *[]){self->node_id, most.s});
    if (row == NULL)
        return ask_error(db);
    snprintf(ret_incarnation->s, sizeof ret_incarnation->s, "%s", PQgetvalue(row, 0, 0));
    PQclear(row);
    return 0;
}

static int upsert(struct ask *db, const struct member *self, int64_t *ret_incarnation,
                  uint16_t *ret_number)
{
    struct digits ttl = digits(self->ttl_ms), weight = digits(self->weight), first;
    struct digits edges = digits(self->edges), shards = digits(self->shards);
    struct digits mesh_version = digits(self->mesh_version), last = digits(LIMIT_NODES - 1);
    int rc = take_place(db, self, &first);
    if (rc != 0)
        return rc;
    PGresult *row = ask_rows(
        db,
        "INSERT INTO cluster_nodes AS n (node_id, incarnation, region, state, lease_until,"
        " endpoints, version, started_at, number, weight, edges, shards, mesh_key, mesh_version) "
        "VALUES ($1, $2, $3, 'active', clock_timestamp() + $4 * interval '1 ms', $5::jsonb, $6,"
        " clock_timestamp(), (SELECT min(free) FROM generate_series(0, $7::int) free"
        " WHERE free NOT IN (SELECT number FROM cluster_nodes WHERE number IS NOT NULL)),"
        " $8, $9, $10, $11, $12) "
        "ON CONFLICT (node_id) DO UPDATE SET incarnation = n.incarnation + 1,"
        " region = EXCLUDED.region, state = EXCLUDED.state, lease_until = EXCLUDED.lease_until,"
        " endpoints = EXCLUDED.endpoints, version = EXCLUDED.version,"
        " started_at = EXCLUDED.started_at, number = COALESCE(n.number, EXCLUDED.number),"
        " weight = EXCLUDED.weight, edges = EXCLUDED.edges, shards = EXCLUDED.shards,"
        " mesh_key = EXCLUDED.mesh_key, mesh_version = EXCLUDED.mesh_version, left_at = NULL "
        "RETURNING incarnation, number",
        12,
        (const char *[]){self->node_id, first.s, self->region, ttl.s, self->endpoints,
                         self->version, last.s, weight.s, edges.s, shards.s,
                         self->mesh_key != NULL ? self->mesh_key : "", mesh_version.s});
    if (row == NULL)
        return ask_error(db);
    if (PQgetisnull(row, 0, 1)) {
        rc = view_edit_refuse(db, "the cluster has %d nodes already", LIMIT_NODES);
    } else {
        *ret_incarnation = strtoll(PQgetvalue(row, 0, 0), NULL, 10);
        *ret_number = (uint16_t)strtoul(PQgetvalue(row, 0, 1), NULL, 10);
    }
    PQclear(row);
    return rc;
}

/* What was in flight at the former incarnation is to be sent again: the epoch says so. */
static int keep_own_slots(const struct view_edit *edit, const struct member *self)
{
    struct digits version = digits(edit->version);
    return ask_do(edit->db,
                  "UPDATE cluster_slots SET epoch = epoch + 1, changed = $2 WHERE owner = $1", 2,
                  (const char *[]){self->node_id, version.s});
}

static int lock_row(struct ask *db, const struct member *self)
{
    return ask_do(db, "SELECT FROM cluster_nodes WHERE node_id = $1 FOR UPDATE", 1, &self->node_id);
}

int membership_register(struct ask *db, const struct member *self, placement_fn *plan,
                        int64_t *ret_incarnation, uint16_t *ret_number)
{
    struct view_edit edit;
    int64_t incarnation = 0;
    uint16_t number = 0;
    size_t changes;
    int rc = view_edit_end_sessions(db, self->node_id);
    if (rc != 0)
        return rc;
    rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = lock_row(db, self);
    if (rc == 0)
        rc = check_mesh_version(db, self);
    if (rc == 0)
        rc = make_regions(&edit, self);
    if (rc == 0)
        rc = upsert(db, self, &incarnation, &number);
    if (rc == 0)
        rc = keep_own_slots(&edit, self);
    if (rc == 0)
        rc = view_plan_apply(&edit, plan, VIEW_PLAN_HOLD_DOWN_EVER, 0, &changes);
    if (rc == 0)
        rc = view_edit_finish(&edit, true);
    if (rc != 0)
        return view_edit_undo(db, rc);
    *ret_incarnation = incarnation;
    *ret_number = number;
    return 0;
}

int membership_renew(struct ask *db, const struct member *self, int64_t incarnation)
{
    struct digits number = digits(incarnation), ttl = digits(self->ttl_ms);
    long rows = view_edit_rows(db,
                               "UPDATE cluster_nodes "
                               "SET lease_until = clock_timestamp() + $3 * interval '1 ms' "
                               "WHERE node_id = $1 AND incarnation = $2 "
                               "AND state IN ('joining', 'active', 'draining')",
                               3, (const char *[]){self->node_id, number.s, ttl.s});
    if (rows < 0)
        return (int)rows;
    return rows == 0 ? ERR_FENCED : 0;
}

/* Regions whose slots it is to give away now, wherever to. */
static int own_regions(struct ask *db, const struct member *self, uint32_t *ret_regions)
{
    PGresult *row = ask_rows(db,
                             "SELECT COALESCE(bit_or(1 << number), 0) FROM cluster_regions r WHERE "
                             "EXISTS (SELECT FROM cluster_slots s WHERE owner = $1 AND "
                             "s.region = r.region)",
                             1, &self->node_id);
    if (row == NULL)
        return ask_error(db);
    *ret_regions = (uint32_t)strtoul(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return 0;
}

static int set_left(struct ask *db, const struct member *self, int64_t incarnation)
{
    struct digits number = digits(incarnation);
    long rows = view_edit_rows(db,
                               "UPDATE cluster_nodes SET state = 'left',"
                               " lease_until = clock_timestamp(), left_at = clock_timestamp() "
                               "WHERE node_id = $1 AND incarnation = $2 "
                               "AND state NOT IN ('dead', 'left')",
                               2, (const char *[]){self->node_id, number.s});
    if (rows < 0)
        return (int)rows;
    return rows == 0 ? ERR_FENCED : 0;
}

int membership_leave(struct ask *db, const struct member *self, int64_t incarnation,
                     placement_fn *plan)
{
    struct view_edit edit;
    uint32_t regions = 0;
    size_t changes;
    int rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = lock_row(db, self);
    if (rc == 0)
        rc = set_left(db, self, incarnation);
    if (rc == 0)
        rc = own_regions(db, self, &regions);
    if (rc == 0)
        rc = view_plan_apply(&edit, plan, VIEW_PLAN_HOLD_DOWN_EVER, regions, &changes);
    if (rc == 0)
        rc = view_edit_finish(&edit, true);
    return rc == 0 ? 0 : view_edit_undo(db, rc);
}
