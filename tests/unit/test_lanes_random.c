/* Thousands of small worlds, each from a seed: whatever happens to the owners, every item is stored
 * once, in its order, and answered; and while nobody dies none is ever doubtful. */
#include "tests/unit/lanes_model.h"

#define SEEDS 4000
#define STEPS 1200

static void begin(struct world *w, uint64_t seed, bool deaths)
{
    *w = (struct world){
        .seed = seed, .random = seed * 0x9e3779b97f4a7c15ULL + 1, .deaths = deaths, .now_us = 1};
    the_world = w;
    for (uint16_t n = 0; n < NODES; n++) {
        w->node[n].runs = w->view.node[n].alive = true;
        w->node[n].life = w->view.node[n].life = 1;
        for (unsigned s = 0; s < SLOTS; s++)
            w->node[n].slot[s].owner = MSG_NOBODY;
    }
    for (unsigned s = 0; s < SLOTS; s++) {
        w->view.slot[s].owner = (uint16_t)below(w, NODES);
        w->view.slot[s].epoch = 1;
    }
    for (unsigned e = 0; e < EDGES; e++) {
        const struct lanes_config config = {
            .node = (uint16_t)(NODES + e), .life = 1, .edge = (uint8_t)e};
        const struct lanes_events events = {
            .send = on_send, .tell = on_tell, .node = on_node, .context = &w->edge[e]};
        w->edge[e].lanes = lanes_new(&config, &events);
    }
}

static void end(struct world *w)
{
    for (unsigned n = 0; n < NODES; n++)
        node_stops(w, n);
    for (unsigned e = 0; e < EDGES; e++) {
        lanes_destroy(&w->edge[e].lanes);
        for (unsigned n = 0; n < NODES; n++)
            empty(&w->edge[e].from_node[n]);
    }
}

static void time_passes(struct world *w, int64_t us)
{
    w->now_us += us;
    for (unsigned e = 0; e < EDGES; e++) {
        lanes_tick(w->edge[e].lanes, w->now_us);
        tell_anew(&w->edge[e]);
    }
    for (unsigned n = 0; n < NODES; n++)
        for (unsigned s = 0; s < SLOTS; s++)
            if (w->node[n].slot[s].hold == OPENING && w->now_us >= w->node[n].slot[s].open_at_us)
                set_hold(w, n, &w->node[n].slot[s], OPEN);
}

/* Something of what edges and owners do all the time. */
static void edge_acts(struct world *w, bool adds)
{
    struct edge *edge = &w->edge[below(w, EDGES)];
    uint16_t slot;
    switch (below(w, 6)) {
    case 0:
        edge_reads(w, edge);
        break;
    case 1:
        slot = (uint16_t)below(w, SLOTS);
        if (adds)
            edge->said[slot]++, say(edge, slot);
        break;
    case 2:
        if (adds && edge->added < ITEMS_MAX)
            edge_adds(w, edge);
        break;
    default:
        edge_takes(w, edge, below(w, NODES));
    }
}

static void node_hears_of(struct world *w, unsigned n, unsigned from)
{
    struct node *node = &w->node[n];
    struct mail mail;
    for (unsigned count = 1 + below(w, 8); count > 0; count--)
        if (from < EDGES && get(&node->from_edge[from], &mail))
            node_takes(w, n, &mail);
        else if (from >= EDGES && get(&node->from_node[from - EDGES], &mail))
            node_hears(w, n, &mail);
}

static void node_acts(struct world *w)
{
    unsigned n = below(w, NODES);
    struct node *node = &w->node[n];
    if (!node->runs)
        return;
    switch (below(w, 8)) {
    case 0:
        node_reads(w, n);
        break;
    case 1:
        node_commits(w, n);
        break;
    case 2:
    case 3:
        node_answers(w, n);
        break;
    default:
        node_hears_of(w, n, below(w, EDGES + NODES));
    }
    if (node->ends && below(w, 4) == 0)
        node_dies(w, n);
}

