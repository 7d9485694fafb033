/* Of a slot a shard takes what comes in the epoch in which it holds it, and rests before it goes.
 */
#include "tests/unit/shard_fixture.h"

#define OTHER 8

static void publish_in(struct fixture *f, uint32_t epoch, uint16_t packet_id)
{
    struct msg_reading reading = make_reading(f, packet_id, 0);
    reading.ref.epoch = epoch;
    receive(f, MSG_READING, &reading, sizeof reading, PAYLOAD);
}

static void told_in(struct fixture *f, uint32_t epoch)
{
    struct msg_ref ref = own_ref(0);
    ref.epoch = epoch;
    told(f, ref);
}

/* What is in the batches from now on, in order: the packet ids of their rows. */
static void expect_rows(struct fixture *f, const uint16_t *packet_ids, uint32_t count)
{
    uint32_t seen = 0;
    while (!shard_is_quiet(f->shard)) {
        struct batch *batch = shard_next_batch(f->shard);
        for (uint32_t i = 0; i < batch->rows_count; i++) {
            assert_in_range(seen, 0, count - 1);
            assert_int_equal(batch->rows[i].ref.packet_id, packet_ids[seen++]);
        }
        answer(f, batch, true, false);
    }
    assert_int_equal(seen, count);
}

/* ---- not its own, not now ---- */

static void an_item_for_anothers_slot_is_answered_with_the_owner(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_slot item = {0};
    begin_closed(&f);
    node_says(&f, OTHER, 1, true);
    slot_says(&f, MSG_SLOT, OTHER, EPOCH, 0);
    publish(&f, 1, 0);
    item = word(&f);
    assert_true(item.owner == OTHER && item.epoch == EPOCH && item.flags == SLOT_CLEAN);
    assert_int_equal(shard_output(f.shard)->edge[0].count, 0); /* nobody else has asked */
    present_at(&f, far_ref(OTHER, 1, 1), true);
    struct shard_far *far = shard_output(f.shard)->far[OTHER];
    assert_int_equal(take(&far->edge[1], MSG_SLOT, &item, sizeof item), 1);
    assert_true(shard_is_quiet(f.shard));
    assert_int_equal(shard_count(f.shard)->actors, 0);
    assert_int_equal(shard_count(f.shard)->moved, 2);
    end(&f);
}

static void an_item_of_an_earlier_epoch_is_answered_with_the_newest(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    publish_in(&f, EPOCH - 1, 1);
    struct msg_slot item = word(&f);
    assert_true(item.owner == OWN && item.epoch == EPOCH);
    assert_true(shard_is_quiet(f.shard));
    publish(&f, 2, 0);
    assert_int_equal(word(&f).epoch, 0);
    expect_rows(&f, (uint16_t[]){2}, 1);
    end(&f);
}

/* Every kind that is for a slot. */
static void nothing_is_taken_of_a_slot_that_is_not_held(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ref ref = own_ref(1);
    const struct msg_reject reject = {.ref = ref, .tenant = tenant, .payload_len = 1};
    const struct msg_message message = {.ref = ref, .tenant = tenant, .topic_len = 1};
    const struct msg_claim claim = {.ref = ref, .tenant = tenant, .client_id_len = 1};
    const struct msg_admit admit = {.ref = ref, .tenant = tenant};
    const struct msg_interest interest = {.ref = ref, .tenant = tenant, .device = device_id};
    const struct msg_ask ask = {.ref = ref, .tenant = tenant, .device = device_id};
    begin_closed(&f);
    slot_says(&f, MSG_SLOT, OTHER, EPOCH, 0);
    receive(&f, MSG_REJECT, &reject, sizeof reject, "x");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_MESSAGE, &message, sizeof message, "x");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_CLAIM, &claim, sizeof claim, "x");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_UNCLAIM, &claim, sizeof claim, "x");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_ADMIT, &admit, sizeof admit, "");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
    assert_int_equal(word(&f).epoch, EPOCH);
    receive(&f, MSG_ASK, &ask, sizeof ask, "");
    assert_int_equal(word(&f).epoch, EPOCH);
    told(&f, ref);
    assert_int_equal(word(&f).epoch, EPOCH);
    assert_true(shard_is_quiet(f.shard));
    assert_int_equal(f.shard->tenants.claims_count, 0);
    end(&f);
}

