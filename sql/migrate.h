#pragma once
/*
 * migrate - brings the database's schema to the version that this program knows.
 *
 * In:    the files of sql/migrations, embedded by the build; DATABASE_ADMIN_URL.
 * Out:   table schema_migrations; the password of role gito_app.
 * Holds: forward only, each in its own transaction, one migrating process at a time; a
 *        migration that was applied never changes, and a newer schema than ours is left alone.
 */
#include "proto/err.h"
#include <libpq-fe.h>
#include <stddef.h>

/* Made by the build from sql/migrations/NNN_name.sql, in order. */
struct migration {
    int version;
    const char *name;
    const unsigned char *text; /* ends with a zero byte, which `len` does not count */
    size_t len;
};
extern const struct migration migrations[];
extern const size_t migrations_count;

/* Migrates, then gives role gito_app the password that `app_url` has for it. 0, or a negative
 * error with its sentence in `ret_reason`. */
int migrate_run(const char *admin_url, const char *app_url, char *ret_reason,
                size_t reason_size) MUST_CHECK;
/* Is the schema the one we know? `conn` is a node's, as role gito_ingest. 0, ERR_VERSION with the
 * sentence to print, or ERR_UNAVAILABLE: the question could not be asked. */
int migrate_check(PGconn *conn, char *ret_reason, size_t reason_size) MUST_CHECK;