/* A slot moves, or somebody dies. */
static void fate_acts(struct world *w)
{
    unsigned n = below(w, NODES);
    uint16_t s = (uint16_t)below(w, SLOTS);
    unsigned draw = below(w, w->deaths ? 12 : 8);
    if (w->node[n].runs && draw < 3)
        release(w, n, s);
    else if (w->node[n].runs && draw < 8)
        hand_over(w, n, s);
    else if (draw == 8 && w->node[n].runs && count_alive(w) > 2)
        node_dies(w, n);
    else if (draw == 9 && (!w->node[n].runs || below(w, 4) == 0))
        bury(w, n);
    else if (draw == 10 && (!w->node[n].runs || below(w, 4) == 0))
        start_again(w, n);
    else if (draw == 11)
        time_passes(w, below(w, 400000));
}

static void act(struct world *w, bool on)
{
    unsigned draw = below(w, 100);
    if (draw < 45)
        edge_acts(w, on);
    else if (draw < 95)
        node_acts(w);
    else if (on)
        fate_acts(w);
}

static bool all_is_answered(const struct world *w)
{
    for (unsigned e = 0; e < EDGES; e++)
        if (lanes_unanswered(w->edge[e].lanes) > 0)
            return false;
    return true;
}

/* Moves that have begun come to their end, and whoever is dead is buried. */
static void settle(struct world *w)
{
    for (unsigned round = 0; round < 200; round++) {
        for (unsigned n = 0; n < NODES; n++) {
            if (!w->node[n].runs)
                bury(w, n);
            for (uint16_t s = 0; s < SLOTS; s++)
                hand_over(w, n, s);
        }
        for (unsigned i = 0; i < 500; i++)
            act(w, false);
        for (unsigned e = 0; e < EDGES; e++)
            edge_reads(w, &w->edge[e]);
        for (unsigned n = 0; n < NODES; n++)
            if (w->node[n].runs)
                node_reads(w, n);
        if (w->deaths)
            time_passes(w, OPENING_US);
        if (round >= 5 && all_is_answered(w))
            return;
    }
    FAIL(w, "an item is never answered");
}

static void check_all(struct world *w)
{
    for (unsigned e = 0; e < EDGES; e++) {
        const struct edge *edge = &w->edge[e];
        for (uint16_t n = 1; n <= edge->added; n++)
            if (!edge->stored[n] || edge->answers[n] != 1)
                FAIL(w, "item %u: stored %d, answers %u", n, edge->stored[n], edge->answers[n]);
        for (unsigned s = 0; s < SLOTS; s++) {
            const struct held *slot = &w->node[w->view.slot[s].owner].slot[s];
            if (slot->hold != OPEN || slot->said[e] != SAID_ANEW + edge->said[s])
                FAIL(w, "slot %u: its owner (%d) has heard %u of edge %u, not %u", s,
                     (int)slot->hold, slot->said[e], e, SAID_ANEW + edge->said[s]);
        }
    }
}

static unsigned run(uint64_t seed, bool deaths)
{
    static struct world w;
    begin(&w, seed, deaths);
    for (unsigned i = 0; i < STEPS; i++)
        act(&w, true);
    settle(&w);
    check_all(&w);
    unsigned items = w.edge[0].added;
    end(&w);
    return items;
}

static void in_clean_moves_nothing_is_doubtful(void **state)
{
    (void)state;
    unsigned items = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        items += run(seed, false);
    assert_in_range(items, SEEDS * 20, SEEDS * ITEMS_MAX);
}

static void through_deaths_every_item_is_stored_once_and_in_order(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run(seed, true);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_clean_moves_nothing_is_doubtful),
        cmocka_unit_test(through_deaths_every_item_is_stored_once_and_in_order),
    };
    if (argc > 1) /* one seed alone, to look at */
        return (int)run(strtoull(argv[1], NULL, 10), argc > 2) < 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
