#pragma once
/*
 * membership - this node's row of cluster_nodes, and the slots that it holds.
 *
 * In:    a connection of the control thread, as gito_ingest (gito_app behind it: who may end
 *        sessions of its own role).
 * Out:   the node's incarnation; NOTIFY gito_view with each change of the view.
 * Holds: 1. A node of the same name always supersedes its former incarnation, at once.
 *        2. A row changes its incarnation or dies only under FOR UPDATE: it then waits for every
 *           transaction that took the fence, and every later one is refused.
 *        3. A node of another name is superseded when its lease has run out, not before: the
 *           slots of a region have one owner.
 */
#include "sql/ask.h"
#include <stdint.h>

struct member {
    const char *node_id, *region, *version;
    const char *endpoints; /* JSON object */
    int64_t ttl_ms;        /* of the lease */
};

/* Makes the node the active owner of its region's slots. 0; ERR_REFUSED or ERR_UNAVAILABLE: not
 * yet, with `db->reason`; to be tried again. */
int membership_register(struct ask *db, const struct member *self,
                        int64_t *ret_incarnation) MUST_CHECK;
/* 0; ERR_FENCED: no member any more; ERR_REFUSED or ERR_UNAVAILABLE: could not ask. */
int membership_renew(struct ask *db, const struct member *self, int64_t incarnation) MUST_CHECK;
/* State 'left': the slots are for whoever comes next. Errors as membership_renew. */
int membership_leave(struct ask *db, const struct member *self, int64_t incarnation) MUST_CHECK;
