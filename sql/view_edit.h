#pragma once
/*
 * view_edit - a transaction that changes the view of the cluster.
 *
 * In:    membership_*.c, which edit rows between begin and finish.
 * Out:   the next version, with NOTIFY gito_view.
 * Holds: 1. From begin to its end it alone edits: the row of cluster_version is locked first.
 *        2. No lock is waited for longer than a second: then it is ERR_REFUSED, to be tried again.
 *        3. view_edit_undo leaves no transaction open, and keeps the reason of what failed.
 */
#include "sql/ask.h"
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct view_edit {
    struct ask *db;
    int64_t version; /* that it makes */
};

int view_edit_begin(struct view_edit *self, struct ask *db) MUST_CHECK;
/* Commits. With `changed` the view has a new version, and it is told. */
int view_edit_finish(const struct view_edit *self, bool changed) MUST_CHECK;
/* Returns `error`, or ERR_UNAVAILABLE when not even that could be undone. */
int view_edit_undo(struct ask *db, int error);

/* ERR_REFUSED, with this reason. */
int view_edit_refuse(struct ask *db, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* How many rows the statement changed or returned, or an error. */
long view_edit_rows(struct ask *db, const char *sql, int count, const char *const *values);
/* The caller is active or draining, and stays it until the end of the transaction; with `leased`
 * its lease is running too. ERR_FENCED, ERR_REFUSED. */
int view_edit_own_row(struct ask *db, const char *node_id, int64_t incarnation,
                      bool leased) MUST_CHECK;

/* Outside of a transaction. A session can hold a row that is to be locked, even in a process that
 * is stopped; so who supersedes ends the sessions first: of all incarnations of `node_id`, */
int view_edit_end_sessions(struct ask *db, const char *node_id) MUST_CHECK;
/* or of all other nodes whose lease has run out. */
int view_edit_end_expired(struct ask *db, const char *node_id) MUST_CHECK;

/* A number as a parameter. */
struct digits {
    char s[24];
};
static inline struct digits digits(int64_t value)
{
    struct digits out;
    snprintf(out.s, sizeof out.s, "%" PRId64, value);
    return out;
}
