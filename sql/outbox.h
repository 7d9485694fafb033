#pragma once
/*
 * outbox - the rows that wait to leave the platform, as whoever sends them takes and ends them.
 *
 * In:    a connection as gito_ingest.
 * Out:   claimed rows; what became of them.
 * Bound: OUTBOX_RECIPIENTS_MAX recipients a message.
 * Holds: 1. Every change is a transaction that took the fence first.
 *        2. A row is claimed by one session at a time, for OUTBOX_CLAIM_S; whoever died with claims
 *           loses them by that. So a row is sent at least once, not at most once: a mail that was
 *           accepted, whose sender died before outbox_sent, is sent again.
 *        3. Every function may be called again when its outcome is unknown.
 *
 * Errors of all: ERR_UNAVAILABLE or ERR_REFUSED, with `db->reason`; a transaction may be left open,
 * the connection is to be closed.
 */
#include "sql/ask.h"
#include <stdbool.h>
#include <stdint.h>

#define OUTBOX_CLAIM_S 60
#define OUTBOX_RECIPIENTS_MAX 500
#define OUTBOX_DAYS_MAX 3
#define OUTBOX_SWEEP_MAX 1000

struct outbox {
    struct ask *db;
    const char *node_id;
    const char *session; /* node/incarnation */
    int64_t incarnation;
};

/* Claims up to `limit` rows that are due, oldest first. Their number, or an error. */
int outbox_claim(const struct outbox *self, int limit, int64_t *ret_ids) MUST_CHECK;

/* An alert to be sent; its texts live until outbox_alert_free. */
struct outbox_alert {
    const char *event_id, *device_id, *device_name, *metric, *value, *condition;
    int64_t fired_at_us; /* Unix time */
    int attempts;        /* that failed */
    int recipients_count;
    bool recipients_cut; /* there are more than OUTBOX_RECIPIENTS_MAX */
    const char *recipients[OUTBOX_RECIPIENTS_MAX];
    PGresult *rows[2];
};

/* As things are now; of a mail that some have, the others. 0; ERR_NOT_FOUND: the row is gone, or no
 * longer ours. */
int outbox_read(const struct outbox *self, int64_t id, struct outbox_alert *ret_alert) MUST_CHECK;
void outbox_alert_free(struct outbox_alert *self);

/* Accepted: the row goes, its alert is notified, whoever holds the claim by now. */
int outbox_sent(const struct outbox *self, int64_t id) MUST_CHECK;
/* Accepted, but not yet for these (a text[], as SQL has it): its alert is notified, and the row
 * waits for them alone, as after outbox_failed. */
int outbox_partly(const struct outbox *self, int64_t id, const char *recipients,
                  const char *reason) MUST_CHECK;
/* Nobody to send it to: the row goes, its alert is not notified. */
int outbox_unwanted(const struct outbox *self, int64_t id) MUST_CHECK;
/* Tried again after 5 s, doubled with each attempt up to 15 min, each a fifth more or less. */
int outbox_failed(const struct outbox *self, int64_t id, const char *reason) MUST_CHECK;
/* Removes what has waited for OUTBOX_DAYS_MAX: row `id`, or with 0 any that nobody else has claimed
 * (OUTBOX_SWEEP_MAX at a time). The number of rows, or an error. */
int outbox_give_up(const struct outbox *self, int64_t id) MUST_CHECK;
/* What this session has claimed is anybody's again, at once. */
int outbox_release(const struct outbox *self) MUST_CHECK;
/* This session sends what is due: to be said once a connection. 0 or an error. */
int outbox_sends(const struct outbox *self) MUST_CHECK;
/* Removes what is due, unsent (OUTBOX_SWEEP_MAX at a time), where nobody in the cluster sends and
 * nobody has tried to: a node that knows a mail server may be among others that do not yet. The
 * number of rows, or an error. */
int outbox_skip(const struct outbox *self) MUST_CHECK;
