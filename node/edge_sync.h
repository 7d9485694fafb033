#pragma once
/*
 * edge_sync - what a client is told of its subscription once those who have to know of it do.
 *
 * In:    a subscription, whose interest was just said to the owner of its device, or to all.
 * Out:   whether the client's bytes are to be held meanwhile.
 * Owner: the connection, in its edge thread.
 *
 * Behind the interest each of those shards is sent MSG_SYNC, and until all have answered the client
 * gets nothing: whoever publishes at another node after the SUBACK (or subscription_confirmed, or
 * pong) finds the watcher known there. A shard that does not answer is not waited for longer than
 * EDGE_SYNC_US: it is dying, or far behind, and will be told again.
 */
#include "proto/msg.h"
#include <stdbool.h>

#define EDGE_SYNC_US 1000000

struct edge;
struct edge_sync {
    int64_t until_us;
    uint32_t left; /* answers to come */
    uint16_t name; /* of these questions: late answers to others do not count */
};

/* `ref` is the connection's; `device` nil: any of the tenant. */
void edge_sync_begin(struct edge_sync *self, struct edge *edge, const struct msg_ref *ref,
                     const struct uuid *tenant, const struct uuid *device);
/* MSG_SYNCED. */
void edge_sync_take(struct edge *edge, const struct msg_sync *answered);
/* An answer came. True: it was the last one. */
bool edge_sync_answered(struct edge_sync *self, const struct msg_ref *ref);
/* True: it was waited for long enough, and waits no more. */
bool edge_sync_expire(struct edge_sync *self, int64_t now_us);
