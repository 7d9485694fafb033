/* A shard acknowledges what has committed, in order, and its devices follow their table. */
#include "tests/unit/shard_fixture.h"

/* ---- the table ---- */

/* The next state of each listed pair, from 1; 0: not listed. */
#define NEXT(event, state) [DEVICE_##event] = 1 + DEVICE_##state
static const int expected[DEVICE_STATES][DEVICE_EVENTS] = {
    [DEVICE_LOADING] = {NEXT(READING, LOADING), NEXT(REDELIVERY, LOADING), NEXT(LOADED, LIVE),
                        NEXT(MISSING, ABSENT), NEXT(CHANGED, LOADING)},
    [DEVICE_LIVE] = {NEXT(READING, LIVE), NEXT(REDELIVERY, CHECKING), NEXT(LOADED, LIVE),
                     NEXT(MISSING, ABSENT), NEXT(CHANGED, LIVE)},
    [DEVICE_CHECKING] = {NEXT(READING, CHECKING), NEXT(REDELIVERY, CHECKING),
                         NEXT(LOADED, CHECKING), NEXT(MISSING, CHECKING), NEXT(STORED, LIVE),
                         NEXT(NOT_STORED, LIVE), NEXT(CHANGED, CHECKING),
                         NEXT(STORED_OF_SEVERAL, CHECKING), NEXT(NOT_STORED_OF_SEVERAL, CHECKING)},
    [DEVICE_ABSENT] = {NEXT(READING, ABSENT), NEXT(REDELIVERY, ABSENT), NEXT(LOADED, LIVE),
                       NEXT(MISSING, ABSENT), NEXT(CHANGED, LOADING), NEXT(EXPIRED, LOADING)},
};

static void bring_into(struct fixture *f, enum device_state state)
{
    shard_activate(f->shard, &tenant, &device_id, SLOT);
    if (state == DEVICE_LOADING)
        return;
    answer(f, shard_next_batch(f->shard), state != DEVICE_ABSENT, false);
    if (state == DEVICE_CHECKING)
        publish(f, 1, MSG_DUP);
}

static uint32_t elements(const struct batch *batch)
{
    uint32_t count = 0;
#define LIST(type, name) count += batch->name##_count;
    BATCH_LISTS
#undef LIST
    return count;
}

static void try_pair(enum device_state state, enum device_event event)
{
    struct fixture f;
    begin(&f);
    bring_into(&f, state);
    struct device *device = shard_device(f.shard, 0);
    assert_int_equal(device->state, state);
    struct msg_reading reading = make_reading(&f, 2, event == DEVICE_REDELIVERY ? MSG_DUP : 0);
    struct item item = {MSG_READING, &reading, (const uint8_t *)PAYLOAD, sizeof PAYLOAD - 1, 200};
    struct arrival arrival = {&reading, PAYLOAD, PAYLOAD, 200, &item};
    struct batch *batch = batch_new();
    struct batch_load load = {.found = true, .tenant = tenant};
    struct device before = *device;
    uint32_t before_elements = elements(f.shard->open);
    const struct device_input input = {.arrival = &arrival, .load = &load, .batch = batch};
    shard_step(f.shard, 0, event, &input);
    if (expected[state][event] == 0) {
        struct msg_ack ack;
        assert_int_equal(shard_count(f.shard)->unexpected, 1);
        assert_memory_equal(device, &before, sizeof before);
        assert_int_equal(elements(f.shard->open), before_elements);
        assert_int_equal(acks(&f, &ack), 0);
    } else {
        assert_int_equal(shard_count(f.shard)->unexpected, 0);
        assert_int_equal(device->state, expected[state][event] - 1);
    }
    batch_destroy(&batch);
    end(&f);
}

static void every_pair_of_state_and_event(void **state)
{
    (void)state;
    for (int s = 0; s < DEVICE_STATES; s++)
        for (int e = 0; e < DEVICE_EVENTS; e++)
            try_pair((enum device_state)s, (enum device_event)e);
}

