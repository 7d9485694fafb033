#include "sql/home.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define SINCE "to_timestamp($1::float8 / 1e6)"
/* The first row is the time of reading; the others are who is told of. */
#define SQL_HOMES                                                                                  \
    "SELECT NULL, (extract(epoch FROM now()) * 1e6)::bigint UNION ALL "                            \
    "(SELECT t.id, r.number FROM tenants t JOIN cluster_regions r ON r.region = t.home_region "    \
    "WHERE t.home_region IS NOT NULL AND t.created_at >= " SINCE ") UNION ALL "                    \
    "(SELECT d.id, r.number FROM devices d JOIN cluster_regions r ON r.region = d.home_region "    \
    "WHERE d.home_region IS NOT NULL AND d.created_at >= " SINCE ")"

int home_read(struct home_reader *self, struct ask *db, home_tell *tell, void *arg)
{
    char since[24];
    int64_t from_us = self->read_us - HOME_LATE_S * INT64_C(1000000);
    snprintf(since, sizeof since, "%" PRId64, from_us > 0 ? from_us : 0);
    PGresult *rows = ask_rows(db, SQL_HOMES, 1, (const char *[]){since});
    if (rows == NULL)
        return ask_error(db);
    for (int row = 0; row < PQntuples(rows); row++) {
        struct uuid id;
        if (PQgetisnull(rows, row, 0))
            self->read_us = strtoll(PQgetvalue(rows, row, 1), NULL, 10);
        else if (uuid_parse(PQgetvalue(rows, row, 0), UUID_TEXT_LEN, &id) == 0)
            tell(arg, &id, (unsigned)strtoul(PQgetvalue(rows, row, 1), NULL, 10));
    }
    PQclear(rows);
    return 0;
}
