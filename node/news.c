#include "node/news.h"
#include "proto/check.h"
#include <inttypes.h>
#include <stdlib.h>

#define NEWS_BYTES_MAX (4UL * 1024 * 1024)

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

/* Names are of a-z, 0-9 and '-': nothing in them is to be escaped. */
static void put_name(struct buf *out, const char *member, const char *name)
{
    if (name != NULL)
        buf_printf(out, "\"%s\":\"%s\",", member, name);
    else
        buf_printf(out, "\"%s\":null,", member);
}

static const char *region_name(const struct news_names *names, uint16_t number)
{
    return number < names->regions_count ? names->regions[number].name : NULL;
}

static const char *node_name(const struct news_names *names, uint16_t number)
{
    const struct view_node *node = number < LIMIT_NODES ? names->nodes[number] : NULL;
    return node != NULL ? node->node_id : NULL;
}

void news_node(struct news *self, const struct news_names *names, const struct view_node *node,
               int64_t version)
{
    static const char *const states[MEMBER_STATES] = {
        [MEMBER_JOINING] = "joining",   [MEMBER_ACTIVE] = "active",
        [MEMBER_DRAINING] = "draining", [MEMBER_CONDEMNED] = "condemned",
        [MEMBER_DEAD] = "dead",         [MEMBER_LEFT] = "left"};
    buf_puts(&self->text, "event: node\ndata: {");
    put_name(&self->text, "node_id", node->node_id);
    put_name(&self->text, "region", region_name(names, node->region));
    buf_printf(&self->text,
               "\"incarnation\":%" PRId64 ",\"state\":\"%s\",\"version\":%" PRId64 "}\n\n",
               node->incarnation, states[node->state], version);
}

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

const struct buf *news_finish(struct news *self, const struct news_names *names, int64_t version)
{
    struct buf *out = &self->text;
    for (size_t i = 0; i < self->ways_count; i++) {
        const struct news_way *way = &self->ways[i];
        buf_puts(out, "event: slots\ndata: {");
        put_name(out, "region", region_name(names, way->region));
        put_name(out, "from", node_name(names, way->from));
        put_name(out, "to", node_name(names, way->to));
        buf_printf(out, "\"count\":%" PRIu32 ",\"version\":%" PRId64 "}\n\n", way->count, version);
    }
    buf_printf(out, "event: version\nid: %" PRId64 "\ndata: {\"version\":%" PRId64 "}\n\n", version,
               version);
    return out;
}

void news_clear(struct news *self)
{
    buf_clear(&self->text);
    self->ways_count = 0;
}