/* ---- what it does ---- */

static void a_reading_is_answered_and_told_after_its_commit(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    struct msg_event event = {0};
    begin(&f);
    make_live(&f);
    publish(&f, 7, 0);
    struct batch *batch = shard_next_batch(f.shard);
    assert_int_equal(batch->rows_count, 1);
    assert_int_equal(acks(&f, &ack), 0);
    assert_int_equal(shard_output(f.shard)->redis.count, 0);
    answer(&f, batch, true, false);
    assert_int_equal(acks(&f, &ack), 1);
    assert_int_equal(ack.ref.packet_id, 7);
    assert_int_equal(ack.code, 0);
    assert_int_equal(ack.flags, MSG_LAST);
    assert_int_equal(ack.bytes, frame_item_size(MSG_READING, sizeof PAYLOAD - 1));
    assert_int_equal(take(&shard_output(f.shard)->redis, MSG_EVENT, &event, sizeof event), 2);
    assert_int_equal(event.event, EVENT_TELEMETRY); /* the other one is the alert */
    assert_int_equal(shard_count(f.shard)->alerts, 1);
    end(&f);
}

static void a_redelivery_is_looked_up_and_the_rest_waits_behind_it(void **state)
{
    (void)state;
    for (int stored = 0; stored < 2; stored++) {
        struct fixture f;
        struct msg_ack ack = {0};
        begin(&f);
        make_live(&f);
        publish(&f, 1, MSG_DUP);
        publish(&f, 2, 0);
        struct batch *batch = shard_next_batch(f.shard);
        assert_true(batch->rows_count == 0 && batch->checks_count == 1);
        assert_int_equal(batch->checks[0].timestamp_us, 0); /* it has none of its own */
        answer(&f, batch, true, stored);
        assert_int_equal(acks(&f, &ack), stored);
        batch = shard_next_batch(f.shard);
        assert_int_equal(batch->rows_count, stored ? 1 : 2);
        assert_int_equal(batch->rows[0].ref.packet_id, stored ? 2 : 1);
        answer(&f, batch, true, false);
        assert_int_equal(acks(&f, &ack), stored ? 1 : 2);
        assert_int_equal(shard_count(f.shard)->duplicates, stored);
        end(&f);
    }
}

/* What was sent again by one connection is asked about at once; by another, it may be the same. */
static void redeliveries_of_one_connection_are_looked_up_together(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    make_live(&f);
    for (uint16_t i = 1; i <= 3; i++)
        publish(&f, i, MSG_DUP);
    struct msg_reading again = make_reading(&f, 3, MSG_DUP);
    again.ref.generation++;
    receive(&f, MSG_READING, &again, sizeof again, PAYLOAD);
    struct batch *batch = shard_next_batch(f.shard);
    assert_int_equal(batch->checks_count, 3);
    answer(&f, batch, true, false); /* none was stored: three rows */
    batch = shard_next_batch(f.shard);
    assert_true(batch->rows_count == 3 && batch->checks_count == 1);
    for (uint16_t i = 0; i < 3; i++)
        assert_int_equal(batch->rows[i].ref.packet_id, i + 1);
    answer(&f, batch, true, true); /* now the third is */
    assert_int_equal(acks(&f, &ack), 4);
    assert_int_equal(shard_count(f.shard)->rows, 3);
    assert_true(shard_is_quiet(f.shard));
    end(&f);
}

static void readings_of_an_unknown_device_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    publish(&f, 1, 0);
    answer(&f, shard_next_batch(f.shard), false, false);
    struct batch *batch = shard_next_batch(f.shard);
    assert_true(batch->rows_count == 0 && batch->rejects_count == 1);
    answer(&f, batch, true, false);
    assert_int_equal(acks(&f, &ack), 1);
    assert_int_equal(ack.code, 0x90);
    f.now_us += 2 * SECOND; /* it may have been made meanwhile */
    publish(&f, 2, 0);
    assert_int_equal(shard_device(f.shard, 0)->state, DEVICE_LOADING);
    commit(&f);
    commit(&f);
    assert_int_equal(acks(&f, &ack), 1);
    assert_int_equal(ack.code, 0);
    end(&f);
}

