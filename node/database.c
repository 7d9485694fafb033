#include "node/database.h"
#include "node/clock.h"
#include "node/log.h"
#include "proto/check.h"
#include "sql/db.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PREPARED_MAX 128

struct database {
    char *url;
    char *application;
    PGconn *conn; /* NULL: not connected */
    int64_t spacing_ms, next_attempt_ms;
    bool away_told;
    struct prepared {
        const char *sql; /* its address is the key: statements are constants */
        unsigned number; /* its name; never used twice on a connection */
        int position;    /* of its preparation in the pipeline that made it */
    } prepared[PREPARED_MAX];
    unsigned prepared_count, prepared_before, prepared_ever;
    int sent;    /* commands of the open pipeline */
    int user_at; /* which of them asks for the user; -1: none */
    char sqlstate[6], constraint[64], reason[256];
};

static const char scope_tenant[] = "SELECT set_config('app.tenant_id', $1, true),"
                                   " set_config('plan_cache_mode', $2, true)";
static const char scope_node[] = "SELECT set_config('role', 'gito_ingest', true)";

/* It fails where there is no such user: what follows in the pipeline, sent with it, is not run
 * then. A row that says so would come when all had run. */
static const char user_active[] =
    "SELECT 1 / count(*) FROM users u JOIN tenants t ON t.id = u.tenant_id"
    " WHERE u.id = $1 AND u.role = ANY ($2::text[]) AND u.status = 'active'"
    " AND t.status = 'active'";
#define DIVISION_BY_ZERO "22012"

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

struct database *database_new(const char *url, const char *application, int64_t spacing_ms)
{
    struct database *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->spacing_ms = spacing_ms;
    self->application = strdup(application);
    self->url = strdup(url);
    if (self->url == NULL) {
        free(self);
        return NULL;
    }
    return self;
}

static void disconnect(struct database *self)
{
    PQfinish(self->conn);
    self->conn = NULL;
    self->prepared_count = 0;
    self->prepared_before = 0;
}

void database_destroy(struct database **self_p)
{
    struct database *self = *self_p;
    if (self == NULL)
        return;
    disconnect(self);
    free(self->url);
    free(self->application);
    free(self);
    *self_p = NULL;
}

/* The connection is no longer of use; says so once until it is back. */
static int lose(struct database *self, const char *why)
{
    if (why != self->reason)
        snprintf(self->reason, sizeof self->reason, "%.*s", (int)strcspn(why, "\n"), why);
    disconnect(self);
    if (!self->away_told)
        log_event(LEVEL_WARNING, "database_away", "reason", "could not reach the database: %s",
                  self->reason);
    self->away_told = true;
    return ERR_UNAVAILABLE;
}

static int attempt(struct database *self)
{
    char reason[sizeof self->reason] = "";
    if (now_ms() < self->next_attempt_ms)
        return ERR_UNAVAILABLE;
    self->conn = db_connect(self->url, self->application, NULL, reason, sizeof reason);
    self->next_attempt_ms = now_ms() + self->spacing_ms;
    if (self->conn == NULL)
        return lose(self, reason);
    PGresult *rows = PQexec(self->conn, "SET statement_timeout = '10s';"
                                        "SET idle_in_transaction_session_timeout = '15s'");
    bool ok = PQresultStatus(rows) == PGRES_COMMAND_OK;
    PQclear(rows);
    if (!ok)
        return lose(self, PQerrorMessage(self->conn));
    if (self->away_told)
        log_event(LEVEL_INFO, "database_back", "application", "%s", self->application);
    self->away_told = false;
    return 0;
}

/* What an idle server said last, up to the end of the connection where it has ended. */
static bool is_alive(struct database *self)
{
    struct pollfd fd = {.fd = PQsocket(self->conn), .events = POLLIN};
    while (poll(&fd, 1, 0) > 0)
        if (!PQconsumeInput(self->conn))
            return false;
    return PQstatus(self->conn) == CONNECTION_OK;
}

static int ensure(struct database *self)
{
    if (self->conn != NULL && is_alive(self))
        return 0;
    disconnect(self);
    return attempt(self);
}

/* The next result, NULL at the end of a statement's; ERR_UNAVAILABLE past the deadline. */
static int next_result(struct database *self, int64_t deadline, PGresult **ret_rows)
{
    while (PQisBusy(self->conn)) {
        int64_t left = deadline - now_ms();
        struct pollfd fd = {.fd = PQsocket(self->conn), .events = POLLIN};
        if (left <= 0)
            return lose(self, "no answer in time");
        if (poll(&fd, 1, (int)left) > 0 && !PQconsumeInput(self->conn))
            return lose(self, PQerrorMessage(self->conn));
    }
    *ret_rows = PQgetResult(self->conn);
    return 0;
}

