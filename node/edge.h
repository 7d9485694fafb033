#pragma once
/*
 * edge - the thread that owns sockets: MQTT over TCP, TLS and WebSocket, HTTP, live WebSocket.
 *
 * In:    sockets; mailbox "edge-<index>" (frames of shards), "edge-reply-<index>" (answered
 *        requests of query threads).
 * Out:   sockets; mailboxes "shard-N" and "mesh-0" (frames), "query-K" (requests).
 * Owner: one libev loop, one libwebsockets context in it, all connections and their sessions.
 * Bound: LIMIT_EDGE_ITEMS and LIMIT_EDGE_BYTES given to the shards and not answered: past them
 *        connections that publish are not read (P5). LIMIT_REQUESTS_IN_FLIGHT requests.
 *
 * A turn: read what is ready, take what was answered, then write each connection once and send
 * each shard one frame. No timer on the way.
 */
#include <czmq.h>
#include <stdint.h>

struct config;

struct edge_args {
    const struct config *config;
    unsigned index;
    int64_t incarnation; /* of this node, and its number */
    uint16_t number;
};

/* A zactor; frees `args`. $TERM: it reads no more, answers what is in flight (EDGE_LAST_WORDS_MS at
 * most), tells its clients that it goes away and closes. */
void edge_actor(zsock_t *pipe, void *args);

/* How many edges could not listen (it has been logged): after zactor_new(), 0 is to be seen. */
unsigned edge_failures(void);

#define EDGE_LAST_WORDS_MS 3000
