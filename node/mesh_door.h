#pragma once
/*
 * mesh_door - where other nodes come in: a ROUTER with CURVE, and the ZAP handler that knows whom
 * to let in by their keys.
 *
 * In:    connections of peers, and of strangers.
 * Out:   peers' messages, each with the key of who sent it.
 * Owner: the mesh thread. Its ZeroMQ context is its own: a context has one ZAP handler.
 * Holds: nothing is ever sent on the ROUTER: it drops what it cannot route.
 */
#include "node/mesh.h"
#include "proto/err.h"

struct mesh_door {
    void *context, *router, *zap;
    unsigned refused; /* strangers, since that was told last */
};

/* 0, or ERR_UNAVAILABLE with the reason in errno. */
int mesh_door_open(struct mesh_door *door, const struct mesh_args *args, bool ipv6) MUST_CHECK;
/* The sockets; the context ends with them, so peers' sockets are to be closed before. */
void mesh_door_close(struct mesh_door *door);

/* Answers all that wait at the door: `is_peer` says whether a key is one of `context`'s peers. */
void mesh_door_answer(struct mesh_door *door,
                      bool is_peer(const void *context, const char key[MESH_KEY_SIZE]),
                      const void *context);
/* The next message without waiting, to be closed by the caller; false: none. */
bool mesh_door_take(struct mesh_door *door, zmq_msg_t *ret_message);
/* The key of who sent it. */
const char *mesh_door_key(zmq_msg_t *message);
