#include "sql/admin.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* "ALREADY EXISTS, skipping" and its like are news to nobody. */
static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

int admin_fail(struct admin *self, int error, const char *format, ...)
{
    if (self->error != 0)
        return self->error;
    self->error = error;
    va_list args;
    va_start(args, format);
    vsnprintf(self->reason, self->reason_size, format, args);
    va_end(args);
    size_t len = strcspn(self->reason, "\n");
    self->reason[len] = '\0';
    return error;
}

int admin_open(struct admin *self, const char *url, char *ret_reason, size_t reason_size)
{
    *self = (struct admin){.reason = ret_reason, .reason_size = reason_size};
    if (url == NULL || *url == '\0')
        return admin_fail(self, ERR_CONFIG, "DATABASE_ADMIN_URL is not set");
    self->conn = PQconnectdb(url);
    if (PQstatus(self->conn) != CONNECTION_OK) {
        admin_fail(self, ERR_UNAVAILABLE, "could not connect to the database: %s",
                   self->conn == NULL ? err_text(ERR_MEMORY) : PQerrorMessage(self->conn));
        admin_close(self);
        return self->error;
    }
    PQsetNoticeReceiver(self->conn, ignore_notice, NULL);
    return 0;
}

void admin_close(struct admin *self)
{
    PQfinish(self->conn);
    self->conn = NULL;
}

static PGresult *finish(struct admin *self, const char *what, PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        return result;
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    admin_fail(self, PQstatus(self->conn) == CONNECTION_OK ? ERR_REFUSED : ERR_UNAVAILABLE,
               "could not %s: %s", what, message != NULL ? message : PQerrorMessage(self->conn));
    PQclear(result);
    return NULL;
}

int admin_run(struct admin *self, const char *what, const char *sql)
{
    if (self->error == 0)
        PQclear(finish(self, what, PQexec(self->conn, sql)));
    return self->error;
}

PGresult *admin_query(struct admin *self, const char *what, const char *sql, int count,
                      const char *const *values)
{
    if (self->error != 0)
        return NULL;
    return finish(self, what, PQexecParams(self->conn, sql, count, NULL, values, NULL, NULL, 0));
}

int admin_do(struct admin *self, const char *what, const char *sql, int count,
             const char *const *values)
{
    PQclear(admin_query(self, what, sql, count, values));
    return self->error;
}
