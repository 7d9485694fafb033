#pragma once
/*
 * mesh_way - one connection to a peer's mesh: a DEALER, made anew where ZeroMQ gave it up.
 *
 * In:    messages; the time.
 * Out:   the messages, in order; what was on its way when the connection broke is lost.
 * Owner: one mesh_peer.
 * Bound: none of its own; while it is not open it takes nothing.
 * Holds: a peer that refuses a key (it has not read the view yet) makes libzmq 4.3.4 give the
 *        DEALER up without a word. So one that stays closed for its patience is made anew.
 */
#include "node/mesh.h"

/* This node, as its peers are to see it. */
struct mesh_self {
    void *context; /* of ZeroMQ, for what leaves the process */
    uint16_t number, life;
    bool ipv6;
    char public_key[MESH_KEY_SIZE], secret_key[MESH_KEY_SIZE];
};

struct mesh_way {
    const struct mesh_self *self;
    const struct mesh_member *peer;
    void *socket;
    bool open; /* connected and let in, as far as is known */
    int64_t patience_us, renew_at_us;
};

void mesh_way_init(struct mesh_way *way, const struct mesh_self *self,
                   const struct mesh_member *peer, int64_t now_us);
void mesh_way_close(struct mesh_way *way);
/* Takes the message over. False: not open, and it is gone. */
bool mesh_way_send(struct mesh_way *way, zmq_msg_t *message, int64_t now_us);
/* Looks whether it is open. True: it has just become so. */
bool mesh_way_tick(struct mesh_way *way, int64_t now_us);

/* An option of a ZeroMQ socket; a value it does not take is our own bug. */
void mesh_set(void *socket, int option, int value);
