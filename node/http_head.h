#pragma once
/*
 * http_head - the header of a connection's first request, as libwebsockets can take it.
 *
 * In:    the header, from the request line to the empty line.
 * Out:   another one, where libwebsockets would not do as HTTP asks:
 *        - a sub-protocol that it does not know ends an upgrade, and a list of more than 127 bytes;
 *          a live WebSocket's token, offered as `bearer.<jwt>`, becomes an Authorization of its own
 *          scheme (EDGE_TOKEN_SCHEME);
 *        - of a name that begins one it knows (`X-Auth`, `User`), it takes the colon for one more
 *          letter, and swallows the next line (4.1.6). Nobody asks for those: they are left out;
 *          and the connection ends with the answer, since what follows on it is not looked at;
 *        - an absolute-form target (RFC 9112, 3.2.2) loses its scheme and host.
 * Owner: none. Pure.
 */
#include "proto/buf.h"
#include <stdbool.h>

/* True: `out` is the header to use; false: it may stay as it is, or there is no memory. */
bool http_head_rewrite(const char *head, size_t len, struct buf *out);
/* Of a live WebSocket: its request line begins so. */
bool http_head_is_live(const char *head, size_t len);
/* It may become one that libwebsockets answers: a method that it knows (it calls others forbidden),
 * and no NUL in the target (of which it says nothing). */
bool http_head_has_method(const char *head, size_t len);
bool http_head_has_nul(const char *head, size_t len);
