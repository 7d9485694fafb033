#pragma once
/*
 * lanes_model - a small world around the lanes of EDGES edges: nodes that own slots as shards do
 * (in epochs, in order, answering after the commit), a database that says who owns what, and links
 * that are ordered but slow. Everything that happens is drawn from one seed.
 *
 * Owners die between any two steps, are declared dead while they live, start again, hand slots over
 * and keep them after all; whoever reads the view reads it when it is drawn.
 */
#include "cluster/lanes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define NODES 4
#define EDGES 2
#define SLOTS 3
#define ITEMS_MAX 60 /* of an edge */
#define OPENING_US 1000000
#define SAID_ANEW 60000 /* what an edge says of a slot, beside its items: counts from here */

enum hold { CLOSED, OPENING, OPEN, RELEASING, RESTING };
enum what { ITEM, ANSWER, NEWS, GIVEN };

struct mail {
    struct mail *next;
    enum what what;
    struct msg_ref ref; /* ITEM, ANSWER; packet_id: its number at its edge, or what is said */
    struct msg_slot slot;
};
struct queue {
    struct mail *first, **end;
};

/* The cluster as the database has it, and as each reader last read it. */
struct view {
    struct {
        bool alive;
        uint16_t life;
    } node[NODES];
    struct {
        uint32_t epoch;
        uint16_t owner;
    } slot[SLOTS];
};

struct held {
    uint32_t epoch;
    uint16_t owner, target;
    enum hold hold;
    unsigned in_flight;
    bool lost; /* with something in flight: its word is not clean */
    int64_t open_at_us;
    struct queue early;
    uint16_t said[EDGES];
};

struct node {
    bool runs, ends; /* ends: it has read that it is dead */
    uint16_t life;
    struct view view;
    struct held slot[SLOTS];
    struct queue taken, committed;
    struct queue from_edge[EDGES], from_node[NODES];
};

struct edge {
    lanes_t *lanes;
    struct view view;
    uint16_t life[NODES]; /* of nodes, as the lanes told */
    uint16_t added, said[SLOTS];
    bool to_tell[SLOTS];
    uint16_t slot_of[ITEMS_MAX + 1], last_stored[SLOTS];
    bool stored[ITEMS_MAX + 1];
    unsigned answers[ITEMS_MAX + 1];
    struct queue from_node[NODES];
};

struct world {
    uint64_t seed, random;
    bool deaths;
    int64_t now_us;
    struct view view;
    struct node node[NODES];
    struct edge edge[EDGES];
};

/* ---- chance, queues ---- */

static inline unsigned below(struct world *w, unsigned end)
{
    w->random ^= w->random << 13;
    w->random ^= w->random >> 7;
    w->random ^= w->random << 17;
    return (unsigned)(w->random >> 11) % end;
}

static inline void put(struct queue *queue, struct mail mail)
{
    struct mail *copy = malloc(sizeof *copy);
    assert_non_null(copy);
    *copy = mail;
    copy->next = NULL;
    if (queue->first == NULL)
        queue->end = &queue->first;
    *queue->end = copy;
    queue->end = &copy->next;
}

static inline bool get(struct queue *queue, struct mail *ret_mail)
{
    struct mail *first = queue->first;
    if (first == NULL)
        return false;
    *ret_mail = *first;
    queue->first = first->next;
    free(first);
    return true;
}

static inline void empty(struct queue *queue)
{
    struct mail mail;
    while (get(queue, &mail))
        ;
}

#define FAIL(w, ...)                                                                               \
    do {                                                                                           \
        print_error(__VA_ARGS__);                                                                  \
        fail_msg(" with seed %llu", (unsigned long long)(w)->seed);                                \
    } while (0)

/* ---- edges ---- */

static struct world *the_world; /* of on_send() */

/* What the lanes sent for another life of the node, the mesh drops. */
static inline void send_to(struct world *w, unsigned e, uint16_t number, const struct msg_ref *ref)
{
    struct node *node = &w->node[number];
    if (ref->again && !w->deaths)
        FAIL(w, "item %u is doubtful, and nobody died", ref->packet_id);
    if (node->runs && node->life == w->edge[e].life[number])
        put(&node->from_edge[e], (struct mail){.what = ITEM, .ref = *ref});
}

