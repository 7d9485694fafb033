#pragma once
/*
 * interest - which edges have watchers of a tenant's devices, so that a shard sends an event only
 * where somebody looks.
 *
 * Owner: the shard. Bound: one entry a (tenant, device or any) that some edge watches.
 */
#include "actors/table.h"
#include "proto/limits.h"
#include "proto/msg.h"

struct interest {
    struct table table;
    struct interest_entry *entries;
    uint32_t count, cap, free_head;
};

void interest_init(struct interest *self);
void interest_free(struct interest *self);
/* From now on `edge` wants `bits` of it (0: nothing). 0 or ERR_MEMORY. */
int interest_set(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                 unsigned edge, unsigned bits) MUST_CHECK;
/* Bit e set: edge e wants events of kind `bit` (enum msg_interest_bits) of this device. */
uint32_t interest_edges(const struct interest *self, const struct uuid *tenant,
                        const struct uuid *device, enum msg_interest_bits bit);
