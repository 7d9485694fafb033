#pragma once
/*
 * mesh - carries frames between this node's threads and those of other nodes.
 *
 * In:    mailbox "mesh-0": struct mesh_head (proto/mesh.h), then a frame's bytes; "mesh-view-0":
 *        struct mesh_view, the newest counts; envelopes of other nodes, by TCP with CURVE.
 * Out:   mailboxes "shard-N", "edge-N": frames; "control-0": struct mesh_report; envelopes.
 * Owner: its sockets, and a link (cluster/link) and probe (cluster/probe) for each peer.
 * Bound: LIMIT_LINK_BYTES a peer, past which live events are counted and gone; twice as much, past
 *        which messages for subscribers are.
 * Holds: 1. Frames from this incarnation to another arrive once and in the order in which the mesh
 *           took them, while both live. One for an incarnation that is not in the view is dropped.
 *        2. Control gives the mesh a view before it tells anybody else: a frame for a node that
 *           the mesh does not know makes it read its views first.
 *        3. Whom the view does not name by its key does not get in; who is let in speaks for the
 *           node and incarnation that the view has for that key, and for no other.
 *        4. A ping is answered only while every shard's loop turns.
 */
#include "proto/limits.h"
#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

/* Bytes of a CURVE key as text (Z85), with its end. */
#define MESH_KEY_SIZE 41

/* When each shard's loop turned last (clock_boot_us): each shard writes its own. */
struct mesh_loop {
    _Atomic int64_t turned_us[LIMIT_SHARDS];
};
/* A shard that has not turned for so long hangs. */
#define MESH_LOOP_US 1000000

struct mesh_args {
    const struct config *config;
    int64_t incarnation;
    uint16_t number;              /* of this node */
    unsigned index;               /* 0 in a node. Tests run several in a process: see mesh_actor */
    const struct mesh_loop *loop; /* NULL: pings are always answered */
    char public_key[MESH_KEY_SIZE], secret_key[MESH_KEY_SIZE];
};

/* By its pipe, once nothing is given to it any more: it answers with a signal when the others have
 * all that it was given, or after this. */
#define MESH_FLUSH "FLUSH"
#define MESH_FLUSH_MS 2000

/* A zactor; frees `args`. $TERM ends it at once. With `index` i its mailboxes are mesh-i,
 * mesh-view-i and control-i, and its threads shard-N and edge-N from N = i * LIMIT_SHARDS and
 * i * LIMIT_EDGES on. */
void mesh_actor(zsock_t *pipe, void *args);
/* Mesh threads that could not listen; each has logged why. Valid once mesh_actor has begun. */
unsigned mesh_failures(void);

/* A pair of keys for one incarnation. */
void mesh_keypair(const struct config *config, char ret_public[MESH_KEY_SIZE],
                  char ret_secret[MESH_KEY_SIZE]);

struct mesh_member {
    uint16_t number;
    int64_t incarnation; /* with its endpoint and key: one that left never comes back */
    char endpoint[288];  /* tcp://host:port */
    char public_key[MESH_KEY_SIZE];
    char name[64];        /* for the log */
    unsigned msg_version; /* the newest of proto/msg.h that it reads; 0: as here */
};

/* All nodes to speak with; this one may be among them. Made by mesh_view_new, given away by
 * mailbox_give to mailbox "mesh-view-0", freed by the mesh. */
struct mesh_view {
    unsigned count;
    struct mesh_member members[];
};
struct mesh_view *mesh_view_new(unsigned count);

/* To mailbox "control-0": a peer has stopped to answer (suspected), or answers again. */
struct mesh_report {
    uint16_t number;
    uint16_t life; /* low 16 bits of its incarnation */
    bool suspected;
    int64_t silent_ms;
};
