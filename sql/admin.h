#pragma once
/*
 * admin - statements of the commands that run once as gito_admin and end: migrate, seed, provision.
 *
 * In:    DATABASE_ADMIN_URL.
 * Out:   rows, or one sentence that says what could not be done.
 * Owner: the one thread of such a command; blocking, never part of a serving node.
 * Holds: once something has failed, what follows does nothing and fails too, so that a caller
 *        may test at the end; the first reason is kept.
 */
#include "proto/err.h"
#include <libpq-fe.h>
#include <stddef.h>

struct admin {
    PGconn *conn;
    char *reason;
    size_t reason_size;
    int error; /* of the first failure */
};

/* Connects, with reasons written to `ret_reason`. 0 or ERR_UNAVAILABLE. */
int admin_open(struct admin *self, const char *url, char *ret_reason,
               size_t reason_size) MUST_CHECK;
/* Without COMMIT nothing of an open transaction stays. */
void admin_close(struct admin *self);

/* Statements without parameters, several allowed. 0 or ERR_REFUSED; `what` begins the reason:
 * "could not WHAT: …". */
int admin_run(struct admin *self, const char *what, const char *sql);
/* One statement with `count` parameters as text (NULL: NULL). The caller clears the result;
 * NULL when it failed. */
PGresult *admin_query(struct admin *self, const char *what, const char *sql, int count,
                      const char *const *values) MUST_CHECK;
/* The same for a statement whose rows nobody reads. */
int admin_do(struct admin *self, const char *what, const char *sql, int count,
             const char *const *values);
/* Says that this failed, for a reason of the caller's own. Returns `error`. */
int admin_fail(struct admin *self, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
