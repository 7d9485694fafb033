#pragma once
/*
 * watchers - who at this edge looks at which devices: MQTT subscriptions and live WebSockets.
 *
 * Entries of one (tenant, device or any) hang together; what all of them want is the edge's
 * interest, told to the shards when it changes.
 *
 * Owner: the edge thread.
 */
#include "actors/table.h"
#include "proto/msg.h"
#include <stdbool.h>

struct watch_key;

/* One subscription; the caller embeds it. */
struct watch {
    struct watch *next, **at; /* in its key's list */
    struct watch_key *key;
    void *connection;
    unsigned bits; /* enum msg_interest_bits; the same for as long as it is there */
    bool live;     /* connection is a live WebSocket, not an MQTT session */
};

struct watchers {
    struct table table;
    struct watch_key **keys;
    uint32_t count, cap;
    /* The edge's interest in (tenant, device; nil: any) is now `bits`. */
    void (*changed)(void *context, const struct uuid *tenant, const struct uuid *device,
                    unsigned bits);
    void *context;
};

void watchers_free(struct watchers *self);
/* `device` nil: all of the tenant's. 0 or ERR_MEMORY. */
int watchers_add(struct watchers *self, struct watch *watch, const struct uuid *tenant,
                 const struct uuid *device) MUST_CHECK;
void watchers_remove(struct watchers *self, struct watch *watch);
/* Calls `fn` for each (tenant, device or nil) that is watched, with what is wanted of it. */
void watchers_keys(const struct watchers *self,
                   void (*fn)(void *context, const struct uuid *tenant, const struct uuid *device,
                              unsigned bits),
                   void *context);
/* Calls `fn` for each watch of this device, or of all of the tenant's, that wants `bit`. `fn` may
 * not add or remove any. */
void watchers_each(const struct watchers *self, const struct uuid *tenant,
                   const struct uuid *device, enum msg_interest_bits bit,
                   void (*fn)(void *context, struct watch *watch), void *context);