static void what_comes_before_its_epoch_waits_for_it(void **state)
{
    (void)state;
    struct fixture f;
    begin_closed(&f);
    publish(&f, 1, 0);
    publish_in(&f, EPOCH + 1, 9);
    publish(&f, 2, 0);
    assert_true(shard_is_quiet(f.shard));
    slot_says(&f, MSG_SLOT, OWN, EPOCH, 0);
    told(&f, own_ref(0));
    told(&f, other_edge());
    publish(&f, 3, 0);
    expect_rows(&f, (uint16_t[]){1, 2, 3}, 3);
    drop_output(&f);
    slot_says(&f, MSG_SLOT, OTHER, EPOCH + 1, 0);
    assert_int_equal(word(&f).owner, OTHER); /* the answer to the ninth */
    end(&f);
}

/* ---- opening ---- */

static void begin_opening(struct fixture *f, uint8_t flags)
{
    begin_closed(f);
    node_says(f, OTHER, 1, true);
    slot_says(f, MSG_SLOT, OWN, EPOCH, flags);
    assert_int_equal(shard_count(f->shard)->slots, 0);
    publish(f, 1, 0);
    publish(f, 2, 0);
    assert_true(shard_is_quiet(f->shard));
    assert_int_equal(word(f).epoch, 0);
}

static void a_living_owners_slot_opens_with_what_he_gives(void **state)
{
    (void)state;
    struct fixture f;
    begin_opening(&f, SLOT_AWAITS);
    present_again(&f); /* waits too: his snapshot comes first */
    told(&f, own_ref(0));
    for (unsigned e = 1; e < 2 * EDGES; e++)
        told(&f, other_edge());
    slot_says(&f, MSG_GIVEN, OWN, EPOCH - 1, 0); /* of another time */
    assert_true(shard_is_quiet(f.shard));
    assert_null(the_device(&f));
    slot_says(&f, MSG_GIVEN, OWN, EPOCH, 0);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    expect_rows(&f, (uint16_t[]){1, 2}, 2);
    assert_non_null(the_device(&f)->presences);
    end(&f);
}

static void it_is_not_waited_for_longer_than_a_second(void **state)
{
    (void)state;
    struct fixture f;
    begin_opening(&f, SLOT_AWAITS);
    f.now_us += SECOND - 1;
    shard_tick(f.shard, f.now_us);
    assert_int_equal(shard_count(f.shard)->slots, 0);
    shard_tick(f.shard, ++f.now_us);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    expect_rows(&f, (uint16_t[]){1, 2}, 2);
    slot_says(&f, MSG_GIVEN, OWN, EPOCH, 0); /* late */
    publish(&f, 3, 0);
    expect_rows(&f, (uint16_t[]){3}, 1);
    end(&f);
}

static void what_is_given_may_come_before_the_view(void **state)
{
    (void)state;
    struct fixture f;
    begin_closed(&f);
    publish(&f, 1, 0);
    slot_says(&f, MSG_GIVEN, OWN, EPOCH, 0);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    slot_says(&f, MSG_SLOT, OWN, EPOCH, SLOT_AWAITS);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    expect_rows(&f, (uint16_t[]){1}, 1);
    end(&f);
}

/* Who is connected, and who watches, is known before the first reading is taken. */
static void a_dead_owners_slot_waits_for_every_edge(void **state)
{
    (void)state;
    struct fixture f;
    begin_opening(&f, 0);
    present(&f, true);
    assert_non_null(the_device(&f)->presences);
    commit_all(&f);
    told(&f, own_ref(0));
    told(&f, other_edge());
    told(&f, far_ref(OTHER, 1, 0));
    told(&f, far_ref(OTHER, 1, 0)); /* twice is once */
    told_in(&f, EPOCH - 1);
    assert_int_equal(shard_count(f.shard)->slots, 0);
    told(&f, far_ref(OTHER, 1, 1));
    assert_int_equal(shard_count(f.shard)->slots, 1);
    expect_rows(&f, (uint16_t[]){1, 2}, 2);
    end(&f);
}

static void edges_are_not_waited_for_longer_than_half_a_second(void **state)
{
    (void)state;
    struct fixture f;
    begin_opening(&f, 0);
    told(&f, own_ref(0));
    f.now_us += SECOND / 2 - 1;
    shard_tick(f.shard, f.now_us);
    assert_int_equal(shard_count(f.shard)->slots, 0);
    shard_tick(f.shard, ++f.now_us);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    expect_rows(&f, (uint16_t[]){1, 2}, 2);
    told(&f, own_ref(0));
    end(&f);
}