static int open_pipeline(struct database *self)
{
    self->sent = 0;
    self->user_at = -1;
    self->prepared_before = self->prepared_count;
    return PQenterPipelineMode(self->conn) ? 0 : lose(self, PQerrorMessage(self->conn));
}

static int send_plain(struct database *self, const char *sql)
{
    self->sent++;
    return PQsendQueryParams(self->conn, sql, 0, NULL, NULL, NULL, NULL, 0)
               ? 0
               : lose(self, PQerrorMessage(self->conn));
}

/* Finds the statement, or sends its preparation first. */
static int prepare(struct database *self, const char *sql, char ret_name[static 16])
{
    unsigned i = 0;
    while (i < self->prepared_count && self->prepared[i].sql != sql)
        i++;
    CHECK(i < PREPARED_MAX);
    if (i == self->prepared_count) {
        self->prepared[i] = (struct prepared){sql, self->prepared_ever++, self->sent++};
        self->prepared_count++;
        snprintf(ret_name, 16, "s%u", self->prepared[i].number);
        if (!PQsendPrepare(self->conn, ret_name, sql, 0, NULL))
            return lose(self, PQerrorMessage(self->conn));
    }
    snprintf(ret_name, 16, "s%u", self->prepared[i].number);
    return 0;
}

static int send_statement(struct database *self, const char *sql, int count,
                          const char *const *values, bool binary)
{
    char name[16];
    CHECK(count <= DATABASE_PARAMETERS_MAX);
    int rc = prepare(self, sql, name);
    if (rc != 0)
        return rc;
    self->sent++;
    return PQsendQueryPrepared(self->conn, name, count, values, NULL, NULL, binary)
               ? 0
               : lose(self, PQerrorMessage(self->conn));
}

static int send_user(struct database *self, const struct database_scope *scope)
{
    struct uuid_text text = uuid_text(scope->user);
    const char *values[] = {text.s, scope->roles};
    int rc = send_statement(self, user_active, 2, values, false);
    self->user_at = self->sent - 1;
    return rc;
}

static int send_scope(struct database *self, const struct database_scope *scope)
{
    int rc;
    if (scope->tenant == NULL) {
        rc = send_statement(self, scope_node, 0, NULL, false);
    } else {
        struct uuid_text tenant = uuid_text(scope->tenant);
        const char *values[] = {tenant.s, scope->partitioned ? "force_generic_plan" : "auto"};
        rc = send_statement(self, scope_tenant, 2, values, false);
    }
    return rc == 0 && scope->user != NULL ? send_user(self, scope) : rc;
}

static void keep_error(struct database *self, const PGresult *rows)
{
    const char *state = PQresultErrorField(rows, PG_DIAG_SQLSTATE);
    const char *name = PQresultErrorField(rows, PG_DIAG_CONSTRAINT_NAME);
    snprintf(self->sqlstate, sizeof self->sqlstate, "%s", state != NULL ? state : "");
    snprintf(self->constraint, sizeof self->constraint, "%s", name != NULL ? name : "");
    db_reason(rows, self->conn, self->reason, sizeof self->reason);
}

/* The connection broke (no state, 08), the server is going down (57P) or no longer takes writes
 * (25006), or what was prepared no longer fits (0A000: a migration ran; 26000). Connecting again
 * mends each. */
static bool means_away(const char *sqlstate)
{
    static const char *const states[] = {"25006", "0A000", "26000"};
    for (unsigned i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(sqlstate, states[i]) == 0)
            return true;
    return sqlstate[0] == '\0' || strncmp(sqlstate, "08", 2) == 0 ||
           strncmp(sqlstate, "57P", 3) == 0;
}

