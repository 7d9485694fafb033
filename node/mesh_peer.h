#pragma once
/*
 * mesh_peer - one other node's incarnation: the link and the probe, and two connections to it.
 *
 * In:    frames for it; its envelopes; the time.
 * Out:   envelopes to it; whether it is suspected.
 * Owner: the mesh thread.
 * Bound: its link's.
 * Holds: what must keep its order (DATA, TAIL) has a connection of its own. Questions, their
 *        answers and acknowledgements have another: where frames wait for a slow way the peer
 *        still answers in time, and is not taken for dead.
 */
#include "cluster/link.h"
#include "cluster/probe.h"
#include "node/mesh_way.h"

struct mesh_peer {
    const struct mesh_self *self;
    struct mesh_member member;
    uint16_t life;
    struct link link;
    struct probe probe;
    struct mesh_way ordered, quick;
    uint8_t version;      /* that it is spoken to in */
    bool version_told;    /* the log knows that it speaks another */
    bool refusal_told;    /* or that it refuses ours */
    int64_t refuse_at_us; /* the next refusal not before */
};

struct mesh_peer *mesh_peer_new(const struct mesh_self *self, const struct mesh_member *member,
                                int64_t now_us);
void mesh_peer_destroy(struct mesh_peer **self_p);
/* Sends all that its link has for now. */
void mesh_peer_flush(struct mesh_peer *peer, int64_t now_us);
/* Looks after its connections, and asks it when that is due: to be called every 100 ms or so. */
enum probe_news mesh_peer_tick(struct mesh_peer *peer, int64_t now_us);
/* An envelope outside of numbering; lost when there is no connection. */
void mesh_peer_say(struct mesh_peer *peer, const struct envelope *envelope, int64_t now_us);
/* Tells it, at most once a second, which versions are spoken here. */
void mesh_peer_refuse_version(struct mesh_peer *peer, int64_t now_us);
/* When mesh_peer_flush has something to do though nothing happens. (Not mesh_peer_tick: who waits
 * for what only the next tick does would not wait at all.) */
int64_t mesh_peer_next_us(const struct mesh_peer *peer);
