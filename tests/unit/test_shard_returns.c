/* A slot that was given away is back before the order to give it came to its former owner's shard:
 * control waits for an answer of the database, or the shard stood still. What it knew is old. */
#include "tests/unit/shard_fixture.h"

#define OTHER 8
#define HOUR (3600 * SECOND)

enum news { BY_GIVEN, BY_SNAPSHOT, BY_VIEW, WAYS };

static const uint32_t back = EPOCH + 2;

static void watch(struct fixture *f, struct msg_ref ref, unsigned bits)
{
    struct msg_interest item = {
        .ref = ref, .tenant = tenant, .device = device_id, .bits = (uint8_t)bits};
    receive(f, MSG_INTEREST, &item, sizeof item, "");
}

static void claim(struct fixture *f, struct msg_ref ref)
{
    struct msg_claim item = {.ref = ref, .tenant = tenant, .client_id_len = 1};
    receive(f, MSG_CLAIM, &item, sizeof item, "c");
}

/* A device whose hour has a reading is at rest; its committed order is on its way. */
static void begin_resting(struct fixture *f)
{
    begin(f);
    node_says(f, OTHER, 1, true);
    make_live(f);
    watch(f, far_ref(OTHER, 1, 0), INTEREST_STATUS);
    claim(f, own_ref(0));
    publish(f, 1, 0);
    commit_all(f);
    slot_says(f, MSG_RELEASE, OTHER, EPOCH, 0);
    assert_true(is_released(f));
    drop_output(f);
}

static void offer(struct fixture *f)
{
    struct msg_snapshot snapshot = {.tenant = tenant,
                                    .device = device_id,
                                    .slot = SLOT,
                                    .epoch = back,
                                    .status = STATUS_IDLE,
                                    .last_seen_us = f->now_us,
                                    .newest_us = f->now_us,
                                    .touched_us = f->now_us};
    receive(f, MSG_SNAPSHOT, &snapshot, sizeof snapshot, "");
}

static void come_back(struct fixture *f, enum news way)
{
    if (way == BY_SNAPSHOT)
        offer(f);
    if (way == BY_VIEW)
        slot_says(f, MSG_SLOT, OWN, back, 0);
    assert_int_equal(word(f).epoch, way == BY_GIVEN ? 0 : back);
    slot_says(f, MSG_GIVEN, OWN, back, 0);
    assert_int_equal(shard_count(f->shard)->slots, 1);
}

/* Loaded as the other one left it: its newest reading is in the next hour. */
static void load(struct fixture *f)
{
    struct batch *batch = shard_next_batch(f->shard);
    assert_non_null(batch);
    assert_int_equal(batch->loads_count, 1);
    batch->loads[0].newest_us = f->now_us + HOUR;
    batch->loads[0].last_seen_us = f->now_us;
    batch->loads[0].status = STATUS_ONLINE;
    answer(f, batch, true, false);
}

static void what_the_other_owner_did_is_not_undone(void **state)
{
    (void)state;
    for (enum news way = 0; way < WAYS; way++) {
        struct fixture f;
        begin_resting(&f);
        come_back(&f, way);
        if (way != BY_SNAPSHOT)
            load(&f);
        struct device *device = the_device(&f);
        assert_int_equal(device->state, DEVICE_LIVE);
        assert_true(device->newest_us == (way == BY_SNAPSHOT ? f.now_us : f.now_us + HOUR));
        assert_null(device->hours); /* its hour has readings that were not counted here */
        assert_int_equal(shard_count(f.shard)->active, 1);
        assert_int_equal(f.shard->interest.table.count, 0);
        assert_int_equal(f.shard->tenants.claims_count, 0);
        slot_says(&f, MSG_GIVE, OTHER, EPOCH + 1, 0); /* the order, at last */
        assert_ptr_equal(the_device(&f), device);
        assert_int_equal(shard_count(f.shard)->slots, 1);
        commit_all(&f);
        end(&f);
    }
}

/* They would wait for that word, and then ask whether what it has answered is stored. */
static void edges_are_told_that_all_was_answered(void **state)
{
    (void)state;
    struct fixture f;
    begin_resting(&f);
    slot_says(&f, MSG_GIVEN, OWN, back, 0);
    struct msg_slot item = word(&f);
    assert_true(item.owner == OWN && item.epoch == back && item.flags == SLOT_CLEAN);
    commit_all(&f);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_other_owner_did_is_not_undone),
        cmocka_unit_test(edges_are_told_that_all_was_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
