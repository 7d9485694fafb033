#pragma once
/*
 * shard_thread - carries messages in and out of one shard (actors/shard), which decides.
 *
 * In:    mailbox "shard-<index>": frames of edges, control and the mesh; "done-<index>": batches,
 *        committed.
 * Out:   mailboxes "edge-N", "mesh-0", "control-released-0", "redis-0" (droppable), "writer-K".
 * Owner: its shard and the batches that are not at the writer.
 * Bound: none of its own: edges have credit for what can be in here.
 */
#include <czmq.h>
#include <stdint.h>

struct config;
struct mesh_loop;

struct shard_args {
    const struct config *config;
    unsigned index;
    int64_t incarnation; /* of this node, and its number */
    uint16_t number;
    struct mesh_loop *loop; /* where the thread says that it turns */
};

/* A zactor; frees `args`. SHARD_DRAIN by its pipe, once the edges have ended, lets it finish what
 * is in flight, for SHARD_LAST_WORDS_MS at most; it answers with a signal. From then on the writers
 * are given nothing more: they end next, and last the shards. $TERM ends it at once. */
void shard_actor(zsock_t *pipe, void *args);

#define SHARD_DRAIN "DRAIN"
#define SHARD_LAST_WORDS_MS 5000
