#pragma once
/*
 * db - a connection to PostgreSQL as all threads open it, and what its failures mean.
 *
 * Owner: the thread that connected; a PGconn is never shared.
 * Holds: sessions speak UTF8 and UTC, notice a dead peer within about ten seconds, and see only
 *        the public schema.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

/* Blocks for at most 5 s a host. `role`: SET ROLE to it (gito_ingest), NULL: stay. NULL on failure,
 * with the reason, one line, in `ret_reason`. */
PGconn *db_connect(const char *url, const char *application_name, const char *role,
                   char *ret_reason, size_t reason_size);

enum db_failure {
    DB_OK,
    DB_LOST,  /* the connection is gone: the outcome of what was sent is unknown */
    DB_RETRY, /* the server cannot now (or its schema does not fit yet): the same again, later */
    DB_DUPLICATE, /* 23505: a key is there already */
    DB_FENCED,    /* GT001: this incarnation may write no more */
    DB_DATA,      /* the values are at fault: the same again fails again */
};

/* By the result's SQLSTATE; `result` NULL or without one: by the connection. */
enum db_failure db_classify(const PGresult *result, const PGconn *conn);
/* The same by SQLSTATE alone (five characters). */
enum db_failure db_classify_state(const char *state);
/* The first line of the result's (or, without one, the connection's) error, without its severity.
 */
void db_reason(const PGresult *result, const PGconn *conn, char *ret_reason, size_t reason_size);

/* PostgreSQL counts microseconds from 2000-01-01, we from 1970-01-01. */
#define DB_EPOCH_US INT64_C(946684800000000)

/* Values of binary results; of NULL: 0, false, the nil id, and for db_text "". */
int64_t db_int8(const PGresult *result, int row, int column);
int32_t db_int4(const PGresult *result, int row, int column);
double db_float8(const PGresult *result, int row, int column);
bool db_bool(const PGresult *result, int row, int column);
struct uuid db_uuid(const PGresult *result, int row, int column);
int64_t db_time_us(const PGresult *result, int row, int column); /* Unix time */
const char *db_text(const PGresult *result, int row, int column);
