#pragma once
/*
 * notifier - a thread that carries the alerts of the outbox to a mail server.
 *
 * In:    rows of the outbox, that any node's writer committed together with their alerts.
 * Out:   one mail an alert, by SMTP, to all active users of its tenant.
 * Owner: itself of one PGconn and one curl handle.
 * Bound: a claim of NOTIFIER_CLAIM_MAX rows; one message at a time.
 * Holds: 1. An alert is mailed at least once, whatever crashes: its row goes in the transaction
 * that notes notification_sent, after the mail server has accepted the message.
 *        2. Once, but for one window that SMTP cannot close: between the server's acceptance and
 *           that transaction. A process that dies in it leaves the row, and the mail is sent again,
 *           under the same Message-ID (from the alert's id), by which receiving systems drop
 *           it. A database that is away in that moment opens no window: the outcome is kept, and
 *           written before anything else. A process that is stopped (SIGSTOP) in the middle of a
 *           message for longer than its claim may see it sent by another as well.
 *        3. A mail server that is away delays: the row is tried again after 5 s, doubling to 15
 *           min, for three days; then it is removed and the log says so. Meanwhile the server is
 *           tried with one row at a time, at most every half minute.
 *        4. Without SMTP_HOST the rows are removed unsent; the log says so once.
 */
#include "node/config.h"
#include <czmq.h>
#include <stdint.h>

#define NOTIFIER_CLAIM_MAX 32

struct notifier_args {
    const struct config *config;
    int64_t incarnation; /* of this node, for the fence */
};

/* A zactor; frees its heap `args`, signals the pipe when started, ends on $TERM. */
void notifier_actor(zsock_t *pipe, void *args);
