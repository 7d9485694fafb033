#pragma once
/*
 * view_plan - where slots are, where the planner wants them, and the difference as rows.
 *
 * In:    cluster_live, cluster_slots, cluster_failover; the planner.
 * Out:   rows of cluster_slots.
 * Owner: one transaction's: made, applied or looked at, and freed within it.
 * Holds: 1. A slot whose owner lives keeps it: it gets a target at most. One without a living
 *           owner gets the wanted one at once, or stays as it is while nobody may hold it.
 *        2. Slots of a condemned node are left alone until it is dead.
 */
#include "proto/limits.h"
#include "proto/placement.h"
#include "sql/view_edit.h"

/* Time alone makes no region fail over. */
#define VIEW_PLAN_HOLD_DOWN_EVER (INT64_C(100) * 365 * 86400 * 1000)

struct view_plan {
    PGresult *names; /* of the nodes, who point into it */
    struct placement_node nodes[LIMIT_NODES];
    bool condemned[LIMIT_NODES];     /* by number */
    uint16_t region_of[LIMIT_NODES]; /* by number */
    struct placement_slot *slots;
    bool *moving; /* the row has a target, be it one that lives or not */
    struct placement placement;
};

struct view_plan_change {
    uint16_t region, slot;
    uint16_t owner;  /* who gets it, or NOBODY: the owner stays */
    uint16_t target; /* or NOBODY */
};

/* Besides those in `failed_over` the regions fail over whose hold-down is over, and those of whose
 * slots another region's node has some already. */
int view_plan_make(struct view_plan *self, struct ask *db, placement_fn *plan, int64_t hold_down_ms,
                   uint32_t failed_over) MUST_CHECK;
void view_plan_free(struct view_plan *self);
/* True: slot number `i` of the placement is to be changed. */
bool view_plan_change(const struct view_plan *self, size_t i, struct view_plan_change *ret_change);
/* Makes, applies, frees. */
int view_plan_apply(const struct view_edit *edit, placement_fn *plan, int64_t hold_down_ms,
                    uint32_t failed_over, size_t *ret_changes) MUST_CHECK;
