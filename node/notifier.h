#pragma once
/*
 * notifier - a thread that carries the alerts of the outbox to a mail server.
 *
 * In:    rows of the outbox, that any node's writer committed together with their alerts.
 * Out:   one mail an alert, by SMTP, to all active users of its tenant.
 * Owner: itself of one PGconn and one curl handle.
 */
#include "node/config.h"
#include <czmq.h>
#include <stdint.h>

struct notifier_args {
    const struct config *config;
    int64_t incarnation; /* of this node, for the fence */
};

/* A zactor: frees its heap `args`, signals the pipe when started, ends on $TERM. */
void notifier_actor(zsock_t *pipe, void *args);