static void another_tenants_device_takes_no_reading(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    make_live(&f);
    for (int dup = 0; dup < 2; dup++) {
        struct msg_reading reading = make_reading(&f, 1, dup ? MSG_DUP : 0);
        reading.tenant = (struct uuid){{3}};
        receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
        while (!shard_is_quiet(f.shard))
            commit(&f);
        assert_int_equal(acks(&f, &ack), 1);
        assert_int_equal(ack.code, 0x90);
    }
    assert_int_equal(shard_count(f.shard)->rows, 0);
    end(&f);
}

static void a_rule_fires_once_a_cooldown(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    for (uint16_t i = 1; i <= 10; i++) {
        publish(&f, i, 0);
        f.now_us += 60 * SECOND; /* the cooldown is five minutes */
    }
    while (!shard_is_quiet(f.shard))
        commit(&f);
    assert_int_equal(shard_count(f.shard)->alerts, 2);
    end(&f);
}

static void two_batches_are_out_at_most_and_they_are_in_order(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    publish(&f, 1, 0);
    struct batch *first = shard_next_batch(f.shard);
    publish(&f, 2, 0);
    struct batch *second = shard_next_batch(f.shard);
    publish(&f, 3, 0);
    assert_int_equal(second->number, first->number + 1);
    assert_null(shard_next_batch(f.shard));
    answer(&f, first, true, false);
    struct batch *third = shard_next_batch(f.shard);
    assert_int_equal(third->number, second->number + 1);
    assert_false(shard_is_quiet(f.shard));
    answer(&f, second, true, false);
    answer(&f, third, true, false);
    assert_true(shard_is_quiet(f.shard));
    assert_null(shard_next_batch(f.shard));
    end(&f);
}

static void a_status_changes_once_and_is_told(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    present(&f, true);
    commit(&f);
    struct batch *batch = shard_next_batch(f.shard);
    assert_int_equal(batch->touches_count, 1);
    assert_int_equal(batch->touches[0].status, STATUS_ONLINE);
    answer(&f, batch, true, false);
    assert_int_equal(shard_count(f.shard)->active, 1);
    present(&f, false);
    assert_null(shard_next_batch(f.shard)); /* it has a grace */
    f.now_us += 5 * SECOND;
    for (int i = 0; i < 10; i++)
        shard_tick(f.shard, f.now_us);
    batch = shard_next_batch(f.shard);
    assert_int_equal(batch->touches_count, 1);
    assert_int_equal(batch->touches[0].status, STATUS_OFFLINE);
    answer(&f, batch, true, false);
    assert_int_equal(shard_count(f.shard)->active, 0);
    f.now_us += 3600 * SECOND;
    shard_tick(f.shard, f.now_us);
    assert_int_equal(shard_count(f.shard)->actors, 0);
    end(&f);
}

static void a_batch_touches_a_device_once(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    for (uint16_t i = 1; i <= 5; i++) {
        publish(&f, i, 0);
        f.now_us += 11 * SECOND;
    }
    unsigned touches = 0;
    for (struct batch *batch; (batch = shard_next_batch(f.shard)) != NULL;) {
        assert_in_range(batch->touches_count, 0, 1);
        touches += batch->touches_count;
        answer(&f, batch, true, false);
    }
    assert_int_equal(touches, 5);
    end(&f);
}

