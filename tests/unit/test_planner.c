/* The planner: bounds of every node's load, the fewest moves, regions, and the same answer again.
 */
#include "cluster/planner.h"
#include "proto/check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define NODES_MAX 60
#define NOBODY PLACEMENT_NOBODY

static struct placement_node nodes[NODES_MAX];
static char names[NODES_MAX][16];
static struct placement_slot slots[2 * LIMIT_SLOTS];
static struct placement placement;

static void set_node(uint16_t number, uint16_t region, uint32_t weight)
{
    snprintf(names[number], sizeof names[number], "r%u-%u", region, number + 1u);
    nodes[number] = (struct placement_node){.number = number,
                                            .region = region,
                                            .weight = weight,
                                            .name = names[number],
                                            .may_hold = true};
}

/* `regions` regions whose slots nobody owns; `count` nodes of weight 100 in region 0. */
static void begin(size_t count, size_t regions)
{
    for (size_t i = 0; i < regions * LIMIT_SLOTS; i++)
        slots[i] = (struct placement_slot){.region = (uint16_t)(i / LIMIT_SLOTS),
                                           .slot = (uint16_t)(i % LIMIT_SLOTS),
                                           .owner = NOBODY,
                                           .target = NOBODY};
    for (uint16_t i = 0; i < NODES_MAX; i++)
        set_node(i, 0, 100);
    placement = (struct placement){
        .nodes = nodes, .nodes_count = count, .slots = slots, .slots_count = regions * LIMIT_SLOTS};
}

static void ask_planner(void)
{
    assert_int_equal(planner_place(&placement), 0);
}

/* As if all moves were done. How many slots changed a living owner for another. */
static size_t settle(void)
{
    size_t moves = 0;
    ask_planner();
    for (size_t i = 0; i < placement.slots_count; i++) {
        moves += slots[i].owner != NOBODY && slots[i].owner != slots[i].wanted;
        slots[i].owner = slots[i].wanted;
        slots[i].target = NOBODY;
    }
    return moves;
}

/* The node's process ends: its slots have no owner. How many these are. */
static size_t orphan(uint16_t number)
{
    size_t count = 0;
    for (size_t i = 0; i < placement.slots_count; i++)
        if (slots[i].owner == number) {
            slots[i].owner = NOBODY;
            count++;
        }
    return count;
}

static uint32_t load_of(uint16_t number, uint16_t region)
{
    uint32_t load = 0;
    for (size_t i = 0; i < placement.slots_count; i++)
        load += slots[i].region == region && slots[i].owner == number;
    return load;
}

static double share_of(size_t node)
{
    double weights = 0;
    for (size_t i = 0; i < placement.nodes_count; i++)
        weights += nodes[i].may_hold ? nodes[i].weight : 0;
    return nodes[node].may_hold ? LIMIT_SLOTS * nodes[node].weight / weights : 0;
}

static double more(double a, double b)
{
    return a > b ? a : b;
}

static double least_of(double share)
{
    return (double)(uint32_t)share < 0.95 * share ? (double)(uint32_t)share : 0.95 * share;
}

static double most_of(double share)
{
    double above = (double)(uint32_t)(share + 0.999999);
    return more(1.05 * share, above);
}

static void assert_balanced(void)
{
    size_t sum = 0;
    for (size_t i = 0; i < placement.nodes_count; i++) {
        uint32_t load = load_of(nodes[i].number, 0);
        double share = share_of(i);
        if (load > most_of(share) || load < least_of(share))
            fail_msg("%zu nodes: node %zu has %u slots, its share is %.1f", placement.nodes_count,
                     i, load, share);
        sum += load;
    }
    assert_int_equal(sum, LIMIT_SLOTS);
}

/* What must move so that one more node has its least and nobody else more than its most. */
static size_t moves_needed(size_t newcomer)
{
    double share = LIMIT_SLOTS / (double)(newcomer + 1), over = 0;
    uint32_t most = (uint32_t)most_of(share);
    for (uint16_t i = 0; i < newcomer; i++)
        over += more((double)load_of(i, 0) - most, 0);
    double least = least_of(share);
    return (size_t)more(over, (double)(uint32_t)(least + 0.999999));
}

static void any_number_of_nodes_is_balanced_from_the_start(void **state)
{
    (void)state;
    for (size_t n = 1; n <= 50; n++) {
        begin(n, 1);
        assert_int_equal(settle(), 0);
        assert_balanced();
        for (size_t i = 0; n < 50 && i < n; i++)
            assert_true(load_of((uint16_t)i, 0) <= 1.05 * LIMIT_SLOTS / (double)n);
    }
}

static void assert_few_moved(size_t n, size_t moves)
{
    double allowed = LIMIT_SLOTS * (1.0 / (double)(n + 1) + 0.005);
    if ((double)moves > allowed)
        fail_msg("from %zu nodes to %zu: %zu slots moved, %.0f are allowed", n, n + 1, moves,
                 allowed);
}

