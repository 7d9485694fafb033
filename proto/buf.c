#include "proto/buf.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void buf_init(struct buf *self, size_t max)
{
    *self = (struct buf){.max = max};
}

void buf_free(struct buf *self)
{
    free(self->data);
    *self = (struct buf){.max = self->max};
}

uint8_t *buf_reserve(struct buf *self, size_t n)
{
    if (self->failed)
        return NULL;
    if (self->cap - self->len >= n)
        return self->data + self->len;
    if (n > self->max - self->len) {
        self->failed = true;
        return NULL;
    }
    size_t cap = self->cap ? self->cap : 256;
    while (cap < self->len + n)
        cap *= 2;
    if (cap > self->max)
        cap = self->max;
    uint8_t *data = realloc(self->data, cap);
    if (data == NULL) {
        self->failed = true;
        return NULL;
    }
    self->data = data;
    self->cap = cap;
    return data + self->len;
}

void buf_put(struct buf *self, const void *bytes, size_t n)
{
    uint8_t *room = buf_reserve(self, n);
    if (room != NULL && n > 0) {
        memcpy(room, bytes, n);
        self->len += n;
    }
}

void buf_printf(struct buf *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    uint8_t *room = n < 0 ? NULL : buf_reserve(self, (size_t)n + 1);
    if (room == NULL)
        return;
    va_start(args, format);
    vsnprintf((char *)room, (size_t)n + 1, format, args);
    va_end(args);
    self->len += (size_t)n;
}

void buf_consume(struct buf *self, size_t n)
{
    memmove(self->data, self->data + n, self->len - n);
    self->len -= n;
}
