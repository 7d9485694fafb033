/* An edge's items reach the owners of their slots in order, each kept until it is answered. */
#include "tests/unit/lanes_fixture.h"

static void an_item_goes_to_the_owner_with_all_filled_in(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 7);
    uint32_t item = expect_sent(f, A, 10, 7, false);
    const struct logged *l = &f->logged[f->looked - 1];
    assert_int_not_equal(item, 0);
    assert_int_equal(l->kind, MSG_MESSAGE);
    assert_int_equal(l->slot, SLOT);
    assert_int_equal(l->size, frame_item_size(MSG_MESSAGE, 7));
    assert_true(l->ref.node == HERE && l->ref.life == LIFE && l->ref.edge == EDGE);
    assert_true(l->ref.conn == 107 && l->ref.generation == 7);
    struct msg_ref ref = lanes_ref(f->lanes);
    assert_true(ref.node == HERE && ref.life == LIFE && ref.edge == EDGE && ref.item == 0);
    assert_int_equal(lanes_unanswered(f->lanes), 1);
    assert_int_equal(lanes_waiting(f->lanes), 0);
    end(f);
}

static void slots_have_owners_of_their_own(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    const uint16_t same_in_another_region = msg_slot(2, SLOT);
    const struct msg_slot news = {.slot = same_in_another_region, .owner = B, .epoch = 3};
    add_to(f, same_in_another_region, 1);
    add(f, 2);
    expect_sent(f, A, 10, 2, false);
    slot_is(f, &news);
    assert_int_equal(f->logged[f->looked++].what, LOGGED_TOLD);
    expect_sent(f, B, 3, 1, false);
    assert_int_equal(lanes_owner(f->lanes, SLOT), A);
    assert_int_equal(lanes_owner(f->lanes, same_in_another_region), B);
    assert_int_equal(lanes_owner(f->lanes, msg_slot(5, SLOT)), MSG_NOBODY);
    end(f);
}

static void items_wait_for_an_owner_in_their_order(void **state)
{
    (void)state;
    struct fixture *f = begin();
    for (uint16_t n = 1; n <= 100; n++)
        add(f, n);
    expect_quiet(f);
    assert_int_equal(lanes_waiting(f->lanes), 100);
    node_is(f, A, FIRST, true);
    expect_node(f, A, FIRST);
    control_says(f, A, 1);
    expect_told(f);
    for (uint16_t n = 1; n <= 100; n++)
        expect_sent(f, A, 1, n, false);
    assert_int_equal(lanes_waiting(f->lanes), 0);
    assert_int_equal(lanes_unanswered(f->lanes), 100);
    end(f);
}

static void an_owner_may_be_known_before_his_node(void **state)
{
    (void)state;
    struct fixture *f = begin();
    control_says(f, A, 1);
    assert_int_equal(lanes_owner(f->lanes, SLOT), MSG_NOBODY);
    add(f, 1);
    say(f, 2);
    expect_quiet(f);
    node_is(f, A, FIRST, true);
    expect_node(f, A, FIRST); /* first, so that what is sent to him has a place to go */
    expect_told(f);
    expect_sent(f, A, 1, 1, false);
    assert_int_equal(lanes_owner(f->lanes, SLOT), A);
    end(f);
}

static void an_answer_counts_once(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    for (uint16_t n = 1; n <= 3; n++)
        add(f, n);
    uint32_t first = expect_sent(f, A, 10, 1, false), second = expect_sent(f, A, 10, 2, false);
    expect_sent(f, A, 10, 3, false);
    assert_int_equal(lanes_answered(f->lanes, second), frame_item_size(MSG_MESSAGE, 7));
    assert_int_equal(lanes_answered(f->lanes, second), 0);
    assert_int_equal(lanes_answered(f->lanes, 0), 0);
    assert_int_equal(lanes_answered(f->lanes, UINT32_MAX), 0);
    assert_int_equal(lanes_unanswered(f->lanes), 2);
    add(f, 4); /* not under the name of the second */
    expect_sent(f, A, 10, 4, false);
    assert_int_equal(lanes_answered(f->lanes, second), 0);
    assert_int_not_equal(lanes_answered(f->lanes, first), 0);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 3, false);
    expect_sent(f, B, 11, 4, false);
    end(f);
}

