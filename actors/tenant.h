#pragma once
/*
 * tenant - what a tenant shares: its MQTT client ids (one connection each, MQTT-3.1.4-3) and its
 * budget of REST requests a minute.
 *
 * Owner: the shard that the tenant's id hashes to. Bound: one claim a connection.
 */
#include "actors/table.h"
#include "proto/msg.h"
#include <stddef.h>

struct tenants {
    struct table claims_index, tenants_index;
    struct claim **claims;
    struct tenant *tenants;
    uint32_t claims_count, claims_cap;
    uint32_t tenants_count, tenants_cap;
    uint32_t requests_per_minute;
};

void tenants_init(struct tenants *self, uint32_t requests_per_minute);
void tenants_free(struct tenants *self);

/* The connection that connected last, at since_us, holds the client id. 1 with the connection that
 * does not (the former holder, or `ref` itself), 0: there is no other, or ERR_MEMORY. */
int tenants_claim(struct tenants *self, const struct uuid *tenant, const char *client_id,
                  size_t len, const struct msg_ref *ref, int64_t since_us,
                  struct msg_ref *ret_loser) MUST_CHECK;
/* Forgets the claim if it is still that connection's. */
void tenants_unclaim(struct tenants *self, const struct uuid *tenant, const char *client_id,
                     size_t len, const struct msg_ref *ref);
/* The connections of a node have gone with it. */
void tenants_lost_node(struct tenants *self, uint16_t node);
/* The tenants of a slot are another shard's now. */
void tenants_lost_slot(struct tenants *self, uint16_t slot);
/* One request at now_us. A minute begins with the first request after the one before is over, and
 * has the whole budget: limit + 1 requests within it are refused one, however slowly they come.
 * Sets all of the answer but its ref. 0 or ERR_MEMORY. */
int tenants_admit(struct tenants *self, const struct uuid *tenant, int64_t now_us,
                  struct msg_admitted *ret_answer) MUST_CHECK;