static void wake(struct fixture *f)
{
    struct msg_device awake = {.tenant = tenant, .device = device_id, .slot = SLOT};
    receive(f, MSG_WAKE, &awake, sizeof awake, "");
}

/* Control tells of them when it has read that the slot is this node's. Those of a dead owner are
 * loaded while edges are waited for; those of a living one may be given. */
static void devices_to_watch_are_watched_when_it_opens(void **state)
{
    (void)state;
    for (uint8_t flags = 0; flags <= SLOT_AWAITS; flags += SLOT_AWAITS) {
        struct fixture f;
        begin_closed(&f);
        wake(&f); /* another's */
        slot_says(&f, MSG_SLOT, OWN, EPOCH, flags);
        wake(&f);
        assert_int_equal(the_device(&f) == NULL, flags == SLOT_AWAITS);
        f.now_us += SECOND;
        shard_tick(f.shard, f.now_us);
        assert_non_null(the_device(&f));
        commit_all(&f);
        assert_int_equal(the_device(&f)->state, DEVICE_LIVE);
        end(&f);
    }
}

/* ---- at rest ---- */

static void put_row_and_alert(struct fixture *f)
{
    publish(f, 1, 0); /* above its rule's threshold */
}

static void put_touch(struct fixture *f)
{
    present(f, true);
}

static void put_check(struct fixture *f)
{
    publish(f, 1, MSG_DUP);
}

static void put_load(struct fixture *f)
{
    struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
    receive(f, MSG_CHANGED, &changed, sizeof changed, "");
}

static void put_reject(struct fixture *f)
{
    const struct msg_reject reject = {
        .ref = own_ref(1), .tenant = tenant, .code = 0x99, .flags = MSG_LAST, .payload_len = 1};
    receive(f, MSG_REJECT, &reject, sizeof reject, "x");
}

static void put_retain(struct fixture *f)
{
    const struct msg_message message = {
        .ref = own_ref(1), .tenant = tenant, .flags = 1 | MSG_RETAIN, .topic_len = 1};
    receive(f, MSG_MESSAGE, &message, sizeof message, "t");
}

static void a_release_waits_for_what_is_in_flight(void **state)
{
    (void)state;
    static void (*const put[])(struct fixture *) = {put_row_and_alert, put_touch,  put_check,
                                                    put_load,          put_reject, put_retain};
    for (size_t i = 0; i < sizeof put / sizeof *put; i++) {
        struct fixture f;
        begin(&f);
        make_live(&f);
        put[i](&f);
        assert_false(shard_is_quiet(f.shard));
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        drop_output(&f);
        struct batch *batch = shard_next_batch(f.shard);
        assert_false(is_released(&f));
        answer(&f, batch, true, put[i] == put_check);
        assert_true(shard_is_quiet(f.shard));
        assert_true(is_released(&f));
        assert_int_equal(shard_count(f.shard)->slots, 0);
        end(&f);
    }
}

/* And for what that leads to: a redelivery that was not stored is, and what waited behind it. */
static void a_release_waits_for_all_that_follows(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    publish(&f, 1, MSG_DUP); /* the device is loaded first */
    publish(&f, 2, 0);
    slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
    for (int batches = 0; batches < 3; batches++) {
        assert_false(is_released(&f));
        assert_int_equal(acks(&f, &ack), 0);
        commit(&f); /* the load, the check, the rows */
    }
    assert_true(shard_is_quiet(f.shard));
    assert_true(is_released(&f));
    assert_int_equal(acks(&f, &ack), 2);
    end(&f);
}

static void a_quiet_slot_is_at_rest_at_once(void **state)
{
    (void)state;
    for (int opening = 0; opening < 2; opening++) {
        struct fixture f;
        if (opening)
            begin_opening(&f, SLOT_AWAITS);
        else
            begin(&f);
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH - 1, 0);
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH + 1, 0);
        assert_false(is_released(&f));
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        assert_true(is_released(&f));
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        assert_false(is_released(&f)); /* once */
        end(&f);
    }
}

