#pragma once
/*
 * chunked - takes the chunks of an HTTP/1.1 body apart (RFC 9112, 7.1).
 *
 * Pure: bytes come in as they arrive, in any pieces; the body goes to a buf, which has the bound.
 * Extensions and trailer fields are skipped; a line of either is at most CHUNKED_LINE_BYTES.
 */
#include "proto/buf.h"

#define CHUNKED_LINE_BYTES 4096

struct chunked {
    int state;
    size_t left; /* of the chunk */
    size_t line; /* bytes of the line so far */
};

/* A zeroed struct is the beginning. 1: the body is whole; 0: there is more to come; or
 * ERR_MALFORMED. What follows the body is not looked at. */
int chunked_feed(struct chunked *self, const void *data, size_t len, struct buf *body) MUST_CHECK;
