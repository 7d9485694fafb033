#include "sql/changes.h"
#include "proto/check.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct digits {
    char s[24];
};

struct pass {
    uint64_t xmin; /* of its first page; 0: none yet */
    int64_t last_id;
    int64_t *ids;
    size_t count;
};

static struct digits digits(uint64_t value)
{
    struct digits out;
    snprintf(out.s, sizeof out.s, "%" PRIu64, value);
    return out;
}

void changes_init(struct changes *self)
{
    *self = (struct changes){0};
}

void changes_free(struct changes *self)
{
    free(self->seen);
    *self = (struct changes){0};
}

int changes_start(struct changes *self, struct ask *db)
{
    if (self->xmin != 0)
        return 0;
    PGresult *row = ask_rows(db, "SELECT pg_snapshot_xmin(pg_current_snapshot())", 0, NULL);
    if (row == NULL)
        return ask_error(db);
    self->xmin = strtoull(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return 0;
}

static int compare(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;
    return (left > right) - (left < right);
}

static bool was_told(const struct changes *self, int64_t id)
{
    return self->seen_count > 0 &&
           bsearch(&id, self->seen, self->seen_count, sizeof id, compare) != NULL;
}

static void tell_row(const struct changes *self, struct pass *pass, const PGresult *rows, int row,
                     changes_tell *tell, void *arg)
{
    struct change change = {.credentials = !PQgetisnull(rows, row, 5)};
    uint64_t xid = strtoull(PQgetvalue(rows, row, 1), NULL, 10);
    pass->last_id = strtoll(PQgetvalue(rows, row, 0), NULL, 10);
    if (xid >= pass->xmin && pass->count < CHANGES_SEEN_MAX)
        pass->ids[pass->count++] = pass->last_id;
    if (was_told(self, pass->last_id))
        return;
    change.mark = strtoll(PQgetvalue(rows, row, 5), NULL, 10);
    if (uuid_parse(PQgetvalue(rows, row, 2), UUID_TEXT_LEN, &change.tenant) == 0 &&
        uuid_parse(PQgetvalue(rows, row, 3), UUID_TEXT_LEN, &change.holder) == 0)
        tell(arg, &change);
}

static const char page_sql[] =
    "SELECT c.id, c.xid, c.tenant_id, c.device_id, s.xmin,"
    " CASE WHEN c.credentials THEN credentials_mark(c.tenant_id, c.device_id) END"
    " FROM (SELECT pg_snapshot_xmin(pg_current_snapshot()) AS xmin) s"
    " LEFT JOIN LATERAL (SELECT * FROM changes WHERE xid >= $1::xid8"
    " AND id > $2 ORDER BY id LIMIT $3) c ON true ORDER BY c.id";

/* How many rows the page had, or an error. */
static int read_page(struct changes *self, struct ask *db, struct pass *pass, changes_tell *tell,
                     void *arg)
{
    struct digits from = digits(self->xmin), after = digits((uint64_t)pass->last_id);
    struct digits limit = digits(CHANGES_PAGE);
    PGresult *rows = ask_rows(db, page_sql, 3, (const char *[]){from.s, after.s, limit.s});
    if (rows == NULL)
        return ask_error(db);
    if (pass->xmin == 0)
        pass->xmin = strtoull(PQgetvalue(rows, 0, 4), NULL, 10);
    int count = PQgetisnull(rows, 0, 0) ? 0 : PQntuples(rows);
    for (int row = 0; row < count; row++)
        tell_row(self, pass, rows, row, tell, arg);
    PQclear(rows);
    return count;
}

int changes_read(struct changes *self, struct ask *db, changes_tell *tell, void *arg)
{
    struct pass pass = {.ids = xcalloc(CHANGES_SEEN_MAX, sizeof *pass.ids)};
    int count;
    do {
        count = read_page(self, db, &pass, tell, arg);
    } while (count == CHANGES_PAGE);
    if (count < 0) {
        free(pass.ids);
        return count;
    }
    free(self->seen);
    self->seen = pass.ids;
    self->seen_count = pass.count;
    self->xmin = pass.xmin;
    return 0;
}

int changes_prune(const struct changes *self, struct ask *db)
{
    struct digits below = digits(self->xmin);
    return ask_do(
        db, "DELETE FROM changes WHERE xid < $1::xid8 AND created_at < now() - interval '1 hour'",
        1, (const char *[]){below.s});
}
