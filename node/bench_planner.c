#include "node/bench_planner.h"
#include "cluster/planner.h"
#include "node/clock.h"
#include "proto/err.h"
#include <inttypes.h>
#include <stdio.h>

struct world {
    struct placement_node nodes[LIMIT_NODES];
    char names[LIMIT_NODES][16];
    struct placement_slot slots[LIMIT_SLOTS];
};

struct figures {
    double moved, max_over_mean;
    int64_t plan_us;
};

static void begin(struct world *self)
{
    for (uint16_t i = 0; i < LIMIT_NODES; i++) {
        snprintf(self->names[i], sizeof self->names[i], "eu-%u", i + 1U);
        self->nodes[i] = (struct placement_node){
            .number = i, .weight = 100, .name = self->names[i], .may_hold = true};
    }
    for (uint16_t i = 0; i < LIMIT_SLOTS; i++)
        self->slots[i] = (struct placement_slot){
            .slot = i, .owner = PLACEMENT_NOBODY, .target = PLACEMENT_NOBODY};
}

/* Of the first `count` nodes all live; those behind are being drained. As if all moves were done.
 */
static int settle(struct world *self, int count, int living, struct figures *ret)
{
    unsigned load[LIMIT_NODES] = {0}, most = 0, moved = 0;
    for (int i = 0; i < living; i++)
        self->nodes[i].may_hold = i < count;
    struct placement placement = {.nodes = self->nodes,
                                  .nodes_count = (size_t)living,
                                  .slots = self->slots,
                                  .slots_count = LIMIT_SLOTS};
    int64_t begin_us = clock_boot_us();
    int rc = planner_place(&placement);
    if (rc != 0)
        return rc;
    ret->plan_us = clock_boot_us() - begin_us;
    for (unsigned i = 0; i < LIMIT_SLOTS; i++) {
        struct placement_slot *slot = &self->slots[i];
        moved += slot->owner != slot->wanted;
        slot->owner = slot->wanted;
        if (++load[slot->wanted] > most)
            most = load[slot->wanted];
    }
    ret->moved = (double)moved / LIMIT_SLOTS;
    ret->max_over_mean = (double)most * count / LIMIT_SLOTS;
    return 0;
}

int bench_planner_run(int nodes_max)
{
    static struct world world;
    struct figures first, there, back;
    if (nodes_max < 1 || nodes_max >= LIMIT_NODES) {
        fprintf(stderr, "gito-node: 1 to %d nodes\n", LIMIT_NODES - 1);
        return ERR_REFUSED;
    }
    begin(&world);
    int rc = settle(&world, 1, 1, &first);
    printf("{\"slots\":%d,\"steps\":[", LIMIT_SLOTS);
    for (int n = 1; rc == 0 && n <= nodes_max; n++) {
        rc = settle(&world, n + 1, n + 1, &there);
        if (rc == 0)
            rc = settle(&world, n, n + 1, &back);
        if (rc == 0)
            printf("%s{\"nodes\":%d,\"moved\":%.6f,\"max_over_mean\":%.6f,\"plan_us\":%" PRId64
                   ",\"moved_back\":%.6f,\"max_over_mean_back\":%.6f}",
                   n > 1 ? "," : "", n, there.moved, there.max_over_mean, there.plan_us, back.moved,
                   back.max_over_mean);
        if (rc == 0)
            rc = settle(&world, n + 1, n + 1, &there);
    }
    puts("]}");
    if (rc != 0)
        fprintf(stderr, "gito-node: could not plan: %s\n", err_text(rc));
    return rc;
}
