#pragma once
/*
 * changes - the feed of devices that actors must read anew (rules, existence), and of devices and
 * service accounts whose credentials are not what they were.
 *
 * In:    table changes, which triggers fill, whoever writes: REST or plain SQL.
 * Out:   what the rows that were not told yet are about.
 * Owner: the control thread.
 * Bound: CHANGES_SEEN_MAX ids are remembered; past it rows are told again, which does no harm.
 * Holds: 1. A pass reads from the xmin that the former pass saw first. Every transaction below it
 *           had ended then, so one that commits late, with a low id, is read all the same.
 *        2. A pass that fails has told some rows; the next tells them again.
 *        3. Only rows below that xmin are pruned: none that this reader has yet to see.
 */
#include "proto/uuid.h"
#include "sql/ask.h"

#define CHANGES_SEEN_MAX 65536
#define CHANGES_PAGE 1000

struct changes {
    uint64_t xmin; /* 0: not started */
    int64_t *seen; /* ids told already with a transaction from xmin on, ascending */
    size_t seen_count;
};

struct change {
    struct uuid tenant, holder; /* a device; of credentials perhaps a service account */
    bool credentials;           /* about them, and nothing else */
    int64_t mark;               /* what lets the holder in now (008_credentials.sql); 0: nothing */
};

typedef void changes_tell(void *arg, const struct change *change);

void changes_init(struct changes *self);
void changes_free(struct changes *self);
/* Begins with what happens from now on, unless it had begun. 0, or as ask_do. */
int changes_start(struct changes *self, struct ask *db) MUST_CHECK;
/* One pass; 0, or as ask_do. */
int changes_read(struct changes *self, struct ask *db, changes_tell *tell, void *arg) MUST_CHECK;
/* Deletes rows older than an hour. */
int changes_prune(const struct changes *self, struct ask *db) MUST_CHECK;
