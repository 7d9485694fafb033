#pragma once
/*
 * homes - in which region the slots of a tenant or device lie, where it is not region 0.
 *
 * In:    MSG_HOME of control (all of them, and what is new) and of shards.
 * Owner: the edge thread.
 * Bound: one entry a tenant or device that has a home region of its own. It is fixed when one is
 *        made, and another when a device is made again under its id.
 */
#include "actors/table.h"
#include "proto/uuid.h"

struct homes {
    struct table table;
    struct home *entries;
    uint32_t count, cap;
};

void homes_free(struct homes *self);
/* True: it was not known, or is another than was. Aborts without memory. */
bool homes_set(struct homes *self, const struct uuid *id, unsigned region);
/* The device's region, else its tenant's, else 0. `device` NULL: the tenant's. */
unsigned homes_region(const struct homes *self, const struct uuid *tenant,
                      const struct uuid *device);