static inline void on_send(void *context, uint16_t number, uint16_t slot, const void *item,
                           size_t size)
{
    struct edge *edge = context;
    uint8_t copy[256];
    (void)slot;
    assert_in_range(size, 1, sizeof copy);
    memcpy(copy, item, size);
    send_to(the_world, (unsigned)(edge - the_world->edge), number, frame_item_fixed(copy));
}

static inline void on_tell(void *context, uint16_t slot)
{
    ((struct edge *)context)->to_tell[slot] = true;
}

static inline void on_node(void *context, uint16_t number, uint16_t life, unsigned shards)
{
    (void)shards;
    ((struct edge *)context)->life[number] = life;
}

static inline void say(struct edge *edge, uint16_t slot)
{
    const struct msg_presence said = {.ref.packet_id = (uint16_t)(SAID_ANEW + edge->said[slot])};
    lanes_say(edge->lanes, slot, MSG_PRESENCE, &said, NULL, 0);
}

/* As at the end of an edge's turn. */
static inline void tell_anew(struct edge *edge)
{
    for (uint16_t s = 0; s < SLOTS; s++)
        if (edge->to_tell[s]) {
            edge->to_tell[s] = false;
            say(edge, s);
        }
}

static inline void hear(struct world *w, struct edge *edge, enum msg_kind kind, const void *fixed)
{
    lanes_take(edge->lanes, &(struct item){.kind = kind, .fixed = fixed}, w->now_us);
}

static inline void edge_reads(struct world *w, struct edge *edge)
{
    for (uint16_t n = 0; n < NODES; n++) {
        const struct msg_node node = {
            .node = n, .life = w->view.node[n].life, .alive = w->view.node[n].alive, .shards = 1};
        if (node.life != edge->view.node[n].life || node.alive != edge->view.node[n].alive)
            hear(w, edge, MSG_NODE, &node);
    }
    for (uint16_t s = 0; s < SLOTS; s++) {
        const struct msg_slot slot = {
            .slot = s, .owner = w->view.slot[s].owner, .epoch = w->view.slot[s].epoch};
        if (slot.epoch != edge->view.slot[s].epoch)
            hear(w, edge, MSG_SLOT, &slot);
    }
    edge->view = w->view;
    tell_anew(edge);
}

static inline void edge_takes(struct world *w, struct edge *edge, unsigned from)
{
    struct mail mail;
    for (unsigned count = 1 + below(w, 8); count > 0 && get(&edge->from_node[from], &mail); count--)
        if (mail.what == NEWS)
            hear(w, edge, MSG_SLOT, &mail.slot);
        else
            edge->answers[mail.ref.packet_id] += lanes_answered(edge->lanes, mail.ref.item) != 0;
    tell_anew(edge);
}

static inline void edge_adds(struct world *w, struct edge *edge)
{
    uint16_t slot = (uint16_t)below(w, SLOTS), n = ++edge->added;
    const struct msg_message message = {.ref.packet_id = n, .topic_len = 1};
    edge->slot_of[n] = slot;
    lanes_add(edge->lanes, slot, MSG_MESSAGE, &message, &(struct span){"t", 1}, 1);
}

/* ---- owners ---- */

static inline struct msg_slot news_of(const struct node *node, unsigned self, uint16_t slot,
                                      uint8_t flags)
{
    return (struct msg_slot){.slot = slot,
                             .from = (uint16_t)self,
                             .from_life = node->life,
                             .owner = node->slot[slot].owner,
                             .flags = flags,
                             .epoch = node->slot[slot].epoch};
}

static inline void tell_edge(struct world *w, unsigned n, uint16_t slot, unsigned e)
{
    struct node *node = &w->node[n];
    uint8_t flags = node->slot[slot].lost ? 0 : SLOT_CLEAN;
    put(&w->edge[e].from_node[n],
        (struct mail){.what = NEWS, .slot = news_of(node, n, slot, flags)});
}

