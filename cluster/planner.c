#include "cluster/planner.h"
#include "proto/check.h"
#include "proto/err.h"
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define NONE UINT16_MAX
/* A node has a point on the ring for each unit of its weight. */
#define POINTS_MAX 1000

struct point {
    uint64_t hash;
    uint16_t place;
};

/* A node that may hold slots of the region. */
struct place {
    const struct placement_node *node;
    uint32_t load, least, most; /* slots */
    uint32_t first;             /* of its items, while some are taken from it */
};

struct item {
    struct placement_slot *slot;
    uint64_t hash;
    uint32_t at;   /* on the ring: the first point behind its hash */
    uint32_t next; /* of the same place */
    uint16_t home; /* the place of that point */
    uint16_t placed;
};

/* One region's slots. */
struct plan {
    struct place *places;
    struct point *ring;
    struct item *items;
    size_t places_count, ring_count, items_count;
    size_t deficit; /* slots that places are short of their least */
    uint16_t by_number[LIMIT_NODES];
};

static bool may_hold(const struct placement_node *node)
{
    return node->may_hold && node->weight > 0 && node->number < LIMIT_NODES;
}

static size_t points_of(const struct placement_node *node)
{
    return node->weight < POINTS_MAX ? node->weight : POINTS_MAX;
}

static int compare_places(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->node->name, ((const struct place *)b)->node->name);
}

static int compare_points(const void *a, const void *b)
{
    const struct point *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->place - right->place;
}

static int compare_items(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    if (left->hash != right->hash)
        return left->hash < right->hash ? -1 : 1;
    return left->slot->slot - right->slot->slot;
}

/* The region whose nodes take the slots of `region`; LIMIT_REGIONS: none may. */
static unsigned host_of(const struct placement *placement, unsigned region)
{
    bool failed_over = (placement->failed_over >> region & 1) != 0;
    for (unsigned step = 0; step < (failed_over ? LIMIT_REGIONS : 1); step++) {
        unsigned host = (region + step) % LIMIT_REGIONS;
        for (size_t i = 0; i < placement->nodes_count; i++)
            if (placement->nodes[i].region == host && may_hold(&placement->nodes[i]))
                return host;
    }
    return LIMIT_REGIONS;
}

static void set_bounds(struct plan *self)
{
    uint64_t weights = 0, slots = self->items_count;
    for (size_t i = 0; i < self->places_count; i++)
        weights += self->places[i].node->weight;
    for (size_t i = 0; i < self->places_count; i++) {
        struct place *place = &self->places[i];
        uint64_t share = slots * place->node->weight; /* of `weights` */
        uint64_t most = share * 105 / (weights * 100), above = (share + weights - 1) / weights;
        uint64_t least = (share * 95 + weights * 100 - 1) / (weights * 100);
        place->most = (uint32_t)(most > above ? most : above);
        place->least = (uint32_t)(least < share / weights ? least : share / weights);
        self->deficit += place->least;
    }
}

static int load_places(struct plan *self, const struct placement *placement, unsigned host)
{
    size_t points = 0;
    self->places = calloc(placement->nodes_count, sizeof *self->places);
    if (self->places == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < placement->nodes_count; i++)
        if (placement->nodes[i].region == host && may_hold(&placement->nodes[i])) {
            self->places[self->places_count++].node = &placement->nodes[i];
            points += points_of(&placement->nodes[i]);
        }
    qsort(self->places, self->places_count, sizeof *self->places, compare_places);
    self->ring = calloc(points, sizeof *self->ring);
    if (self->ring == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < LIMIT_NODES; i++)
        self->by_number[i] = NONE;
    for (size_t i = 0; i < self->places_count; i++) {
        const struct placement_node *node = self->places[i].node;
        self->by_number[node->number] = (uint16_t)i;
        for (size_t n = 0; n < points_of(node); n++)
            self->ring[self->ring_count++] =
                (struct point){XXH64(node->name, strlen(node->name), n), (uint16_t)i};
    }
    qsort(self->ring, points, sizeof *self->ring, compare_points);
    return 0;
}

static int load_items(struct plan *self, const struct placement *placement, unsigned region)
{
    self->items = calloc(placement->slots_count, sizeof *self->items);
    if (self->items == NULL)
        return ERR_MEMORY;
    for (size_t i = 0; i < placement->slots_count; i++) {
        struct placement_slot *slot = &placement->slots[i];
        const uint8_t name[] = {(uint8_t)slot->region, (uint8_t)(slot->region >> 8),
                                (uint8_t)slot->slot, (uint8_t)(slot->slot >> 8)};
        if (slot->region == region)
            self->items[self->items_count++] =
                (struct item){.slot = slot, .hash = XXH64(name, sizeof name, 0), .placed = NONE};
    }
    qsort(self->items, self->items_count, sizeof *self->items, compare_items);
    uint32_t at = 0;
    for (size_t i = 0; i < self->items_count; i++) {
        while (at < self->ring_count && self->ring[at].hash < self->items[i].hash)
            at++;
        self->items[i].at = at % (uint32_t)self->ring_count;
        self->items[i].home = self->ring[self->items[i].at].place;
    }
    return 0;
}

