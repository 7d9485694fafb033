/* Who owns a slot is read by control and said by shards, in any order: what lanes make of it. */
#include "tests/unit/lanes_fixture.h"

static void controls_news_wait_for_the_owners_own_word(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    uint32_t first = expect_sent(f, A, 10, 1, false);
    add(f, 2);
    expect_sent(f, A, 10, 2, false);
    control_says(f, B, 11);
    add(f, 3);
    say(f, 4); /* to whom? it is told anew */
    lanes_tick(f->lanes, f->now_us + LANES_WAIT_US - 1);
    expect_quiet(f);
    assert_int_equal(lanes_waiting(f->lanes), 1);
    lanes_answered(f->lanes, first);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 2, false);
    expect_sent(f, B, 11, 3, false);
    lanes_tick(f->lanes, f->now_us + 10 * LANES_WAIT_US);
    end(f);
}

static void an_owner_who_keeps_silent_is_taken_for_dead(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    uint32_t first = expect_sent(f, A, 10, 1, false);
    control_says(f, B, 11);
    f->now_us += LANES_WAIT_US / 2;
    control_says(f, B, 11); /* the wait began before */
    add(f, 2);
    f->now_us += LANES_WAIT_US / 2;
    lanes_tick(f->lanes, f->now_us - 1);
    expect_quiet(f);
    lanes_tick(f->lanes, f->now_us);
    expect_told(f);
    expect_sent(f, B, 11, 1, true);
    expect_sent(f, B, 11, 2, false); /* A never had it */
    shard_says(f, A, FIRST, B, 11);  /* too late */
    expect_quiet(f);
    /* So did his answer: it is one nevertheless, and the only one. */
    assert_int_not_equal(lanes_answered(f->lanes, first), 0);
    assert_int_equal(lanes_answered(f->lanes, first), 0);
    end(f);
}

static void nobody_waits_for_a_word_about_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    lanes_answered(f->lanes, expect_sent(f, A, 10, 1, false));
    control_says(f, B, 11);
    expect_told(f);
    add(f, 2);
    expect_sent(f, B, 11, 2, false);
    shard_says(f, A, FIRST, B, 11);
    end(f);
}

static void the_wait_ends_with_the_owner(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    control_says(f, B, 11);
    expect_quiet(f);
    node_is(f, A, FIRST, false);
    expect_told(f);
    expect_sent(f, B, 11, 1, true);
    control_says(f, C, 12);
    node_is(f, A, FIRST + 1, true); /* not he */
    expect_node(f, A, FIRST + 1);
    expect_quiet(f);
    node_is(f, B, FIRST + 1, true);
    expect_node(f, B, FIRST + 1);
    expect_told(f);
    expect_sent(f, C, 12, 1, true);
    end(f);
}

static void all_slots_of_an_owner_wait_each_for_itself(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    const uint16_t other = msg_slot(LIMIT_REGIONS - 1, LIMIT_SLOTS - 1);
    struct msg_slot news = {.slot = other, .from = HERE, .owner = A, .epoch = 4};
    slot_is(f, &news);
    f->looked++; /* told */
    add(f, 1);
    add_to(f, other, 2);
    expect_sent(f, A, 10, 1, false);
    expect_sent(f, A, 4, 2, false);
    control_says(f, B, 11);
    f->now_us += 1000;
    news.owner = C, news.epoch = 5;
    slot_is(f, &news);
    news.from = A, news.from_life = FIRST, news.flags = SLOT_CLEAN;
    slot_is(f, &news);
    assert_int_equal(f->logged[f->looked++].slot, other);
    expect_sent(f, C, 5, 2, false);
    lanes_tick(f->lanes, f->now_us + LANES_WAIT_US - 1000);
    expect_told(f);
    expect_sent(f, B, 11, 1, true);
    end(f);
}

static void an_epoch_may_be_skipped_in_controls_news(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    control_says(f, C, 12); /* read after two moves */
    expect_quiet(f);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 1, false); /* he will not take it, and say so */
    expect_quiet(f);
    shard_says(f, B, FIRST, C, 12);
    expect_told(f);
    expect_sent(f, C, 12, 1, false);
    end(f);
}

/* He was the owner once more meanwhile; but what is unanswered nobody else has ever had. */
static void an_owners_word_may_skip_an_epoch(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    shard_says(f, A, FIRST, C, 14);
    expect_told(f);
    expect_sent(f, C, 14, 1, false);
    end(f);
}

