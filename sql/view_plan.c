#include "sql/view_plan.h"
#include "proto/buf.h"
#include "proto/check.h"
#include <stdlib.h>
#include <string.h>

#define ARRAY_BYTES_MAX (1024 * 1024)

static uint16_t number_at(const PGresult *rows, int row, int column)
{
    if (PQgetisnull(rows, row, column))
        return PLACEMENT_NOBODY;
    return (uint16_t)strtoul(PQgetvalue(rows, row, column), NULL, 10);
}

static int load_nodes(struct view_plan *self, struct ask *db)
{
    self->names = ask_rows(db,
                           "SELECT n.number, r.number, n.weight, n.state, n.node_id "
                           "FROM cluster_live n JOIN cluster_regions r USING (region) "
                           "ORDER BY n.number",
                           0, NULL);
    if (self->names == NULL)
        return ask_error(db);
    int count = PQntuples(self->names);
    for (int row = 0; row < count; row++) {
        const char *state = PQgetvalue(self->names, row, 3);
        struct placement_node *node = &self->nodes[row];
        *node = (struct placement_node){
            .number = number_at(self->names, row, 0),
            .region = number_at(self->names, row, 1),
            .weight = (uint32_t)strtoul(PQgetvalue(self->names, row, 2), NULL, 10),
            .name = PQgetvalue(self->names, row, 4),
            .may_hold = strcmp(state, "active") == 0};
        self->condemned[node->number] = strcmp(state, "condemned") == 0;
        self->region_of[node->number] = node->region;
    }
    self->placement.nodes = self->nodes;
    self->placement.nodes_count = (size_t)count;
    return 0;
}

static int load_failed_over(struct view_plan *self, struct ask *db, int64_t hold_down_ms)
{
    struct digits hold_down = digits(hold_down_ms);
    PGresult *rows = ask_rows(db,
                              "SELECT number FROM cluster_failover($1 * interval '1 ms') "
                              "WHERE due_at <= clock_timestamp()",
                              1, (const char *[]){hold_down.s});
    if (rows == NULL)
        return ask_error(db);
    for (int row = 0; row < PQntuples(rows); row++)
        self->placement.failed_over |= 1u << number_at(rows, row, 0);
    PQclear(rows);
    return 0;
}

/* A region that is away already is not waited for again when the node that took it in ends. */
static void see_failed_over(struct view_plan *self, const struct placement_slot *slot)
{
    if (slot->owner != PLACEMENT_NOBODY && self->region_of[slot->owner] != slot->region)
        self->placement.failed_over |= 1u << slot->region;
}

static int load_slots(struct view_plan *self, struct ask *db)
{
    PGresult *rows = ask_rows(db,
                              "SELECT r.number, s.slot, o.number, t.number, s.target IS NOT NULL "
                              "FROM cluster_slots s JOIN cluster_regions r USING (region) "
                              "LEFT JOIN cluster_live o ON o.node_id = s.owner "
                              "LEFT JOIN cluster_live t ON t.node_id = s.target "
                              "ORDER BY r.number, s.slot",
                              0, NULL);
    if (rows == NULL)
        return ask_error(db);
    size_t count = (size_t)PQntuples(rows);
    self->slots = calloc(count + 1, sizeof *self->slots);
    self->moving = calloc(count + 1, sizeof *self->moving);
    for (size_t i = 0; i < count && self->slots != NULL && self->moving != NULL; i++) {
        int row = (int)i;
        self->slots[i] = (struct placement_slot){.region = number_at(rows, row, 0),
                                                 .slot = number_at(rows, row, 1),
                                                 .owner = number_at(rows, row, 2),
                                                 .target = number_at(rows, row, 3),
                                                 .wanted = PLACEMENT_NOBODY};
        self->moving[i] = PQgetvalue(rows, row, 4)[0] == 't';
        see_failed_over(self, &self->slots[i]);
    }
    PQclear(rows);
    self->placement.slots = self->slots;
    self->placement.slots_count = count;
    return self->slots != NULL && self->moving != NULL ? 0 : ERR_MEMORY;
}

