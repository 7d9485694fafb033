/* A peer is suspected when it stops to answer, and only then. */
#include "cluster/probe.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MS 1000

/* Ticks every 100 ms from `from_ms` up to `to_ms`; the last news that there was. */
static enum probe_news tick(struct probe *probe, int from_ms, int to_ms, bool answers)
{
    enum probe_news last = PROBE_NOTHING;
    for (int ms = from_ms; ms <= to_ms; ms += 100) {
        if (probe_is_due(probe, ms * MS) && answers)
            probe_answered(probe, ms * MS, ms * MS);
        enum probe_news news = probe_tick(probe, ms * MS);
        if (news != PROBE_NOTHING)
            last = news;
    }
    return last;
}

static void a_peer_that_answers_is_not_suspected(void **state)
{
    (void)state;
    struct probe probe;
    probe_init(&probe, 0);
    assert_int_equal(tick(&probe, 0, 60000, true), PROBE_NOTHING);
    assert_in_range(probe_silent_us(&probe, 60000 * MS), 0, PROBE_PERIOD_US);
}

static void it_is_asked_every_half_second(void **state)
{
    (void)state;
    struct probe probe;
    int asked = 0;
    probe_init(&probe, 0);
    for (int ms = 0; ms < 10000; ms += 10)
        asked += probe_is_due(&probe, ms * MS);
    assert_int_equal(asked, 20);
}

static void silence_is_suspected_once_and_an_answer_clears_it_once(void **state)
{
    (void)state;
    struct probe probe;
    probe_init(&probe, 0);
    probe_answered(&probe, 0, 0); /* known before: no grace */
    assert_int_equal(tick(&probe, 0, 1400, false), PROBE_NOTHING);
    assert_int_equal(probe_tick(&probe, 1500 * MS), PROBE_SUSPECTED);
    assert_int_equal(tick(&probe, 1600, 9000, false), PROBE_NOTHING);
    assert_int_equal(probe_silent_us(&probe, 9000 * MS), 9000 * MS);
    probe_heard(&probe, 9050 * MS); /* it is there, but it does not work */
    assert_int_equal(probe_tick(&probe, 9050 * MS), PROBE_NOTHING);
    probe_answered(&probe, 9000 * MS, 9080 * MS);
    assert_int_equal(probe_tick(&probe, 9100 * MS), PROBE_CLEARED);
    assert_int_equal(probe_tick(&probe, 9200 * MS), PROBE_NOTHING);
}

static void a_new_peer_has_time_to_be_connected(void **state)
{
    (void)state;
    struct probe probe;
    probe_init(&probe, 0);
    assert_int_equal(tick(&probe, 0, 2900, false), PROBE_NOTHING);
    probe_hurry(&probe, 2910 * MS);
    assert_true(probe_is_due(&probe, 2910 * MS));
    assert_int_equal(probe_tick(&probe, 3000 * MS), PROBE_SUSPECTED);
}

static void an_answer_to_an_old_question_is_none(void **state)
{
    (void)state;
    struct probe probe;
    probe_init(&probe, 0);
    assert_int_equal(tick(&probe, 0, 3100, false), PROBE_SUSPECTED);
    probe_answered(&probe, 0, 3100 * MS);
    probe_answered(&probe, 3101 * MS, 3100 * MS); /* of the future */
    assert_int_equal(probe_tick(&probe, 3200 * MS), PROBE_NOTHING);
}

static void standing_still_oneself_is_not_the_peers_silence(void **state)
{
    (void)state;
    struct probe probe;
    probe_init(&probe, 0);
    assert_int_equal(tick(&probe, 0, 1000, true), PROBE_NOTHING);
    assert_int_equal(probe_tick(&probe, 60000 * MS), PROBE_NOTHING);
    assert_int_equal(tick(&probe, 60100, 61100, false), PROBE_NOTHING);
    assert_int_equal(tick(&probe, 61200, 61600, false), PROBE_SUSPECTED);
    assert_int_equal(probe_tick(&probe, 90000 * MS), PROBE_NOTHING); /* no reason to clear it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peer_that_answers_is_not_suspected),
        cmocka_unit_test(it_is_asked_every_half_second),
        cmocka_unit_test(silence_is_suspected_once_and_an_answer_clears_it_once),
        cmocka_unit_test(a_new_peer_has_time_to_be_connected),
        cmocka_unit_test(an_answer_to_an_old_question_is_none),
        cmocka_unit_test(standing_still_oneself_is_not_the_peers_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