/* With one message under way at a time as well: an owner may answer it once more much later. */
static void names_are_not_given_anew_soon(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    uint32_t first = expect_sent(f, A, 10, 1, false);
    lanes_answered(f->lanes, first);
    for (unsigned i = 0; i < 1000000; i++) {
        f->logged_count = f->looked = 0;
        add(f, 2);
        uint32_t name = expect_sent(f, A, 10, 2, false);
        assert_int_not_equal(name, first);
        assert_int_not_equal(name, 0);
        assert_int_not_equal(lanes_answered(f->lanes, name), 0);
    }
    end(f);
}

static void a_clean_hand_over_sends_as_new_and_in_order(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    uint32_t name[6];
    for (uint16_t n = 1; n <= 5; n++) {
        add(f, n);
        name[n] = expect_sent(f, A, 10, n, false);
    }
    lanes_answered(f->lanes, name[1]);
    lanes_answered(f->lanes, name[4]);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f); /* before the items: who is connected is known before he publishes */
    assert_int_equal(expect_sent(f, B, 11, 2, false), name[2]);
    assert_int_equal(expect_sent(f, B, 11, 3, false), name[3]);
    assert_int_equal(expect_sent(f, B, 11, 5, false), name[5]);
    control_says(f, B, 11); /* reads the same a little later */
    add(f, 6);
    expect_sent(f, B, 11, 6, false);
    assert_int_equal(lanes_owner(f->lanes, SLOT), B);
    end(f);
}

static void an_owner_that_stays_after_all_gets_it_anew(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    shard_says(f, A, FIRST, A, 11);
    expect_told(f);
    expect_sent(f, A, 11, 1, false);
    end(f);
}

static void a_dead_owners_items_are_sent_again(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    add(f, 2);
    uint32_t first = expect_sent(f, A, 10, 1, false);
    expect_sent(f, A, 10, 2, false);
    node_is(f, A, FIRST, false);
    assert_int_equal(lanes_owner(f->lanes, SLOT), MSG_NOBODY);
    add(f, 3); /* nobody has had it */
    expect_quiet(f);
    lanes_answered(f->lanes, first); /* was on its way */
    control_says(f, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 2, true);
    expect_sent(f, B, 11, 3, false);
    add(f, 4);
    expect_sent(f, B, 11, 4, false);
    end(f);
}

/* The view names the new owner at once, or (a node of a name anew) nobody in between. */
static void nobody_may_own_it_for_a_while(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    node_is(f, A, FIRST, false);
    control_says(f, MSG_NOBODY, 11);
    add(f, 2);
    assert_int_equal(lanes_owner(f->lanes, SLOT), MSG_NOBODY);
    expect_quiet(f);
    assert_int_equal(lanes_waiting(f->lanes), 2);
    control_says(f, B, 12);
    expect_told(f);
    expect_sent(f, B, 12, 1, true);
    expect_sent(f, B, 12, 2, false);
    end(f);
}

static void another_life_of_the_owner_counts_as_dead(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    node_is(f, A, FIRST + 1, true);
    expect_node(f, A, FIRST + 1);
    add(f, 2); /* not for him before he owns it himself */
    expect_quiet(f);
    shard_says(f, A, FIRST, B, 11); /* his former life's word comes late: it is true still */
    expect_told(f);
    expect_sent(f, B, 11, 1, false);
    expect_sent(f, B, 11, 2, false);
    node_is(f, B, FIRST + 1, true);
    expect_node(f, B, FIRST + 1);
    control_says(f, B, 12);
    expect_told(f);
    expect_sent(f, B, 12, 1, true);
    expect_sent(f, B, 12, 2, true);
    end(f);
}

static void what_is_doubtful_stays_so(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    add(f, 1);
    expect_sent(f, A, 10, 1, false);
    node_is(f, A, FIRST, false);
    control_says(f, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 1, true);
    shard_says(f, B, FIRST, C, 12); /* B has not stored it, but A may have */
    expect_told(f);
    expect_sent(f, C, 12, 1, true);
    end(f);
}