int view_plan_make(struct view_plan *self, struct ask *db, placement_fn *plan, int64_t hold_down_ms,
                   uint32_t failed_over)
{
    *self = (struct view_plan){.placement.failed_over = failed_over};
    int rc = load_nodes(self, db);
    if (rc == 0)
        rc = load_failed_over(self, db, hold_down_ms);
    if (rc == 0)
        rc = load_slots(self, db);
    if (rc == 0)
        rc = plan(&self->placement);
    if (rc != 0)
        view_plan_free(self);
    return rc;
}

void view_plan_free(struct view_plan *self)
{
    PQclear(self->names);
    free(self->slots);
    free(self->moving);
    *self = (struct view_plan){0};
}

bool view_plan_change(const struct view_plan *self, size_t i, struct view_plan_change *ret_change)
{
    const struct placement_slot *slot = &self->slots[i];
    struct view_plan_change change = {.region = slot->region,
                                      .slot = slot->slot,
                                      .owner = PLACEMENT_NOBODY,
                                      .target = PLACEMENT_NOBODY};
    if (slot->owner == PLACEMENT_NOBODY)
        change.owner = slot->wanted;
    else if (self->condemned[slot->owner])
        return false;
    else if (slot->wanted != slot->owner)
        change.target = slot->wanted;
    *ret_change = change;
    return change.owner != PLACEMENT_NOBODY || change.target != slot->target ||
           (self->moving[i] && change.target == PLACEMENT_NOBODY);
}

struct columns {
    struct buf at[4]; /* region, slot, owner, target, as array literals */
};

static void columns_put(struct columns *self, const struct view_plan_change *change)
{
    const int values[] = {change->region, change->slot,
                          change->owner == PLACEMENT_NOBODY ? -1 : change->owner,
                          change->target == PLACEMENT_NOBODY ? -1 : change->target};
    for (size_t i = 0; i < 4; i++)
        buf_printf(&self->at[i], "%c%d", self->at[i].len == 0 ? '{' : ',', values[i]);
}

/* Of no node is the number -1. */
static int write_changes(const struct view_edit *edit, struct columns *columns)
{
    struct digits version = digits(edit->version);
    const char *values[5] = {[4] = version.s};
    for (size_t i = 0; i < 4; i++) {
        buf_put(&columns->at[i], "}", sizeof "}");
        if (buf_failed(&columns->at[i]))
            return ERR_MEMORY;
        values[i] = (const char *)columns->at[i].data;
    }
    return ask_do(edit->db,
                  "UPDATE cluster_slots s SET owner = COALESCE(o.node_id, s.owner),"
                  " target = t.node_id,"
                  " state = CASE WHEN t.node_id IS NULL THEN 'owned' ELSE 'moving' END,"
                  " epoch = s.epoch + (o.node_id IS NOT NULL)::int, changed = $5 "
                  "FROM unnest($1::int[], $2::int[], $3::int[], $4::int[])"
                  " AS p (region, slot, owner, target) "
                  "JOIN cluster_regions r ON r.number = p.region "
                  "LEFT JOIN cluster_nodes o ON o.number = p.owner "
                  "LEFT JOIN cluster_nodes t ON t.number = p.target "
                  "WHERE s.region = r.region AND s.slot = p.slot",
                  5, values);
}

int view_plan_apply(const struct view_edit *edit, placement_fn *plan, int64_t hold_down_ms,
                    uint32_t failed_over, size_t *ret_changes)
{
    struct view_plan made;
    struct columns columns;
    struct view_plan_change change;
    size_t changes = 0;
    int rc = view_plan_make(&made, edit->db, plan, hold_down_ms, failed_over);
    if (rc != 0)
        return rc;
    for (size_t i = 0; i < 4; i++)
        buf_init(&columns.at[i], ARRAY_BYTES_MAX);
    for (size_t i = 0; i < made.placement.slots_count; i++)
        if (view_plan_change(&made, i, &change)) {
            columns_put(&columns, &change);
            changes++;
        }
    if (changes > 0)
        rc = write_changes(edit, &columns);
    for (size_t i = 0; i < 4; i++)
        buf_free(&columns.at[i]);
    view_plan_free(&made);
    if (rc == 0)
        *ret_changes = changes;
    return rc;
}