/* Nothing in it moves: not even its devices' timers. */
static void a_released_slot_takes_nothing_and_says_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    present(&f, true);
    commit_all(&f);
    slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
    drop_output(&f);
    publish(&f, 1, 0);
    publish_in(&f, EPOCH - 1, 2);
    f.now_us += 400 * SECOND; /* idle long since */
    for (int i = 0; i < 20; i++)
        shard_tick(f.shard, f.now_us);
    assert_true(shard_is_quiet(f.shard));
    assert_int_equal(word(&f).epoch, 0);
    assert_int_equal(the_device(&f)->status, STATUS_ONLINE);
    end(&f);
}

static void a_slot_that_stays_after_all_is_told_and_taken_up(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
    publish(&f, 1, 0); /* dropped: its edge sends it anew */
    slot_says(&f, MSG_SLOT, OWN, EPOCH + 1, 0);
    struct msg_slot item = word(&f);
    assert_true(item.owner == OWN && item.epoch == EPOCH + 1 && item.flags == SLOT_CLEAN);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    assert_int_equal(the_device(&f)->state, DEVICE_LIVE);
    publish_in(&f, EPOCH + 1, 1);
    expect_rows(&f, (uint16_t[]){1}, 1);
    end(&f);
}

static void devices_to_watch_are_not_forgotten_when_it_stays(void **state)
{
    (void)state;
    for (int stays = 0; stays < 2; stays++) {
        struct fixture f;
        begin(&f);
        node_says(&f, OTHER, 1, true);
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        wake(&f);
        assert_true(shard_is_quiet(f.shard));
        slot_says(&f, stays ? MSG_SLOT : MSG_GIVE, stays ? OWN : OTHER, EPOCH + 1, 0);
        assert_int_equal(the_device(&f) != NULL, stays);
        end(&f);
    }
}

/* It may be a rule that is no more: what the actor knows of it is old from then on. */
static void a_change_meanwhile_is_not_missed(void **state)
{
    (void)state;
    for (int in_flight = 0; in_flight < 2; in_flight++) {
        struct fixture f;
        begin(&f);
        make_live(&f);
        if (in_flight)
            publish(&f, 1, 0);
        slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
        put_load(&f);
        while (!shard_is_quiet(f.shard)) {
            struct batch *batch = shard_next_batch(f.shard);
            assert_int_equal(batch->loads_count, 0);
            answer(&f, batch, true, false);
        }
        slot_says(&f, MSG_SLOT, OWN, EPOCH + 1, 0);
        struct batch *batch = shard_next_batch(f.shard);
        assert_non_null(batch);
        assert_int_equal(batch->loads_count, 1);
        answer(&f, batch, false, false); /* it was deleted */
        assert_int_equal(the_device(&f)->state, DEVICE_ABSENT);
        end(&f);
    }
}

static void a_shard_that_is_closed_takes_nothing_more(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    make_live(&f);
    publish(&f, 1, 0);
    shard_close(f.shard);
    publish(&f, 2, 0);
    expect_rows(&f, (uint16_t[]){1}, 1);
    assert_int_equal(acks(&f, &ack), 1);
    assert_int_equal(word(&f).epoch, 0);
    assert_int_equal(shard_count(f.shard)->slots, 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_item_for_anothers_slot_is_answered_with_the_owner),
        cmocka_unit_test(an_item_of_an_earlier_epoch_is_answered_with_the_newest),
        cmocka_unit_test(nothing_is_taken_of_a_slot_that_is_not_held),
        cmocka_unit_test(what_comes_before_its_epoch_waits_for_it),
        cmocka_unit_test(a_living_owners_slot_opens_with_what_he_gives),
        cmocka_unit_test(it_is_not_waited_for_longer_than_a_second),
        cmocka_unit_test(what_is_given_may_come_before_the_view),
        cmocka_unit_test(a_dead_owners_slot_waits_for_every_edge),
        cmocka_unit_test(edges_are_not_waited_for_longer_than_half_a_second),
        cmocka_unit_test(devices_to_watch_are_watched_when_it_opens),
        cmocka_unit_test(a_release_waits_for_what_is_in_flight),
        cmocka_unit_test(a_release_waits_for_all_that_follows),
        cmocka_unit_test(a_quiet_slot_is_at_rest_at_once),
        cmocka_unit_test(a_released_slot_takes_nothing_and_says_nothing),
        cmocka_unit_test(a_slot_that_stays_after_all_is_told_and_taken_up),
        cmocka_unit_test(devices_to_watch_are_not_forgotten_when_it_stays),
        cmocka_unit_test(a_change_meanwhile_is_not_missed),
        cmocka_unit_test(a_shard_that_is_closed_takes_nothing_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
