#pragma once
/*
 * rest_route - which handler a method and a path mean. Pure.
 *
 * Patterns are segments: a word stands for itself, `{name}` for any one segment, which is to be a
 * UUID; `{name:node}` and `{name:number}` say what else it is to be. The first that fits wins.
 */
#include "proto/err.h"
#include <stddef.h>

#define ROUTE_CAPTURES_MAX 4
#define ROUTE_ALLOW_SIZE 64

enum route_capture {
    ROUTE_UUID,
    ROUTE_NODE,   /* a node's name: 1 to ROUTE_TEXT_SIZE - 1 of a-z, 0-9 and '-' */
    ROUTE_NUMBER, /* a whole number of at most nine digits */
    ROUTE_CAPTURE_KINDS
};
#define ROUTE_TEXT_SIZE 64

struct route_pattern {
    const char *method, *pattern;
};

struct route_match {
    size_t index;
    unsigned captures;
    const char *capture[ROUTE_CAPTURES_MAX]; /* point into the path, not terminated */
    size_t capture_len[ROUTE_CAPTURES_MAX];
    enum route_capture kind[ROUTE_CAPTURES_MAX];
};

/* 0; ERR_NOT_FOUND: no such path; ERR_REFUSED: the path has other methods, which `ret_allow` lists.
 */
int route_find(const struct route_pattern *table, size_t count, const char *method,
               const char *path, size_t len, struct route_match *ret_match,
               char ret_allow[static ROUTE_ALLOW_SIZE]) MUST_CHECK;
/* What the segment `{name}` or `{name:kind}` at `segment` captures; `ret_name_len` of its name. */
enum route_capture route_capture_kind(const char *segment, size_t *ret_name_len);
/* Copies what was captured when it is of its kind, all but UUIDs. 0 or ERR_MALFORMED. */
int route_capture_text(const struct route_match *match, unsigned capture,
                       char ret_text[static ROUTE_TEXT_SIZE]) MUST_CHECK;
