#pragma once
/*
 * planner - which node is to hold which slots: consistent hashing with bounded loads, sticky.
 *
 * In:    struct placement: the nodes that live, the slots as they are.
 * Out:   `wanted` of each slot.
 * Owner: the caller's thread; nothing is kept.
 * Bound: memory for the ring and one region's slots, freed before it returns.
 * Holds: 1. The same question has the same answer, in whatever order nodes and slots come.
 *        2. Slots of a region are for its own nodes that may hold; without any, and only when it
 *           has failed over, for those of the next region by number, cyclic, that has some.
 *        3. Of a region's slots a node gets at most 1.05 times its share by weight (and at least
 * the share, rounded up, so that all find room), and no less than 0.95 times its share (or the
 * share, rounded down, where that is less).
 *        4. A slot leaves who has it (or is getting it) only for 2 or 3, so the fewest move.
 */
#include "proto/placement.h"

/* A placement_fn. */
int planner_place(struct placement *placement);
