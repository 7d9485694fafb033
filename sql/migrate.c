#include "sql/migrate.h"
#include "sql/admin.h"
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What SET search_path could change is pinned: a URL may carry options of its own. */
static const char begin_migrating[] = "SET search_path = public; SET client_min_messages = warning;"
                                      "SELECT pg_advisory_lock(hashtext('gito migrations'));"
                                      "CREATE TABLE IF NOT EXISTS schema_migrations ("
                                      "    version integer PRIMARY KEY,"
                                      "    name text NOT NULL,"
                                      "    checksum text NOT NULL,"
                                      "    applied_at timestamptz NOT NULL DEFAULT now())";

struct hex {
    char s[2 * SHA256_DIGEST_LENGTH + 1];
};

static struct hex checksum(const struct migration *migration)
{
    unsigned char digest[SHA256_DIGEST_LENGTH];
    struct hex hex;
    SHA256(migration->text, migration->len, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex.s + 2 * i, 3, "%02x", digest[i]);
    return hex;
}

static int version_known(void)
{
    return migrations[migrations_count - 1].version;
}

static void apply(struct admin *db, const struct migration *migration, const char *sum)
{
    char version[16], what[128];
    snprintf(version, sizeof version, "%d", migration->version);
    snprintf(what, sizeof what, "apply migration %d (%s)", migration->version, migration->name);
    admin_run(db, what, "BEGIN");
    admin_run(db, what, (const char *)migration->text);
    admin_do(db, what,
             "INSERT INTO schema_migrations (version, name, checksum) VALUES ($1, $2, $3)", 3,
             (const char *[]){version, migration->name, sum});
    admin_run(db, what, "COMMIT");
}

static void apply_once(struct admin *db, const struct migration *migration)
{
    char version[16];
    struct hex sum = checksum(migration);
    snprintf(version, sizeof version, "%d", migration->version);
    PGresult *applied = admin_query(db, "read schema_migrations",
                                    "SELECT checksum FROM schema_migrations WHERE version = $1", 1,
                                    (const char *[]){version});
    if (applied == NULL)
        return;
    if (PQntuples(applied) == 0)
        apply(db, migration, sum.s);
    else if (strcmp(PQgetvalue(applied, 0, 0), sum.s) != 0)
        admin_fail(db, ERR_VERSION, "migration %d (%s) was changed after this database applied it",
                   migration->version, migration->name);
    PQclear(applied);
}

static void refuse_newer(struct admin *db)
{
    PGresult *newest =
        admin_query(db, "read schema_migrations",
                    "SELECT COALESCE(max(version), 0) FROM schema_migrations", 0, NULL);
    if (newest == NULL)
        return;
    int version = atoi(PQgetvalue(newest, 0, 0));
    if (version > version_known())
        admin_fail(db, ERR_VERSION,
                   "the database has schema version %d, this program knows up to %d", version,
                   version_known());
    PQclear(newest);
}

/* Encrypted here: the server's log may hold statements. */
static void set_password(struct admin *db, const char *user, const char *password)
{
    char sql[512];
    char *encrypted = PQencryptPasswordConn(db->conn, password, user, NULL);
    char *literal =
        encrypted == NULL ? NULL : PQescapeLiteral(db->conn, encrypted, strlen(encrypted));
    if (literal == NULL) {
        admin_fail(db, ERR_REFUSED, "could not encrypt the password of %s: %s", user,
                   PQerrorMessage(db->conn));
    } else {
        snprintf(sql, sizeof sql, "ALTER ROLE gito_app PASSWORD %s", literal);
        admin_run(db, "set the password of gito_app", sql);
    }
    PQfreemem(literal);
    PQfreemem(encrypted);
}

/* A DATABASE_URL of some other role keeps the password that its administrator gave it. */
static void set_app_password(struct admin *db, const char *app_url)
{
    const char *user = NULL, *password = NULL;
    PQconninfoOption *options = PQconninfoParse(app_url, NULL);
    if (options == NULL) {
        admin_fail(db, ERR_CONFIG, "DATABASE_URL is not a PostgreSQL address");
        return;
    }
    for (const PQconninfoOption *option = options; option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "user") == 0)
            user = option->val;
        if (strcmp(option->keyword, "password") == 0)
            password = option->val;
    }
    if (user != NULL && password != NULL && strcmp(user, "gito_app") == 0)
        set_password(db, user, password);
    PQconninfoFree(options);
}

int migrate_run(const char *admin_url, const char *app_url, char *ret_reason, size_t reason_size)
{
    struct admin db;
    int rc = admin_open(&db, admin_url, ret_reason, reason_size);
    if (rc != 0)
        return rc;
    admin_run(&db, "prepare the migrations", begin_migrating);
    refuse_newer(&db);
    for (size_t i = 0; i < migrations_count && db.error == 0; i++)
        apply_once(&db, &migrations[i]);
    admin_run(&db, "let nodes read the schema's version",
              "GRANT SELECT ON schema_migrations TO gito_ingest");
    if (db.error == 0 && app_url != NULL && *app_url != '\0')
        set_app_password(&db, app_url);
    admin_close(&db); /* which frees the lock */
    return db.error;
}

int migrate_check(PGconn *conn, char *ret_reason, size_t reason_size)
{
    PGresult *newest = PQexec(conn, "SELECT COALESCE(max(version), 0) FROM schema_migrations");
    int rc = ERR_UNAVAILABLE;
    const char *state = PQresultErrorField(newest, PG_DIAG_SQLSTATE);
    if (PQresultStatus(newest) == PGRES_TUPLES_OK) {
        int version = atoi(PQgetvalue(newest, 0, 0));
        rc = version == version_known() ? 0 : ERR_VERSION;
        if (rc != 0)
            snprintf(ret_reason, reason_size,
                     "the database has schema version %d, this program needs %d%s", version,
                     version_known(), version < version_known() ? ": run it with --migrate" : "");
    } else if (state != NULL && strcmp(state, "42P01") == 0) {
        rc = ERR_VERSION;
        snprintf(ret_reason, reason_size, "the database has no schema yet: run with --migrate");
    } else {
        snprintf(ret_reason, reason_size, "could not read the schema's version: %s",
                 PQerrorMessage(conn));
        ret_reason[strcspn(ret_reason, "\n")] = '\0';
    }
    PQclear(newest);
    return rc;
}
