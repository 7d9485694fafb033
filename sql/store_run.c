#include "sql/store_run.h"
#include <poll.h>
#include <stdio.h>
#include <time.h>

#define POLL_MS 100
/* What is under way gets this long without a sign from the server before a stop abandons it. */
#define STOP_GRACE_MS 1000

static enum db_failure fail(struct run *self, enum db_failure failure, const char *reason)
{
    snprintf(self->reason, sizeof self->reason, "%s", reason);
    return failure;
}

static enum db_failure fail_conn(struct run *self)
{
    db_reason(NULL, self->conn, self->reason, sizeof self->reason);
    return DB_LOST;
}

static bool told_to_stop(struct run *self)
{
    if (!self->stopped && self->config->should_stop != NULL)
        self->stopped = self->config->should_stop(self->config->context);
    return self->stopped;
}

void run_pause(struct run *self, int ms)
{
    while (ms > 0 && !told_to_stop(self)) {
        int part = ms < POLL_MS ? ms : POLL_MS;
        struct timespec wait = {.tv_nsec = part * 1000000L};
        nanosleep(&wait, NULL);
        ms -= part;
    }
}

/* Sends what waits and reads until PQgetResult would not block. */
static enum db_failure wait_for_result(struct run *self)
{
    int silent_ms = 0;
    for (;;) {
        int pending = PQflush(self->conn);
        if (pending < 0)
            return fail_conn(self);
        if (!PQisBusy(self->conn))
            return DB_OK;
        struct pollfd fd = {.fd = PQsocket(self->conn),
                            .events = (short)(POLLIN | (pending ? POLLOUT : 0))};
        if (poll(&fd, 1, POLL_MS) > 0) {
            silent_ms = 0;
            if (!PQconsumeInput(self->conn))
                return fail_conn(self);
            continue;
        }
        silent_ms += POLL_MS;
        if (told_to_stop(self) && silent_ms >= STOP_GRACE_MS)
            return fail(self, DB_LOST, "told to stop");
    }
}

/* Reads one result; `ret_result` may be NULL: the end of a statement's results. */
static enum db_failure next_result(struct run *self, PGresult **ret_result)
{
    enum db_failure failure = wait_for_result(self);
    if (failure == DB_OK)
        *ret_result = PQgetResult(self->conn);
    return failure;
}

/* One statement's result and the NULL after it. What the first failure has aborted says nothing. */
static enum db_failure read_step(struct run *self, const struct job *job, struct step step,
                                 bool failed_before)
{
    PGresult *result = NULL, *end = NULL;
    enum db_failure failure = next_result(self, &result);
    if (failure != DB_OK)
        return failure;
    const struct statement_def *def = job != NULL ? statement_defs[step.statement] : NULL;
    if (PQresultStatus(result) != PGRES_PIPELINE_ABORTED) {
        failure = db_classify(result, self->conn);
        if (failure != DB_OK)
            db_reason(result, self->conn, self->reason, sizeof self->reason);
        else if (def != NULL && def->answer != NULL && !def->answer(result, job->batch, step))
            failure = fail(self, DB_RETRY, "an answer that is none");
    } else if (!failed_before) {
        failure = fail(self, DB_RETRY, "the pipeline is aborted");
    }
    PQclear(result);
    if (failure == DB_LOST)
        return failure;
    enum db_failure at_end = next_result(self, &end);
    PQclear(end);
    return at_end == DB_OK ? failure : at_end;
}

static enum db_failure read_sync(struct run *self)
{
    PGresult *result = NULL;
    enum db_failure failure = next_result(self, &result);
    if (failure != DB_OK)
        return failure;
    bool sync = PQresultStatus(result) == PGRES_PIPELINE_SYNC;
    PQclear(result);
    return sync ? DB_OK : fail(self, DB_LOST, "the connection is out of step");
}

static enum db_failure read_all(struct run *self, const struct job *job, const struct step *steps,
                                uint32_t count)
{
    static const struct step none;
    enum db_failure first = DB_OK;
    char reason[sizeof self->reason] = "";
    for (uint32_t i = 0; i < count; i++) {
        enum db_failure failure =
            read_step(self, job, steps != NULL ? steps[i] : none, first != DB_OK);
        if (failure == DB_LOST && first == DB_OK)
            return failure;
        if (failure != DB_OK && first == DB_OK) {
            first = failure;
            memcpy(reason, self->reason, sizeof reason);
        }
        if (failure == DB_LOST)
            return fail(self, first, reason);
    }
    enum db_failure failure = read_sync(self);
    return first != DB_OK ? fail(self, first, reason) : failure;
}

static bool send_step(struct run *self, const struct job *job, struct step step)
{
    const struct statement_def *def = statement_defs[step.statement];
    const char *values[PGARRAY_MAX];
    int formats[PGARRAY_MAX];
    pgarray_clear(&self->params);
    if (def->encode != NULL)
        def->encode(&self->params, job, step);
    if (pgarray_failed(&self->params))
        return false;
    pgarray_views(&self->params, values, formats);
    return PQsendQueryPrepared(self->conn, def->name, self->params.count, values, self->params.len,
                               formats, 1) == 1;
}

enum db_failure run_steps(struct run *self, const struct job *job, const struct step *steps,
                          uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (!send_step(self, job, steps[i]))
            return pgarray_failed(&self->params) ? fail(self, DB_RETRY, err_text(ERR_MEMORY))
                                                 : fail_conn(self);
    if (PQpipelineSync(self->conn) != 1)
        return fail_conn(self);
    return read_all(self, job, steps, count);
}

static enum db_failure prepare_all(struct run *self)
{
    for (int i = 0; i < STATEMENTS; i++)
        if (PQsendPrepare(self->conn, statement_defs[i]->name, statement_defs[i]->sql, 0, NULL) !=
            1)
            return fail_conn(self);
    if (PQpipelineSync(self->conn) != 1)
        return fail_conn(self);
    return read_all(self, NULL, NULL, STATEMENTS);
}

/* Plans are made once: they do not depend on the values, and planning over all the partitions
 * would cost more than the statements. A standby that accepts us cannot write: look elsewhere. */
static bool setup(struct run *self)
{
    PGresult *result =
        PQexec(self->conn, "SET plan_cache_mode = force_generic_plan; SET jit = off");
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return done && PQsetnonblocking(self->conn, 1) == 0 && PQenterPipelineMode(self->conn) == 1;
}

enum db_failure run_connect(struct run *self)
{
    self->conn = db_connect(self->config->url, self->config->application_name, "gito_ingest",
                            self->reason, sizeof self->reason);
    if (self->conn == NULL)
        return DB_LOST;
    enum db_failure failure = setup(self) ? prepare_all(self) : fail_conn(self);
    if (failure != DB_OK)
        run_disconnect(self);
    return failure;
}

void run_disconnect(struct run *self)
{
    PQfinish(self->conn);
    self->conn = NULL;
}
