/* Slots: the hash is fixed for ever, rows go forward only. */
#include "cluster/slots.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static struct uuid id_of(const char *text)
{
    struct uuid id;
    assert_int_equal(uuid_parse(text, UUID_TEXT_LEN, &id), 0);
    return id;
}

/* Values from an independent XXH64: a changed hash would give devices to other owners. */
static void slot_of_known_devices(void **state)
{
    (void)state;
    struct uuid demo = id_of("00000000-0000-0000-0000-000000000100");
    struct uuid zero = id_of("00000000-0000-4000-8000-000000000000");
    struct uuid last = id_of("00000000-0000-4000-8000-000000999999");
    assert_int_equal(slot_of(&demo), 3657);
    assert_int_equal(slot_of(&zero), 713);
    assert_int_equal(slot_of(&last), 3441);
}

static void provisioned_devices_spread_evenly(void **state)
{
    (void)state;
    static unsigned count[LIMIT_SLOTS];
    for (unsigned n = 0; n < 400000; n++) {
        char text[UUID_TEXT_LEN + 1];
        snprintf(text, sizeof text, "00000000-0000-4000-8000-%012u", n);
        struct uuid id = id_of(text);
        count[slot_of(&id)]++;
    }
    for (unsigned i = 0; i < LIMIT_SLOTS; i++)
        assert_in_range(count[i], 40, 170); /* mean 97.7, deviation 9.9 */
}

static void a_row_read_late_changes_nothing(void **state)
{
    (void)state;
    struct slots slots;
    struct uuid device = id_of("00000000-0000-0000-0000-000000000100");
    unsigned n = slot_of(&device);
    slots_init(&slots);
    assert_int_equal(slots_owner(&slots, &device), SLOT_NOBODY);
    struct slot newer = {.epoch = 5, .owner = 2, .target = SLOT_NOBODY, .state = SLOT_OWNED};
    struct slot older = {.epoch = 4, .owner = 1, .target = SLOT_NOBODY, .state = SLOT_OWNED};
    assert_int_equal(slots_set(&slots, n, &newer), 0);
    assert_int_equal(slots_set(&slots, n, &older), ERR_REFUSED);
    assert_int_equal(slots_owner(&slots, &device), 2);
    assert_int_equal(slots_count(&slots, 2), 1);
    assert_int_equal(slots_count(&slots, SLOT_NOBODY), LIMIT_SLOTS - 1);
}

static void rows_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct slot bad[] = {
        {1, 0, SLOT_NOBODY, SLOT_FREE}, {1, SLOT_NOBODY, SLOT_NOBODY, SLOT_OWNED},
        {1, 0, 1, SLOT_OWNED},          {1, 0, SLOT_NOBODY, SLOT_MOVING},
        {1, 0, 0, SLOT_MOVING},         {1, 0, SLOT_NOBODY, SLOT_STATES},
    };
    static const struct slot moving = {1, 0, 1, SLOT_MOVING};
    struct slots slots;
    slots_init(&slots);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(slots_set(&slots, 7, &bad[i]), ERR_MALFORMED);
    assert_int_equal(slots_set(&slots, LIMIT_SLOTS, &moving), ERR_MALFORMED);
    assert_int_equal(slots_set(&slots, 7, &moving), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot_of_known_devices),
        cmocka_unit_test(provisioned_devices_spread_evenly),
        cmocka_unit_test(a_row_read_late_changes_nothing),
        cmocka_unit_test(rows_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
