#pragma once
/*
 * bytes - a byte queue: written at the end, taken from the front.
 *
 * Bound: none of its own; the window of a connection bounds what is written. Out of memory ends the
 * program, as a load generator has nothing better to do.
 */
#include <stddef.h>
#include <stdint.h>

struct bytes {
    uint8_t *data;
    size_t start, end, cap;
};

/* Room for `n` bytes at the end; the caller adds what it wrote to `end`. */
uint8_t *bytes_room(struct bytes *self, size_t n);
void bytes_put(struct bytes *self, const void *data, size_t n);
/* Takes `n` bytes from the front. */
void bytes_take(struct bytes *self, size_t n);
void bytes_free(struct bytes *self);
/* calloc that ends the program when there is no memory. */
void *must_calloc(size_t count, size_t size);

static inline size_t bytes_len(const struct bytes *self)
{
    return self->end - self->start;
}
