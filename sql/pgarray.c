#include "sql/pgarray.h"
#include "proto/check.h"
#include "sql/db.h"
#include <endian.h>

#define OID_INT8 20
#define OID_FLOAT8 701
#define OID_TIMESTAMPTZ 1184
#define OID_UUID 2950
#define HEADER_BYTES 20
/* PostgreSQL takes no message of a gigabyte or more. */
#define BYTES_MAX ((size_t)1 << 30)
#define JSONB_VERSION 1

void pgarray_init(struct pgarray *self)
{
    memset(self, 0, sizeof *self);
    buf_init(&self->bytes, BYTES_MAX);
}

void pgarray_free(struct pgarray *self)
{
    buf_free(&self->bytes);
}

void pgarray_clear(struct pgarray *self)
{
    buf_clear(&self->bytes);
    self->count = 0;
}

bool pgarray_failed(const struct pgarray *self)
{
    return buf_failed(&self->bytes);
}

void pgarray_views(const struct pgarray *self, const char *ret_values[static PGARRAY_MAX],
                   int ret_formats[static PGARRAY_MAX])
{
    for (int i = 0; i < self->count; i++) {
        ret_values[i] = (const char *)self->bytes.data + self->at[i];
        ret_formats[i] = 1;
    }
}

static void begin_value(struct pgarray *self)
{
    CHECK(self->count < PGARRAY_MAX);
    self->at[self->count] = self->bytes.len;
}

static void end_value(struct pgarray *self)
{
    self->len[self->count] = (int)(self->bytes.len - self->at[self->count]);
    self->count++;
}

