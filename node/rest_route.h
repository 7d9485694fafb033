#pragma once
/*
 * rest_route - which handler a method and a path mean. Pure.
 *
 * Patterns are segments: a word stands for itself, `{name}` for any one segment, a last `*` for
 * whatever follows. The first that fits wins.
 */
#include "proto/err.h"
#include <stddef.h>

#define ROUTE_CAPTURES_MAX 4
#define ROUTE_ALLOW_SIZE 64

struct route_pattern {
    const char *method, *pattern;
};

struct route_match {
    size_t index;
    unsigned captures;
    const char *capture[ROUTE_CAPTURES_MAX]; /* point into the path, not terminated */
    size_t capture_len[ROUTE_CAPTURES_MAX];
};

/* 0; ERR_NOT_FOUND: no such path; ERR_REFUSED: the path has other methods, which `ret_allow` lists.
 */
int route_find(const struct route_pattern *table, size_t count, const char *method,
               const char *path, size_t len, struct route_match *ret_match,
               char ret_allow[static ROUTE_ALLOW_SIZE]) MUST_CHECK;
