#include "node/news.h"
#include "proto/check.h"
#include <inttypes.h>
#include <stdlib.h>

/* All nodes, and each with slots of each region from each: never reached. */
#define NEWS_BYTES_MAX (16UL * 1024 * 1024)

void news_init(struct news *self)
{
    *self = (struct news){0};
    buf_init(&self->text, NEWS_BYTES_MAX);
}

void news_free(struct news *self)
{
    buf_free(&self->text);
    free(self->ways);
    self->ways = NULL;
    self->ways_count = self->ways_cap = 0;
}

void news_clear(struct news *self)
{
    buf_clear(&self->text);
    self->nodes_count = self->ways_count = 0;
}

void news_node(struct news *self, uint16_t number)
{
    CHECK(self->nodes_count < LIMIT_NODES);
    self->nodes[self->nodes_count++] = number;
}

/* Slots come in their order, many on the same way: the latest are looked at first. */
void news_slot(struct news *self, uint16_t region, uint16_t from, uint16_t to)
{
    for (size_t i = self->ways_count; i > 0; i--) {
        struct news_way *way = &self->ways[i - 1];
        if (way->region == region && way->from == from && way->to == to) {
            way->count++;
            return;
        }
    }
    if (self->ways_count == self->ways_cap) {
        self->ways_cap = self->ways_cap > 0 ? 2 * self->ways_cap : 16;
        self->ways = realloc(self->ways, self->ways_cap * sizeof *self->ways);
        CHECK(self->ways != NULL);
    }
    self->ways[self->ways_count++] = (struct news_way){region, from, to, 1};
}

/* ---- the text ---- */

static const char *const states[MEMBER_STATES] = {
    [MEMBER_JOINING] = "joining",     [MEMBER_ACTIVE] = "active", [MEMBER_DRAINING] = "draining",
    [MEMBER_CONDEMNED] = "condemned", [MEMBER_DEAD] = "dead",     [MEMBER_LEFT] = "left"};

/* Names are of a-z, 0-9 and '-': nothing in them is to be escaped. */
static void put_name(struct buf *out, const char *member, const char *name)
{
    if (name != NULL)
        buf_printf(out, "\"%s\":\"%s\",", member, name);
    else
        buf_printf(out, "\"%s\":null,", member);
}

static const char *region_name(const struct view_rows *rows, uint16_t number)
{
    return number < rows->regions_count ? rows->regions[number].name : NULL;
}

static const char *node_name(struct view_node *const *nodes, uint16_t number)
{
    return number < LIMIT_NODES && nodes[number] != NULL ? nodes[number]->node_id : NULL;
}

static void put_version(struct buf *out, int64_t version)
{
    buf_printf(out, "\"version\":%" PRId64 "}\n\n", version);
}

static void put_node(struct buf *out, const struct view_node *node, const struct view_rows *rows)
{
    buf_puts(out, "event: node\ndata: {");
    put_name(out, "node_id", node->node_id);
    put_name(out, "region", region_name(rows, node->region));
    put_name(out, "state", states[node->state]);
    buf_printf(out, "\"incarnation\":%" PRId64 ",", node->incarnation);
    put_version(out, rows->version);
}

static void put_way(struct buf *out, const struct news_way *way, struct view_node *const *nodes,
                    const struct view_rows *rows)
{
    buf_puts(out, "event: slots\ndata: {");
    put_name(out, "region", region_name(rows, way->region));
    put_name(out, "from", node_name(nodes, way->from));
    put_name(out, "to", node_name(nodes, way->to));
    buf_printf(out, "\"count\":%" PRIu32 ",", way->count);
    put_version(out, rows->version);
}

const struct buf *news_finish(struct news *self, struct view_node *const *nodes,
                              const struct view_rows *rows)
{
    struct buf *out = &self->text;
    for (size_t i = 0; i < self->nodes_count; i++)
        put_node(out, nodes[self->nodes[i]], rows);
    for (size_t i = 0; i < self->ways_count; i++)
        put_way(out, &self->ways[i], nodes, rows);
    buf_printf(out, "event: version\nid: %" PRId64 "\ndata: {", rows->version);
    put_version(out, rows->version);
    CHECK(!buf_failed(out));
    return out;
}
