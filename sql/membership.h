#pragma once
/*
 * membership - the nodes of the cluster, their leases, and which of them owns which slots.
 *
 * In:    a connection of the control thread (or an operator's), as gito_ingest, with gito_app
 *        behind it: who may end sessions of its own role. No transaction is open.
 * Out:   rows of cluster_nodes and cluster_slots; NOTIFY gito_view with each change of the view,
 *        never for a renewal. No transaction is left open.
 * Bound: LIMIT_NODES, LIMIT_REGIONS, LIMIT_SLOTS a region.
 * Holds: 1. A change of the view holds the row of cluster_version from its begin to its commit:
 *           changes are one after the other, and `changed` of a slot is the version that made it.
 *        2. A node of the same name always supersedes its former incarnation, at once.
 *        3. A row changes its incarnation or ends only under FOR UPDATE: it then waits for every
 *           transaction that took the fence, and every later one is refused.
 *        4. Whoever changes the membership asks the planner in the same transaction: a slot without
 *           a living owner gets a new one (epoch + 1), one that is to be elsewhere a target. Only
 *           membership_hand_over takes a slot from an owner that lives.
 *
 * All functions return 0 or an error: ERR_REFUSED with `db->reason` (also when another holds a lock
 * for a second: to be tried again), ERR_UNAVAILABLE (the connection is lost), ERR_MEMORY, and
 * ERR_FENCED where the caller is no member, or may not act as one, any more.
 */
#include "proto/limits.h"
#include "proto/placement.h"
#include "sql/ask.h"
#include <stdbool.h>
#include <stdint.h>

struct member {
    const char *node_id, *region, *version;
    const char *endpoints; /* JSON object: address, mqtt, mqtts, http, mesh */
    const char *mesh_key;  /* CURVE public key, Z85, 40 characters; NULL: none */
    const char *regions;   /* all, in order of failover, comma separated; NULL or "": its own */
    int64_t ttl_ms;        /* of the lease */
    int64_t hold_down_ms;  /* a region without a living node waits this long for one */
    uint32_t weight;       /* share of slots relative to others; 100 is the usual one, 0: none */
    uint32_t edges, shards, mesh_version;
};

/*
 * Coming, staying, going.
 */

/* Makes this process the next incarnation of its node. What it owned it owns still (epoch + 1).
 * Buries nobody: whoever has not yet renewed for a TTL cannot tell a death from an outage. Refused:
 * a mesh version more than one from a living member's, no number or no region left. */
int membership_register(struct ask *db, const struct member *self, placement_fn *plan,
                        int64_t *ret_incarnation, uint16_t *ret_number) MUST_CHECK;
/* ERR_FENCED: superseded, condemned, dead or left. */
int membership_renew(struct ask *db, const struct member *self, int64_t incarnation) MUST_CHECK;
/* State 'left'. What it still owns gets new owners at once, also in other regions; with nobody
 * there it stays, for whoever comes next. */
int membership_leave(struct ask *db, const struct member *self, int64_t incarnation,
                     placement_fn *plan) MUST_CHECK;

/*
 * Reading.
 */

enum member_state {
    MEMBER_JOINING,
    MEMBER_ACTIVE,
    MEMBER_DRAINING,
    MEMBER_CONDEMNED, /* its renewals are refused; buried when its lease has run out */
    MEMBER_DEAD,
    MEMBER_LEFT,
    MEMBER_STATES
};

struct view_node {
    char node_id[64];
    char *endpoints; /* JSON text */
    char mesh_key[44];
    int64_t incarnation, lease_left_ms; /* negative: has run out */
    uint32_t weight, edges, shards, mesh_version;
    uint16_t number, region; /* region number */
    enum member_state state;
};
struct view_slot {
    uint64_t epoch;
    uint16_t region, slot;
    uint16_t owner, target; /* numbers of nodes in `nodes`, or PLACEMENT_NOBODY */
};
struct view_region {
    char name[64]; /* its number is its index */
};
struct view_rows {
    int64_t version;         /* equal to `since`: nothing changed, and nothing else is here */
    struct view_node *nodes; /* all that live, those that still own slots, who ended just now */
    struct view_slot *slots; /* changed after `since`, by region and slot */
    struct view_region *regions;
    size_t nodes_count, slots_count, regions_count;
};

