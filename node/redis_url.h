#pragma once
/*
 * redis_url - what REDIS_URL says.
 *
 * In:    redis://[[user]:password@]host[:port][/...]
 * Out:   host, port, user and password.
 * Bound: a host, user or password that does not fit is refused, not cut.
 */
#include <stdbool.h>

struct redis_url {
    char host[256], user[256], password[256]; /* user "": the server's default; password "": none */
    int port;
};

/* False: it is none, and `ret` is untouched. */
bool redis_url_parse(const char *url, struct redis_url *ret);
