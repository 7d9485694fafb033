#pragma once
/*
 * interest - which edges of which nodes have watchers of a tenant's devices, so that a shard sends
 * an event only where somebody looks.
 *
 * Owner: the shard. Bound: one entry a (tenant, device or any) that some edge watches, with one
 * place an edge that does; of devices, those of the shard's slots.
 */
#include "actors/table.h"
#include "proto/limits.h"
#include "proto/msg.h"

/* An edge of the cluster: node number and edge index. */
#define INTEREST_END(node, edge) ((uint32_t)(node)*LIMIT_EDGES + (edge))

struct interest {
    struct table table;
    struct interest_entry *entries;
    uint32_t count, cap, free_head;
    uint32_t *found; /* scratch of interest_find() */
    uint32_t found_cap;
};

void interest_init(struct interest *self);
void interest_free(struct interest *self);
/* Who wants something: an edge, as it said to the owner of `slot`, or (given) as a former owner
 * knew it. */
struct interest_from {
    uint32_t end;
    int32_t slot; /* -1: no device is named */
    bool given;
};

/* From now on the edge wants `bits` of it (0: nothing); what is given changes nothing that an edge
 * has said itself, for it may be older. 0 or ERR_MEMORY. */
int interest_set(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                 const struct interest_from *from, unsigned bits) MUST_CHECK;
/* The edges that want events of kind `bit` of this device, each once, until the next call. Aborts
 * without memory. */
uint32_t interest_find(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                       enum msg_interest_bits bit, const uint32_t **ret_ends);
/* Calls `fn` for each edge that watches this very device, with what it wants. */
void interest_each(const struct interest *self, const struct uuid *tenant,
                   const struct uuid *device,
                   void (*fn)(void *context, uint32_t end, unsigned bits), void *context);
/* Calls `fn` for each device that is watched, of those whose id hashes to this slot (of whatever
 * region); or, INTEREST_ANY, for each tenant all of whose devices are: `device` is nil then. */
#define INTEREST_ANY UINT16_MAX
void interest_keys(const struct interest *self, uint16_t slot,
                   void (*fn)(void *context, const struct uuid *tenant, const struct uuid *device),
                   void *context);
/* A node has gone: none of its edges wants anything. */
void interest_lost_node(struct interest *self, uint16_t node);
/* The slot is another shard's now: who watches its devices no more tells that one. */
void interest_lost_slot(struct interest *self, uint16_t slot);
