#include "sql/store.h"
#include "proto/check.h"
#include "sql/store_run.h"

#define BACKOFF_MS_MIN 50
#define BACKOFF_MS_MAX 1000
#define STEPS_MAX STATEMENTS

/* How an attempt goes about it. A later attempt never assumes that the one before did nothing. */
enum mode { MODE_FIRST, MODE_AGAIN, MODE_APART };

struct store {
    struct store_config config;
    struct run run;
    struct batch *refused; /* rejects that an attempt in MODE_APART makes */
    struct store_stats stats;
    bool down; /* on_state was told so */
};

static const enum statement lists[] = {
    STATEMENT_ROWS_AGAIN, STATEMENT_HOURS,   STATEMENT_REBUILDS, STATEMENT_ALERTS,
    STATEMENT_TOUCHES,    STATEMENT_REJECTS, STATEMENT_RETAINS,  STATEMENT_UNRETAINS,
    STATEMENT_CHECKS,     STATEMENT_LOADS,   STATEMENT_RULES};
#define LISTS (sizeof lists / sizeof *lists)

store_t *store_new(const struct store_config *config)
{
    store_t *self = calloc(1, sizeof *self);
    struct batch *refused = batch_new();
    if (self == NULL || refused == NULL) {
        free(self);
        batch_destroy(&refused);
        return NULL;
    }
    self->config = *config;
    self->refused = refused;
    self->run.config = &self->config;
    pgarray_init(&self->run.params);
    return self;
}

void store_destroy(store_t **self_p)
{
    store_t *self = *self_p;
    if (self == NULL)
        return;
    run_disconnect(&self->run);
    pgarray_free(&self->run.params);
    batch_destroy(&self->refused);
    free(self);
    *self_p = NULL;
}

const struct store_stats *store_stats(const store_t *self)
{
    return &self->stats;
}

int store_backend_pid(const store_t *self)
{
    return self->run.conn != NULL ? PQbackendPID(self->run.conn) : 0;
}

static void tell(store_t *self, bool up)
{
    if (self->down != up)
        return;
    self->down = !up;
    if (self->config.on_state != NULL)
        self->config.on_state(self->config.context, up, up ? "" : self->run.reason);
}

/* What an attempt before has answered counts for nothing. */
static void forget_answers(struct batch *batch)
{
    batch->rules_count = 0;
    batch->error = 0;
    for (uint32_t i = 0; i < batch->rows_count; i++)
        batch->rows[i].bad = false;
    for (uint32_t i = 0; i < batch->alerts_count; i++) {
        batch->alerts[i].fired = false;
        batch->alerts[i].last_fired_us = 0;
    }
    for (uint32_t i = 0; i < batch->checks_count; i++)
        batch->checks[i].stored = false;
    for (uint32_t i = 0; i < batch->loads_count; i++)
        batch->loads[i] =
            (struct batch_load){.device = batch->loads[i].device, .actor = batch->loads[i].actor};
}

static enum db_failure rollback(store_t *self, const struct job *job)
{
    const struct step step = {.statement = STATEMENT_ROLLBACK};
    return run_steps(&self->run, job, &step, 1);
}

static void add_step(struct step *steps, uint32_t *count, enum statement statement,
                     const struct batch *batch)
{
    const struct statement_def *def = statement_defs[statement];
    uint32_t elements = def->count != NULL ? def->count(batch) : 0;
    if (def->count == NULL || elements > 0)
        steps[(*count)++] = (struct step){.statement = statement, .count = elements};
}

static enum db_failure attempt_whole(store_t *self, const struct job *job, enum mode mode)
{
    struct step steps[STEPS_MAX];
    uint32_t count = 0;
    add_step(steps, &count, STATEMENT_BEGIN, job->batch);
    add_step(steps, &count, STATEMENT_FENCE, job->batch);
    for (size_t i = 0; i < LISTS; i++) {
        bool first = lists[i] == STATEMENT_ROWS_AGAIN && mode == MODE_FIRST;
        add_step(steps, &count, first ? STATEMENT_ROWS : lists[i], job->batch);
    }
    add_step(steps, &count, STATEMENT_COMMIT, job->batch);
    return run_steps(&self->run, job, steps, count);
}

/* --- apart: the values of some element are at fault, find it --------------------------------- */

/* A reading that the database will not have becomes a row of telemetry_rejected. Of the other
 * lists, the element is left out: its answer stays "no". */
static void refuse(store_t *self, struct batch *batch, struct step step)
{
    self->stats.refused++;
    if (step.statement != STATEMENT_ROWS_AGAIN)
        return;
    struct batch_row *row = &batch->rows[step.from];
    struct batch_reject *reject = batch_add_rejects(self->refused);
    CHECK(reject != NULL);
    row->bad = true;
    char topic[128];
    int topic_len = snprintf(topic, sizeof topic, "%s/devices/%s/telemetry",
                             uuid_text(&row->tenant).s, uuid_text(&row->device).s);
    reject->tenant = row->tenant;
    reject->device = row->device;
    reject->topic = batch_text(self->refused, topic, (size_t)topic_len);
    reject->reason = batch_text(self->refused, self->run.reason, strlen(self->run.reason));
    reject->payload =
        batch_text(self->refused, batch_text_of(batch, row->payload), row->payload.len);
}

