#include "node/redis_url.h"
#include <stdlib.h>
#include <string.h>

#define SCHEME "redis://"
#define PORT_DEFAULT 6379
#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#define DIGITS "0123456789"

static bool copy(const char *text, size_t len, char ret[static 256])
{
    if (len >= 256)
        return false;
    memcpy(ret, text, len);
    ret[len] = '\0';
    return true;
}

/* What follows the host: ":port", or nothing, then perhaps a path, which nobody reads. */
static bool parse_rest(const char *rest, int *ret_port)
{
    if (*rest == ':') {
        size_t digits = strspn(++rest, DIGITS);
        *ret_port = digits <= 5 ? atoi(rest) : 0;
        rest += digits;
    }
    return (*rest == '\0' || *rest == '/') && *ret_port > 0 && *ret_port < 65536;
}

bool redis_url_parse(const char *url, struct redis_url *ret)
{
    struct redis_url found = {.port = PORT_DEFAULT};
    if (strncmp(url, SCHEME, strlen(SCHEME)) != 0)
        return false;
    const char *host = url + strlen(SCHEME), *at = strrchr(host, '@');
    if (at != NULL) {
        const char *colon = memchr(host, ':', (size_t)(at - host));
        const char *password = colon != NULL ? colon + 1 : host;
        if (!copy(password, (size_t)(at - password), found.password) ||
            (colon != NULL && !copy(host, (size_t)(colon - host), found.user)))
            return false;
        host = at + 1;
    }
    size_t len = strspn(host, LETTERS DIGITS ".-_");
    if (len == 0 || !copy(host, len, found.host) || !parse_rest(host + len, &found.port))
        return false;
    *ret = found;
    return true;
}