static void devices_that_began_together_are_not_due_together(void **state)
{
    enum { DEVICES = 100 };
    (void)state;
    struct fixture f;
    unsigned written[2] = {0};
    begin(&f);
    for (uint8_t i = 0; i < DEVICES; i++) {
        struct msg_reading reading = make_reading(&f, 1, 0);
        reading.device.bytes[15] = i;
        receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    }
    commit_all(&f);
    for (uint8_t i = 0; i < DEVICES; i++) {
        struct msg_reading reading = make_reading(&f, 2, 0);
        reading.device.bytes[15] = i;
        receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    }
    commit_all(&f);
    for (unsigned half = 0; half < 2; half++) {
        f.now_us += 5 * SECOND;
        for (int i = 0; i < 10; i++)
            shard_tick(f.shard, f.now_us);
        for (struct batch *batch; (batch = shard_next_batch(f.shard)) != NULL;) {
            written[half] += batch->touches_count;
            answer(&f, batch, true, false);
        }
    }
    assert_in_range(written[0], DEVICES / 4, 3 * DEVICES / 4);
    assert_int_equal(written[0] + written[1], DEVICES);
    end(&f);
}

static void a_deleted_device_is_disconnected(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_kick kick = {0};
    struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
    begin(&f);
    present(&f, true);
    while (!shard_is_quiet(f.shard))
        commit(&f);
    receive(&f, MSG_CHANGED, &changed, sizeof changed, "");
    answer(&f, shard_next_batch(f.shard), false, false);
    assert_int_equal(take(&shard_output(f.shard)->edge[1], MSG_KICK, &kick, sizeof kick), 1);
    assert_int_equal(take(&shard_output(f.shard)->edge[0], MSG_KICK, &kick, sizeof kick), 0);
    struct msg_ref ref = own_ref(0);
    assert_memory_equal(&kick.ref, &ref, sizeof ref);
    assert_int_equal(shard_count(f.shard)->active, 0);
    end(&f);
}

/* The load that is on its way may have seen the rules, or the device, as they were before. */
static void a_change_during_the_load_is_loaded_again(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
    begin(&f);
    shard_activate(f.shard, &tenant, &device_id, SLOT);
    struct batch *batch = shard_next_batch(f.shard);
    receive(&f, MSG_CHANGED, &changed, sizeof changed, "");
    answer(&f, batch, false, false);
    assert_int_equal(shard_device(f.shard, 0)->state, DEVICE_ABSENT);
    commit(&f);
    assert_int_equal(shard_device(f.shard, 0)->state, DEVICE_LIVE);
    end(&f);
}

/* Its hour is written by the batch on its way, with the refused reading counted in. */
static void a_refused_reading_is_answered_and_its_hour_rebuilt(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_ack ack = {0};
    begin(&f);
    make_live(&f);
    publish(&f, 1, 0);
    struct batch *batch = shard_next_batch(f.shard);
    batch->rows[0].bad = true;
    int64_t hour_us = hour_of(batch->rows[0].timestamp_us);
    answer(&f, batch, true, false);
    assert_int_equal(acks(&f, &ack), 1);
    assert_int_equal(ack.code, 0x99);
    batch = shard_next_batch(f.shard);
    assert_int_equal(batch->rollups_count, 1);
    assert_true(batch->rollups[0].rebuild && batch->rollups[0].hour_us == hour_us);
    answer(&f, batch, true, false);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair_of_state_and_event),
        cmocka_unit_test(a_reading_is_answered_and_told_after_its_commit),
        cmocka_unit_test(a_redelivery_is_looked_up_and_the_rest_waits_behind_it),
        cmocka_unit_test(redeliveries_of_one_connection_are_looked_up_together),
        cmocka_unit_test(readings_of_an_unknown_device_are_refused),
        cmocka_unit_test(another_tenants_device_takes_no_reading),
        cmocka_unit_test(a_rule_fires_once_a_cooldown),
        cmocka_unit_test(two_batches_are_out_at_most_and_they_are_in_order),
        cmocka_unit_test(a_status_changes_once_and_is_told),
        cmocka_unit_test(a_batch_touches_a_device_once),
        cmocka_unit_test(devices_that_began_together_are_not_due_together),
        cmocka_unit_test(a_deleted_device_is_disconnected),
        cmocka_unit_test(a_change_during_the_load_is_loaded_again),
        cmocka_unit_test(a_refused_reading_is_answered_and_its_hour_rebuilt),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
