#pragma once
/*
 * placement - which node is to hold which slots: the question that the planner (cluster/planner)
 * answers, and in which sql/membership asks it inside its transactions.
 */
#include "proto/limits.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACEMENT_NOBODY UINT16_MAX

struct placement_node {
    uint16_t number;  /* cluster_nodes.number */
    uint16_t region;  /* region number */
    uint32_t weight;  /* share of slots relative to others; 100 is the usual one, 0: none */
    const char *name; /* node_id: its places on the ring come from it */
    bool may_hold;    /* active: it may be given slots. False: draining, so it gives all away */
};

/* A slot as it is, and (answer) as it is to be. */
struct placement_slot {
    uint16_t region, slot;
    uint16_t owner;  /* number of a live node, or NOBODY: it needs an owner now */
    uint16_t target; /* where it is moving to, or NOBODY */
    uint16_t wanted; /* answer: who is to hold it; NOBODY: no node may */
};

struct placement {
    const struct placement_node *nodes; /* live ones: active or draining */
    size_t nodes_count;
    struct placement_slot *slots;
    size_t slots_count;
    /* Regions whose slots may be held by other regions' nodes because none of their own may hold
     * (hold-down passed): bit per region number. */
    uint32_t failed_over;
};

/* Fills in `wanted` of every slot. 0 or ERR_MEMORY. */
typedef int placement_fn(struct placement *placement);
