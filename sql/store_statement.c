#include "sql/store_statement.h"

/* A transaction that changes nothing needs no fence, and so no commit record to wait for. */
static uint32_t fence_count(const struct batch *batch)
{
    return batch->rows_count + batch->rollups_count + batch->alerts_count + batch->touches_count +
           batch->rejects_count + batch->retains_count;
}

static void fence_encode(struct pgarray *params, const struct job *job, struct step step)
{
    (void)step;
    pgarray_text(params, job->node_id);
    pgarray_int8(params, job->incarnation);
}

/* COMMIT of a transaction that has failed answers ROLLBACK, and is no error. */
static bool commit_answer(const PGresult *result, struct batch *batch, struct step step)
{
    (void)batch, (void)step;
    return strcmp(PQcmdStatus((PGresult *)(uintptr_t)result), "COMMIT") == 0;
}

static const struct statement_def begin = {"begin", "BEGIN", NULL, NULL, NULL};
static const struct statement_def fence = {"fence", "SELECT fence($1::text, $2::int8)", fence_count,
                                           fence_encode, NULL};
static const struct statement_def commit = {"commit", "COMMIT", NULL, NULL, commit_answer};
static const struct statement_def rollback = {"rollback", "ROLLBACK", NULL, NULL, NULL};
static const struct statement_def savepoint = {"savepoint", "SAVEPOINT part", NULL, NULL, NULL};
static const struct statement_def release = {"release", "RELEASE part", NULL, NULL, NULL};
static const struct statement_def rollback_to = {"rollback_to", "ROLLBACK TO part", NULL, NULL,
                                                 NULL};

const struct statement_def *const statement_defs[STATEMENTS] = {
    [STATEMENT_BEGIN] = &begin,
    [STATEMENT_FENCE] = &fence,
    [STATEMENT_ROWS] = &store_rows,
    [STATEMENT_ROWS_AGAIN] = &store_rows_again,
    [STATEMENT_HOURS] = &store_hours,
    [STATEMENT_REBUILDS] = &store_rebuilds,
    [STATEMENT_ALERTS] = &store_alerts,
    [STATEMENT_TOUCHES] = &store_touches,
    [STATEMENT_REJECTS] = &store_rejects,
    [STATEMENT_RETAINS] = &store_retains,
    [STATEMENT_UNRETAINS] = &store_unretains,
    [STATEMENT_CHECKS] = &store_checks,
    [STATEMENT_LOADS] = &store_loads,
    [STATEMENT_RULES] = &store_rules,
    [STATEMENT_COMMIT] = &commit,
    [STATEMENT_ROLLBACK] = &rollback,
    [STATEMENT_SAVEPOINT] = &savepoint,
    [STATEMENT_RELEASE] = &release,
    [STATEMENT_ROLLBACK_TO] = &rollback_to,
};
