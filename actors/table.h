#pragma once
/*
 * table - an open-addressing index from a key's hash to a 32-bit handle; keys live with the caller.
 *
 * Linear probing, backward-shift deletion, at most 3/4 full: 8 bytes a place.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>

#define TABLE_NONE UINT32_MAX

struct table {
    struct table_place *places;
    uint32_t mask, count; /* mask: places - 1 */
};

/* Does the thing of `handle` have the key that is looked for? */
typedef bool table_equal_fn(const void *context, uint32_t handle, const void *key);

void table_free(struct table *self);
/* The handle, or TABLE_NONE. */
uint32_t table_find(const struct table *self, uint64_t hash, table_equal_fn *equal,
                    const void *context, const void *key);
/* 0 or ERR_MEMORY. The key must not be there yet. */
int table_insert(struct table *self, uint64_t hash, uint32_t handle) MUST_CHECK;
/* Removes `handle`, which was inserted with `hash`. */
void table_remove(struct table *self, uint64_t hash, uint32_t handle);
