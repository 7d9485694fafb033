#include "node/watchers.h"
#include "proto/check.h"
#include <stdlib.h>

struct watch_key {
    struct uuid tenant, device;
    struct watch *first;
    uint32_t wanting[INTEREST_BITS]; /* of each bit, how many want it: there may be thousands */
    unsigned bits;
    uint32_t handle;
};

struct pair {
    const struct uuid *tenant, *device;
};

static uint64_t hash_of(const struct pair *pair)
{
    return uuid_hash(pair->device) ^ uuid_hash(pair->tenant) * 31;
}

static bool equal(const void *context, uint32_t handle, const void *key)
{
    const struct watchers *self = context;
    const struct pair *pair = key;
    return uuid_equal(&self->keys[handle]->tenant, pair->tenant) &&
           uuid_equal(&self->keys[handle]->device, pair->device);
}

static struct watch_key *find(const struct watchers *self, const struct pair *pair)
{
    uint32_t handle = table_find(&self->table, hash_of(pair), equal, self, pair);
    return handle == TABLE_NONE ? NULL : self->keys[handle];
}

void watchers_free(struct watchers *self)
{
    for (uint32_t i = 0; i < self->count; i++)
        free(self->keys[i]);
    free(self->keys);
    table_free(&self->table);
    self->keys = NULL;
    self->count = self->cap = 0;
}

void watchers_keys(const struct watchers *self,
                   void (*fn)(void *context, const struct uuid *tenant, const struct uuid *device,
                              unsigned bits),
                   void *context)
{
    for (uint32_t i = 0; i < self->count; i++)
        fn(context, &self->keys[i]->tenant, &self->keys[i]->device, self->keys[i]->bits);
}

static struct watch_key *add_key(struct watchers *self, const struct pair *pair)
{
    if (self->count == self->cap) {
        uint32_t cap = self->cap ? 2 * self->cap : 16;
        struct watch_key **grown = realloc(self->keys, cap * sizeof(struct watch_key *));
        if (grown == NULL)
            return NULL;
        self->keys = grown;
        self->cap = cap;
    }
    struct watch_key *key = calloc(1, sizeof *key);
    if (key == NULL || table_insert(&self->table, hash_of(pair), self->count) != 0) {
        free(key);
        return NULL;
    }
    key->tenant = *pair->tenant;
    key->device = *pair->device;
    key->handle = self->count;
    self->keys[self->count++] = key;
    return key;
}

static void remove_key(struct watchers *self, struct watch_key *key)
{
    table_remove(&self->table, hash_of(&(struct pair){&key->tenant, &key->device}), key->handle);
    struct watch_key *last = self->keys[--self->count];
    if (last != key) {
        uint64_t hash = hash_of(&(struct pair){&last->tenant, &last->device});
        table_remove(&self->table, hash, last->handle);
        CHECK(table_insert(&self->table, hash, key->handle) == 0); /* its place is free */
        last->handle = key->handle;
        self->keys[key->handle] = last;
    }
    free(key);
}

/* One that wants `of` has come (1) or gone (-1). */
static void recount(struct watchers *self, struct watch_key *key, unsigned of, int by)
{
    unsigned bits = 0;
    for (unsigned i = 0; i < INTEREST_BITS; i++) {
        if (of & 1U << i)
            key->wanting[i] += (uint32_t)by;
        bits |= key->wanting[i] > 0 ? 1U << i : 0;
    }
    if (bits != key->bits) {
        key->bits = bits;
        self->changed(self->context, &key->tenant, &key->device, bits);
    }
}

int watchers_add(struct watchers *self, struct watch *watch, const struct uuid *tenant,
                 const struct uuid *device)
{
    struct pair pair = {tenant, device};
    struct watch_key *key = find(self, &pair);
    if (key == NULL && (key = add_key(self, &pair)) == NULL)
        return ERR_MEMORY;
    watch->key = key;
    watch->next = key->first;
    watch->at = &key->first;
    if (watch->next != NULL)
        watch->next->at = &watch->next;
    key->first = watch;
    recount(self, key, watch->bits, 1);
    return 0;
}

void watchers_remove(struct watchers *self, struct watch *watch)
{
    struct watch_key *key = watch->key;
    *watch->at = watch->next;
    if (watch->next != NULL)
        watch->next->at = watch->at;
    watch->key = NULL;
    recount(self, key, watch->bits, -1);
    if (key->first == NULL)
        remove_key(self, key);
}

static void each(const struct watch_key *key, enum msg_interest_bits bit,
                 void (*fn)(void *context, struct watch *watch), void *context)
{
    for (struct watch *w = key != NULL ? key->first : NULL; w != NULL; w = w->next)
        if (w->bits & bit)
            fn(context, w);
}

void watchers_each(const struct watchers *self, const struct uuid *tenant,
                   const struct uuid *device, enum msg_interest_bits bit,
                   void (*fn)(void *context, struct watch *watch), void *context)
{
    static const struct uuid any;
    each(find(self, &(struct pair){tenant, &any}), bit, fn, context);
    if (!uuid_is_nil(device))
        each(find(self, &(struct pair){tenant, device}), bit, fn, context);
}
