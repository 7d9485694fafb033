#include "proto/name_set.h"
#include "proto/check.h"
#include <stdint.h>
#include <string.h>
#include <xxhash.h>

/* Half empty at its fullest, so that probing ends. */
enum { SLOTS = 2 * NAME_SET_MAX };
_Static_assert((SLOTS & (SLOTS - 1)) == 0, "slots are found by a mask");

struct slot {
    const char *name;
    uint32_t len;
    uint32_t round; /* the slot is free unless it is of this round */
};

struct name_set {
    struct slot slot[SLOTS];
    uint32_t round;
    uint32_t count;
};

struct name_set *name_set_new(void)
{
    struct name_set *self = calloc(1, sizeof *self);
    if (self != NULL)
        self->round = 1;
    return self;
}

void name_set_destroy(struct name_set **self_p)
{
    free(*self_p);
    *self_p = NULL;
}

void name_set_clear(struct name_set *self)
{
    self->count = 0;
    if (++self->round == 0) {
        memset(self->slot, 0, sizeof self->slot);
        self->round = 1;
    }
}

bool name_set_add(struct name_set *self, const char *name, size_t len)
{
    CHECK(self->count < NAME_SET_MAX);
    size_t at = XXH64(name, len, 0) & (SLOTS - 1);
    for (; self->slot[at].round == self->round; at = (at + 1) & (SLOTS - 1))
        if (self->slot[at].len == len && memcmp(self->slot[at].name, name, len) == 0)
            return false;
    self->slot[at] = (struct slot){.name = name, .len = (uint32_t)len, .round = self->round};
    self->count++;
    return true;
}
