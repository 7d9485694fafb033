#pragma once
/*
 * ask - one statement and its answer, within a deadline.
 *
 * Owner: the thread that owns the connection.
 * Holds: past ASK_DEADLINE_MS the connection is cut: a server that is stopped, or a network that
 *        swallows, looks like any lost connection to the caller.
 */
#include "proto/err.h"
#include <libpq-fe.h>
#include <stddef.h>

#define ASK_DEADLINE_MS 5000

struct ask {
    PGconn *conn;
    char reason[256]; /* of the last failure: one line */
    char state[6];    /* SQLSTATE of the last statement; "": it went well, or none was told */
};

/* Parameters as text (NULL: NULL), rows as text. NULL on failure, with `reason` set. Without
 * parameters `sql` may be several statements, one way there and back: the rows are the last's. */
PGresult *ask_rows(struct ask *self, const char *sql, int count,
                   const char *const *values) MUST_CHECK;
/* For statements whose rows nobody reads. 0; ERR_REFUSED: the server refused this one;
 * ERR_UNAVAILABLE: the connection is lost. */
int ask_do(struct ask *self, const char *sql, int count, const char *const *values) MUST_CHECK;
/* What a failure of ask_rows was: ERR_REFUSED or ERR_UNAVAILABLE. */
int ask_error(const struct ask *self);
