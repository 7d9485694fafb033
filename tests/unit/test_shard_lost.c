/* What the view takes away from a shard, and what goes with a node that dies. */
#include "tests/unit/shard_fixture.h"

#define OTHER 8
#define THIRD 9

static const uint32_t away = EPOCH + 1, again = EPOCH + 2;

static void begin_with_others(struct fixture *f)
{
    begin(f);
    node_says(f, OTHER, 1, true);
    node_says(f, THIRD, 1, true);
    make_live(f);
}

static void claim(struct fixture *f, struct msg_ref ref, int64_t since_us)
{
    struct msg_claim item = {
        .ref = ref, .tenant = tenant, .since_us = since_us, .client_id_len = 1};
    receive(f, MSG_CLAIM, &item, sizeof item, "c");
}

static void watch(struct fixture *f, struct msg_ref ref, unsigned bits)
{
    struct msg_interest item = {
        .ref = ref, .tenant = tenant, .device = device_id, .bits = (uint8_t)bits};
    receive(f, MSG_INTEREST, &item, sizeof item, "");
}

/* ---- a slot ---- */

static void a_slot_that_is_anothers_is_forgotten(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    present(&f, true);
    claim(&f, own_ref(0), 1);
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->active, 1);
    slot_says(&f, MSG_SLOT, OTHER, away, 0);
    assert_int_equal(shard_count(f.shard)->slots, 0);
    assert_int_equal(shard_count(f.shard)->actors, 0);
    assert_int_equal(shard_count(f.shard)->active, 0);
    assert_int_equal(f.shard->tenants.claims_count, 0);
    publish(&f, 1, 0);
    struct msg_slot item = word(&f);
    assert_true(item.owner == OTHER && item.epoch == away && item.flags == SLOT_CLEAN);
    end(&f);
}

static void what_is_read_twice_or_late_changes_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    slot_says(&f, MSG_SLOT, OWN, EPOCH, SLOT_AWAITS);
    slot_says(&f, MSG_SLOT, OTHER, EPOCH - 1, 0);
    slot_says(&f, MSG_SLOT, OTHER, EPOCH, 0);
    slot_says(&f, MSG_GIVEN, OWN, EPOCH, 0);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    assert_non_null(the_device(&f));
    end(&f);
}

/* Somebody has declared this node dead, and it does not know yet. What is in flight may have
 * been committed before that: nobody may believe that it was not. */
static void its_word_is_not_clean_while_something_is_in_flight(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin_with_others(&f);
    publish(&f, 1, 0);
    struct batch *batch = shard_next_batch(f.shard);
    slot_says(&f, MSG_SLOT, OTHER, away, 0);
    publish(&f, 2, 0);
    struct msg_slot item = word(&f);
    assert_true(item.owner == OTHER && item.epoch == away && item.flags == 0);
    answer(&f, batch, true, false);
    assert_int_equal(acks(&f, &ack), 1);
    publish(&f, 2, 0);
    assert_int_equal(word(&f).flags, SLOT_CLEAN);
    end(&f);
}

/* Control's transaction has committed, and its answer was lost with the connection: the view says
 * it. Only the very next epoch: after others have had it nobody wants to know what it was here. */
static void what_is_at_rest_is_given_when_the_view_says_whose_it_is(void **state)
{
    (void)state;
    for (uint32_t epoch = away; epoch <= again; epoch++) {
        struct fixture f;
        struct msg_slot given = {0};
        begin_with_others(&f);
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        slot_says(&f, MSG_SLOT, OTHER, epoch, 0);
        struct frame *frame = &shard_output(f.shard)->far[OTHER]->shard[SLOT % LIMIT_SLOTS % 3];
        assert_int_equal(look(frame, MSG_SNAPSHOT, &given, 0), epoch == away);
        assert_int_equal(take(frame, MSG_GIVEN, &given, sizeof given), epoch == away);
        struct msg_slot item = word(&f);
        if (epoch == away)
            assert_true(item.epoch == away && item.owner == OTHER && item.flags == SLOT_CLEAN);
        assert_null(the_device(&f));
        slot_says(&f, MSG_GIVE, OTHER, epoch, 0); /* late */
        assert_int_equal(frame->count, 0);
        end(&f);
    }
}

/* At its end a shard rests with what is in flight: that is not given away. */
static void what_is_closed_with_something_in_flight_is_not_given(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    publish(&f, 1, 0);
    shard_close(f.shard);
    slot_says(&f, MSG_SLOT, OTHER, away, 0);
    assert_int_equal(shard_output(f.shard)->far[OTHER]->shard[SLOT % LIMIT_SLOTS % 3].count, 0);
    commit_all(&f);
    end(&f);
}

