#pragma once
/*
 * pgarray - the parameters of one statement in PostgreSQL's binary format: mostly arrays, one a
 * column, built straight from arrays of structs.
 *
 * Owner: whoever sends; used again for each statement, the memory is kept.
 * Bound: PARAMS_MAX parameters; bytes up to PostgreSQL's own gigabyte.
 * Holds: nothing fails on its way: params_failed() is asked once, before sending.
 */
#include "proto/buf.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stdint.h>

#define PARAMS_MAX 32

struct params {
    struct buf bytes;
    int count;
    size_t at[PARAMS_MAX];
    int len[PARAMS_MAX];
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

enum params_type { PARAMS_TEXT = 25, PARAMS_JSONB = 3802 };

void params_init(struct params *self);
void params_free(struct params *self);
void params_clear(struct params *self);
bool params_failed(const struct params *self);
/* Fills in libpq's views of the parameters, valid until the next change. */
void params_views(const struct params *self, const char *ret_values[static PARAMS_MAX],
                  int ret_formats[static PARAMS_MAX]);

/* Single values. */
void params_text(struct params *self, const char *text);
void params_int8(struct params *self, int64_t value);

/* Whole columns. */
void params_uuids(struct params *self, struct column column);   /* struct uuid */
void params_int8s(struct params *self, struct column column);   /* int64_t */
void params_times(struct params *self, struct column column);   /* int64_t, Unix µs; 0: NULL */
void params_float8s(struct params *self, struct column column); /* double */
/* double, NULL where `bit` is not in the uint32_t of `present`. */
void params_float8s_present(struct params *self, struct column column, struct column present,
                            uint32_t bit);

/* Element by element, between begin and end. */
void params_begin_uuids(struct params *self);
void params_begin_int8s(struct params *self);
void params_begin_times(struct params *self);
void params_begin_float8s(struct params *self);
void params_begin_texts(struct params *self, enum params_type type);
void params_end(struct params *self);
void params_put_null(struct params *self);
void params_put_uuid(struct params *self, const struct uuid *id);
void params_put_int8(struct params *self, int64_t value);
void params_put_time(struct params *self, int64_t unix_us); /* 0: NULL */
void params_put_float8(struct params *self, double value);
void params_put_text(struct params *self, const void *text, size_t len);
void params_put_jsonb(struct params *self, const void *json, size_t len);
