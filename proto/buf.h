#pragma once
/*
 * buf - bytes that grow up to a maximum given at birth.
 *
 * A failed put leaves the bytes as they were and marks the buffer failed: a writer of many small
 * pieces checks buf_failed() once at the end.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct buf {
    uint8_t *data;
    size_t len, cap, max;
    bool failed;
};

void buf_init(struct buf *self, size_t max);
void buf_free(struct buf *self);
/* Room for `n` more bytes, not yet counted in len; NULL (and failed) at the maximum or without
 * memory. */
uint8_t *buf_reserve(struct buf *self, size_t n);
void buf_put(struct buf *self, const void *bytes, size_t n);
void buf_printf(struct buf *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Drops the first `n` bytes. */
void buf_consume(struct buf *self, size_t n);

static inline void buf_clear(struct buf *self)
{
    self->len = 0;
    self->failed = false;
}
static inline bool buf_failed(const struct buf *self)
{
    return self->failed;
}
static inline void buf_puts(struct buf *self, const char *text)
{
    buf_put(self, text, strlen(text));
}
static inline void buf_putc(struct buf *self, char c)
{
    buf_put(self, &c, 1);
}
