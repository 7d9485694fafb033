/* When a shard's next batch goes to the writer. */
#include "actors/pace.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000

static void few_readings_leave_at_once(void **state)
{
    (void)state;
    struct pace pace = {.sent_us = -MS};
    for (int64_t at_us = MS; at_us < 100 * MS; at_us += 2 * MS) {
        assert_int_equal(pace_wait_us(&pace, at_us), 0);
        pace_sent(&pace, 2 * LIMIT_PACE_ROWS_PER_MS - 1, at_us);
    }
    assert_int_equal(pace_wait_us(&pace, 99 * MS), 0);
}

static void many_leave_together(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_sent(&pace, 1, 10 * MS);
    pace_sent(&pace, LIMIT_PACE_ROWS_PER_MS, 11 * MS);
    assert_int_equal(pace_wait_us(&pace, 11 * MS), LIMIT_PACE_US);
    assert_int_equal(pace_wait_us(&pace, 11 * MS + LIMIT_PACE_US - 1), 1);
    assert_int_equal(pace_wait_us(&pace, 11 * MS + LIMIT_PACE_US), 0);
}

static void after_a_rush_they_leave_at_once_again(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_sent(&pace, 1, 10 * MS);
    pace_sent(&pace, 1000, 11 * MS);
    pace_sent(&pace, 10, 11 * MS + LIMIT_PACE_US);
    assert_int_equal(pace_wait_us(&pace, 11 * MS + LIMIT_PACE_US), 0);
}

static void what_a_stall_gathered_is_no_rush(void **state)
{
    (void)state;
    struct pace pace = {0};
    pace_sent(&pace, 1, 10 * MS);
    pace_sent(&pace, 1000, 210 * MS); /* five a millisecond */
    assert_int_equal(pace_wait_us(&pace, 210 * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(few_readings_leave_at_once),
        cmocka_unit_test(many_leave_together),
        cmocka_unit_test(after_a_rush_they_leave_at_once_again),
        cmocka_unit_test(what_a_stall_gathered_is_no_rush),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
