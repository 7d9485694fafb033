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

void params_init(struct params *self)
{
    memset(self, 0, sizeof *self);
    buf_init(&self->bytes, BYTES_MAX);
}

void params_free(struct params *self)
{
    buf_free(&self->bytes);
}

void params_clear(struct params *self)
{
    buf_clear(&self->bytes);
    self->count = 0;
}

bool params_failed(const struct params *self)
{
    return buf_failed(&self->bytes);
}

void params_views(const struct params *self, const char *ret_values[static PARAMS_MAX],
                  int ret_formats[static PARAMS_MAX])
{
    for (int i = 0; i < self->count; i++) {
        ret_values[i] = (const char *)self->bytes.data + self->at[i];
        ret_formats[i] = 1;
    }
}

static void begin_value(struct params *self)
{
    CHECK(self->count < PARAMS_MAX);
    self->at[self->count] = self->bytes.len;
}

static void end_value(struct params *self)
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

void params_text(struct params *self, const char *text)
{
    begin_value(self);
    buf_puts(&self->bytes, text);
    end_value(self);
}

void params_int8(struct params *self, int64_t value)
{
    uint8_t wire[8];
    store_64(wire, (uint64_t)value);
    begin_value(self);
    buf_put(&self->bytes, wire, sizeof wire);
    end_value(self);
}

/* Dimensions, has nulls, element type, length, lower bound; length and nulls are known at the end.
 */
static void begin_array(struct params *self, uint32_t oid)
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

void params_begin_uuids(struct params *self)
{
    begin_array(self, OID_UUID);
}
void params_begin_int8s(struct params *self)
{
    begin_array(self, OID_INT8);
}
void params_begin_times(struct params *self)
{
    begin_array(self, OID_TIMESTAMPTZ);
}
void params_begin_float8s(struct params *self)
{
    begin_array(self, OID_FLOAT8);
}
void params_begin_texts(struct params *self, enum params_type type)
{
    begin_array(self, type);
}

void params_end(struct params *self)
{
    if (!self->bytes.failed) {
        uint8_t *header = self->bytes.data + self->head;
        store_32(header + 4, self->nulls);
        store_32(header + 12, self->elements);
    }
    end_value(self);
}

void params_put_null(struct params *self)
{
    static const uint8_t null[4] = {0xff, 0xff, 0xff, 0xff};
    buf_put(&self->bytes, null, sizeof null);
    self->nulls = true;
    self->elements++;
}

/* Room for an element of `len` bytes; its length is written. NULL: failed. */
static uint8_t *element(struct params *self, size_t len)
{
    uint8_t *at = buf_reserve(&self->bytes, 4 + len);
    if (at == NULL)
        return NULL;
    self->bytes.len += 4 + len;
    self->elements++;
    return store_32(at, (uint32_t)len);
}

void params_put_uuid(struct params *self, const struct uuid *id)
{
    uint8_t *at = element(self, sizeof *id);
    if (at != NULL)
        memcpy(at, id, sizeof *id);
}

void params_put_int8(struct params *self, int64_t value)
{
    uint8_t *at = element(self, sizeof value);
    if (at != NULL)
        store_64(at, (uint64_t)value);
}

void params_put_time(struct params *self, int64_t unix_us)
{
    if (unix_us == 0)
        params_put_null(self);
    else
        params_put_int8(self, unix_us - DB_EPOCH_US);
}

void params_put_float8(struct params *self, double value)
{
    uint8_t *at = element(self, sizeof value);
    if (at != NULL)
        store_64(at, float8_bits(value));
}

void params_put_text(struct params *self, const void *text, size_t len)
{
    uint8_t *at = element(self, len);
    if (at != NULL && len > 0)
        memcpy(at, text, len);
}

void params_put_jsonb(struct params *self, const void *json, size_t len)
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
static uint8_t *begin_column(struct params *self, uint32_t oid, uint32_t count, size_t len)
{
    begin_array(self, oid);
    return buf_reserve(&self->bytes, count * (4 + len));
}

static void end_column(struct params *self, const uint8_t *end, uint32_t count)
{
    if (end != NULL)
        self->bytes.len = (size_t)(end - self->bytes.data);
    self->elements = count;
    params_end(self);
}

void params_uuids(struct params *self, struct column column)
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

void params_int8s(struct params *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_INT8, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++)
        at = store_64(store_32(at, 8), (uint64_t)cell_int8(column, i));
    end_column(self, at, column.count);
}

void params_times(struct params *self, struct column column)
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

void params_float8s(struct params *self, struct column column)
{
    uint8_t *at = begin_column(self, OID_FLOAT8, column.count, 8);
    for (uint32_t i = 0; at != NULL && i < column.count; i++)
        at = store_64(store_32(at, 8), (uint64_t)cell_int8(column, i));
    end_column(self, at, column.count);
}

void params_float8s_present(struct params *self, struct column column, struct column present,
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
