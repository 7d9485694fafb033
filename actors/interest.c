#include "actors/interest.h"
#include "proto/check.h"
#include <stdlib.h>

struct interest_key {
    struct uuid tenant, device;
};

/* What one edge wants. */
struct interest_place {
    struct interest_from from;
    uint32_t bits;
};

struct interest_entry {
    struct interest_key key;
    struct interest_place *places; /* NULL: the entry is free */
    uint32_t places_count, places_cap;
    uint32_t next_free;
    uint16_t slot; /* of the device, within its region; INTEREST_ANY */
};

void interest_init(struct interest *self)
{
    *self = (struct interest){.free_head = TABLE_NONE};
}

void interest_free(struct interest *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        free(self->entries[i].places);
    table_free(&self->table);
    free(self->entries);
    free(self->found);
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

static struct interest_entry *find(const struct interest *self, const struct uuid *tenant,
                                   const struct uuid *device)
{
    struct interest_key key = {*tenant, *device};
    uint32_t handle = table_find(&self->table, hash_of(&key), equal, self, &key);
    return handle == TABLE_NONE ? NULL : &self->entries[handle];
}

static struct interest_entry *add(struct interest *self, const struct interest_key *key)
{
    uint32_t handle = self->free_head;
    if (handle == TABLE_NONE) {
        if (self->count == self->cap) {
            uint32_t cap = self->cap ? 2 * self->cap : 16;
            struct interest_entry *grown = realloc(self->entries, cap * sizeof *grown);
            if (grown == NULL)
                return NULL;
            self->entries = grown;
            self->cap = cap;
        }
        handle = self->count;
        self->entries[handle] = (struct interest_entry){.next_free = TABLE_NONE};
    }
    if (table_insert(&self->table, hash_of(key), handle) != 0)
        return NULL;
    if (handle == self->count)
        self->count++;
    else
        self->free_head = self->entries[handle].next_free;
    bool any = uuid_is_nil(&key->device);
    self->entries[handle] = (struct interest_entry){
        .key = *key,
        .slot = any ? INTEREST_ANY : (uint16_t)(uuid_hash(&key->device) % LIMIT_SLOTS)};
    return &self->entries[handle];
}

static void drop_if_empty(struct interest *self, struct interest_entry *entry)
{
    if (entry->places_count > 0)
        return;
    uint32_t handle = (uint32_t)(entry - self->entries);
    table_remove(&self->table, hash_of(&entry->key), handle);
    free(entry->places);
    *entry = (struct interest_entry){.next_free = self->free_head};
    self->free_head = handle;
}

static int set_place(struct interest_entry *entry, const struct interest_from *from, unsigned bits)
{
    uint32_t i = 0;
    while (i < entry->places_count && entry->places[i].from.end != from->end)
        i++;
    if (i < entry->places_count && from->given && !entry->places[i].from.given)
        return 0;
    if (bits == 0) {
        if (i < entry->places_count)
            entry->places[i] = entry->places[--entry->places_count];
        return 0;
    }
    if (i == entry->places_cap) {
        uint32_t cap = entry->places_cap ? 2 * entry->places_cap : 1;
        struct interest_place *grown = realloc(entry->places, cap * sizeof *grown);
        if (grown == NULL)
            return ERR_MEMORY;
        entry->places = grown;
        entry->places_cap = cap;
    }
    entry->places[i] = (struct interest_place){*from, bits};
    entry->places_count += i == entry->places_count;
    return 0;
}

int interest_set(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                 const struct interest_from *from, unsigned bits)
{
    struct interest_entry *entry = find(self, tenant, device);
    CHECK(bits < 1U << INTEREST_BITS);
    if (entry == NULL) {
        if (bits == 0)
            return 0;
        entry = add(self, &(struct interest_key){*tenant, *device});
        if (entry == NULL)
            return ERR_MEMORY;
    }
    int rc = set_place(entry, from, bits);
    drop_if_empty(self, entry);
    return rc;
}

static void gather(struct interest *self, const struct interest_entry *entry, unsigned bit,
                   uint32_t *count)
{
    for (uint32_t i = 0; entry != NULL && i < entry->places_count; i++) {
        uint32_t k = 0;
        if (!(entry->places[i].bits & bit))
            continue;
        while (k < *count && self->found[k] != entry->places[i].from.end)
            k++;
        if (k < *count)
            continue;
        if (k == self->found_cap) {
            self->found_cap = self->found_cap ? 2 * self->found_cap : 16;
            self->found = realloc(self->found, self->found_cap * sizeof *self->found);
            CHECK(self->found != NULL);
        }
        self->found[(*count)++] = entry->places[i].from.end;
    }
}

uint32_t interest_find(struct interest *self, const struct uuid *tenant, const struct uuid *device,
                       enum msg_interest_bits bit, const uint32_t **ret_ends)
{
    static const struct uuid any;
    uint32_t count = 0;
    if (self->table.count == 0)
        return 0;
    gather(self, find(self, tenant, &any), bit, &count);
    if (!uuid_is_nil(device))
        gather(self, find(self, tenant, device), bit, &count);
    *ret_ends = self->found;
    return count;
}

void interest_each(const struct interest *self, const struct uuid *tenant,
                   const struct uuid *device,
                   void (*fn)(void *context, uint32_t end, unsigned bits), void *context)
{
    const struct interest_entry *entry = self->table.count == 0 ? NULL : find(self, tenant, device);
    for (uint32_t i = 0; entry != NULL && i < entry->places_count; i++)
        fn(context, entry->places[i].from.end, entry->places[i].bits);
}

void interest_keys(const struct interest *self, uint16_t slot,
                   void (*fn)(void *context, const struct uuid *tenant, const struct uuid *device),
                   void *context)
{
    for (uint32_t h = 0; h < self->count; h++)
        if (self->entries[h].places != NULL && self->entries[h].slot == slot)
            fn(context, &self->entries[h].key.tenant, &self->entries[h].key.device);
}

typedef bool is_over_fn(const struct interest_from *from, unsigned number);

static void lose(struct interest *self, struct interest_entry *entry, is_over_fn *is_over,
                 unsigned number)
{
    for (uint32_t i = 0; i < entry->places_count;)
        if (is_over(&entry->places[i].from, number))
            entry->places[i] = entry->places[--entry->places_count];
        else
            i++;
    drop_if_empty(self, entry);
}

static bool is_of_node(const struct interest_from *from, unsigned node)
{
    return from->end / LIMIT_EDGES == node;
}

static bool is_of_slot(const struct interest_from *from, unsigned slot)
{
    return from->slot == (int32_t)slot;
}

void interest_lost_node(struct interest *self, uint16_t node)
{
    for (uint32_t h = 0; h < self->count; h++)
        if (self->entries[h].places != NULL)
            lose(self, &self->entries[h], is_of_node, node);
}

void interest_lost_slot(struct interest *self, uint16_t slot)
{
    for (uint32_t h = 0; h < self->count; h++)
        if (self->entries[h].places != NULL && self->entries[h].slot == slot % LIMIT_SLOTS)
            lose(self, &self->entries[h], is_of_slot, slot);
}