static void every_edge_is_waited_for_each_time(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    slot_says(&f, MSG_SLOT, OTHER, away, 0);
    for (uint32_t epoch = again; epoch < again + 3; epoch++) {
        slot_says(&f, MSG_SLOT, OWN, epoch, 0);
        for (unsigned i = 0; i < 3 * EDGES; i++) {
            assert_int_equal(shard_count(f.shard)->slots, 0);
            static const uint16_t nodes[] = {OTHER, THIRD, OWN};
            struct msg_ref ref = far_ref(nodes[i / EDGES], 1, i % EDGES);
            ref.life = ref.node == OWN ? LIFE : 1;
            ref.epoch = epoch;
            told(&f, ref);
            if (epoch == again && i == 2) { /* or at the end of the time */
                f.now_us += SECOND;
                shard_tick(f.shard, f.now_us);
                break;
            }
        }
        assert_int_equal(shard_count(f.shard)->slots, 1);
        slot_says(&f, MSG_SLOT, OTHER, ++epoch, 0);
    }
    end(&f);
}

/* What was heard of a node that has ended meanwhile stands for no other's edge, and not for those
 * of its next life. */
static void nobody_is_heard_in_anothers_stead(void **state)
{
    (void)state;
    struct fixture f;
    begin_closed(&f);
    node_says(&f, OTHER, 1, true);
    slot_says(&f, MSG_SLOT, OWN, EPOCH, 0);
    for (uint8_t e = 0; e < EDGES; e++)
        told(&f, far_ref(OTHER, 1, e));
    node_says(&f, OTHER, 1, false);
    told(&f, own_ref(0));
    assert_int_equal(shard_count(f.shard)->slots, 0);
    node_says(&f, OTHER, 2, true);
    told(&f, other_edge());
    assert_int_equal(shard_count(f.shard)->slots, 0);
    for (uint8_t e = 0; e < EDGES; e++)
        told(&f, far_ref(OTHER, 2, e));
    assert_int_equal(shard_count(f.shard)->slots, 1);
    end(&f);
}

static void edges_may_tell_before_the_view_is_read(void **state)
{
    (void)state;
    struct fixture f;
    begin_closed(&f);
    present_again(&f);
    told(&f, own_ref(0));
    publish(&f, 1, 0);
    told(&f, other_edge());
    slot_says(&f, MSG_SLOT, OWN, EPOCH, 0);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    assert_non_null(the_device(&f)->presences);
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->rows, 1);
    end(&f);
}

/* ---- a node ---- */

static void connections_go_with_their_node(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    present_at(&f, far_ref(OTHER, 1, 0), true);
    present_at(&f, far_ref(OTHER, 1, 1), true);
    commit_all(&f);
    node_says(&f, THIRD, 1, false);
    assert_non_null(the_device(&f)->presences);
    node_says(&f, OTHER, 1, false);
    assert_null(the_device(&f)->presences);
    assert_int_equal(the_device(&f)->disconnected_us, f.now_us);
    f.now_us += 5 * SECOND; /* its grace */
    for (int i = 0; i < 10; i++)
        shard_tick(f.shard, f.now_us);
    commit_all(&f);
    assert_int_equal(the_device(&f)->status, STATUS_OFFLINE);
    end(&f);
}

static void a_device_that_is_elsewhere_too_stays_connected(void **state)
{
    (void)state;
    struct fixture f;
    begin_with_others(&f);
    present_at(&f, far_ref(OTHER, 1, 0), true);
    present_at(&f, far_ref(THIRD, 1, 0), true);
    commit_all(&f);
    node_says(&f, OTHER, 2, true); /* another life: the former one's are gone */
    const struct presence *left = the_device(&f)->presences;
    assert_non_null(left);
    assert_true(left->ref.node == THIRD && left->next == NULL);
    assert_int_equal(the_device(&f)->disconnected_us, 0);
    end(&f);
}

static void nobody_watches_at_a_dead_node(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_event event = {0};
    begin_with_others(&f);
    watch(&f, far_ref(OTHER, 1, 0), INTEREST_TELEMETRY);
    watch(&f, far_ref(THIRD, 1, 0), INTEREST_TELEMETRY);
    node_says(&f, OTHER, 1, false);
    node_says(&f, OTHER, 2, true);
    publish(&f, 1, 0);
    commit_all(&f);
    struct shard_out *out = shard_output(f.shard);
    assert_int_equal(take(&out->far[OTHER]->watchers[0], MSG_EVENT, &event, sizeof event), 0);
    assert_int_equal(take(&out->far[THIRD]->watchers[0], MSG_EVENT, &event, sizeof event), 1);
    end(&f);
}

