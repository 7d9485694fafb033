#include "sql/membership.h"
#include "sql/view_edit.h"
#include <stdlib.h>
#include <string.h>

static int64_t int_at(const PGresult *rows, int row, int column)
{
    return strtoll(PQgetvalue(rows, row, column), NULL, 10);
}

static uint16_t number_at(const PGresult *rows, int row, int column)
{
    return PQgetisnull(rows, row, column) ? PLACEMENT_NOBODY : (uint16_t)int_at(rows, row, column);
}

static enum member_state state_of(const char *text)
{
    static const char *const names[MEMBER_STATES] = {
        [MEMBER_JOINING] = "joining", [MEMBER_ACTIVE] = "active", [MEMBER_DRAINING] = "draining",
        [MEMBER_DEAD] = "dead",       [MEMBER_LEFT] = "left",     [MEMBER_CONDEMNED] = "condemned"};
    for (int state = 0; state < MEMBER_STATES; state++)
        if (strcmp(text, names[state]) == 0)
            return (enum member_state)state;
    return MEMBER_DEAD;
}

static int read_version(struct ask *db, int64_t *ret_version)
{
    PGresult *row = ask_rows(db, "SELECT version FROM cluster_version", 0, NULL);
    if (row == NULL)
        return ask_error(db);
    *ret_version = int_at(row, 0, 0);
    PQclear(row);
    return 0;
}

static int read_regions(struct ask *db, struct view_rows *view)
{
    PGresult *rows = ask_rows(db, "SELECT region FROM cluster_regions ORDER BY number", 0, NULL);
    if (rows == NULL)
        return ask_error(db);
    size_t count = (size_t)PQntuples(rows);
    view->regions = calloc(count + 1, sizeof *view->regions);
    for (size_t i = 0; i < count && view->regions != NULL; i++)
        snprintf(view->regions[i].name, sizeof view->regions[i].name, "%s",
                 PQgetvalue(rows, (int)i, 0));
    PQclear(rows);
    view->regions_count = count;
    return view->regions != NULL ? 0 : ERR_MEMORY;
}

static bool take_node(struct view_node *node, const PGresult *rows, int row)
{
    *node = (struct view_node){.number = number_at(rows, row, 0),
                               .region = number_at(rows, row, 1),
                               .incarnation = int_at(rows, row, 3),
                               .state = state_of(PQgetvalue(rows, row, 4)),
                               .lease_left_ms = int_at(rows, row, 5),
                               .weight = (uint32_t)int_at(rows, row, 8),
                               .edges = (uint32_t)int_at(rows, row, 9),
                               .shards = (uint32_t)int_at(rows, row, 10),
                               .mesh_version = (uint32_t)int_at(rows, row, 11),
                               .endpoints = strdup(PQgetvalue(rows, row, 6))};
    snprintf(node->node_id, sizeof node->node_id, "%s", PQgetvalue(rows, row, 2));
    snprintf(node->mesh_key, sizeof node->mesh_key, "%s", PQgetvalue(rows, row, 7));
    return node->endpoints != NULL;
}

static int read_nodes(struct ask *db, struct view_rows *view)
{
    PGresult *rows =
        ask_rows(db,
                 "SELECT n.number, r.number, node_id, incarnation, state,"
                 " (extract(epoch FROM lease_until - clock_timestamp()) * 1000)::bigint, endpoints,"
                 " mesh_key, weight, edges, shards, mesh_version "
                 "FROM cluster_nodes n JOIN cluster_regions r USING (region) "
                 "WHERE n.number IS NOT NULL AND (state NOT IN ('dead', 'left')"
                 " OR left_at > clock_timestamp() - interval '1 minute'"
                 " OR EXISTS (SELECT FROM cluster_slots WHERE owner = node_id)) ORDER BY n.number",
                 0, NULL);
    if (rows == NULL)
        return ask_error(db);
    int rc = 0;
    size_t count = (size_t)PQntuples(rows);
    view->nodes = calloc(count + 1, sizeof *view->nodes);
    if (view->nodes == NULL)
        rc = ERR_MEMORY;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        view->nodes_count = i + 1;
        if (!take_node(&view->nodes[i], rows, (int)i))
            rc = ERR_MEMORY;
    }
    PQclear(rows);
    return rc;
}

static int read_slots(struct ask *db, int64_t since, struct view_rows *view)
{
    struct digits from = digits(since);
    PGresult *rows = ask_rows(db,
                              "SELECT r.number, s.slot, o.number, t.number, s.epoch "
                              "FROM cluster_slots s JOIN cluster_regions r USING (region) "
                              "LEFT JOIN cluster_nodes o ON o.node_id = s.owner "
                              "LEFT JOIN cluster_live t ON t.node_id = s.target "
                              "WHERE s.changed > $1 ORDER BY r.number, s.slot",
                              1, (const char *[]){from.s});
    if (rows == NULL)
        return ask_error(db);
    size_t count = (size_t)PQntuples(rows);
    view->slots = calloc(count + 1, sizeof *view->slots);
    for (size_t i = 0; i < count && view->slots != NULL; i++) {
        int row = (int)i;
        view->slots[i] = (struct view_slot){.region = number_at(rows, row, 0),
                                            .slot = number_at(rows, row, 1),
                                            .owner = number_at(rows, row, 2),
                                            .target = number_at(rows, row, 3),
                                            .epoch = (uint64_t)int_at(rows, row, 4)};
    }
    PQclear(rows);
    view->slots_count = count;
    return view->slots != NULL ? 0 : ERR_MEMORY;
}

/* A version that went back (a standby that lagged was promoted): all is read anew. */
static int read_all(struct ask *db, int64_t since, struct view_rows *view)
{
    int rc = ask_do(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL);
    if (rc == 0)
        rc = read_version(db, &view->version);
    if (rc == 0)
        rc = read_regions(db, view);
    if (rc == 0)
        rc = read_nodes(db, view);
    if (rc == 0)
        rc = read_slots(db, since > view->version ? 0 : since, view);
    return rc == 0 ? ask_do(db, "COMMIT", 0, NULL) : rc;
}

int membership_view_read(struct ask *db, int64_t since, struct view_rows *ret_view)
{
    struct view_rows view = {0};
    int rc = read_version(db, &view.version);
    if (rc == 0 && view.version != since) {
        rc = read_all(db, since, &view);
        if (rc != 0) {
            membership_view_free(&view);
            rc = view_edit_undo(db, rc);
        }
    }
    if (rc == 0)
        *ret_view = view;
    return rc;
}

void membership_view_free(struct view_rows *view)
{
    for (size_t i = 0; i < view->nodes_count; i++)
        free(view->nodes[i].endpoints);
    free(view->nodes);
    free(view->slots);
    free(view->regions);
    *view = (struct view_rows){0};
}
