/* An event goes to the edges that watch its device, or any of its tenant's, and to no other. */
#include "actors/interest.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct uuid tenant = {{1}}, other_tenant = {{2}}, any = {{0}};
static const struct uuid device = {{3}}, other_device = {{4}};

/* The ends that are to be told, as they were found. */
static uint32_t find(struct interest *interest, const struct uuid *of, const struct uuid *id,
                     enum msg_interest_bits bit, const uint32_t **ret_ends)
{
    *ret_ends = NULL;
    return interest_find(interest, of, id, bit, ret_ends);
}

static uint32_t count(struct interest *interest, const struct uuid *of, const struct uuid *id,
                      enum msg_interest_bits bit)
{
    const uint32_t *ends;
    return find(interest, of, id, bit, &ends);
}

/* The one end that is to be told; UINT32_MAX: none, or several. */
static uint32_t only(struct interest *interest, const struct uuid *of, const struct uuid *id,
                     enum msg_interest_bits bit)
{
    const uint32_t *ends;
    return find(interest, of, id, bit, &ends) == 1 ? ends[0] : UINT32_MAX;
}

static uint16_t slot_in(unsigned region, const struct uuid *id)
{
    return msg_slot(region, uuid_hash(id) % LIMIT_SLOTS);
}

static void set_from(struct interest *interest, const struct uuid *id,
                     const struct interest_from *from, unsigned bits)
{
    assert_int_equal(interest_set(interest, &tenant, id, from, bits), 0);
}

static void set(struct interest *interest, const struct uuid *id, uint32_t end, unsigned bits)
{
    set_from(interest, id,
             &(struct interest_from){end, uuid_is_nil(id) ? -1 : slot_in(0, id), false}, bits);
}

static void nobody_watches_at_first(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 0);
    set(&interest, &device, 0, 0);
    assert_int_equal(interest.table.count, 0);
    interest_free(&interest);
}

static void watchers_of_a_device_and_of_any_are_found(void **state)
{
    (void)state;
    const uint32_t first = INTEREST_END(0, 0);
    const uint32_t last = INTEREST_END(LIMIT_NODES - 1, LIMIT_EDGES - 1);
    struct interest interest;
    const uint32_t *ends;
    interest_init(&interest);
    set(&interest, &device, first, INTEREST_STATUS);
    set(&interest, &any, last, INTEREST_STATUS | INTEREST_ALERTS);
    assert_int_equal(find(&interest, &tenant, &device, INTEREST_STATUS, &ends), 2);
    assert_true((ends[0] == first && ends[1] == last) || (ends[0] == last && ends[1] == first));
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_ALERTS), last);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_TELEMETRY), 0);
    assert_int_equal(only(&interest, &tenant, &other_device, INTEREST_STATUS), last);
    assert_int_equal(only(&interest, &tenant, &any, INTEREST_STATUS), last);
    assert_int_equal(count(&interest, &other_tenant, &device, INTEREST_STATUS), 0);
    interest_free(&interest);
}

/* Who watches the device, and any of the tenant's, is told once. */
static void nobody_is_told_twice(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    for (uint32_t end = 0; end < 100; end++) {
        set(&interest, &device, end, INTEREST_STATUS);
        set(&interest, &any, end + 50, INTEREST_STATUS);
    }
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 150);
    assert_int_equal(count(&interest, &tenant, &other_device, INTEREST_STATUS), 100);
    interest_free(&interest);
}

static void the_last_word_counts(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    set(&interest, &device, 1, INTEREST_STATUS);
    set(&interest, &device, 2, INTEREST_STATUS);
    set(&interest, &device, 1, INTEREST_MESSAGES);
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_STATUS), 2);
    set(&interest, &device, 2, 0);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 0);
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_MESSAGES), 1);
    interest_free(&interest);
}

static void what_is_watched_no_more_leaves_its_place(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    for (uint8_t round = 0; round < 10; round++) {
        for (uint8_t i = 1; i < 100; i++) {
            struct uuid id = {{i, round}};
            set(&interest, &id, 0, INTEREST_ALERTS);
            assert_int_equal(count(&interest, &tenant, &id, INTEREST_ALERTS), 1);
        }
        for (uint8_t i = 1; i < 100; i++) {
            struct uuid id = {{i, round}};
            set(&interest, &id, 0, 0);
            assert_int_equal(count(&interest, &tenant, &id, INTEREST_ALERTS), 0);
        }
    }
    assert_int_equal(interest.table.count, 0);
    assert_int_equal(interest.count, 99);
    interest_free(&interest);
}