static void put(struct plan *self, struct item *item, uint16_t place)
{
    if (self->places[place].load++ < self->places[place].least)
        self->deficit--;
    item->placed = place;
}

static uint16_t place_of(const struct plan *self, uint16_t number)
{
    return number < LIMIT_NODES ? self->by_number[number] : NONE;
}

/* Slots stay where they are (or are going), those first whose place on the ring it is as well.
 * Returns how many are free. */
static size_t keep(struct plan *self)
{
    size_t left = self->items_count;
    for (int at_home = 1; at_home >= 0; at_home--)
        for (size_t i = 0; i < self->items_count; i++) {
            struct item *item = &self->items[i];
            uint16_t holder = place_of(self, item->slot->target);
            if (holder == NONE)
                holder = place_of(self, item->slot->owner);
            if (holder != NONE && (holder == item->home) == (at_home == 1) &&
                self->places[holder].load < self->places[holder].most) {
                put(self, item, holder);
                left--;
            }
        }
    return left;
}

static bool has_room(const struct plan *self, uint16_t place, bool short_only)
{
    const struct place *p = &self->places[place];
    return p->load < (short_only ? p->least : p->most);
}

/* A free slot goes to its owner if it can, or to the first on the ring with room; when there are
 * no more than places are short of, with room below its least. There is room: the most of all
 * places together are no fewer than the slots. */
static void spread(struct plan *self, size_t left)
{
    for (size_t i = 0; i < self->items_count; i++) {
        struct item *item = &self->items[i];
        if (item->placed != NONE)
            continue;
        bool short_only = left-- <= self->deficit;
        uint16_t place = place_of(self, item->slot->owner);
        for (size_t n = 0; place == NONE || !has_room(self, place, short_only); n++) {
            CHECK(n < self->ring_count);
            place = self->ring[(item->at + n) % self->ring_count].place;
        }
        put(self, item, place);
    }
}

/* The one with the most for its weight. Somebody is short, so this one has more than its share. */
static struct place *donor_of(struct plan *self)
{
    struct place *best = NULL;
    for (size_t i = 0; i < self->places_count; i++) {
        struct place *place = &self->places[i];
        if (best == NULL ||
            (uint64_t)place->load * best->node->weight > (uint64_t)best->load * place->node->weight)
            best = place;
    }
    CHECK(best != NULL && best->load > best->least);
    return best;
}

/* Takes one slot from the donor's list: one whose home `taker` is, else the first. */
static struct item *take_from(struct plan *self, struct place *donor, uint16_t taker)
{
    uint32_t *link = &donor->first;
    for (uint32_t *at = link; *at != UINT32_MAX; at = &self->items[*at].next)
        if (self->items[*at].home == taker) {
            link = at;
            break;
        }
    struct item *item = &self->items[*link];
    *link = item->next;
    donor->load--;
    return item;
}

/* A node that came, or weighs more than before, gets its least from those that have the most. */
static void fill_up(struct plan *self)
{
    for (size_t i = 0; i < self->places_count; i++)
        self->places[i].first = UINT32_MAX;
    for (size_t i = self->items_count; self->deficit > 0 && i-- > 0;) {
        self->items[i].next = self->places[self->items[i].placed].first;
        self->places[self->items[i].placed].first = (uint32_t)i;
    }
    for (uint16_t taker = 0; self->deficit > 0 && taker < self->places_count; taker++)
        while (has_room(self, taker, true))
            put(self, take_from(self, donor_of(self), taker), taker);
}

static int plan_region(struct plan *self, const struct placement *placement, unsigned region,
                       unsigned host)
{
    int rc = load_places(self, placement, host);
    if (rc == 0)
        rc = load_items(self, placement, region);
    if (rc != 0)
        return rc;
    set_bounds(self);
    spread(self, keep(self));
    fill_up(self);
    for (size_t i = 0; i < self->items_count; i++)
        self->items[i].slot->wanted = self->places[self->items[i].placed].node->number;
    return 0;
}

int planner_place(struct placement *placement)
{
    int rc = 0;
    for (size_t i = 0; i < placement->slots_count; i++)
        placement->slots[i].wanted = PLACEMENT_NOBODY;
    for (unsigned region = 0; region < LIMIT_REGIONS && rc == 0; region++) {
        struct plan plan = {0};
        unsigned host = host_of(placement, region);
        if (host < LIMIT_REGIONS)
            rc = plan_region(&plan, placement, region, host);
        free(plan.places);
        free(plan.ring);
        free(plan.items);
    }
    return rc;
}
