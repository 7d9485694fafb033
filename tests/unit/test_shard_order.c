/* What comes to a shard by several ways comes in any order. */
#include "tests/unit/shard_fixture.h"

#define OTHER 8
#define SOURCE 9

static struct msg_reading far_reading(const struct fixture *f, uint16_t life, uint16_t packet_id)
{
    struct msg_reading reading = make_reading(f, packet_id, 0);
    reading.ref = far_ref(OTHER, life, 1);
    reading.ref.item = packet_id;
    reading.ref.packet_id = packet_id;
    return reading;
}

static unsigned far_count(struct fixture *f, enum msg_kind kind)
{
    struct msg_ack item;
    struct shard_far *far = shard_output(f->shard)->far[OTHER];
    return far != NULL ? take(&far->edge[1], kind, &item, 0) : 0;
}

/* ---- nodes that control has yet to tell of ---- */

static void a_strangers_items_wait_until_it_is_told(void **state)
{
    (void)state;
    for (int known_before = 0; known_before < 2; known_before++) {
        struct fixture f;
        begin(&f);
        if (known_before)
            node_says(&f, OTHER, 1, true); /* in its former life */
        struct msg_reading reading = far_reading(&f, 2, 1);
        struct msg_interest interest = {.ref = reading.ref, .tenant = tenant, .bits = 1};
        struct msg_admit admit = {.ref = reading.ref, .tenant = tenant};
        present_at(&f, far_ref(OTHER, 2, 1), true);
        receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
        receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
        receive(&f, MSG_ADMIT, &admit, sizeof admit, "");
        assert_true(shard_is_quiet(f.shard)); /* nobody could be answered */
        node_says(&f, 10, 1, true);           /* another one */
        assert_true(shard_is_quiet(f.shard));
        node_says(&f, OTHER, 2, true);
        assert_int_equal(far_count(&f, MSG_ADMITTED), 1);
        commit_all(&f);
        assert_non_null(the_device(&f)->presences);
        struct shard_far *far = shard_output(f.shard)->far[OTHER];
        assert_int_equal(far->watchers[1].count, 1);
        assert_int_equal(far_count(&f, MSG_ACK), 1);
        end(&f);
    }
}

static void a_strangers_items_go_with_its_end(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_interest interest = {.ref = far_ref(OTHER, 2, 1), .tenant = tenant, .bits = 1};
    begin(&f);
    receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
    node_says(&f, OTHER, 2, false);
    receive(&f, MSG_INTEREST, &interest, sizeof interest, ""); /* its last words */
    assert_null(shard_output(f.shard)->far[OTHER]);
    node_says(&f, OTHER, 3, true);
    make_live(&f);
    publish(&f, 1, 0);
    commit_all(&f);
    assert_int_equal(shard_output(f.shard)->far[OTHER]->watchers[1].count, 0);
    end(&f);
}

static void what_waits_at_the_end_is_freed(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct msg_reading reading = far_reading(&f, 2, 1);
    receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    end(&f);
}

/* ---- a slot that goes on before it was given ---- */

static void what_is_given_to_a_slot_at_rest_begins_nothing(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
    struct msg_snapshot snapshot = {
        .tenant = tenant, .device = device_id, .slot = SLOT, .epoch = EPOCH};
    begin_closed(&f);
    node_says(&f, OTHER, 1, true);
    node_says(&f, SOURCE, 1, true);
    receive(&f, MSG_CHANGED, &changed, sizeof changed, ""); /* snapshots are older than that */
    slot_says(&f, MSG_SLOT, OWN, EPOCH, SLOT_AWAITS);
    slot_says(&f, MSG_RELEASE, OTHER, EPOCH, 0);
    assert_true(is_released(&f));
    receive(&f, MSG_SNAPSHOT, &snapshot, sizeof snapshot, "");
    slot_says(&f, MSG_GIVEN, OWN, EPOCH, 0);
    assert_true(shard_is_quiet(f.shard));
    slot_says(&f, MSG_GIVE, OTHER, EPOCH + 1, 0);
    assert_int_equal(word(&f).epoch, EPOCH + 1);
    const struct frame *given = shard_output(f.shard)->far[OTHER]->shard;
    assert_int_equal(given[0].count + given[1].count, 2); /* what came, and GIVEN */
    end(&f);
}

