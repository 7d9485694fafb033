#include "sql/db.h"
#include <endian.h>
#include <stdio.h>

static void first_line(const char *text, char *ret_reason, size_t reason_size)
{
    snprintf(ret_reason, reason_size, "%.*s", (int)strcspn(text, "\n"), text);
}

static bool session_setup(PGconn *conn, const char *role)
{
    char sql[256];
    char *quoted = role != NULL ? PQescapeIdentifier(conn, role, strlen(role)) : NULL;
    if (role != NULL && quoted == NULL)
        return false;
    snprintf(sql, sizeof sql, "SET TimeZone = 'UTC'; SET search_path = public; %s %s",
             role != NULL ? "SET ROLE" : "", role != NULL ? quoted : "");
    PQfreemem(quoted);
    PGresult *result = PQexec(conn, sql);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    PQclear(result);
    return done;
}

/* Standard error is for the log's lines alone. */
static void drop_notice(void *context, const PGresult *notice)
{
    (void)context, (void)notice;
}

PGconn *db_connect(const char *url, const char *application_name, const char *role,
                   char *ret_reason, size_t reason_size)
{
    /* `dbname` is expanded as a connection string; what follows overrides it. */
    const char *const keywords[] = {"dbname",
                                    "application_name",
                                    "client_encoding",
                                    "connect_timeout",
                                    "keepalives",
                                    "keepalives_idle",
                                    "keepalives_interval",
                                    "keepalives_count",
                                    "tcp_user_timeout",
                                    NULL};
    const char *const values[] = {url, application_name, "UTF8", "5", "1", "5", "2",
                                  "3", "10000",          NULL};
    PGconn *conn = PQconnectdbParams(keywords, values, 1);
    PQsetNoticeReceiver(conn, drop_notice, NULL);
    if (PQstatus(conn) == CONNECTION_OK && session_setup(conn, role))
        return conn;
    first_line(conn != NULL ? PQerrorMessage(conn) : err_text(ERR_MEMORY), ret_reason, reason_size);
    PQfinish(conn);
    return NULL;
}

static bool class_is(const char *state, const char *class)
{
    return state[0] == class[0] && state[1] == class[1];
}

/* Values are at fault only where SQL says so (cardinality, data, constraints, program limits,
 * RAISE). All else - no disk, no memory, shutting down, read only, a deadlock, a missing table or
 * right - may be mended from outside: giving up the rows for it would lose them. */
enum db_failure db_classify_state(const char *state)
{
    static const char *const data_classes[] = {"21", "22", "23", "44", "54", "P0"};
    if (strcmp(state, "23505") == 0)
        return DB_DUPLICATE;
    if (strcmp(state, "GT001") == 0)
        return DB_FENCED;
    if (class_is(state, "08"))
        return DB_LOST;
    for (size_t i = 0; i < sizeof data_classes / sizeof *data_classes; i++)
        if (class_is(state, data_classes[i]))
            return DB_DATA;
    return DB_RETRY;
}

enum db_failure db_classify(const PGresult *result, const PGconn *conn)
{
    ExecStatusType status = result != NULL ? PQresultStatus(result) : PGRES_FATAL_ERROR;
    if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK || status == PGRES_PIPELINE_SYNC)
        return DB_OK;
    const char *state = result != NULL ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (state != NULL && strlen(state) == 5)
        return db_classify_state(state);
    return PQstatus(conn) == CONNECTION_BAD ? DB_LOST : DB_RETRY;
}

void db_reason(const PGresult *result, const PGconn *conn, char *ret_reason, size_t reason_size)
{
    const char *text = result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (text == NULL && result != NULL && PQresultErrorMessage(result)[0] != '\0')
        text = PQresultErrorMessage(result);
    first_line(text != NULL ? text : PQerrorMessage(conn), ret_reason, reason_size);
}

static uint64_t wire_64(const PGresult *result, int row, int column)
{
    uint64_t wire = 0;
    if (PQgetlength(result, row, column) == sizeof wire)
        memcpy(&wire, PQgetvalue(result, row, column), sizeof wire);
    return be64toh(wire);
}

int64_t db_int8(const PGresult *result, int row, int column)
{
    return (int64_t)wire_64(result, row, column);
}

int32_t db_int4(const PGresult *result, int row, int column)
{
    uint32_t wire = 0;
    if (PQgetlength(result, row, column) == sizeof wire)
        memcpy(&wire, PQgetvalue(result, row, column), sizeof wire);
    return (int32_t)be32toh(wire);
}

double db_float8(const PGresult *result, int row, int column)
{
    uint64_t bits = wire_64(result, row, column);
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

bool db_bool(const PGresult *result, int row, int column)
{
    return PQgetlength(result, row, column) == 1 && PQgetvalue(result, row, column)[0] != 0;
}

struct uuid db_uuid(const PGresult *result, int row, int column)
{
    struct uuid id = {0};
    if (PQgetlength(result, row, column) == sizeof id)
        memcpy(&id, PQgetvalue(result, row, column), sizeof id);
    return id;
}

int64_t db_time_us(const PGresult *result, int row, int column)
{
    if (PQgetisnull(result, row, column))
        return 0;
    return db_int8(result, row, column) + DB_EPOCH_US;
}

const char *db_text(const PGresult *result, int row, int column)
{
    return PQgetvalue(result, row, column);
}
