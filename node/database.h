#pragma once
/*
 * database - a query thread's connection: statements that run for a tenant, or before one is known.
 *
 * In:    a libpq URL; statements with parameters as text.
 * Out:   rows, or the SQLSTATE of what PostgreSQL refused.
 * Owner: one query thread; blocking, at most DATABASE_WAIT_MS a statement.
 * Holds: 1. Every statement runs in a transaction that first set app.tenant_id (row-level security
 *           shows that tenant alone) or took the role gito_ingest; both end with it.
 *        2. Nothing is ever run twice: a lost connection is opened again for the next transaction,
 *           and what was under way is ERR_UNAVAILABLE, its outcome unknown.
 *        3. While the database is away a call costs no time: attempts to connect are spaced. Where
 *           it does not answer at all, an attempt takes seconds: of what can be done without, they
 *           are rare.
 *        4. Where the scope has a user, nothing runs unless he and his tenant are active and he has
 *           one of its roles: a token outlives its user, and the role that it was made for. It
 *           costs no round trip.
 *        5. Of a borrower nothing is left when it is given back: no role and no transaction.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include "sql/ask.h"
#include <libpq-fe.h>
#include <stdbool.h>

#define DATABASE_WAIT_MS 12000 /* longer than statement_timeout, 10 s */
#define DATABASE_PARAMETERS_MAX 16
/* SQLSTATE of a statement that was not run because its scope's user is not active, or has none of
 * its roles. */
#define DATABASE_USER_GONE "28000"

struct database;

/* For whom a transaction runs. */
struct database_scope {
    const struct uuid *tenant; /* NULL: as gito_ingest, for look-ups before a tenant is known */
    const struct uuid *user;   /* of a token; NULL: nobody is asked for */
    const char *roles;         /* with a user: an array of text, as SQL reads it */
    bool partitioned;          /* many partitions: planning once is cheaper than planning better */
    bool binary; /* rows of database_once() come as the functions of sql/db.h read them */
};

/* After a failure it is tried again so much later. */
#define DATABASE_SPACING_MS 250
/* Does not connect yet. NULL: out of memory. */
struct database *database_new(const char *url, const char *application, int64_t spacing_ms);
void database_destroy(struct database **self_p);

/* One statement in its own transaction, in one round trip. 0 and rows to PQclear();
 * ERR_UNAVAILABLE; ERR_REFUSED with database_sqlstate(). `sql` is a constant: it is prepared once a
 * connection. */
int database_once(struct database *self, const struct database_scope *scope, const char *sql,
                  int count, const char *const *values, PGresult **ret_rows) MUST_CHECK;

/* The same for several statements. After any failure only database_rollback() is left to call. */
int database_begin(struct database *self, const struct database_scope *scope) MUST_CHECK;
int database_run(struct database *self, const char *sql, int count, const char *const *values,
                 PGresult **ret_rows) MUST_CHECK;
int database_commit(struct database *self) MUST_CHECK;
void database_rollback(struct database *self);

/* The connection for functions of sql/ that open their own transactions, as gito_ingest. 0 or
 * ERR_UNAVAILABLE. It is to be given back, whatever became of it, before anything else runs. */
int database_lend(struct database *self, struct ask *ret_ask) MUST_CHECK;
void database_take_back(struct database *self, const struct ask *ask);

/* Of the last ERR_REFUSED: five characters; the name of a constraint or "". */
const char *database_sqlstate(const struct database *self);
const char *database_constraint(const struct database *self);
/* Of the last failure, for the log: holds no values. */
const char *database_reason(const struct database *self);

static inline void rows_cleanup(PGresult **rows_p)
{
    PQclear(*rows_p);
}