/* ---- time ---- */

static void a_clock_set_back_keeps_no_slot_from_opening(void **state)
{
    (void)state;
    struct fixture f;
    begin_closed(&f);
    node_says(&f, SOURCE, 1, true);
    slot_says(&f, MSG_SLOT, OWN, EPOCH, SLOT_AWAITS);
    f.now_us -= 3600 * SECOND;
    shard_tick(f.shard, f.now_us);
    assert_int_equal(shard_count(f.shard)->slots, 1);
    end(&f);
}

/* ---- a redelivery that overtakes its first delivery ---- */

static void publish_at(struct fixture *f, uint16_t packet_id, uint8_t flags, int64_t arrival_us,
                       uint32_t conn)
{
    struct msg_reading reading = make_reading(f, packet_id, flags);
    reading.ref.conn = conn;
    reading.arrival_us = reading.timestamp_us = arrival_us;
    receive(f, MSG_READING, &reading, sizeof reading, PAYLOAD);
}

/* By another edge, while the first one waits for the slot's new owner. */
static void a_first_delivery_behind_its_redelivery_is_looked_for(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack;
    begin(&f);
    make_live(&f);
    drop_output(&f);
    int64_t first_us = f.now_us, second_us = f.now_us + SECOND;
    f.now_us += 2 * SECOND;
    publish_at(&f, 1, MSG_DUP, second_us, 2);
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->readings, 1);
    publish_at(&f, 1, 0, first_us, 1);
    struct batch *batch = shard_next_batch(f.shard);
    assert_non_null(batch);
    assert_true(batch->checks_count == 1 && batch->rows_count == 0);
    assert_true(batch->checks[0].timestamp_us == 0); /* it is stored under another */
    answer(&f, batch, true, true);
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->readings, 1);
    assert_int_equal(acks(&f, &ack), 2);
    publish_at(&f, 1, 0, second_us, 2); /* what comes later, however equal, is new */
    publish_at(&f, 0, 0, first_us, 1);  /* and what is never redelivered */
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->readings, 3);
    end(&f);
}

/* The one that was stored came to the former owner, who gave no snapshot: he died, or did not know
 * the device any more. */
static void a_first_delivery_from_before_the_slot_was_had_is_looked_for(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    int64_t before_us = f.now_us - 1, since_us = f.now_us;
    f.now_us += SECOND;
    publish_at(&f, 1, 0, before_us, 1);
    commit(&f); /* loads it */
    struct batch *batch = shard_next_batch(f.shard);
    assert_non_null(batch);
    assert_true(batch->checks_count == 1 && batch->rows_count == 0);
    answer(&f, batch, true, true);
    assert_int_equal(shard_count(f.shard)->readings, 0);
    publish_at(&f, 1, 0, since_us, 1);
    publish_at(&f, 0, 0, before_us, 1);
    commit_all(&f);
    assert_int_equal(shard_count(f.shard)->readings, 2);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_strangers_items_wait_until_it_is_told),
        cmocka_unit_test(a_strangers_items_go_with_its_end),
        cmocka_unit_test(what_waits_at_the_end_is_freed),
        cmocka_unit_test(what_is_given_to_a_slot_at_rest_begins_nothing),
        cmocka_unit_test(a_clock_set_back_keeps_no_slot_from_opening),
        cmocka_unit_test(a_first_delivery_behind_its_redelivery_is_looked_for),
        cmocka_unit_test(a_first_delivery_from_before_the_slot_was_had_is_looked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
