#include "actors/table.h"
#include "proto/check.h"
#include <stdlib.h>

struct table_place {
    uint32_t hash; /* lower half of the key's: where it wants to be */
    uint32_t handle;
};

void table_free(struct table *self)
{
    free(self->places);
    *self = (struct table){0};
}

uint32_t table_find(const struct table *self, uint64_t hash, table_equal_fn *equal,
                    const void *context, const void *key)
{
    if (self->count == 0)
        return TABLE_NONE;
    uint32_t short_hash = (uint32_t)hash;
    for (uint32_t i = short_hash & self->mask;; i = (i + 1) & self->mask) {
        const struct table_place *place = &self->places[i];
        if (place->handle == TABLE_NONE)
            return TABLE_NONE;
        if (place->hash == short_hash && equal(context, place->handle, key))
            return place->handle;
    }
}

static void put(struct table *self, struct table_place place)
{
    uint32_t i = place.hash & self->mask;
    while (self->places[i].handle != TABLE_NONE)
        i = (i + 1) & self->mask;
    self->places[i] = place;
}

static int grow(struct table *self)
{
    uint32_t places = self->places == NULL ? 16 : 2 * (self->mask + 1);
    struct table old = *self;
    self->places = malloc(places * sizeof *self->places);
    if (self->places == NULL) {
        *self = old;
        return ERR_MEMORY;
    }
    self->mask = places - 1;
    for (uint32_t i = 0; i < places; i++)
        self->places[i].handle = TABLE_NONE;
    for (uint32_t i = 0; old.places != NULL && i <= old.mask; i++)
        if (old.places[i].handle != TABLE_NONE)
            put(self, old.places[i]);
    free(old.places);
    return 0;
}

int table_insert(struct table *self, uint64_t hash, uint32_t handle)
{
    if (self->places == NULL || self->count >= (self->mask + 1) / 4 * 3)
        if (grow(self) != 0)
            return ERR_MEMORY;
    put(self, (struct table_place){(uint32_t)hash, handle});
    self->count++;
    return 0;
}

void table_remove(struct table *self, uint64_t hash, uint32_t handle)
{
    uint32_t hole = (uint32_t)hash & self->mask;
    while (self->places[hole].handle != handle) {
        CHECK(self->places[hole].handle != TABLE_NONE);
        hole = (hole + 1) & self->mask;
    }
    /* Pull back what probed past the hole, so that no search ends too early. */
    for (uint32_t i = (hole + 1) & self->mask; self->places[i].handle != TABLE_NONE;
         i = (i + 1) & self->mask) {
        uint32_t wanted = self->places[i].hash & self->mask;
        if (((i - wanted) & self->mask) >= ((i - hole) & self->mask)) {
            self->places[hole] = self->places[i];
            hole = i;
        }
    }
    self->places[hole].handle = TABLE_NONE;
    self->count--;
}
