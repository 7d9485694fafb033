#pragma once
/*
 * query - a thread that answers what edges ask of the database.
 *
 * In:    mailbox "query-{index}": struct request, owned by this thread until it is answered.
 * Out:   the same request to mailbox "edge-reply-{ref.edge}".
 * Owner: its connections (one for all, one more for reads that may lag), its cache of passwords.
 * Holds: every request is answered; while the database is away with 503 and Retry-After.
 */
#include "node/config.h"
#include <czmq.h>

struct query_args {
    const struct config *config;
    unsigned index;
    int64_t incarnation;
};

/* A zactor; `args` is a heap struct query_args, which the thread frees. */
void query_actor(zsock_t *pipe, void *args);
