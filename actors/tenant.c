#include "actors/tenant.h"
#include "proto/check.h"
#include <stdlib.h>
#include <xxhash.h>

#define MINUTE_US 60000000LL

struct claim {
    struct uuid tenant;
    struct msg_ref ref;
    int64_t since_us;
    uint16_t len;
    char client_id[];
};

struct tenant {
    struct uuid id;
    int64_t minute_us; /* its present minute began then, with a request */
    uint32_t used;     /* requests of it */
};

struct claim_key {
    const struct uuid *tenant;
    const char *client_id;
    size_t len;
};

void tenants_init(struct tenants *self, uint32_t requests_per_minute)
{
    *self = (struct tenants){.requests_per_minute = requests_per_minute};
}

void tenants_free(struct tenants *self)
{
    for (uint32_t i = 0; i < self->claims_count; i++)
        free(self->claims[i]);
    free(self->claims);
    free(self->tenants);
    table_free(&self->claims_index);
    table_free(&self->tenants_index);
    tenants_init(self, self->requests_per_minute);
}

static bool claim_equal(const void *context, uint32_t handle, const void *key)
{
    const struct tenants *self = context;
    const struct claim_key *wanted = key;
    const struct claim *claim = self->claims[handle];
    return claim->len == wanted->len && uuid_equal(&claim->tenant, wanted->tenant) &&
           memcmp(claim->client_id, wanted->client_id, claim->len) == 0;
}

static uint64_t claim_hash(const struct claim_key *key)
{
    return XXH64(key->client_id, key->len, uuid_hash(key->tenant));
}

static void drop_claim(struct tenants *self, uint32_t handle)
{
    struct claim *claim = self->claims[handle];
    struct claim_key key = {&claim->tenant, claim->client_id, claim->len};
    table_remove(&self->claims_index, claim_hash(&key), handle);
    free(claim);
    /* The last claim moves into the gap, under its new handle. */
    uint32_t last = --self->claims_count;
    if (handle == last)
        return;
    struct claim *moved = self->claims[last];
    struct claim_key moved_key = {&moved->tenant, moved->client_id, moved->len};
    uint64_t moved_hash = claim_hash(&moved_key);
    table_remove(&self->claims_index, moved_hash, last);
    CHECK(table_insert(&self->claims_index, moved_hash, handle) == 0); /* its place is free */
    self->claims[handle] = moved;
}

/* A free handle, or TABLE_NONE without memory. */
static uint32_t claim_place(struct tenants *self)
{
    if (self->claims_count == self->claims_cap) {
        uint32_t cap = self->claims_cap ? 2 * self->claims_cap : 16;
        struct claim **grown = realloc(self->claims, cap * sizeof *grown);
        if (grown == NULL)
            return TABLE_NONE;
        self->claims = grown;
        self->claims_cap = cap;
    }
    return self->claims_count;
}

int tenants_claim(struct tenants *self, const struct uuid *tenant, const char *client_id,
                  size_t len, const struct msg_ref *ref, int64_t since_us,
                  struct msg_ref *ret_loser)
{
    struct claim_key key = {tenant, client_id, len};
    uint64_t hash = claim_hash(&key);
    uint32_t handle = table_find(&self->claims_index, hash, claim_equal, self, &key);
    if (handle != TABLE_NONE) {
        struct claim *held = self->claims[handle];
        if (msg_same_connection(&held->ref, ref))
            return 0; /* told again */
        bool later = since_us >= held->since_us;
        *ret_loser = later ? held->ref : *ref;
        if (later) {
            held->ref = *ref;
            held->since_us = since_us;
        }
        return 1;
    }
    struct claim *claim = malloc(sizeof *claim + len);
    handle = claim_place(self);
    if (claim == NULL || handle == TABLE_NONE ||
        table_insert(&self->claims_index, hash, handle) != 0) {
        free(claim);
        return ERR_MEMORY;
    }
    *claim =
        (struct claim){.tenant = *tenant, .ref = *ref, .since_us = since_us, .len = (uint16_t)len};
    memcpy(claim->client_id, client_id, len);
    self->claims[self->claims_count++] = claim;
    return 0;
}

void tenants_unclaim(struct tenants *self, const struct uuid *tenant, const char *client_id,
                     size_t len, const struct msg_ref *ref)
{
    struct claim_key key = {tenant, client_id, len};
    uint64_t hash = claim_hash(&key);
    uint32_t handle = table_find(&self->claims_index, hash, claim_equal, self, &key);
    if (handle == TABLE_NONE)
        return;
    struct claim *claim = self->claims[handle];
    if (msg_same_connection(&claim->ref, ref))
        drop_claim(self, handle);
}

void tenants_lost_node(struct tenants *self, uint16_t node)
{
    for (uint32_t i = self->claims_count; i > 0; i--)
        if (self->claims[i - 1]->ref.node == node)
            drop_claim(self, i - 1);
}

void tenants_lost_slot(struct tenants *self, uint16_t slot)
{
    for (uint32_t i = self->claims_count; i > 0; i--)
        if (self->claims[i - 1]->ref.slot == slot)
            drop_claim(self, i - 1);
}

static bool tenant_equal(const void *context, uint32_t handle, const void *key)
{
    const struct tenants *self = context;
    return uuid_equal(&self->tenants[handle].id, key);
}

static struct tenant *find_tenant(struct tenants *self, const struct uuid *id, int64_t now_us)
{
    uint64_t hash = uuid_hash(id);
    uint32_t handle = table_find(&self->tenants_index, hash, tenant_equal, self, id);
    if (handle != TABLE_NONE)
        return &self->tenants[handle];
    if (self->tenants_count == self->tenants_cap) {
        uint32_t cap = self->tenants_cap ? 2 * self->tenants_cap : 16;
        struct tenant *grown = realloc(self->tenants, cap * sizeof *grown);
        if (grown == NULL)
            return NULL;
        self->tenants = grown;
        self->tenants_cap = cap;
    }
    if (table_insert(&self->tenants_index, hash, self->tenants_count) != 0)
        return NULL;
    struct tenant *tenant = &self->tenants[self->tenants_count++];
    *tenant = (struct tenant){.id = *id, .minute_us = now_us};
    return tenant;
}

int tenants_admit(struct tenants *self, const struct uuid *tenant_id, int64_t now_us,
                  struct msg_admitted *ret_answer)
{
    struct tenant *tenant = find_tenant(self, tenant_id, now_us);
    if (tenant == NULL)
        return ERR_MEMORY;
    bool over = now_us - tenant->minute_us >= MINUTE_US || now_us < tenant->minute_us;
    if (over) { /* or the clock was set back */
        tenant->minute_us = now_us;
        tenant->used = 0;
    }
    bool admitted = tenant->used < self->requests_per_minute;
    tenant->used += admitted;
    int64_t left_us = tenant->minute_us + MINUTE_US - now_us;
    *ret_answer = (struct msg_admitted){
        .limit = self->requests_per_minute,
        .remaining = self->requests_per_minute - tenant->used,
        .reset_s = (uint32_t)((left_us + 999999) / 1000000),
        .admitted = admitted,
    };
    return 0;
}
