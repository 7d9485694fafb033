#pragma once
/*
 * name_set - the names seen in one JSON object, to find a name that appears twice.
 *
 * Names are borrowed: they must outlive the round that name_set_clear begins.
 * Bound: NAME_SET_MAX names a round; clearing costs nothing.
 */
#include "proto/limits.h"
#include <stdbool.h>
#include <stddef.h>

#define NAME_SET_MAX LIMIT_METRICS

struct name_set;

struct name_set *name_set_new(void); /* NULL: out of memory */
void name_set_destroy(struct name_set **self_p);
void name_set_clear(struct name_set *self);
/* False when it is there already. The caller adds at most NAME_SET_MAX a round. */
bool name_set_add(struct name_set *self, const char *name, size_t len);