/* Both from a fresh cluster of n nodes and from one that has grown to it. */
static void one_node_more_moves_its_share_alone(void **state)
{
    (void)state;
    for (size_t n = 1; n < 51; n++) {
        begin(n, 1);
        settle();
        size_t needed = moves_needed(n);
        placement.nodes_count = n + 1;
        size_t moves = settle();
        assert_few_moved(n, moves);
        assert_int_equal(moves, needed);
        assert_balanced();
    }
    begin(1, 1);
    settle();
    for (size_t n = 1; n < 51; n++) {
        size_t needed = moves_needed(n);
        placement.nodes_count = n + 1;
        size_t moves = settle();
        assert_few_moved(n, moves);
        assert_int_equal(moves, needed);
        assert_balanced();
    }
}

static void one_node_less_moves_nobody_elses_slots(void **state)
{
    (void)state;
    for (size_t n = 51; n > 1; n--) {
        begin(n, 1);
        settle();
        uint16_t gone = nodes[n - 1].number;
        placement.nodes_count = n - 1;
        assert_true((double)orphan(gone) <= most_of(LIMIT_SLOTS / (double)n));
        assert_int_equal(settle(), 0);
        assert_balanced();
    }
    begin(51, 1);
    settle();
    for (size_t n = 51; n > 1; n--) {
        orphan(nodes[n - 1].number);
        placement.nodes_count = n - 1;
        assert_true(settle() <= n); /* a rounding's difference at most */
        assert_balanced();
    }
}

static void weights_are_shares(void **state)
{
    (void)state;
    static const uint32_t weights[] = {100, 200, 50, 1, 700, 0, 100};
    begin(7, 1);
    for (size_t i = 0; i < 7; i++)
        nodes[i].weight = weights[i];
    settle();
    assert_balanced();
    assert_int_equal(load_of(5, 0), 0);
    nodes[4].weight = 100; /* gives away */
    nodes[5].weight = 300; /* fills up */
    size_t before = load_of(4, 0);
    size_t moves = settle();
    assert_balanced();
    assert_true(moves <= before + 10);
    assert_int_equal(settle(), 0);
}

/* All nodes of weight 0: nobody may. */
static void without_weight_nobody_holds(void **state)
{
    (void)state;
    begin(2, 1);
    nodes[0].weight = nodes[1].weight = 0;
    ask_planner();
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        assert_int_equal(slots[i].wanted, NOBODY);
    placement.nodes_count = 0;
    ask_planner();
    assert_int_equal(slots[0].wanted, NOBODY);
}

static void what_moves_goes_on_moving(void **state)
{
    (void)state;
    begin(3, 1);
    settle();
    placement.nodes_count = 4;
    ask_planner();
    size_t moving = 0;
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        if (slots[i].wanted != slots[i].owner) {
            slots[i].target = slots[i].wanted;
            moving++;
        }
    assert_true(moving > 900);
    ask_planner();
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        assert_int_equal(slots[i].wanted,
                         slots[i].target != NOBODY ? slots[i].target : slots[i].owner);
    /* The target is gone: its owner, who still has it, keeps it. */
    placement.nodes_count = 3;
    assert_int_equal(settle(), 0);
    assert_balanced();
}

/* A hand-off under way is not called back as long as both loads are in bounds. */
static void a_target_is_kept_before_the_owner(void **state)
{
    (void)state;
    begin(8, 1);
    settle();
    uint16_t from = 0, to = 0;
    for (uint16_t i = 1; i < 8; i++) {
        from = load_of(i, 0) > load_of(from, 0) ? i : from;
        to = load_of(i, 0) < load_of(to, 0) ? i : to;
    }
    assert_true(load_of(from, 0) >= load_of(to, 0) + 5);
    for (size_t i = 0, moving = 0; moving < 5; i++)
        if (slots[i].owner == from) {
            slots[i].target = to;
            moving++;
        }
    ask_planner();
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        assert_int_equal(slots[i].wanted,
                         slots[i].target != NOBODY ? slots[i].target : slots[i].owner);
}

static void who_drains_gives_all_away(void **state)
{
    (void)state;
    begin(5, 1);
    settle();
    size_t load = load_of(2, 0);
    nodes[2].may_hold = false;
    assert_int_equal(settle(), load);
    assert_int_equal(load_of(2, 0), 0);
    assert_balanced();
}

static bool all_in(uint16_t slots_region, uint16_t nodes_region)
{
    for (size_t i = 0; i < placement.slots_count; i++)
        if (slots[i].region == slots_region &&
            (slots[i].wanted == NOBODY || nodes[slots[i].wanted].region != nodes_region))
            return false;
    return true;
}

static bool all_nobodys(uint16_t region)
{
    for (size_t i = 0; i < placement.slots_count; i++)
        if (slots[i].region == region && slots[i].wanted != NOBODY)
            return false;
    return true;
}