/* One snapshot. `since` 0: all. To be freed. */
int membership_view_read(struct ask *db, int64_t since, struct view_rows *ret_view) MUST_CHECK;
/* Idempotent. */
void membership_view_free(struct view_rows *view);
/* Milliseconds until membership_bury may find something to do: the lease of another node runs out,
 * or the hold-down of a region whose slots have no living owner is over. Zero or less: now.
 * INT64_MAX: nothing in sight. (Renewals move it later, and are told to nobody: ask again then.) */
int membership_expiry_ms(struct ask *db, const struct member *self, int64_t *ret_ms) MUST_CHECK;

/*
 * Death. Only for a caller that has itself renewed for a whole TTL since its last failure.
 */

/* Declares nodes dead whose lease has run out, and gives slots without a living owner new ones, if
 * need be in other regions when their hold-down is over. Publishes only if something changed. */
int membership_bury(struct ask *db, const struct member *self, int64_t incarnation,
                    placement_fn *plan, size_t *ret_buried) MUST_CHECK;
/* A vote counts for 10 s. With those of more than half of the other active and draining nodes the
 * suspect is condemned. Another incarnation than the one that lives is nobody: not condemned. */
int membership_vote(struct ask *db, const struct member *self, int64_t incarnation,
                    uint16_t suspect_number, int64_t suspect_incarnation,
                    bool *ret_condemned) MUST_CHECK;

/*
 * Moving slots, by their owner. `slots` are of the region of this number; `ret_epochs` has `count`
 * places: the new epoch, or 0 where the row has changed meanwhile and nothing was done.
 */

/* Owner = target, for those that this node owns and that still move to that node, which must be
 * active, with its lease. */
int membership_hand_over(struct ask *db, const char *node_id, int64_t incarnation, uint16_t region,
                         const uint16_t *slots, size_t count, uint16_t target_number,
                         uint64_t *ret_epochs) MUST_CHECK;
/* A hand-off to `target_number` is given up: the slots that this node owns get the next epoch. The
 * target goes only where it is still that one; a newer one stays. */
int membership_keep(struct ask *db, const char *node_id, int64_t incarnation, uint16_t region,
                    const uint16_t *slots, size_t count, uint16_t target_number,
                    uint64_t *ret_epochs) MUST_CHECK;

/*
 * Operators' orders.
 */

/* Who asked: a row of audit_logs in the same transaction. NULL instead: the node itself, no row. */
struct membership_audit {
    const char *tenant_id; /* the operator's */
    const char *user_id, *ip_address;
};

/* `*ret_moves`: slots that got another owner or target by this. */
int membership_rebalance(struct ask *db, placement_fn *plan, const struct membership_audit *audit,
                         size_t *ret_moves) MUST_CHECK;
/* The node gives all its slots away. Again for a draining one: what lost its target gets a new one.
 * ERR_NOT_FOUND: no such living node; ERR_REFUSED: it is condemned. */
int membership_drain(struct ask *db, const char *node_id, placement_fn *plan,
                     const struct membership_audit *audit) MUST_CHECK;
/* ERR_REFUSED: it is not draining. */
int membership_cancel_drain(struct ask *db, const char *node_id, placement_fn *plan,
                            const struct membership_audit *audit) MUST_CHECK;
/* Condemned, and its lease is over: the next membership_bury takes its slots. ERR_REFUSED for the
 * last active or draining node. */
int membership_evict(struct ask *db, const char *node_id,
                     const struct membership_audit *audit) MUST_CHECK;

struct slot_move {
    uint16_t region, slot;
    uint16_t from, to; /* numbers of nodes; from PLACEMENT_NOBODY: nobody that lives */
};
/* What membership_rebalance would do now. `*ret_moves` is to be freed; NULL when there is none. */
int membership_dry_run(struct ask *db, placement_fn *plan, struct slot_move **ret_moves,
                       size_t *ret_count) MUST_CHECK;
