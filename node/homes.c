#include "node/homes.h"
#include "proto/check.h"
#include <stdlib.h>

struct home {
    struct uuid id;
    uint8_t region;
};

void homes_free(struct homes *self)
{
    table_free(&self->table);
    free(self->entries);
    *self = (struct homes){0};
}

static bool has_id(const void *context, uint32_t handle, const void *key)
{
    const struct homes *self = context;
    return uuid_equal(&self->entries[handle].id, key);
}

static uint32_t find(const struct homes *self, const struct uuid *id)
{
    return table_find(&self->table, uuid_hash(id), has_id, self, id);
}

bool homes_set(struct homes *self, const struct uuid *id, unsigned region)
{
    uint32_t known = find(self, id);
    if (known != TABLE_NONE) {
        bool is_new = self->entries[known].region != region;
        self->entries[known].region = (uint8_t)region;
        return is_new;
    }
    if (self->count == self->cap) {
        self->cap = self->cap ? 2 * self->cap : 16;
        self->entries = realloc(self->entries, self->cap * sizeof *self->entries);
        CHECK(self->entries != NULL);
    }
    self->entries[self->count] = (struct home){*id, (uint8_t)region};
    CHECK(table_insert(&self->table, uuid_hash(id), self->count) == 0);
    self->count++;
    return true;
}

unsigned homes_region(const struct homes *self, const struct uuid *tenant,
                      const struct uuid *device)
{
    uint32_t handle = TABLE_NONE;
    if (self->count == 0)
        return 0;
    if (device != NULL)
        handle = find(self, device);
    if (handle == TABLE_NONE)
        handle = find(self, tenant);
    return handle == TABLE_NONE ? 0 : self->entries[handle].region;
}
