/* What a shard adopts of a slot that it is given: only what is whole, newer, and not known here. */
#include "tests/unit/shard_fixture.h"

struct draft {
    struct msg_snapshot snapshot;
    struct msg_rule rule;
    struct hours hours;
};

static struct draft make_draft(const struct fixture *f)
{
    struct draft draft = {
        .snapshot = {.tenant = tenant,
                     .device = device_id,
                     .slot = SLOT,
                     .epoch = EPOCH + 1,
                     .status = STATUS_IDLE,
                     .last_seen_us = f->now_us,
                     .newest_us = f->now_us,
                     .touched_us = f->now_us,
                     .redelivered_us = f->now_us - 7,
                     .rules_count = 1,
                     .rules_len = sizeof(struct msg_rule),
                     .hours_len = sizeof(struct hours),
                     .latest_len = 2},
        .rule = {.id = {{9}}, .threshold = 50, .metric = "temperature"},
        .hours = {.hour_us = hour_of(f->now_us)},
    };
    return draft;
}

/* Lengths are those of the draft: what the frame's reader would let through. */
static void offer(struct fixture *f, const struct draft *draft)
{
    static const char zeros[4096];
    struct frame frame;
    struct span texts[] = {
        {&draft->rule, sizeof draft->rule}, {&draft->hours, sizeof draft->hours}, {"{}", 2}};
    frame_init(&frame, 1 << 20);
    if (draft->snapshot.rules_len != sizeof draft->rule)
        texts[0] = (struct span){zeros, draft->snapshot.rules_len};
    texts[1].len = draft->snapshot.hours_len;
    texts[2].len = draft->snapshot.latest_len;
    assert_int_equal(
        frame_add(&frame, MSG_SNAPSHOT, &draft->snapshot, sizeof draft->snapshot, texts, 3), 0);
    struct span bytes = frame_finish(&frame);
    assert_int_equal(shard_receive(f->shard, bytes.data, bytes.len, f->now_us), 0);
    frame_free(&frame);
}

enum fault {
    NO_FAULT,
    NO_STATUS,
    RULES_TOO_SHORT,
    RULES_TOO_MANY,
    NO_OPERATOR,
    NO_END_OF_NAME,
    OLD_EPOCH,
    FAULTS
};

static struct draft spoil(struct draft draft, enum fault fault)
{
    if (fault == NO_STATUS)
        draft.snapshot.status = STATUSES;
    else if (fault == RULES_TOO_SHORT)
        draft.snapshot.rules_len--;
    else if (fault == RULES_TOO_MANY)
        draft.snapshot.rules_count = UINT16_MAX;
    else if (fault == NO_OPERATOR)
        draft.rule.operator= RULE_OPERATORS;
    else if (fault == NO_END_OF_NAME)
        memset(draft.rule.metric, 'x', sizeof draft.rule.metric);
    else if (fault == OLD_EPOCH)
        draft.snapshot.epoch = EPOCH;
    return draft;
}

static void what_is_malformed_is_not_adopted(void **state)
{
    (void)state;
    for (int fault = NO_FAULT; fault < FAULTS; fault++) {
        struct fixture source = {.now_us = 1000000 * SECOND}, target;
        begin_target(&target, &source);
        struct draft draft = spoil(make_draft(&target), (enum fault)fault);
        offer(&target, &draft);
        assert_int_equal(the_device(&target) != NULL, fault == NO_FAULT);
        assert_int_equal(shard_count(target.shard)->actors, fault == NO_FAULT);
        assert_int_equal(shard_count(target.shard)->active, fault == NO_FAULT);
        end(&target);
    }
}

static void sums_of_another_layout_are_rebuilt(void **state)
{
    (void)state;
    struct fixture source = {.now_us = 1000000 * SECOND}, target;
    begin_target(&target, &source);
    struct draft draft = make_draft(&target);
    draft.snapshot.hours_len--;
    offer(&target, &draft);
    assert_null(the_device(&target)->hours);
    assert_int_equal(the_device(&target)->latest->len, 2);
    assert_int_equal(the_device(&target)->redelivered_us, target.now_us - 7);
    end(&target);
}

static void what_is_known_here_is_not_overwritten(void **state)
{
    (void)state;
    struct fixture source = {.now_us = 1000000 * SECOND}, target;
    begin_target(&target, &source);
    struct draft draft = make_draft(&target);
    target.now_us += SECOND;
    shard_tick(target.shard, target.now_us); /* opened without */
    offer(&target, &draft);
    assert_int_equal(the_device(&target)->state, DEVICE_LOADING); /* as the database knows it */
    offer(&target, &draft);
    commit(&target);
    assert_int_equal(the_device(&target)->status, STATUS_OFFLINE);
    end(&target);
}

/* It may have come before the snapshot that it makes old. */
static void a_change_told_shortly_before_is_loaded(void **state)
{
    (void)state;
    for (int late = 0; late < 2; late++) {
        struct fixture source = {.now_us = 1000000 * SECOND}, target;
        struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
        begin_target(&target, &source);
        struct draft draft = make_draft(&target);
        receive(&target, MSG_CHANGED, &changed, sizeof changed, "");
        target.now_us += late ? 30 * SECOND : 29 * SECOND;
        offer(&target, &draft);
        struct batch *batch = shard_next_batch(target.shard);
        assert_int_equal(batch != NULL, !late);
        if (batch != NULL) {
            assert_int_equal(batch->loads_count, 1);
            answer(&target, batch, true, false);
            assert_int_equal(the_device(&target)->status, STATUS_IDLE); /* its rules alone */
            assert_true(the_device(&target)->rules->rule[0].cooldown_us == 300 * SECOND);
        }
        end(&target);
    }
}

/* Who was given it is to give it on at once, before it comes: to a node that knows it then, watches
 * its timers and writes what is not written. */
static void what_comes_when_the_slot_leaves_is_given_on(void **state)
{
    (void)state;
    for (int changed = 0; changed < 2; changed++) {
        struct fixture source = {.now_us = 1000000 * SECOND}, target;
        struct msg_device change = {.tenant = tenant, .device = device_id, .slot = SLOT};
        struct msg_snapshot given = {0};
        begin_target(&target, &source);
        struct draft draft = make_draft(&target);
        slot_says(&target, MSG_RELEASE, THIRD, EPOCH + 1, 0);
        if (changed)
            receive(&target, MSG_CHANGED, &change, sizeof change, "");
        draft.snapshot.flags = SNAPSHOT_DIRTY;
        offer(&target, &draft);
        assert_true(shard_is_quiet(target.shard));
        slot_says(&target, MSG_GIVE, THIRD, EPOCH + 2, 0);
        struct frame *frame =
            &shard_output(target.shard)->far[THIRD]->shard[SLOT % LIMIT_SLOTS % 3];
        assert_int_equal(take(frame, MSG_SNAPSHOT, &given, sizeof given), 1);
        assert_int_equal(given.epoch, EPOCH + 2);
        assert_int_equal(given.status, STATUS_IDLE);
        assert_int_equal(given.flags, SNAPSHOT_DIRTY | (changed ? SNAPSHOT_STALE : 0));
        assert_int_equal(given.latest_len, draft.snapshot.latest_len);
        end(&target);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_malformed_is_not_adopted),
        cmocka_unit_test(sums_of_another_layout_are_rebuilt),
        cmocka_unit_test(what_is_known_here_is_not_overwritten),
        cmocka_unit_test(what_comes_when_the_slot_leaves_is_given_on),
        cmocka_unit_test(a_change_told_shortly_before_is_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