static void a_node_that_is_gone_watches_nothing(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    for (uint16_t node = 0; node < 4; node++)
        for (uint32_t edge = 0; edge < LIMIT_EDGES; edge++)
            set(&interest, &device, INTEREST_END(node, edge), INTEREST_STATUS);
    set(&interest, &other_device, INTEREST_END(1, 0), INTEREST_STATUS);
    set(&interest, &any, INTEREST_END(2, 3), INTEREST_ALERTS);
    interest_lost_node(&interest, 1);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 3 * LIMIT_EDGES);
    assert_int_equal(count(&interest, &tenant, &other_device, INTEREST_STATUS), 0);
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_ALERTS), INTEREST_END(2, 3));
    assert_int_equal(interest.table.count, 2); /* nobody watches other_device */
    interest_lost_node(&interest, 1);
    for (uint16_t node = 0; node < 4; node++)
        interest_lost_node(&interest, node);
    assert_int_equal(interest.table.count, 0);
    interest_free(&interest);
}

/* Its next owner is told; whoever watches any of the tenant's does so still. */
static void what_was_watched_in_a_lost_slot_is_not(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    set(&interest, &device, 1, INTEREST_STATUS);
    set(&interest, &any, 2, INTEREST_STATUS);
    set_from(&interest, &device, &(struct interest_from){3, slot_in(1, &device), false},
             INTEREST_STATUS);
    set_from(&interest, &other_device, &(struct interest_from){1, slot_in(0, &other_device), true},
             INTEREST_STATUS);
    interest_lost_slot(&interest, slot_in(0, &device));
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 2);
    assert_int_equal(count(&interest, &tenant, &other_device, INTEREST_STATUS), 2);
    interest_lost_slot(&interest, slot_in(0, &other_device));
    assert_int_equal(only(&interest, &tenant, &other_device, INTEREST_STATUS), 2);
    interest_lost_slot(&interest, slot_in(1, &device));
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_STATUS), 2);
    assert_int_equal(interest.table.count, 1);
    interest_free(&interest);
}

static void what_is_given_changes_nothing_that_was_said(void **state)
{
    (void)state;
    const struct interest_from given = {1, slot_in(0, &device), true};
    struct interest interest;
    interest_init(&interest);
    set_from(&interest, &device, &given, INTEREST_STATUS);
    set_from(&interest, &device, &given, INTEREST_ALERTS);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_STATUS), 0);
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_ALERTS), 1);
    set(&interest, &device, 1, INTEREST_STATUS);
    set_from(&interest, &device, &given, INTEREST_ALERTS);
    assert_int_equal(only(&interest, &tenant, &device, INTEREST_STATUS), 1);
    assert_int_equal(count(&interest, &tenant, &device, INTEREST_ALERTS), 0);
    interest_free(&interest);
}

static void sum_up(void *context, uint32_t end, unsigned bits)
{
    *(uint32_t *)context += end * 100 + bits;
}

/* What is given to the next owner of a device: not who watches any of its tenant's. */
static void each_that_watches_a_device_is_named(void **state)
{
    (void)state;
    struct interest interest;
    uint32_t sum = 0;
    interest_init(&interest);
    interest_each(&interest, &tenant, &device, sum_up, &sum);
    set(&interest, &any, 7, INTEREST_ALERTS);
    set(&interest, &device, 3, INTEREST_STATUS);
    set(&interest, &device, 20, INTEREST_STATUS | INTEREST_ALERTS);
    interest_each(&interest, &tenant, &other_device, sum_up, &sum);
    assert_int_equal(sum, 0);
    interest_each(&interest, &tenant, &device, sum_up, &sum);
    assert_int_equal(sum, 300 + INTEREST_STATUS + 2000 + (INTEREST_STATUS | INTEREST_ALERTS));
    interest_free(&interest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_watches_at_first),
        cmocka_unit_test(watchers_of_a_device_and_of_any_are_found),
        cmocka_unit_test(nobody_is_told_twice),
        cmocka_unit_test(the_last_word_counts),
        cmocka_unit_test(what_is_watched_no_more_leaves_its_place),
        cmocka_unit_test(a_node_that_is_gone_watches_nothing),
        cmocka_unit_test(what_was_watched_in_a_lost_slot_is_not),
        cmocka_unit_test(what_is_given_changes_nothing_that_was_said),
        cmocka_unit_test(each_that_watches_a_device_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