static void a_dead_node_holds_no_client_id(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_kick kick = {0};
    begin_with_others(&f);
    claim(&f, far_ref(OTHER, 1, 0), 1000);
    node_says(&f, OTHER, 1, false);
    claim(&f, own_ref(0), 10); /* its clock is behind: the other one would have won */
    assert_int_equal(take(&shard_output(f.shard)->edge[1], MSG_KICK, &kick, sizeof kick), 0);
    claim(&f, far_ref(THIRD, 1, 1), 20);
    assert_int_equal(take(&shard_output(f.shard)->edge[1], MSG_KICK, &kick, sizeof kick), 1);
    end(&f);
}

/* It comes by another way than the word of its end: from the mesh, or from among what waited. */
static void the_last_words_of_a_dead_node_are_not_believed(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_kick kick = {0};
    begin_with_others(&f);
    node_says(&f, OTHER, 1, false);
    present_at(&f, far_ref(OTHER, 1, 0), true);
    claim(&f, far_ref(OTHER, 1, 0), 1000);
    watch(&f, far_ref(OTHER, 1, 0), INTEREST_TELEMETRY);
    node_says(&f, OTHER, 2, true);
    present_at(&f, far_ref(OTHER, 1, 0), true);
    assert_null(the_device(&f)->presences);
    assert_int_equal(f.shard->interest.table.count, 0);
    claim(&f, own_ref(0), 10);
    assert_int_equal(take(&shard_output(f.shard)->edge[1], MSG_KICK, &kick, sizeof kick), 0);
    present_at(&f, far_ref(OTHER, 2, 0), true);
    assert_non_null(the_device(&f)->presences);
    end(&f);
}

static void an_answer_to_a_dead_node_goes_nowhere(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin_with_others(&f);
    struct msg_reading reading = make_reading(&f, 1, 0);
    reading.ref = far_ref(OTHER, 1, 1);
    receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    struct batch *batch = shard_next_batch(f.shard);
    node_says(&f, OTHER, 1, false);
    assert_null(shard_output(f.shard)->far[OTHER]);
    node_says(&f, OTHER, 2, true);
    answer(&f, batch, true, false);
    struct shard_out *out = shard_output(f.shard);
    assert_int_equal(take(&out->far[OTHER]->edge[1], MSG_ACK, &ack, sizeof ack), 0);
    assert_int_equal(shard_count(f.shard)->rows, 1);
    end(&f);
}

/* What a row of the database says is not believed further than it can be used. */
static void a_node_of_odd_numbers_harms_nobody(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    struct msg_node odd[] = {{.node = OTHER, .life = 1, .alive = 1, .edges = 0, .shards = 0},
                             {.node = LIMIT_NODES, .life = 1, .alive = 1, .edges = 1, .shards = 1},
                             {.node = THIRD, .life = 1, .alive = 1, .edges = 255, .shards = 255},
                             {.node = OWN, .life = 9, .alive = 0, .edges = 1, .shards = 1}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++)
        receive(&f, MSG_NODE, &odd[i], sizeof odd[i], "");
    slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
    slot_says(&f, MSG_GIVE, OTHER, away, 0);
    struct msg_slot item = {0};
    struct shard_out *out = shard_output(f.shard);
    assert_int_equal(take(&out->far[OTHER]->shard[0], MSG_GIVEN, &item, sizeof item), 1);
    assert_int_equal(word(&f).epoch, away);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_slot_that_is_anothers_is_forgotten),
        cmocka_unit_test(what_is_read_twice_or_late_changes_nothing),
        cmocka_unit_test(its_word_is_not_clean_while_something_is_in_flight),
        cmocka_unit_test(what_is_at_rest_is_given_when_the_view_says_whose_it_is),
        cmocka_unit_test(what_is_closed_with_something_in_flight_is_not_given),
        cmocka_unit_test(every_edge_is_waited_for_each_time),
        cmocka_unit_test(nobody_is_heard_in_anothers_stead),
        cmocka_unit_test(edges_may_tell_before_the_view_is_read),
        cmocka_unit_test(connections_go_with_their_node),
        cmocka_unit_test(a_device_that_is_elsewhere_too_stays_connected),
        cmocka_unit_test(nobody_watches_at_a_dead_node),
        cmocka_unit_test(a_dead_node_holds_no_client_id),
        cmocka_unit_test(the_last_words_of_a_dead_node_are_not_believed),
        cmocka_unit_test(an_answer_to_a_dead_node_goes_nowhere),
        cmocka_unit_test(a_node_of_odd_numbers_harms_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
