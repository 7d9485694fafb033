#pragma once
/*
 * news - what changed in the view of the cluster, as server-sent events for operators.
 *
 * In:    nodes and slots as they change, then the rows that told of it.
 * Out:   the text of the events, for MSG_NEWS.
 * Owner: the control thread.
 * Bound: an event a node, and one for each way on which slots went.
 *
 *     event: node     data: {"node_id","region","incarnation","state","version"}
 *     event: slots    data: {"region","from","to","count","version"}, names; null: nobody
 *     event: version  data: {"version"}, which is its id too: behind the others of this version
 */
#include "proto/buf.h"
#include "sql/membership.h"

struct news_way {
    uint16_t region, from, to; /* numbers */
    uint32_t count;
};

struct news {
    uint16_t nodes[LIMIT_NODES]; /* numbers */
    size_t nodes_count;
    struct news_way *ways;
    size_t ways_count, ways_cap;
    struct buf text;
};

void news_init(struct news *self);
void news_free(struct news *self);
/* This node came, or is in another state or incarnation than before; at most once a node. */
void news_node(struct news *self, uint16_t number);
/* A slot has another owner (a number, or PLACEMENT_NOBODY) than before. */
void news_slot(struct news *self, uint16_t region, uint16_t from, uint16_t to);
/* The text of all that; `nodes`: LIMIT_NODES by number, NULL where there is none. Valid until
 * news_clear(). */
const struct buf *news_finish(struct news *self, struct view_node *const *nodes,
                              const struct view_rows *rows);
void news_clear(struct news *self);
