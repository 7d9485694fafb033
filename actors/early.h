#pragma once
/*
 * early - items that came before what they need: their slot, its epoch, the word that their node is
 * there. They are taken again, in their order, when that has come.
 *
 * Owner: the shard. Bound: they are items of edges, which have credit for them, and one of each
 * device that is to be woken.
 */
#include "proto/frame.h"

struct early_item;
struct early {
    struct early_item *first, *last;
};

/* A copy. Aborts without memory. */
void early_keep(struct early *self, const struct item *item);
void early_each(const struct early *self, void (*fn)(void *context, const struct item *item),
                void *context);
/* Calls `fn` with each, which may keep some anew. */
void early_take(struct early *self, void (*fn)(void *context, const struct item *item),
                void *context);
void early_free(struct early *self);
