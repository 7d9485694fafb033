#pragma once
/*
 * writer - the thread with one ingest connection: executes batches in the order they come.
 *
 * In:    mailbox "writer-<index>": batches, by mailbox_give.
 * Out:   mailbox "done-<batch->shard>": the same batches with their answers, by mailbox_give.
 * Owner: its store. A batch belongs to the writer from the inbox to the answer.
 * Bound: LIMIT_BATCHES_IN_FLIGHT batches a shard wait in its inbox.
 * Holds: a batch comes back committed (error 0), with ERR_FENCED, or, told to end while the
 *        database is away, with ERR_UNAVAILABLE.
 */
#include <czmq.h>
#include <stdint.h>

struct config;

struct writer_args {
    const struct config *config;
    unsigned index;
    int64_t incarnation;
};

/* A zactor; `args` is a heap struct writer_args, which the thread frees. Its shards' mailboxes
 * "done-N" exist before it (N < config->shards). $TERM ends it after the batch in hand. */
void writer_actor(zsock_t *pipe, void *args);
