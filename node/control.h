#pragma once
/*
 * control - this node as a member of its cluster: registration, view, moves of slots, others'
 * deaths, changes feed, upkeep. (Its lease: lease_thread.h.)
 *
 * In:    NOTIFY gito_view and gito_changes, table changes, the clock; mailboxes "control-0" (what
 * the mesh says of peers), "control-released-0" (slots that shards have released). Out:   mailboxes
 * "shard-N", "edge-N": MSG_NODE, MSG_SLOT, MSG_HOME, MSG_CHANGED, MSG_WAKE, MSG_REVOKED;
 * "mesh-view-0"; rows of the cluster's tables. Owner: one PGconn of its own. Bound: a page of rows,
 * and a frame of LIMIT_FRAME_ITEMS a shard, at a time. Holds: 1. While the database is away
 * everything here waits and tries again; nothing ends.
 *        2. A view in which this incarnation is no member ends the process (exit status 4).
 *        3. LISTEN comes before the first read, and each second is polled: a lost NOTIFY costs a
 *           second, never a change.
 *
 * Retention: who may drop a partition is its owner alone, so it is a SECURITY DEFINER function
 * (partitions_drop_oldest) that a node calls each hour, one partition a turn.
 */
#include "proto/err.h"
#include <czmq.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

/* Before the other threads start: migrates when DATABASE_ADMIN_URL is set, checks the schema's
 * version, makes this process the next incarnation of its node. While the database is away it
 * waits, with a log line each 5 s, until `*stop` is not 0. 0; ERR_UNAVAILABLE: stopped; or a
 * negative error with the line to print in `ret_reason`. */
int control_register(const struct config *config, const char *mesh_key,
                     const volatile sig_atomic_t *stop, int64_t *ret_incarnation,
                     uint16_t *ret_number, char *ret_reason, size_t reason_size) MUST_CHECK;

struct control_args {
    const struct config *config;
    int64_t incarnation;
    uint16_t number; /* of this node */
    const char *mesh_key;
};

/* By its pipe: give all slots away, then signal. */
#define CONTROL_DRAIN "DRAIN"

/* A zactor; frees `args`. At $TERM the node's state is 'left', so it ends after all that writes.
 * The shards' mailboxes must be open. */
void control_actor(zsock_t *pipe, void *args);
