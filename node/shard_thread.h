#pragma once
/*
 * shard_thread - carries messages in and out of one shard (actors/shard), which decides.
 *
 * In:    mailbox "shard-<index>": frames of edges and control; "done-<index>": batches, committed.
 * Out:   mailboxes "edge-N", "redis-0" (droppable), "writer-K".
 * Owner: its shard and the batches that are not at the writer.
 * Bound: none of its own: edges have credit for what can be in here.
 */
#include <czmq.h>
#include <stdint.h>

struct config;

struct shard_args {
    const struct config *config;
    unsigned index;
};

/* A zactor; frees `args`. $TERM lets it finish what is in flight, for SHARD_LAST_WORDS_MS at most.
 */
void shard_actor(zsock_t *pipe, void *args);

#define SHARD_LAST_WORDS_MS 5000
