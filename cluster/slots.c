#include "cluster/slots.h"
#include "proto/check.h"

unsigned slot_of(const struct uuid *device)
{
    return (unsigned)(uuid_hash(device) % LIMIT_SLOTS);
}

void slots_init(struct slots *self)
{
    for (unsigned i = 0; i < LIMIT_SLOTS; i++)
        self->at[i] = (struct slot){.owner = SLOT_NOBODY, .target = SLOT_NOBODY};
}

static bool fits(const struct slot *row)
{
    switch ((enum slot_state)row->state) {
    case SLOT_FREE:
        return row->owner == SLOT_NOBODY && row->target == SLOT_NOBODY;
    case SLOT_OWNED:
        return row->owner != SLOT_NOBODY && row->target == SLOT_NOBODY;
    case SLOT_MOVING:
        return row->owner != SLOT_NOBODY && row->target != SLOT_NOBODY && row->target != row->owner;
    case SLOT_STATES:
        break;
    }
    return false;
}

int slots_set(struct slots *self, unsigned slot, const struct slot *row)
{
    if (slot >= LIMIT_SLOTS || !fits(row))
        return ERR_MALFORMED;
    if (row->epoch < self->at[slot].epoch)
        return ERR_REFUSED;
    self->at[slot] = *row;
    return 0;
}

uint16_t slots_owner(const struct slots *self, const struct uuid *device)
{
    return self->at[slot_of(device)].owner;
}

unsigned slots_count(const struct slots *self, uint16_t node)
{
    unsigned count = 0;
    for (unsigned i = 0; i < LIMIT_SLOTS; i++)
        count += self->at[i].owner == node;
    return count;
}