/* Halves what fails until single elements are left: few bad ones cost few round trips. */
static enum db_failure apply(store_t *self, const struct job *job, struct step step)
{
    const struct step guarded[] = {
        {.statement = STATEMENT_SAVEPOINT}, step, {.statement = STATEMENT_RELEASE}};
    const struct step undo = {.statement = STATEMENT_ROLLBACK_TO};
    enum db_failure failure = run_steps(&self->run, job, guarded, 3);
    if (failure != DB_DATA && failure != DB_DUPLICATE)
        return failure;
    if (step.count == 1)
        refuse(self, job->batch, step);
    failure = run_steps(&self->run, job, &undo, 1);
    if (failure != DB_OK || step.count == 1)
        return failure;
    struct step left = step, right = step;
    left.count = step.count / 2;
    right.from += left.count;
    right.count -= left.count;
    failure = apply(self, job, left);
    return failure == DB_OK ? apply(self, job, right) : failure;
}

static enum db_failure apply_lists(store_t *self, const struct job *job)
{
    for (size_t i = 0; i < LISTS; i++) {
        struct step step = {.statement = lists[i],
                            .count = statement_defs[lists[i]]->count(job->batch)};
        enum db_failure failure = step.count > 0 ? apply(self, job, step) : DB_OK;
        if (failure != DB_OK)
            return failure;
    }
    return DB_OK;
}

static enum db_failure attempt_apart(store_t *self, const struct job *job)
{
    struct step steps[2];
    uint32_t count = 0;
    batch_clear(self->refused);
    self->stats.slow_batches++;
    add_step(steps, &count, STATEMENT_BEGIN, job->batch);
    add_step(steps, &count, STATEMENT_FENCE, job->batch);
    enum db_failure failure = run_steps(&self->run, job, steps, count);
    if (failure == DB_OK)
        failure = apply_lists(self, job);
    if (failure != DB_OK)
        return failure;
    struct job rejects = *job;
    rejects.batch = self->refused;
    rejects.reject_base.bytes[0] ^= 0xff; /* other ids than those of the batch's own rejects */
    count = 0;
    add_step(steps, &count, STATEMENT_REJECTS, self->refused);
    add_step(steps, &count, STATEMENT_COMMIT, self->refused);
    return run_steps(&self->run, &rejects, steps, count);
}

/* --- until it is done ------------------------------------------------------------------------ */

static enum db_failure attempt(store_t *self, const struct job *job, enum mode mode)
{
    if (self->run.conn == NULL) {
        enum db_failure failure = run_connect(&self->run);
        if (failure != DB_OK)
            return failure == DB_LOST ? DB_LOST : DB_RETRY;
    }
    forget_answers(job->batch);
    enum db_failure failure =
        mode == MODE_APART ? attempt_apart(self, job) : attempt_whole(self, job, mode);
    if (failure == DB_DUPLICATE || failure == DB_DATA || failure == DB_FENCED) {
        /* A second time apart, it is not the elements: wait for someone to mend it. */
        if (mode == MODE_APART && failure != DB_FENCED)
            return DB_RETRY;
        char reason[sizeof self->run.reason];
        memcpy(reason, self->run.reason, sizeof reason);
        if (rollback(self, job) != DB_OK)
            run_disconnect(&self->run);
        memcpy(self->run.reason, reason, sizeof reason);
    }
    return failure;
}

static int finish(store_t *self, struct batch *batch, int error)
{
    if (error == 0) {
        self->stats.batches++;
        tell(self, true);
    } else {
        forget_answers(batch);
    }
    batch->error = error;
    return error;
}

/* The server or the way to it failed: a new connection, which may lead to another host. */
static void wait_for_server(store_t *self, int *backoff_ms)
{
    run_disconnect(&self->run);
    self->stats.retries++;
    tell(self, false);
    run_pause(&self->run, *backoff_ms);
    *backoff_ms = *backoff_ms * 2 < BACKOFF_MS_MAX ? *backoff_ms * 2 : BACKOFF_MS_MAX;
}

int store_execute(store_t *self, struct batch *batch)
{
    const struct job job = {.batch = batch,
                            .node_id = self->config.node_id,
                            .incarnation = self->config.incarnation,
                            .reject_base = uuid_random()};
    enum mode mode = MODE_FIRST;
    int backoff_ms = BACKOFF_MS_MIN;
    for (;;) {
        enum db_failure failure = attempt(self, &job, mode);
        switch (failure) {
        case DB_OK:
            return finish(self, batch, 0);
        case DB_FENCED:
            return finish(self, batch, ERR_FENCED);
        case DB_DUPLICATE:
            mode = mode == MODE_FIRST ? MODE_AGAIN : MODE_APART;
            break;
        case DB_DATA:
            mode = MODE_APART;
            break;
        case DB_LOST:
        case DB_RETRY:
            mode = mode == MODE_FIRST ? MODE_AGAIN : mode;
            wait_for_server(self, &backoff_ms);
            break;
        }
        if (self->run.stopped)
            return finish(self, batch, ERR_UNAVAILABLE);
    }
}