static void the_newest_of_the_news_counts_after_the_wait(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    control_says(f, B, 11);
    control_says(f, C, 12);
    shard_says(f, B, FIRST, C, 12); /* true, but not the word that is waited for */
    control_says(f, B, 11);
    expect_quiet(f);
    lanes_tick(f->lanes, f->now_us + LANES_WAIT_US);
    expect_told(f);
    expect_sent(f, C, 12, 1, true);
    end(f);
}

/* The first owner says that it is the second's, when control has read already that it is the
 * third's: he has had it for a moment, so that he is asked too, if he lives. */
static void news_that_came_first_count_after_the_owners_word(void **state)
{
    (void)state;
    for (int second_lives = 0; second_lives < 2; second_lives++) {
        struct fixture *f = begin_with_owner();
        add(f, 1);
        expect_sent(f, A, 10, 1, false);
        if (!second_lives)
            node_is(f, B, FIRST, false);
        control_says(f, C, 12);
        shard_says(f, A, FIRST, B, 11);
        if (second_lives) {
            expect_told(f);
            expect_sent(f, B, 11, 1, false);
            lanes_tick(f->lanes, f->now_us + LANES_WAIT_US);
        }
        expect_told(f);
        expect_sent(f, C, 12, 1, second_lives);
        end(f);
    }
}

static void what_comes_late_or_twice_changes_nothing(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    control_says(f, A, 10);
    control_says(f, B, 9);
    control_says(f, B, 10);
    control_says(f, MSG_NOBODY, 0);
    shard_says(f, A, FIRST, B, 10);
    shard_says(f, A, FIRST, B, 3);
    lanes_tick(f->lanes, f->now_us + 10 * LANES_WAIT_US);
    expect_quiet(f);
    assert_int_equal(lanes_owner(f->lanes, SLOT), A);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 1, false);
    shard_says(f, A, FIRST, B, 11);
    control_says(f, B, 11);
    end(f);
}

/* Only the owner, in the life in which he had it, can say that nothing is stored. */
static void the_word_of_others_is_not_the_owners(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    shard_says(f, B, FIRST, B, 11);
    shard_says(f, A, FIRST + 1, B, 11);
    const struct msg_slot not_clean = {
        .slot = SLOT, .from = A, .from_life = FIRST, .owner = B, .epoch = 11};
    slot_is(f, &not_clean);
    expect_quiet(f);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 1, false);
    end(f);
}

/* A shard that knows of the node's next life already says what it owns there, before control has
 * told the edge of that life: what was sent to the former one nobody ever got. */
static void an_owner_may_be_known_before_his_next_life(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    shard_says(f, A, FIRST, B, 11); /* B has started again meanwhile */
    expect_told(f);
    add(f, 1);
    expect_sent(f, B, 11, 1, false);
    node_is(f, B, FIRST + 1, true);
    expect_node(f, B, FIRST + 1);
    add(f, 2);
    expect_quiet(f);
    control_says(f, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 1, true);
    expect_sent(f, B, 11, 2, false);
    control_says(f, B, 11);
    expect_quiet(f);
    shard_says(f, B, FIRST + 1, C, 12); /* it is his word that counts */
    expect_told(f);
    expect_sent(f, C, 12, 1, true);
    expect_sent(f, C, 12, 2, false);
    end(f);
}

/* Whoever forgets what is on its way to the former life of a node does so before anything is sent
 * to the next one. */
static void a_nodes_next_life_is_told_before_it_is_sent_anything(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    shard_says(f, B, FIRST, A, 11); /* A has started again */
    expect_quiet(f);
    node_is(f, A, FIRST + 1, true);
    expect_node(f, A, FIRST + 1);
    expect_told(f);
    expect_sent(f, A, 11, 1, true);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(controls_news_wait_for_the_owners_own_word),
        cmocka_unit_test(an_owner_who_keeps_silent_is_taken_for_dead),
        cmocka_unit_test(nobody_waits_for_a_word_about_nothing),
        cmocka_unit_test(the_wait_ends_with_the_owner),
        cmocka_unit_test(all_slots_of_an_owner_wait_each_for_itself),
        cmocka_unit_test(an_epoch_may_be_skipped_in_controls_news),
        cmocka_unit_test(an_owners_word_may_skip_an_epoch),
        cmocka_unit_test(the_newest_of_the_news_counts_after_the_wait),
        cmocka_unit_test(news_that_came_first_count_after_the_owners_word),
        cmocka_unit_test(what_comes_late_or_twice_changes_nothing),
        cmocka_unit_test(the_word_of_others_is_not_the_owners),
        cmocka_unit_test(an_owner_may_be_known_before_his_next_life),
        cmocka_unit_test(a_nodes_next_life_is_told_before_it_is_sent_anything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
