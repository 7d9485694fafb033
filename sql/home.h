#pragma once
/*
 * home - which tenants and devices are at home in a region of their own. It never changes, so that
 * only what is made is news.
 *
 * Owner: the control thread.
 * Holds: what a transaction makes that commits up to HOME_LATE_S after it began is told; what
 *        commits later is found out by its device's actor.
 */
#include "proto/uuid.h"
#include "sql/ask.h"
#include <stdint.h>

#define HOME_LATE_S 60

typedef void home_tell(void *arg, const struct uuid *id, unsigned region);

struct home_reader {
    int64_t read_us; /* made before this was read, Unix time; 0: nothing yet */
};

/* Tells of all at first, later of the new ones (some of them again). 0, or as ask_do. */
int home_read(struct home_reader *self, struct ask *db, home_tell *tell, void *arg) MUST_CHECK;
