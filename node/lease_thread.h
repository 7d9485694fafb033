#pragma once
/*
 * lease_thread - renews this node's lease, and does nothing else: no other work can make it late.
 *
 * In:    the clock; answers of the database.
 * Out:   renewals (sql/membership), by a PGconn of its own.
 * Holds: 1. While the database is away it asks on; nothing ends.
 *        2. A renewal answered by zero rows ends the process (exit status 4): another incarnation
 *           has taken over, or the others have condemned this one; the fence refuses whatever it
 *           writes.
 */
#include <czmq.h>
#include <stdbool.h>
#include <stdint.h>

struct config;

#define LEASE_EXIT_DEPOSED 4

struct lease_args {
    const struct config *config;
    int64_t incarnation;
};

/* A zactor; frees `args`. It renews until $TERM. */
void lease_actor(zsock_t *pipe, void *args);

/* The last renewal was granted, and none is overdue. Any thread may ask. */
bool lease_database_up(void);
/* All renewals of a whole TTL were granted (cluster/lease.h). Any thread may ask. */
bool lease_thread_may_judge(void);
/* Ends the process at once: what is not acknowledged is sent again, to whoever serves now. */
void lease_end_deposed(int64_t incarnation, const char *why) __attribute__((noreturn));
