#include "bytes.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(void)
{
    fputs("gito-load: out of memory\n", stderr);
    exit(1);
}

void *must_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (p == NULL)
        out_of_memory();
    return p;
}

uint8_t *bytes_room(struct bytes *self, size_t n)
{
    if (self->cap - self->end >= n)
        return self->data + self->end;
    size_t len = bytes_len(self);
    if (self->start > 0) {
        memmove(self->data, self->data + self->start, len);
        self->start = 0;
        self->end = len;
    }
    if (self->cap - len < n) {
        size_t cap = self->cap ? self->cap : 256;
        while (cap - len < n)
            cap *= 2;
        self->data = realloc(self->data, cap);
        if (self->data == NULL)
            out_of_memory();
        self->cap = cap;
    }
    return self->data + self->end;
}

void bytes_put(struct bytes *self, const void *data, size_t n)
{
    if (n == 0)
        return;
    memcpy(bytes_room(self, n), data, n);
    self->end += n;
}

void bytes_take(struct bytes *self, size_t n)
{
    self->start += n;
    if (self->start == self->end)
        self->start = self->end = 0;
}

void bytes_free(struct bytes *self)
{
    free(self->data);
    *self = (struct bytes){0};
}
