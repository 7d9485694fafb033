#pragma once
/*
 * news - what changed in the view of the cluster, as server-sent events for operators.
 *
 * In:    rows of the view as they were and are, noted while a change is taken.
 * Out:   the text of the events, for MSG_NEWS.
 * Owner: the control thread.
 * Bound: a line a node, and one for each way on which slots went.
 *
 *     event: node     data: {"node_id","region","incarnation","state","version"}
 *     event: slots    data: {"region","from","to","count","version"}, names; null: nobody
 *     event: version  data: {"version"}, with its id: behind the others of this version
 */
#include "proto/buf.h"
#include "sql/membership.h"

struct news_way {
    uint16_t region, from, to; /* numbers */
    uint32_t count;
};

struct news {
    struct buf text;
    struct news_way *ways;
    size_t ways_count, ways_cap;
};

/* Names of what rows have as numbers; NULL where there is none. */
struct news_names {
    const struct view_node *const *nodes; /* LIMIT_NODES of them */
    const struct view_region *regions;
    size_t regions_count;
};

void news_init(struct news *self);
void news_free(struct news *self);
/* A node that came, or is in another state or incarnation than before. */
void news_node(struct news *self, const struct news_names *names, const struct view_node *node,
               int64_t version);
/* A slot has another owner (a number, or PLACEMENT_NOBODY) than before. */
void news_slot(struct news *self, uint16_t region, uint16_t from, uint16_t to);
/* All that was noted, up to the event `version`. Valid until the next call; news_clear() then. */
const struct buf *news_finish(struct news *self, const struct news_names *names, int64_t version);
void news_clear(struct news *self);
