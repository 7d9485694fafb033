#pragma once
/*
 * store_statement - the statements of a batch: their SQL, their parameters from the batch's lists,
 * their answers into it. No connection here; store_run.c sends, store.c decides.
 */
#include "proto/batch.h"
#include "sql/pgarray.h"
#include <libpq-fe.h>

/* In the order of execution; ROWS or ROWS_AGAIN. */
enum statement {
    STATEMENT_BEGIN,
    STATEMENT_FENCE,
    STATEMENT_ROWS,
    STATEMENT_ROWS_AGAIN, /* what is there already stays as it is */
    STATEMENT_HOURS,
    STATEMENT_REBUILDS,
    STATEMENT_ALERTS,
    STATEMENT_TOUCHES,
    STATEMENT_REJECTS,
    STATEMENT_RETAINS,
    STATEMENT_UNRETAINS,
    STATEMENT_CHECKS,
    STATEMENT_LOADS,
    STATEMENT_RULES,
    STATEMENT_COMMIT,
    STATEMENT_ROLLBACK,
    STATEMENT_SAVEPOINT,
    STATEMENT_RELEASE,
    STATEMENT_ROLLBACK_TO,
    STATEMENTS
};

/* One execution: the statement over elements [from, from + count) of its list. */
struct step {
    enum statement statement;
    uint32_t from, count;
};

/* What the parameters are made from. */
struct job {
    struct batch *batch;
    const char *node_id;
    int64_t incarnation;
    struct uuid reject_base; /* ids of telemetry_rejected: the same in every attempt */
};

struct statement_def {
    const char *name, *sql;
    /* Length of its list; NULL: it has none and always runs. */
    uint32_t (*count)(const struct batch *batch);
    void (*encode)(struct pgarray *params, const struct job *job, struct step step);
    /* NULL: nothing to learn from the result. False: the result is not as it must be. */
    bool (*answer)(const PGresult *result, struct batch *batch, struct step step);
};

extern const struct statement_def *const statement_defs[STATEMENTS];

/* store_write.c */
extern const struct statement_def store_rows, store_rows_again, store_hours, store_rebuilds,
    store_touches, store_rejects;
/* store_retain.c */
extern const struct statement_def store_retains, store_unretains;
/* store_ask.c */
extern const struct statement_def store_alerts, store_checks, store_loads, store_rules;

/* An element of the batch's texts. */
static inline void store_put_text(struct pgarray *params, const struct batch *batch,
                                  struct text text)
{
    pgarray_put_text(params, batch_text_of(batch, text), text.len);
}
/* Empty: NULL. */
static inline void store_put_jsonb(struct pgarray *params, const struct batch *batch,
                                   struct text text)
{
    if (text.len == 0)
        pgarray_put_null(params);
    else
        pgarray_put_jsonb(params, batch_text_of(batch, text), text.len);
}
