/* An event goes to the edges that watch its device, or any of its tenant's, and to no other. */
#include "actors/interest.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct uuid tenant = {{1}}, other_tenant = {{2}}, any = {{0}};
static const struct uuid device = {{3}}, other_device = {{4}};

static void nobody_watches_at_first(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_STATUS), 0);
    assert_int_equal(interest_set(&interest, &tenant, &device, 0, 0), 0);
    interest_free(&interest);
}

static void watchers_of_a_device_and_of_any_are_found(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    assert_int_equal(interest_set(&interest, &tenant, &device, 0, INTEREST_STATUS), 0);
    assert_int_equal(
        interest_set(&interest, &tenant, &any, LIMIT_EDGES - 1, INTEREST_STATUS | INTEREST_ALERTS),
        0);
    uint32_t last = 1U << (LIMIT_EDGES - 1);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_STATUS), 1 | last);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_ALERTS), last);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_TELEMETRY), 0);
    assert_int_equal(interest_edges(&interest, &tenant, &other_device, INTEREST_STATUS), last);
    assert_int_equal(interest_edges(&interest, &tenant, &any, INTEREST_STATUS), last);
    assert_int_equal(interest_edges(&interest, &other_tenant, &device, INTEREST_STATUS), 0);
    interest_free(&interest);
}

static void the_last_word_counts(void **state)
{
    (void)state;
    struct interest interest;
    interest_init(&interest);
    assert_int_equal(interest_set(&interest, &tenant, &device, 1, INTEREST_STATUS), 0);
    assert_int_equal(interest_set(&interest, &tenant, &device, 2, INTEREST_STATUS), 0);
    assert_int_equal(interest_set(&interest, &tenant, &device, 1, INTEREST_MESSAGES), 0);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_STATUS), 1 << 2);
    assert_int_equal(interest_set(&interest, &tenant, &device, 2, 0), 0);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_STATUS), 0);
    assert_int_equal(interest_edges(&interest, &tenant, &device, INTEREST_MESSAGES), 1 << 1);
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
            assert_int_equal(interest_set(&interest, &tenant, &id, 0, INTEREST_ALERTS), 0);
            assert_int_equal(interest_edges(&interest, &tenant, &id, INTEREST_ALERTS), 1);
        }
        for (uint8_t i = 1; i < 100; i++) {
            struct uuid id = {{i, round}};
            assert_int_equal(interest_set(&interest, &tenant, &id, 0, 0), 0);
            assert_int_equal(interest_edges(&interest, &tenant, &id, INTEREST_ALERTS), 0);
        }
    }
    assert_int_equal(interest.table.count, 0);
    assert_int_equal(interest.count, 99);
    interest_free(&interest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_watches_at_first),
        cmocka_unit_test(watchers_of_a_device_and_of_any_are_found),
        cmocka_unit_test(the_last_word_counts),
        cmocka_unit_test(what_is_watched_no_more_leaves_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
