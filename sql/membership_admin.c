#include "proto/check.h"
#include "sql/membership.h"
#include "sql/view_edit.h"
#include "sql/view_plan.h"
#include <stdlib.h>

static int write_audit(struct ask *db, const struct membership_audit *audit, const char *action,
                       const char *node_id)
{
    if (audit == NULL)
        return 0;
    return ask_do(
        db,
        "INSERT INTO audit_logs (tenant_id, user_id, action, resource_type, resource_id,"
        " ip_address) VALUES ($1::uuid, $2::uuid, $3, CASE WHEN $4::text IS NULL THEN "
        "'ring' ELSE 'node' END, $4, $5)",
        5, (const char *[]){audit->tenant_id, audit->user_id, action, node_id, audit->ip_address});
}

int membership_rebalance(struct ask *db, placement_fn *plan, const struct membership_audit *audit,
                         size_t *ret_moves)
{
    struct view_edit edit;
    size_t changes = 0;
    int rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = view_plan_apply(&edit, plan, VIEW_PLAN_HOLD_DOWN_EVER, 0, &changes);
    if (rc == 0)
        rc = write_audit(db, audit, "cluster.rebalance", NULL);
    if (rc == 0)
        rc = view_edit_finish(&edit, changes > 0);
    if (rc != 0)
        return view_edit_undo(db, rc);
    *ret_moves = changes;
    return 0;
}

/* 0 when the statement changed the row of a living node. */
static int change_node(struct ask *db, const char *sql, const char *node_id, const char *refusal)
{
    long rows = view_edit_rows(db, sql, 1, &node_id);
    if (rows != 0)
        return rows < 0 ? (int)rows : 0;
    rows = view_edit_rows(db, "SELECT FROM cluster_live WHERE node_id = $1", 1, &node_id);
    if (rows < 0)
        return (int)rows;
    if (rows == 0) {
        (void)view_edit_refuse(db, "no node %s lives", node_id);
        return ERR_NOT_FOUND;
    }
    return view_edit_refuse(db, "node %s %s", node_id, refusal);
}

/* What `sql` and `refusal` say of the node; `at_home`: its slots that move are not to move. */
struct order {
    const char *action, *sql, *refusal;
    bool at_home;
};

static int stay_at_home(const struct view_edit *edit, const char *node_id)
{
    struct digits version = digits(edit->version);
    return ask_do(edit->db,
                  "UPDATE cluster_slots SET target = NULL, state = 'owned', changed = $2 "
                  "WHERE owner = $1 AND target IS NOT NULL",
                  2, (const char *[]){node_id, version.s});
}

static int order_node(struct ask *db, const char *node_id, placement_fn *plan,
                      const struct membership_audit *audit, const struct order *order)
{
    struct view_edit edit;
    size_t changes = 0;
    int rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = change_node(db, order->sql, node_id, order->refusal);
    if (rc == 0 && order->at_home)
        rc = stay_at_home(&edit, node_id);
    if (rc == 0 && plan != NULL)
        rc = view_plan_apply(&edit, plan, VIEW_PLAN_HOLD_DOWN_EVER, 0, &changes);
    if (rc == 0)
        rc = write_audit(db, audit, order->action, node_id);
    if (rc == 0)
        rc = view_edit_finish(&edit, true);
    return rc == 0 ? 0 : view_edit_undo(db, rc);
}

int membership_drain(struct ask *db, const char *node_id, placement_fn *plan,
                     const struct membership_audit *audit)
{
    static const struct order drain = {
        .action = "cluster.node.drain",
        .sql = "UPDATE cluster_nodes SET state = 'draining' WHERE node_id = $1 "
               "AND number IS NOT NULL AND state IN ('active', 'draining')",
        .refusal = "is condemned"};
    return order_node(db, node_id, plan, audit, &drain);
}

int membership_cancel_drain(struct ask *db, const char *node_id, placement_fn *plan,
                            const struct membership_audit *audit)
{
    static const struct order cancel = {
        .action = "cluster.node.cancel-drain",
        .sql = "UPDATE cluster_nodes SET state = 'active' WHERE node_id = $1 "
               "AND number IS NOT NULL AND state = 'draining'",
        .refusal = "is not draining",
        .at_home = true};
    return order_node(db, node_id, plan, audit, &cancel);
}

int membership_evict(struct ask *db, const char *node_id, const struct membership_audit *audit)
{
    static const struct order evict = {
        .action = "cluster.node.evict",
        .sql = "UPDATE cluster_nodes SET state = 'condemned', lease_until = clock_timestamp() "
               "WHERE node_id = $1 AND node_id IN (SELECT node_id FROM cluster_live) "
               "AND EXISTS (SELECT FROM cluster_live WHERE node_id <> $1"
               " AND state IN ('active', 'draining'))",
        .refusal = "is the last one"};
    return order_node(db, node_id, NULL, audit, &evict);
}

int membership_dry_run(struct ask *db, placement_fn *plan, struct slot_move **ret_moves,
                       size_t *ret_count)
{
    struct view_plan made;
    struct view_plan_change change;
    struct slot_move *moves = NULL;
    size_t count = 0;
    int rc = ask_do(db, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", 0, NULL);
    if (rc == 0)
        rc = view_plan_make(&made, db, plan, VIEW_PLAN_HOLD_DOWN_EVER, 0);
    if (rc != 0)
        return view_edit_undo(db, rc);
    moves = calloc(made.placement.slots_count + 1, sizeof *moves);
    for (size_t i = 0; i < made.placement.slots_count && moves != NULL; i++) {
        const struct placement_slot *slot = &made.slots[i];
        if (view_plan_change(&made, i, &change) && slot->wanted != PLACEMENT_NOBODY &&
            slot->wanted != slot->owner)
            moves[count++] =
                (struct slot_move){slot->region, slot->slot, slot->owner, slot->wanted};
    }
    view_plan_free(&made);
    rc = moves != NULL ? ask_do(db, "COMMIT", 0, NULL) : ERR_MEMORY;
    if (rc != 0) {
        free(moves);
        return view_edit_undo(db, rc);
    }
    *ret_moves = moves;
    *ret_count = count;
    return 0;
}
