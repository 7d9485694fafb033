/* A device's region is its own, else its tenant's, else the first. */
#include "node/homes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct uuid tenant = {{1}}, other_tenant = {{2}}, device = {{3}}, plain = {{4}};

static void everybody_is_at_home_in_the_first_region(void **state)
{
    (void)state;
    struct homes homes = {0};
    assert_int_equal(homes_region(&homes, &tenant, &device), 0);
    assert_int_equal(homes_region(&homes, &tenant, NULL), 0);
    assert_true(homes_set(&homes, &other_tenant, 5));
    assert_int_equal(homes_region(&homes, &tenant, &device), 0);
    homes_free(&homes);
}

static void a_devices_own_goes_before_its_tenants(void **state)
{
    (void)state;
    struct homes homes = {0};
    assert_true(homes_set(&homes, &tenant, 2));
    assert_int_equal(homes_region(&homes, &tenant, &device), 2);
    assert_true(homes_set(&homes, &device, 3));
    assert_int_equal(homes_region(&homes, &tenant, &device), 3);
    assert_int_equal(homes_region(&homes, &tenant, &plain), 2);
    assert_int_equal(homes_region(&homes, &tenant, NULL), 2);
    assert_int_equal(homes_region(&homes, &other_tenant, NULL), 0);
    assert_int_equal(homes_region(&homes, &other_tenant, &device), 3);
    homes_free(&homes);
}

/* A device that is made again may have another, or its tenant's. */
static void the_last_word_counts(void **state)
{
    (void)state;
    struct homes homes = {0};
    assert_true(homes_set(&homes, &tenant, 2));
    assert_true(homes_set(&homes, &device, 3));
    assert_false(homes_set(&homes, &device, 3));
    assert_true(homes_set(&homes, &device, 0));
    assert_int_equal(homes_region(&homes, &tenant, &device), 0);
    assert_true(homes_set(&homes, &device, 4));
    assert_int_equal(homes_region(&homes, &tenant, &device), 4);
    assert_int_equal(homes.count, 2);
    homes_free(&homes);
    assert_int_equal(homes_region(&homes, &tenant, &device), 0);
    assert_true(homes_set(&homes, &device, 4)); /* it can be used again */
    homes_free(&homes);
    homes_free(&homes);
}

static struct uuid id_of(uint32_t n)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

static void many_are_found(void **state)
{
    (void)state;
    struct homes homes = {0};
    for (uint32_t n = 1; n <= 20000; n++) {
        struct uuid id = id_of(n);
        assert_true(homes_set(&homes, &id, 1 + n % 15));
    }
    for (uint32_t n = 1; n <= 20000; n++) {
        struct uuid id = id_of(n), unknown = id_of(n + 20000);
        assert_int_equal(homes_region(&homes, &unknown, &id), 1 + n % 15);
        assert_int_equal(homes_region(&homes, &unknown, &unknown), 0);
        assert_false(homes_set(&homes, &id, 1 + n % 15));
    }
    assert_int_equal(homes.count, 20000);
    homes_free(&homes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everybody_is_at_home_in_the_first_region),
        cmocka_unit_test(a_devices_own_goes_before_its_tenants),
        cmocka_unit_test(the_last_word_counts),
        cmocka_unit_test(many_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