static void a_region_is_for_its_own_nodes(void **state)
{
    (void)state;
    begin(6, 2);
    for (uint16_t i = 3; i < 6; i++)
        set_node(i, 1, 100);
    settle();
    assert_true(all_in(0, 0) && all_in(1, 1));
    /* Its nodes end: it waits, then fails over; the other region's slots stay where they are. */
    nodes[3].may_hold = nodes[4].may_hold = nodes[5].may_hold = false;
    for (uint16_t i = 3; i < 6; i++)
        orphan(i);
    ask_planner();
    assert_true(all_nobodys(1) && all_in(0, 0));
    placement.failed_over = 1u << 1;
    assert_int_equal(settle(), 0);
    assert_true(all_in(1, 0));
    for (uint16_t i = 0; i < 3; i++)
        assert_true(load_of(i, 1) <= 1.05 * LIMIT_SLOTS / 3);
    /* One comes back: all return to it, though the region still counts as failed over. */
    nodes[4].may_hold = true;
    assert_int_equal(settle(), LIMIT_SLOTS);
    assert_true(all_in(1, 1) && all_in(0, 0));
    assert_int_equal(load_of(4, 1), LIMIT_SLOTS);
}

static void the_next_region_by_number_takes_over(void **state)
{
    (void)state;
    begin(3, 2);
    set_node(0, 4, 100);
    set_node(1, 9, 100);
    set_node(2, 2, 100);
    placement.failed_over = 3;
    ask_planner();
    assert_true(all_in(0, 2) && all_in(1, 2));
    nodes[2].may_hold = false;
    ask_planner();
    assert_true(all_in(0, 4) && all_in(1, 4));
    set_node(2, 0, 100); /* behind the last comes the first */
    nodes[0].may_hold = nodes[1].may_hold = false;
    ask_planner();
    assert_true(all_in(0, 0) && all_in(1, 0));
}

static uint64_t next_random(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static void the_order_of_rows_does_not_matter(void **state)
{
    (void)state;
    static uint16_t first[LIMIT_SLOTS];
    uint64_t seed = 3;
    begin(7, 1);
    settle();
    placement.nodes_count = 9;
    ask_planner();
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        first[slots[i].slot] = slots[i].wanted;
    for (size_t i = LIMIT_SLOTS - 1; i > 0; i--) {
        size_t j = next_random(&seed) % (i + 1);
        struct placement_slot other = slots[i];
        slots[i] = slots[j];
        slots[j] = other;
    }
    for (size_t i = 0; i < 4; i++) {
        struct placement_node other = nodes[i];
        nodes[i] = nodes[8 - i];
        nodes[8 - i] = other;
    }
    for (int again = 0; again < 2; again++) {
        ask_planner();
        for (size_t i = 0; i < LIMIT_SLOTS; i++)
            assert_int_equal(slots[i].wanted, first[slots[i].slot]);
    }
}

/* Nodes come, drain, end and change their weight, in any order, some while slots still move. */
static void any_history_ends_balanced(void **state)
{
    (void)state;
    uint64_t seed = 20261125;
    begin(8, 1);
    for (int step = 0; step < 300; step++) {
        uint16_t node = (uint16_t)(next_random(&seed) % 8);
        switch (next_random(&seed) % 4) {
        case 0:
            nodes[node].may_hold = false;
            break;
        case 1:
            nodes[node].may_hold = false;
            orphan(node);
            break;
        case 2:
            nodes[node].weight = (uint32_t)(1 + next_random(&seed) % 300);
            break;
        default:
            nodes[node].may_hold = true;
        }
        nodes[next_random(&seed) % 8].may_hold = true;
        ask_planner();
        for (size_t i = 0; i < LIMIT_SLOTS; i++) {
            bool at_once = slots[i].owner == NOBODY || next_random(&seed) % 2 == 0;
            slots[i].target =
                at_once || slots[i].wanted == slots[i].owner ? NOBODY : slots[i].wanted;
            slots[i].owner = at_once ? slots[i].wanted : slots[i].owner;
        }
    }
    settle();
    assert_balanced();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_nodes_is_balanced_from_the_start),
        cmocka_unit_test(one_node_more_moves_its_share_alone),
        cmocka_unit_test(one_node_less_moves_nobody_elses_slots),
        cmocka_unit_test(weights_are_shares),
        cmocka_unit_test(without_weight_nobody_holds),
        cmocka_unit_test(what_moves_goes_on_moving),
        cmocka_unit_test(a_target_is_kept_before_the_owner),
        cmocka_unit_test(who_drains_gives_all_away),
        cmocka_unit_test(a_region_is_for_its_own_nodes),
        cmocka_unit_test(the_next_region_by_number_takes_over),
        cmocka_unit_test(the_order_of_rows_does_not_matter),
        cmocka_unit_test(any_history_ends_balanced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
