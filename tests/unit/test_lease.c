/* The lease: every state × event pair, and the story of a node that loses its database. */
#include "cluster/lease.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define T0 1000000

static void every_pair_is_listed_or_changes_nothing(void **state)
{
    (void)state;
    /* As drawn in lease.def: next state by state and event, -1 where there is none. */
    static const int next[LEASE_STATES][LEASE_EVENTS] = {
        [LEASE_HELD] = {LEASE_ASKING, LEASE_EXPIRED, -1, -1, -1},
        [LEASE_ASKING] = {-1, LEASE_RETRYING, LEASE_HELD, LEASE_HELD, LEASE_DEPOSED},
        [LEASE_EXPIRED] = {LEASE_RETRYING, -1, -1, -1, -1},
        [LEASE_RETRYING] = {-1, -1, LEASE_HELD, LEASE_EXPIRED, LEASE_DEPOSED},
        [LEASE_DEPOSED] = {-1, -1, -1, -1, -1},
    };
    for (int from = 0; from < LEASE_STATES; from++)
        for (int event = 0; event < LEASE_EVENTS; event++) {
            struct lease lease, before;
            enum lease_order order = LEASE_NOTHING;
            lease_init(&lease, LEASE_TTL_MS, T0);
            lease.state = (enum lease_state)from;
            before = lease;
            int rc = lease_step(&lease, (enum lease_event)event, T0 + 10, &order);
            if (next[from][event] >= 0) {
                assert_int_equal(rc, 0);
                assert_int_equal(lease.state, next[from][event]);
            } else {
                assert_int_equal(rc, ERR_UNEXPECTED);
                assert_memory_equal(&lease, &before, sizeof lease);
            }
        }
}

static void renews_at_a_quarter_and_counts_from_the_question(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    assert_int_equal(lease_next_ms(&lease), T0 + 750);
    assert_int_equal(lease_tick(&lease, T0 + 749), LEASE_NOTHING);
    assert_int_equal(lease_tick(&lease, T0 + 750), LEASE_RENEW);
    assert_int_equal(lease_tick(&lease, T0 + 750), LEASE_NOTHING);
    assert_int_equal(lease_answer(&lease, LEASE_GRANTED, T0 + 2000), LEASE_NOTHING);
    assert_int_equal(lease.deadline_ms, T0 + 750 + 2700); /* a tenth less than the database's */
    assert_int_equal(lease_tick(&lease, T0 + 2000), LEASE_RENEW); /* the answer was slow */
}

static void expires_without_answers_and_heals(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    assert_int_equal(lease_tick(&lease, T0 + 750), LEASE_RENEW);
    assert_int_equal(lease_answer(&lease, LEASE_FAILED, T0 + 760), LEASE_NOTHING);
    assert_int_equal(lease_next_ms(&lease), T0 + 760 + 375);
    assert_int_equal(lease_tick(&lease, T0 + 1135), LEASE_RENEW);
    assert_int_equal(lease_next_ms(&lease), T0 + 2700);
    assert_int_equal(lease_tick(&lease, T0 + 2699), LEASE_NOTHING);
    assert_int_equal(lease_tick(&lease, T0 + 2700), LEASE_SAY_EXPIRED);
    assert_false(lease_is_held(&lease));
    assert_int_equal(lease_tick(&lease, T0 + 9000), LEASE_NOTHING);
    assert_int_equal(lease_answer(&lease, LEASE_FAILED, T0 + 9000), LEASE_NOTHING);
    assert_int_equal(lease_tick(&lease, T0 + 9375), LEASE_RENEW);
    assert_int_equal(lease_answer(&lease, LEASE_GRANTED, T0 + 9380), LEASE_SAY_RENEWED);
    assert_true(lease_is_held(&lease));
    assert_int_equal(lease.deadline_ms, T0 + 9375 + 2700);
}

