#include "cluster/slots.h"
#include "proto/check.h"
#include <stdlib.h>

static const struct slot unknown = {.owner = MSG_NOBODY, .target = MSG_NOBODY};

unsigned slot_of(const struct uuid *device)
{
    return (unsigned)(uuid_hash(device) % LIMIT_SLOTS);
}

void slots_free(struct slots *self)
{
    for (unsigned i = 0; i < LIMIT_REGIONS; i++)
        free(self->region[i]);
    *self = (struct slots){0};
}

static struct slot *place(struct slots *self, uint16_t slot)
{
    struct slot **region = &self->region[slot >> MSG_SLOT_BITS];
    if (*region == NULL) {
        *region = xcalloc(LIMIT_SLOTS, sizeof **region);
        for (unsigned i = 0; i < LIMIT_SLOTS; i++)
            (*region)[i] = unknown;
    }
    return &(*region)[slot % LIMIT_SLOTS];
}

int slots_set(struct slots *self, uint16_t slot, const struct slot *row)
{
    if (row->target != MSG_NOBODY && (row->owner == MSG_NOBODY || row->target == row->owner))
        return ERR_MALFORMED;
    struct slot *at = place(self, slot);
    if (row->epoch < at->epoch)
        return ERR_REFUSED;
    if (row->epoch == at->epoch && row->owner == at->owner && row->target == at->target)
        return 0;
    *at = *row;
    return 1;
}

struct slot slots_get(const struct slots *self, uint16_t slot)
{
    const struct slot *region = self->region[slot >> MSG_SLOT_BITS];
    return region != NULL ? region[slot % LIMIT_SLOTS] : unknown;
}

unsigned slots_count(const struct slots *self, uint16_t node)
{
    unsigned count = 0;
    for (unsigned r = 0; r < LIMIT_REGIONS; r++)
        for (unsigned i = 0; self->region[r] != NULL && i < LIMIT_SLOTS; i++)
            count += self->region[r][i].owner == node;
    return count;
}
