#include "node/chunked.h"

enum { SIZE, EXTENSION, DATA, DATA_END, TRAILER, DONE };

static int digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int line_ended(struct chunked *self)
{
    size_t line = self->line;
    self->line = 0;
    switch (self->state) {
    case TRAILER: /* an empty line ends them */
        self->state = line == 0 ? DONE : TRAILER;
        return 0;
    case DATA_END:
        self->state = SIZE;
        return line == 0 ? 0 : ERR_MALFORMED;
    default:
        self->state = self->left > 0 ? DATA : TRAILER;
        return line > 0 ? 0 : ERR_MALFORMED; /* a chunk begins with its size */
    }
}

/* A byte of a line: of sizes, extensions, trailers and of what ends a chunk. */
static int take_byte(struct chunked *self, uint8_t c)
{
    if (c == '\n')
        return line_ended(self);
    if (c == '\r')
        return 0;
    if (++self->line > CHUNKED_LINE_BYTES || self->state == DATA_END)
        return ERR_MALFORMED;
    if (self->state != SIZE)
        return 0;
    int value = digit(c);
    if (value < 0) {
        self->state = EXTENSION;
        return self->line > 1 && (c == ';' || c == ' ' || c == '\t') ? 0 : ERR_MALFORMED;
    }
    if (self->left > SIZE_MAX >> 8)
        return ERR_MALFORMED;
    self->left = self->left << 4 | (size_t)value;
    return 0;
}

int chunked_feed(struct chunked *self, const void *data, size_t len, struct buf *body)
{
    const uint8_t *at = data, *end = at + len;
    while (at < end && self->state != DONE) {
        if (self->state != DATA) {
            if (take_byte(self, *at++) != 0)
                return ERR_MALFORMED;
            continue;
        }
        size_t n = (size_t)(end - at) < self->left ? (size_t)(end - at) : self->left;
        buf_put(body, at, n);
        at += n;
        self->left -= n;
        if (self->left == 0)
            self->state = DATA_END;
    }
    return self->state == DONE;
}
