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

/* One row: of its owner, or moving to a target. */
static struct slot row(uint32_t epoch, uint16_t owner, uint16_t target)
{
    return (struct slot){.epoch = epoch, .owner = owner, .target = target};
}

static int set(struct slots *slots, uint16_t slot, struct slot to)
{
    return slots_set(slots, slot, &to);
}

static void a_row_read_late_changes_nothing(void **state)
{
    (void)state;
    struct slots slots = {0};
    uint16_t n = msg_slot(2, 3657);
    assert_int_equal(slots_get(&slots, n).owner, MSG_NOBODY);
    assert_int_equal(slots_get(&slots, n).epoch, 0);
    assert_int_equal(set(&slots, n, row(5, 2, MSG_NOBODY)), 1);
    assert_int_equal(set(&slots, n, row(4, 1, MSG_NOBODY)), ERR_REFUSED);
    assert_int_equal(slots_get(&slots, n).owner, 2);
    assert_int_equal(slots_get(&slots, n).epoch, 5);
    slots_free(&slots);
}

static void the_same_row_again_says_nothing_new(void **state)
{
    (void)state;
    struct slots slots = {0};
    assert_int_equal(set(&slots, 7, row(5, 2, MSG_NOBODY)), 1);
    assert_int_equal(set(&slots, 7, row(5, 2, MSG_NOBODY)), 0);
    assert_int_equal(set(&slots, 7, row(5, 2, 3)), 1); /* it is to move, in the same epoch */
    assert_int_equal(slots_get(&slots, 7).target, 3);
    assert_int_equal(set(&slots, 7, row(5, 2, 3)), 0);
    assert_int_equal(set(&slots, 7, row(6, 3, MSG_NOBODY)), 1);
    assert_int_equal(slots_get(&slots, 7).target, MSG_NOBODY);
    slots_free(&slots);
}

static void regions_have_slots_of_their_own(void **state)
{
    (void)state;
    struct slots slots = {0};
    const uint16_t first = msg_slot(0, 4095), last = msg_slot(LIMIT_REGIONS - 1, 4095);
    assert_int_equal(set(&slots, first, row(1, 2, MSG_NOBODY)), 1);
    assert_int_equal(set(&slots, last, row(1, 2, 9)), 1);
    assert_int_equal(set(&slots, msg_slot(1, 0), row(3, 9, MSG_NOBODY)), 1);
    assert_int_equal(slots_count(&slots, 2), 2);
    assert_int_equal(slots_count(&slots, 9), 1); /* not yet that which moves there */
    assert_int_equal(slots_get(&slots, msg_slot(1, 4095)).owner, MSG_NOBODY);
    assert_int_equal(slots_get(&slots, last).owner, 2);
    slots_free(&slots);
    assert_int_equal(slots_count(&slots, 2), 0);
    assert_int_equal(slots_get(&slots, last).owner, MSG_NOBODY);
}

static void rows_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct slots slots = {0};
    assert_int_equal(set(&slots, 7, row(1, 0, 0)), ERR_MALFORMED);          /* to its owner */
    assert_int_equal(set(&slots, 7, row(1, MSG_NOBODY, 1)), ERR_MALFORMED); /* from nobody */
    assert_int_equal(slots_get(&slots, 7).epoch, 0);
    assert_int_equal(set(&slots, 7, row(1, MSG_NOBODY, MSG_NOBODY)), 1);
    assert_int_equal(set(&slots, 7, row(1, 0, 1)), 1);
    slots_free(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot_of_known_devices),
        cmocka_unit_test(provisioned_devices_spread_evenly),
        cmocka_unit_test(a_row_read_late_changes_nothing),
        cmocka_unit_test(the_same_row_again_says_nothing_new),
        cmocka_unit_test(regions_have_slots_of_their_own),
        cmocka_unit_test(rows_that_make_no_sense_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