static inline void node_takes(struct world *w, unsigned n, const struct mail *mail)
{
    struct node *node = &w->node[n];
    struct held *slot = &node->slot[mail->ref.slot];
    unsigned e = mail->ref.edge;
    if (mail->ref.epoch > slot->epoch ||
        (mail->ref.epoch == slot->epoch && slot->hold == OPENING)) {
        put(&slot->early, *mail);
    } else if (mail->ref.epoch < slot->epoch || slot->hold != OPEN) {
        if (slot->hold != RELEASING && slot->hold != RESTING)
            tell_edge(w, n, mail->ref.slot, e);
    } else if (mail->ref.packet_id >= SAID_ANEW) {
        slot->said[e] = mail->ref.packet_id;
    } else {
        slot->in_flight++;
        put(&node->taken, *mail);
    }
}

static inline void set_hold(struct world *w, unsigned n, struct held *slot, enum hold hold)
{
    struct queue early = slot->early;
    struct mail mail;
    slot->hold = hold;
    if (hold == CLOSED)
        memset(slot->said, 0, sizeof slot->said);
    if (hold != OPEN && hold != CLOSED)
        return;
    slot->early = (struct queue){0};
    if (early.first != NULL)
        while (get(&early, &mail))
            node_takes(w, n, &mail);
}

static inline void node_reads(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];
    if (!w->view.node[n].alive || w->view.node[n].life != node->life)
        node->ends = true;
    for (uint16_t s = 0; s < SLOTS; s++) {
        struct held *slot = &node->slot[s];
        uint32_t epoch = w->view.slot[s].epoch;
        uint16_t former = slot->owner;
        bool next = epoch == slot->epoch + 1;
        if (epoch <= slot->epoch)
            continue;
        slot->epoch = epoch;
        slot->owner = w->view.slot[s].owner;
        if (slot->owner != n) {
            slot->lost = slot->in_flight > 0;
            set_hold(w, n, slot, CLOSED);
        } else if (next && former < NODES && former != n && w->view.node[former].alive) {
            slot->open_at_us = w->now_us + OPENING_US;
            set_hold(w, n, slot, OPENING);
        } else {
            set_hold(w, n, slot, OPEN);
        }
    }
    node->view = w->view;
}

static inline void node_stops(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];
    node->runs = node->ends = false;
    empty(&node->taken);
    empty(&node->committed);
    for (unsigned e = 0; e < EDGES; e++)
        empty(&node->from_edge[e]);
    for (unsigned m = 0; m < NODES; m++)
        empty(&node->from_node[m]);
    for (unsigned s = 0; s < SLOTS; s++) {
        empty(&node->slot[s].early);
        node->slot[s] = (struct held){.owner = MSG_NOBODY};
    }
}

/* What was on its way from it comes, up to some point. */
static inline void node_dies(struct world *w, unsigned n)
{
    node_stops(w, n);
    for (unsigned e = 0; e < EDGES; e++) {
        struct queue all = w->edge[e].from_node[n];
        struct mail mail;
        unsigned left = below(w, 8);
        w->edge[e].from_node[n] = (struct queue){0};
        while (all.first != NULL && get(&all, &mail))
            if (left > 0) {
                left--;
                put(&w->edge[e].from_node[n], mail);
            }
    }
}

static inline void store(struct world *w, const struct mail *mail)
{
    struct edge *edge = &w->edge[mail->ref.edge];
    uint16_t n = mail->ref.packet_id, slot = mail->ref.slot;
    if (mail->ref.again && edge->stored[n])
        return;
    if (edge->stored[n])
        FAIL(w, "item %u is taken twice", n);
    if (n <= edge->last_stored[slot])
        FAIL(w, "item %u comes behind %u", n, edge->last_stored[slot]);
    edge->stored[n] = true;
    edge->last_stored[slot] = n;
}