/* The process was stopped: what it was granted in the meantime has already run out. */
static void an_answer_that_comes_too_late_expires_at_once(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    assert_int_equal(lease_tick(&lease, T0 + 750), LEASE_RENEW);
    assert_int_equal(lease_answer(&lease, LEASE_GRANTED, T0 + 60000), LEASE_NOTHING);
    assert_int_equal(lease_tick(&lease, T0 + 60000), LEASE_SAY_EXPIRED);
    assert_int_equal(lease_tick(&lease, T0 + 60000), LEASE_RENEW);
}

static void zero_rows_are_the_end(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    assert_int_equal(lease_tick(&lease, T0 + 750), LEASE_RENEW);
    assert_int_equal(lease_answer(&lease, LEASE_NO_ROW, T0 + 760), LEASE_EXIT);
    assert_int_equal(lease_tick(&lease, T0 + 770), LEASE_EXIT);
    assert_false(lease_is_held(&lease));
}

/* Asked when due, answered at once. */
static void ask_at(struct lease *lease, int64_t now_ms, enum lease_event answer)
{
    while (lease_tick(lease, now_ms) != LEASE_RENEW)
        assert_in_range(now_ms, T0, T0 + 100000);
    lease_answer(lease, answer, now_ms);
}

/* Who has not renewed while the database was away is not dead for that. */
static void judges_after_a_whole_ttl_without_a_failure(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    assert_false(lease_may_judge(&lease, T0));
    for (int64_t ms = 750; ms < 3000; ms += 750) {
        ask_at(&lease, T0 + ms, LEASE_GRANTED);
        assert_false(lease_may_judge(&lease, T0 + ms));
    }
    assert_false(lease_may_judge(&lease, T0 + 2999));
    assert_true(lease_may_judge(&lease, T0 + 3000));
    ask_at(&lease, T0 + 3000, LEASE_FAILED);
    assert_false(lease_may_judge(&lease, T0 + 3000));
    ask_at(&lease, T0 + 3375, LEASE_GRANTED);
    assert_false(lease_may_judge(&lease, T0 + 6000));
    ask_at(&lease, T0 + 4125, LEASE_GRANTED);
    ask_at(&lease, T0 + 6000, LEASE_GRANTED);
    assert_false(lease_may_judge(&lease, T0 + 6374));
    assert_true(lease_may_judge(&lease, T0 + 6375));
    assert_false(lease_may_judge(&lease, T0 + 8700)); /* its own is over */
}

/* Stopped and gone on: the database's clock went on meanwhile, for the others too. */
static void an_expired_one_judges_nobody(void **state)
{
    (void)state;
    struct lease lease;
    lease_init(&lease, LEASE_TTL_MS, T0);
    for (int64_t ms = 750; ms <= 3000; ms += 750)
        ask_at(&lease, T0 + ms, LEASE_GRANTED);
    assert_true(lease_may_judge(&lease, T0 + 3100));
    assert_false(lease_may_judge(&lease, T0 + 60000));
    assert_int_equal(lease_tick(&lease, T0 + 60000), LEASE_SAY_EXPIRED);
    assert_int_equal(lease_tick(&lease, T0 + 60000), LEASE_RENEW);
    assert_int_equal(lease_answer(&lease, LEASE_GRANTED, T0 + 60001), LEASE_SAY_RENEWED);
    assert_false(lease_may_judge(&lease, T0 + 60002));
    ask_at(&lease, T0 + 62000, LEASE_GRANTED);
    assert_false(lease_may_judge(&lease, T0 + 63000));
    assert_true(lease_may_judge(&lease, T0 + 63001));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_is_listed_or_changes_nothing),
        cmocka_unit_test(renews_at_a_quarter_and_counts_from_the_question),
        cmocka_unit_test(expires_without_answers_and_heals),
        cmocka_unit_test(an_answer_that_comes_too_late_expires_at_once),
        cmocka_unit_test(zero_rows_are_the_end),
        cmocka_unit_test(judges_after_a_whole_ttl_without_a_failure),
        cmocka_unit_test(an_expired_one_judges_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