static uint8_t *store_32(uint8_t *at, uint32_t value)
{
    value = htobe32(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint8_t *store_64(uint8_t *at, uint64_t value)
{
    value = htobe64(value);
    memcpy(at, &value, sizeof value);
    return at + sizeof value;
}

static uint64_t float8_bits(double value)
{
    uint64_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

void pgarray_text(struct pgarray *self, const char *text)
{
    begin_value(self);
    buf_puts(&self->bytes, text);
    end_value(self);
}

void pgarray_int8(struct pgarray *self, int64_t value)
{
    uint8_t wire[8];
    store_64(wire, (uint64_t)value);
    begin_value(self);
    buf_put(&self->bytes, wire, sizeof wire);
    end_value(self);
}

/* Dimensions, has nulls, element type, length, lower bound; length and nulls are known at the end.
 */
static void begin_array(struct pgarray *self, uint32_t oid)
{
    uint8_t header[HEADER_BYTES];
    uint8_t *at = store_32(header, 1);
    at = store_32(at, 0);
    at = store_32(at, oid);
    at = store_32(at, 0);
    store_32(at, 1);
    begin_value(self);
    self->head = self->bytes.len;
    self->elements = 0;
    self->nulls = false;
    buf_put(&self->bytes, header, sizeof header);
}

void pgarray_begin_uuids(struct pgarray *self)
{
    begin_array(self, OID_UUID);
}
void pgarray_begin_int8s(struct pgarray *self)
{
    begin_array(self, OID_INT8);
}
void pgarray_begin_times(struct pgarray *self)
{
    begin_array(self, OID_TIMESTAMPTZ);
}
void pgarray_begin_float8s(struct pgarray *self)
{
    begin_array(self, OID_FLOAT8);
}
void pgarray_begin_texts(struct pgarray *self, enum pgarray_type type)
{
    begin_array(self, type);
}

void pgarray_end(struct pgarray *self)
{
    if (!self->bytes.failed) {
        uint8_t *header = self->bytes.data + self->head;
        store_32(header + 4, self->nulls);
        store_32(header + 12, self->elements);
    }
    end_value(self);
}

void pgarray_put_null(struct pgarray *self)
{
    static const uint8_t null[4] = {0xff, 0xff, 0xff, 0xff};
    buf_put(&self->bytes, null, sizeof null);
    self->nulls = true;
    self->elements++;
}

/* Room for an element of `len` bytes; its length is written. NULL: failed. */
static uint8_t *element(struct pgarray *self, size_t len)
{
    uint8_t *at = buf_reserve(&self->bytes, 4 + len);
    if (at == NULL)
        return NULL;
    self->bytes.len += 4 + len;
    self->elements++;
    return store_32(at, (uint32_t)len);
}

void pgarray_put_uuid(struct pgarray *self, const struct uuid *id)
{
    uint8_t *at = element(self, sizeof *id);
    if (at != NULL)
        memcpy(at, id, sizeof *id);
}

void pgarray_put_int8(struct pgarray *self, int64_t value)
{
    uint8_t *at = element(self, sizeof value);
    if (at != NULL)
        store_64(at, (uint64_t)value);
}

void pgarray_put_time(struct pgarray *self, int64_t unix_us)
{
    if (unix_us == 0)
        pgarray_put_null(self);
    else
        pgarray_put_int8(self, unix_us - DB_EPOCH_US);
}

void pgarray_put_float8(struct pgarray *self, double value)
{
    uint8_t *at = element(self, sizeof value);
    if (at != NULL)
        store_64(at, float8_bits(value));
}

void pgarray_put_text(struct pgarray *self, const void *text, size_t len)
{
    uint8_t *at = element(self, len);
    if (at != NULL && len > 0)
        memcpy(at, text, len);
}

void pgarray_put_jsonb(struct pgarray *self, const void *json, size_t len)
{
    uint8_t *at = element(self, len + 1);
    if (at == NULL)
        return;
    *at = JSONB_VERSION;
    memcpy(at + 1, json, len);
}

static const void *cell(struct column column, uint32_t i)
{
    return (const char *)column.first + column.stride * i;
}

/* The columns of the readings are most of what is ever written: one reservation a column, and no
 * call an element. NULL: failed; the array is begun. */
static uint8_t *begin_column(struct pgarray *self, uint32_t oid, uint32_t count, size_t len)
{
    begin_array(self, oid);
    return buf_reserve(&self->bytes, count * (4 + len));
}

static void end_column(struct pgarray *self, const uint8_t *end, uint32_t count)
{
    if (end != NULL)
        self->bytes.len = (size_t)(end - self->bytes.data);
    self->elements = count;
    pgarray_end(self);
}

void pgarray_uuids(struct pgarray *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_UUID, column.count, sizeof(struct uuid));
    for (uint32_t i = 0; at != NULL && i < column.count; i++) {
        at = store_32(at, sizeof(struct uuid));
        memcpy(at, cell(column, i), sizeof(struct uuid));
        at += sizeof(struct uuid);
    }
    end_column(self, at, column.count);
}

static int64_t cell_int8(struct column column, uint32_t i)
{
    int64_t value;
    memcpy(&value, cell(column, i), sizeof value);
    return value;
}

void pgarray_int8s(struct pgarray *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_INT8, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++)
        at = store_64(store_32(at, 8), (uint64_t)cell_int8(column, i));
    end_column(self, at, column.count);
}

void pgarray_times(struct pgarray *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_TIMESTAMPTZ, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++) {
        int64_t unix_us = cell_int8(column, i);
        self->nulls |= unix_us == 0;
        at = unix_us == 0 ? store_32(at, UINT32_MAX)
                          : store_64(store_32(at, 8), (uint64_t)(unix_us - DB_EPOCH_US));
    }
    end_column(self, at, column.count);
}

void pgarray_float8s(struct pgarray *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_FLOAT8, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++)
        at = store_64(store_32(at, 8), (uint64_t)cell_int8(column, i));
    end_column(self, at, column.count);
}

void pgarray_float8s_present(struct pgarray *self, struct column column, struct column present,
                             uint32_t bit)
{
    uint8_t *at = begin_column(self, OID_FLOAT8, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++) {
        uint32_t bits;
        memcpy(&bits, cell(present, i), sizeof bits);
        bool null = (bits & bit) == 0;
        self->nulls |= null;
        at = null ? store_32(at, UINT32_MAX)
                  : store_64(store_32(at, 8), (uint64_t)cell_int8(column, i));
    }
    end_column(self, at, column.count);
}