/* One transaction: the fence lets only the incarnation that lives write. */
static inline void node_commits(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];
    struct mail mail;
    if (!w->view.node[n].alive || w->view.node[n].life != node->life) {
        node_dies(w, n);
        return;
    }
    for (unsigned count = 1 + below(w, 4); count > 0 && get(&node->taken, &mail); count--) {
        store(w, &mail);
        put(&node->committed, mail);
    }
}

static inline void node_answers(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];
    struct mail mail;
    if (!get(&node->committed, &mail))
        return;
    mail.what = ANSWER;
    put(&w->edge[mail.ref.edge].from_node[n], mail);
    struct held *slot = &node->slot[mail.ref.slot];
    if (--slot->in_flight == 0 && slot->hold == RELEASING)
        slot->hold = RESTING;
}

static inline void node_hears(struct world *w, unsigned n, const struct mail *mail)
{
    struct held *slot = &w->node[n].slot[mail->slot.slot];
    if (mail->slot.epoch < slot->epoch ||
        (mail->slot.epoch == slot->epoch && slot->hold != OPENING))
        return;
    slot->epoch = mail->slot.epoch;
    slot->owner = (uint16_t)n;
    set_hold(w, n, slot, OPEN);
}

/* ---- moves ---- */

static inline void release(struct world *w, unsigned n, uint16_t s)
{
    struct held *slot = &w->node[n].slot[s];
    if (slot->hold != OPEN && slot->hold != OPENING)
        return;
    slot->target = (uint16_t)below(w, NODES); /* itself: it stays after all */
    slot->hold = slot->in_flight > 0 ? RELEASING : RESTING;
}

static inline void hand_over(struct world *w, unsigned n, uint16_t s)
{
    struct node *node = &w->node[n];
    struct held *slot = &node->slot[s];
    uint16_t to = slot->target;
    if (slot->hold != RESTING || !w->view.node[n].alive || w->view.node[n].life != node->life)
        return;
    if (!w->view.node[to].alive)
        to = slot->target = (uint16_t)n;
    w->view.slot[s].owner = slot->owner = to;
    w->view.slot[s].epoch = ++slot->epoch;
    if (to != n && w->node[to].runs && w->node[to].life == node->view.node[to].life)
        put(&w->node[to].from_node[n],
            (struct mail){.what = GIVEN, .slot = news_of(node, n, s, 0)});
    for (unsigned e = 0; e < EDGES; e++)
        tell_edge(w, n, s, e);
    set_hold(w, n, slot, to == n ? OPEN : CLOSED);
}

static inline unsigned count_alive(const struct world *w)
{
    unsigned count = 0;
    for (unsigned n = 0; n < NODES; n++)
        count += w->view.node[n].alive && w->node[n].runs;
    return count;
}

/* Its slots are others' then, or, without any, wait for it. */
static inline void bury(struct world *w, unsigned n)
{
    if (!w->view.node[n].alive || count_alive(w) < (w->node[n].runs ? 2U : 1U))
        return;
    w->view.node[n].alive = false;
    for (unsigned s = 0; s < SLOTS; s++) {
        if (w->view.slot[s].owner != n)
            continue;
        unsigned to = below(w, NODES);
        while (!w->view.node[to].alive || !w->node[to].runs)
            to = (to + 1) % NODES;
        w->view.slot[s].owner = (uint16_t)to;
        w->view.slot[s].epoch++;
    }
}

/* The next incarnation: what it owned it owns still. */
static inline void start_again(struct world *w, unsigned n)
{
    struct node *node = &w->node[n];
    if (node->runs)
        node_dies(w, n);
    node->runs = true;
    node->life = w->view.node[n].life = (uint16_t)(w->view.node[n].life + 1);
    w->view.node[n].alive = true;
    for (unsigned s = 0; s < SLOTS; s++)
        w->view.slot[s].epoch += w->view.slot[s].owner == n;
    node->view = (struct view){0};
    node_reads(w, n);
    for (uint16_t s = 0; s < SLOTS; s++) /* former owners that it never knew */
        if (node->slot[s].hold == OPENING)
            set_hold(w, n, &node->slot[s], OPEN);
}
