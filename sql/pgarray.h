#pragma once
/*
 * pgarray - the parameters of one statement in PostgreSQL's binary format: mostly arrays, one a
 * column, built straight from arrays of structs.
 *
 * Owner: whoever sends; used again for each statement, the memory is kept.
 * Bound: PGARRAY_MAX parameters; bytes up to PostgreSQL's own gigabyte.
 * Holds: nothing fails on its way: pgarray_failed() is asked once, before sending.
 */
#include "proto/buf.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stdint.h>

#define PGARRAY_MAX 32

struct pgarray {
    struct buf bytes;
    int count;
    size_t at[PGARRAY_MAX];
    int len[PGARRAY_MAX];
    /* the array being written */
    size_t head;
    uint32_t elements;
    bool nulls;
};

/* The same member of each of `count` structs. */
struct column {
    const void *first;
    size_t stride;
    uint32_t count;
};
#define COLUMN(array, member, n)                                                                   \
    ((struct column){.first = &(array)->member, .stride = sizeof *(array), .count = (n)})

enum pgarray_type { PGARRAY_BYTEA = 17, PGARRAY_TEXT = 25, PGARRAY_JSONB = 3802 };

void pgarray_init(struct pgarray *self);
void pgarray_free(struct pgarray *self);
void pgarray_clear(struct pgarray *self);
bool pgarray_failed(const struct pgarray *self);
/* Fills in libpq's views of the parameters, valid until the next change. */
void pgarray_views(const struct pgarray *self, const char *ret_values[static PGARRAY_MAX],
                   int ret_formats[static PGARRAY_MAX]);

/* Single values. */
void pgarray_text(struct pgarray *self, const char *text);
void pgarray_int8(struct pgarray *self, int64_t value);

/* Whole columns. */
void pgarray_uuids(struct pgarray *self, struct column column);   /* struct uuid */
void pgarray_int8s(struct pgarray *self, struct column column);   /* int64_t */
void pgarray_times(struct pgarray *self, struct column column);   /* int64_t, Unix µs; 0: NULL */
void pgarray_float8s(struct pgarray *self, struct column column); /* double */
/* double, NULL where `bit` is not in the uint32_t of `present`. */
void pgarray_float8s_present(struct pgarray *self, struct column column, struct column present,
                             uint32_t bit);

/* Element by element, between begin and end. */
void pgarray_begin_uuids(struct pgarray *self);
void pgarray_begin_int8s(struct pgarray *self);
void pgarray_begin_times(struct pgarray *self);
void pgarray_begin_float8s(struct pgarray *self);
void pgarray_begin_texts(struct pgarray *self, enum pgarray_type type);
void pgarray_end(struct pgarray *self);
void pgarray_put_null(struct pgarray *self);
void pgarray_put_uuid(struct pgarray *self, const struct uuid *id);
void pgarray_put_int8(struct pgarray *self, int64_t value);
void pgarray_put_time(struct pgarray *self, int64_t unix_us); /* 0: NULL */
void pgarray_put_float8(struct pgarray *self, double value);
void pgarray_put_text(struct pgarray *self, const void *text, size_t len);
void pgarray_put_jsonb(struct pgarray *self, const void *json, size_t len);
