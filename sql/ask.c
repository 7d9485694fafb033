#include "sql/ask.h"
#include "sql/db.h"
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <time.h>

static int64_t now_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_BOOTTIME, &ts);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* What libpq waits for next would come after the deadline: ends the connection under it. */
static void await(PGconn *conn)
{
    int64_t deadline = now_ms() + ASK_DEADLINE_MS;
    PQsetnonblocking(conn, 1);
    for (;;) {
        int unsent = PQflush(conn);
        if (unsent < 0 || PQconsumeInput(conn) == 0 || (unsent == 0 && !PQisBusy(conn)))
            break;
        struct pollfd fd = {.fd = PQsocket(conn),
                            .events = (short)(POLLIN | (unsent > 0 ? POLLOUT : 0))};
        int64_t left = deadline - now_ms();
        if (left <= 0) {
            shutdown(fd.fd, SHUT_RDWR);
            break;
        }
        poll(&fd, 1, (int)left);
    }
    PQsetnonblocking(conn, 0);
}

static int start(PGconn *conn, const char *sql, int count, const char *const *values)
{
    return count > 0 ? PQsendQueryParams(conn, sql, count, NULL, values, NULL, NULL, 0)
                     : PQsendQuery(conn, sql);
}

PGresult *ask_rows(struct ask *self, const char *sql, int count, const char *const *values)
{
    PGresult *rows = NULL, *next;
    if (start(self->conn, sql, count, values) == 1) {
        await(self->conn);
        while ((next = PQgetResult(self->conn)) != NULL) {
            PQclear(rows);
            rows = next;
        }
    }
    ExecStatusType status = PQresultStatus(rows);
    const char *state = PQresultErrorField(rows, PG_DIAG_SQLSTATE);
    snprintf(self->state, sizeof self->state, "%s", state != NULL ? state : "");
    if (status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK)
        return rows;
    db_reason(rows, self->conn, self->reason, sizeof self->reason);
    PQclear(rows);
    return NULL;
}

int ask_error(const struct ask *self)
{
    return PQstatus(self->conn) == CONNECTION_OK ? ERR_REFUSED : ERR_UNAVAILABLE;
}

int ask_do(struct ask *self, const char *sql, int count, const char *const *values)
{
    PGresult *rows = ask_rows(self, sql, count, values);
    if (rows == NULL)
        return ask_error(self);
    PQclear(rows);
    return 0;
}
