#include "actors/interest.h"
#include "proto/check.h"
#include <stdlib.h>

struct interest_key {
    struct uuid tenant, device;
};

struct interest_entry {
    struct interest_key key;
    uint32_t bits; /* INTEREST_BITS bits an edge; 0: the entry is free */
    uint32_t next_free;
};
_Static_assert(LIMIT_EDGES *INTEREST_BITS <= 32, "an edge's bits must fit");

void interest_init(struct interest *self)
{
    *self = (struct interest){.free_head = TABLE_NONE};
}

void interest_free(struct interest *self)
{
    table_free(&self->table);
    free(self->entries);
    interest_init(self);
}

static uint64_t hash_of(const struct interest_key *key)
{
    return uuid_hash(&key->device) ^ uuid_hash(&key->tenant) * 31;
}

static bool equal(const void *context, uint32_t handle, const void *key)
{
    const struct interest *self = context;
    return memcmp(&self->entries[handle].key, key, sizeof(struct interest_key)) == 0;
}

static uint32_t add(struct interest *self, const struct interest_key *key)
{
    uint32_t handle = self->free_head;
    if (handle == TABLE_NONE) {
        if (self->count == self->cap) {
            uint32_t cap = self->cap ? 2 * self->cap : 16;
            struct interest_entry *grown = realloc(self->entries, cap * sizeof *grown);
            if (grown == NULL)
                return TABLE_NONE;
            self->entries = grown;
            self->cap = cap;
        }
        handle = self->count;
        self->entries[handle].next_free = TABLE_NONE;
    }
    if (table_insert(&self->table, hash_of(key), handle) != 0)
        return TABLE_NONE;
    if (handle == self->count)
        self->count++;
    else
        self->free_head = self->entries[handle].next_free;
    self->entries[handle].key = *key;
    self->entries[handle].bits = 0;
    return handle;
}

int interest_set(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                 unsigned edge, unsigned bits)
{
    struct interest_key key = {*tenant, *device};
    CHECK(edge < LIMIT_EDGES && bits < 1U << INTEREST_BITS);
    uint32_t handle = table_find(&self->table, hash_of(&key), equal, self, &key);
    if (handle == TABLE_NONE) {
        if (bits == 0)
            return 0;
        handle = add(self, &key);
        if (handle == TABLE_NONE)
            return ERR_MEMORY;
    }
    struct interest_entry *entry = &self->entries[handle];
    uint32_t shift = edge * INTEREST_BITS, mask = (1U << INTEREST_BITS) - 1;
    entry->bits = (entry->bits & ~(mask << shift)) | bits << shift;
    if (entry->bits == 0) {
        table_remove(&self->table, hash_of(&key), handle);
        entry->next_free = self->free_head;
        self->free_head = handle;
    }
    return 0;
}

static uint32_t bits_of(const struct interest *self, const struct uuid *tenant,
                        const struct uuid *device)
{
    struct interest_key key = {*tenant, *device};
    uint32_t handle = table_find(&self->table, hash_of(&key), equal, self, &key);
    return handle == TABLE_NONE ? 0 : self->entries[handle].bits;
}

uint32_t interest_edges(const struct interest *self, const struct uuid *tenant,
                        const struct uuid *device, enum msg_interest_bits bit)
{
    static const struct uuid any;
    if (self->table.count == 0)
        return 0;
    uint32_t bits = bits_of(self, tenant, &any), edges = 0;
    if (!uuid_is_nil(device))
        bits |= bits_of(self, tenant, device);
    for (unsigned e = 0; bits != 0; e++, bits >>= INTEREST_BITS)
        if (bits & bit)
            edges |= 1U << e;
    return edges;
}
