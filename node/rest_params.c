#include "node/rest_params.h"
#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Decodes in place up to `end`, which lies behind the text; false: malformed. */
static bool decode(char *text, const char *end, char **ret_end)
{
    char *out = text;
    for (const char *at = text; at < end; at++) {
        char c = *at == '+' ? ' ' : *at;
        if (*at == '%') {
            if (end - at < 3 || hex_digit(at[1]) < 0 || hex_digit(at[2]) < 0)
                return false;
            c = (char)(hex_digit(at[1]) * 16 + hex_digit(at[2]));
            at += 2;
        }
        if (c == '\0')
            return false;
        *out++ = c;
    }
    *out = '\0';
    *ret_end = out;
    return true;
}

static int take_pair(struct params *self, char *pair, char *end)
{
    char *equals = memchr(pair, '=', (size_t)(end - pair));
    char *name_end = equals != NULL ? equals : end, *value = end;
    *end = '\0';
    if (equals != NULL) {
        value = equals + 1;
        *equals = '\0';
        if (!decode(value, end, &end))
            return ERR_MALFORMED;
    }
    if (!decode(pair, name_end, &name_end))
        return ERR_MALFORMED;
    if (*pair == '\0')
        return 0;
    if (self->count == PARAMS_MAX)
        return ERR_TOO_LARGE;
    self->name[self->count] = pair;
    self->value[self->count++] = value;
    return 0;
}

int rest_params_parse(const char *query, size_t len, struct params *ret_params)
{
    struct params params = {.text = malloc(len + 1)};
    if (params.text == NULL)
        return ERR_MEMORY;
    if (len > 0)
        memcpy(params.text, query, len);
    char *at = params.text, *end = params.text + len;
    while (at < end) {
        char *next = memchr(at, '&', (size_t)(end - at));
        char *pair_end = next != NULL ? next : end;
        int rc = take_pair(&params, at, pair_end);
        if (rc != 0) {
            free(params.text);
            return rc;
        }
        at = pair_end + 1;
    }
    *ret_params = params;
    return 0;
}

void rest_params_free(struct params *self)
{
    free(self->text);
    *self = (struct params){0};
}

const char *rest_params_get(const struct params *self, const char *name)
{
    for (unsigned i = 0; i < self->count; i++)
        if (strcmp(self->name[i], name) == 0)
            return self->value[i][0] != '\0' ? self->value[i] : NULL;
    return NULL;
}

int rest_params_integer(const char *text, int64_t least, int64_t most, int64_t *ret_value)
{
    char *end;
    if (!isdigit((unsigned char)*text) && *text != '-')
        return ERR_MALFORMED;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < least || value > most)
        return ERR_MALFORMED;
    *ret_value = value;
    return 0;
}

int rest_params_flag(const char *text, int *ret_flag)
{
    if (strcasecmp(text, "true") == 0 || strcmp(text, "1") == 0)
        *ret_flag = 1;
    else if (strcasecmp(text, "false") == 0 || strcmp(text, "0") == 0)
        *ret_flag = 0;
    else
        return ERR_MALFORMED;
    return 0;
}

static bool unreserved(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           strchr("-._~:,", c) != NULL;
}

void rest_params_put(struct buf *out, const char *argument)
{
    bool value = false;
    if (out->len > 0)
        buf_putc(out, '&');
    for (const char *text = argument; *text != '\0'; text++) {
        if (unreserved(*text) || (*text == '=' && !value))
            buf_putc(out, *text);
        else
            buf_printf(out, "%%%02X", (unsigned char)*text);
        value = value || *text == '=';
    }
}
