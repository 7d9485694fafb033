#pragma once
/*
 * control_view - the cluster as this node knows it, and how its threads are told of it.
 *
 * In:    rows that changed (sql/membership).
 * Out:   MSG_NODE and MSG_SLOT to every edge and shard, in this order; the mesh's list of peers.
 * Owner: the control thread.
 */
#include "cluster/moves.h"
#include "cluster/slots.h"
#include "node/news.h"
#include "proto/frame.h"
#include "sql/membership.h"
#include <czmq.h>

struct config;

/* A thread of this node that takes frames. */
struct outlet {
    zsock_t *to;
    struct frame frame;
};

struct control_view {
    const struct config *config;
    uint16_t number; /* this node's */
    int64_t version;
    struct outlet edges[LIMIT_EDGES], shards[LIMIT_SHARDS];
    zsock_t *mesh;
    struct view_node *nodes[LIMIT_NODES]; /* by number; NULL: never heard of */
    struct slots slots;
    moves_t *moves;
    struct news news;
    bool any_ended; /* a node, by the newest view */
};

void control_view_open(struct control_view *self, const struct config *config, uint16_t number);
void control_view_close(struct control_view *self);
/* Takes the rows over: what they name is the view's then. True: slots of an owner that does not
 * live are this node's now; or a node has ended, which may have given it slots that it sent nothing
 * of any more. */
bool control_view_take(struct control_view *self, struct view_rows *rows);
/* That node lives: joining, active, draining or condemned. */
bool control_view_lives(const struct control_view *self, uint16_t number);
/* The state of this node; MEMBER_ACTIVE before anything was read. */
enum member_state control_view_own_state(const struct control_view *self);
/* For one shard, for the one of a slot, for all; sent by control_view_flush(). */
void control_view_tell_shard(struct control_view *self, unsigned shard, enum msg_kind kind,
                             const void *fixed, size_t len);
void control_view_tell_edges(struct control_view *self, enum msg_kind kind, const void *fixed,
                             size_t len);
/* There is another node that is active. */
bool control_view_has_others(const struct control_view *self);
/* This node's MQTT clients are to go to another node that is active, of its region if there is one;
 * or (not `on`) to stay. */
void control_view_tell_elsewhere(struct control_view *self, bool on);
void control_view_flush(struct control_view *self);
