#pragma once
/*
 * mesh_inside - what the files of the mesh thread share: mesh.c (the thread, views, frames of this
 * node, time) and mesh_inbound.c (envelopes of other nodes).
 */
#include "node/mesh_door.h"
#include "node/mesh_peer.h"

/* Messages, and frames, taken in one turn before what they made is sent. */
#define MESH_TURN_FRAMES 256

struct mesh {
    struct mesh_self self;
    struct mesh_door door;
    const struct mesh_loop *loop;
    unsigned shards, edges;
    zsock_t *inbox, *views, *control, *shard[LIMIT_SHARDS], *edge[LIMIT_EDGES];
    struct mesh_peer **peers;
    unsigned count;
    zmq_pollitem_t *polls; /* the fixed ones, then connections that are not open */
    int64_t now_us, tick_at_us, tell_strangers_at_us;
    int64_t flush_until_us; /* MESH_FLUSH is answered then; 0: it is not asked */
    int64_t kept;           /* bytes in links, as the metric knows */
};

/* The peer whose key that is; NULL: none. */
struct mesh_peer *mesh_peer_of_key(const struct mesh *mesh, const char *key);
/* Takes what other nodes have sent. */
void mesh_take_messages(struct mesh *mesh);