static void what_is_said_is_dropped_without_an_owner(void **state)
{
    (void)state;
    struct fixture *f = begin();
    say(f, 1);
    node_is(f, A, FIRST, true);
    expect_node(f, A, FIRST);
    say(f, 2);
    control_says(f, A, 1);
    expect_told(f);
    say(f, 3);
    assert_int_equal(expect_sent(f, A, 1, 3, false), 0); /* no answer follows */
    assert_int_equal(f->logged[f->looked - 1].ref.node, HERE);
    add(f, 4);
    say(f, 5);
    expect_sent(f, A, 1, 4, false);
    expect_sent(f, A, 1, 5, false);
    assert_int_equal(lanes_unanswered(f->lanes), 1);
    node_is(f, A, FIRST, false);
    say(f, 6);
    control_says(f, B, 2);
    expect_quiet(f);
    node_is(f, B, FIRST, true);
    expect_node(f, B, FIRST);
    expect_told(f); /* once: now somebody hears it */
    expect_sent(f, B, 2, 4, true);
    end(f);
}

static void a_node_is_told_once_a_life(void **state)
{
    (void)state;
    struct fixture *f = begin();
    node_is(f, A, FIRST, true);
    expect_node(f, A, FIRST);
    node_is(f, A, FIRST, true);
    node_is(f, B, FIRST, false); /* never heard of */
    expect_quiet(f);
    node_is(f, A, FIRST + 1, true);
    expect_node(f, A, FIRST + 1);
    node_is(f, A, FIRST + 1, false);
    node_is(f, A, FIRST + 2, true);
    expect_node(f, A, FIRST + 2);
    node_is(f, LIMIT_NODES, FIRST, true); /* no such number */
    end(f);
}

static void a_redirected_item_goes_behind_what_is_there(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    const uint16_t right = msg_slot(4, SLOT);
    const struct msg_slot news = {.slot = right, .owner = C, .epoch = 2};
    slot_is(f, &news);
    f->looked++; /* told of `right` */
    add(f, 1);
    add(f, 2);
    add_to(f, right, 3);
    uint32_t first = expect_sent(f, A, 10, 1, false), second = expect_sent(f, A, 10, 2, false);
    expect_sent(f, C, 2, 3, false);
    lanes_redirect(f->lanes, first, 4);
    assert_int_equal(expect_sent(f, C, 2, 1, false), first);
    lanes_redirect(f->lanes, first, 4); /* it is there already */
    lanes_redirect(f->lanes, second, 0);
    lanes_redirect(f->lanes, second, LIMIT_REGIONS);
    lanes_redirect(f->lanes, 12345, 4);
    expect_quiet(f);
    shard_says(f, A, FIRST, B, 11);
    expect_told(f);
    expect_sent(f, B, 11, 2, false); /* the first is his no more */
    assert_int_not_equal(lanes_answered(f->lanes, first), 0);
    assert_int_equal(lanes_unanswered(f->lanes), 2);
    end(f);
}

static void what_is_redirected_may_have_to_wait(void **state)
{
    (void)state;
    struct fixture *f = begin_with_owner();
    const uint16_t right = msg_slot(4, SLOT);
    const struct msg_slot news = {.slot = right, .owner = C, .epoch = 2};
    for (uint16_t n = 1; n <= 3; n++)
        add(f, n);
    for (uint16_t n = 1; n <= 3; n++)
        lanes_redirect(f->lanes, expect_sent(f, A, 10, n, false), n != 2 ? 4 : 0);
    assert_int_equal(lanes_waiting(f->lanes), 2);
    slot_is(f, &news);
    assert_int_equal(f->logged[f->looked++].slot, right);
    expect_sent(f, C, 2, 1, false);
    expect_sent(f, C, 2, 3, false);
    end(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_goes_to_the_owner_with_all_filled_in),
        cmocka_unit_test(slots_have_owners_of_their_own),
        cmocka_unit_test(items_wait_for_an_owner_in_their_order),
        cmocka_unit_test(an_owner_may_be_known_before_his_node),
        cmocka_unit_test(an_answer_counts_once),
        cmocka_unit_test(names_are_not_given_anew_soon),
        cmocka_unit_test(a_clean_hand_over_sends_as_new_and_in_order),
        cmocka_unit_test(an_owner_that_stays_after_all_gets_it_anew),
        cmocka_unit_test(a_dead_owners_items_are_sent_again),
        cmocka_unit_test(nobody_may_own_it_for_a_while),
        cmocka_unit_test(another_life_of_the_owner_counts_as_dead),
        cmocka_unit_test(what_is_doubtful_stays_so),
        cmocka_unit_test(what_is_said_is_dropped_without_an_owner),
        cmocka_unit_test(a_node_is_told_once_a_life),
        cmocka_unit_test(a_redirected_item_goes_behind_what_is_there),
        cmocka_unit_test(what_is_redirected_may_have_to_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