/* Reads the results of all that was sent and the sync behind them; keeps the last one's rows. */
static int collect(struct database *self, PGresult **ret_rows, int *ret_done)
{
    int64_t deadline = now_ms() + DATABASE_WAIT_MS;
    OWNED(rows) PGresult *kept = NULL;
    int failed = 0, done = 0;
    for (;;) {
        PGresult *rows = NULL, *end = NULL;
        int rc = next_result(self, deadline, &rows);
        if (rc != 0)
            return rc;
        PQclear(kept);
        kept = rows;
        ExecStatusType status = PQresultStatus(rows);
        if (status == PGRES_PIPELINE_SYNC)
            break;
        if (status == PGRES_FATAL_ERROR && failed == 0) {
            keep_error(self, rows);
            failed = ERR_REFUSED;
        }
        if (rows == NULL || PQstatus(self->conn) != CONNECTION_OK ||
            (failed != 0 && means_away(self->sqlstate)))
            return lose(self, PQerrorMessage(self->conn));
        if (failed == 0 && ++done == self->sent && ret_rows != NULL) {
            *ret_rows = rows;
            kept = NULL;
        }
        rc = next_result(self, deadline, &end);
        PQclear(end);
        if (rc != 0)
            return rc;
    }
    *ret_done = done;
    return failed;
}

static int finish(struct database *self, PGresult **ret_rows)
{
    PGresult *rows = NULL;
    int done = 0;
    if (!PQpipelineSync(self->conn))
        return lose(self, PQerrorMessage(self->conn));
    int rc = collect(self, &rows, &done);
    if (rc == ERR_REFUSED && done == self->user_at && strcmp(self->sqlstate, DIVISION_BY_ZERO) == 0)
        memcpy(self->sqlstate, DATABASE_USER_GONE, sizeof DATABASE_USER_GONE);
    if (rc != ERR_UNAVAILABLE && !PQexitPipelineMode(self->conn))
        rc = lose(self, PQerrorMessage(self->conn));
    /* Preparations behind the failure never happened; those before it last. */
    while (self->prepared_count > self->prepared_before &&
           self->prepared[self->prepared_count - 1].position >= done)
        self->prepared_count--;
    if (rc == 0 && ret_rows != NULL)
        *ret_rows = rows;
    else
        PQclear(rows);
    return rc;
}

/* All up to the sync is one transaction, which ends with it (libpq, Pipeline Mode). */
int database_once(struct database *self, const struct database_scope *scope, const char *sql,
                  int count, const char *const *values, PGresult **ret_rows)
{
    int rc = ensure(self);
    if (rc == 0)
        rc = open_pipeline(self);
    if (rc == 0)
        rc = send_scope(self, scope);
    if (rc == 0)
        rc = send_statement(self, sql, count, values, scope->binary);
    return rc == 0 ? finish(self, ret_rows) : rc;
}

int database_begin(struct database *self, const struct database_scope *scope)
{
    int rc = ensure(self);
    if (rc == 0)
        rc = open_pipeline(self);
    if (rc == 0)
        rc = send_plain(self, "BEGIN");
    if (rc == 0)
        rc = send_scope(self, scope);
    return rc == 0 ? finish(self, NULL) : rc;
}

int database_run(struct database *self, const char *sql, int count, const char *const *values,
                 PGresult **ret_rows)
{
    int rc = self->conn != NULL ? open_pipeline(self) : ERR_UNAVAILABLE;
    if (rc == 0)
        rc = send_statement(self, sql, count, values, false);
    return rc == 0 ? finish(self, ret_rows) : rc;
}

static int end_transaction(struct database *self, const char *verb)
{
    int rc = self->conn != NULL ? open_pipeline(self) : ERR_UNAVAILABLE;
    if (rc == 0)
        rc = send_plain(self, verb);
    return rc == 0 ? finish(self, NULL) : rc;
}

int database_commit(struct database *self)
{
    return end_transaction(self, "COMMIT");
}

void database_rollback(struct database *self)
{
    if (self->conn != NULL && PQtransactionStatus(self->conn) != PQTRANS_IDLE &&
        end_transaction(self, "ROLLBACK") != 0)
        disconnect(self);
}

int database_lend(struct database *self, struct ask *ret_ask)
{
    int rc = ensure(self);
    if (rc != 0)
        return rc;
    *ret_ask = (struct ask){.conn = self->conn};
    return ask_do(ret_ask, "SET ROLE gito_ingest", 0, NULL) == 0 ? 0 : lose(self, ret_ask->reason);
}

void database_take_back(struct database *self, const struct ask *ask)
{
    struct ask own = {.conn = self->conn};
    if (PQstatus(self->conn) != CONNECTION_OK)
        lose(self, ask->reason);
    else if (PQtransactionStatus(self->conn) != PQTRANS_IDLE ||
             ask_do(&own, "RESET ROLE", 0, NULL) != 0)
        disconnect(self);
}

const char *database_sqlstate(const struct database *self)
{
    return self->sqlstate;
}

const char *database_constraint(const struct database *self)
{
    return self->constraint;
}

const char *database_reason(const struct database *self)
{
    return self->reason;
}
