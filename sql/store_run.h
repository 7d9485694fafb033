#pragma once
/*
 * store_run - carries steps to the server and their answers back: all in one flush, by libpq's
 * pipeline mode, on a connection that never blocks.
 *
 * Owner: the store.
 * Holds: both directions move at once, so that neither side waits for the other with full
 *        buffers; whoever waits asks should_stop.
 */
#include "sql/db.h"
#include "sql/store.h"
#include "sql/store_statement.h"

struct run {
    const struct store_config *config;
    PGconn *conn; /* NULL: none */
    struct pgarray params;
    bool stopped;     /* should_stop said so: what was sent has an unknown outcome */
    char reason[256]; /* of the last failure */
};

/* Connects and prepares all statements. DB_OK, or a failure with its reason and no connection. */
enum db_failure run_connect(struct run *self);
void run_disconnect(struct run *self);
/* Sends `count` steps and one Sync, reads all their answers. The first failure, or DB_OK. After a
 * failure the transaction waits for its ROLLBACK (or ROLLBACK TO), unless the connection is lost.
 */
enum db_failure run_steps(struct run *self, const struct job *job, const struct step *steps,
                          uint32_t count);
/* Waits `ms`, less when told to stop. */
void run_pause(struct run *self, int ms);
