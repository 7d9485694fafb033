/* Who is connected while a slot is on its way: nothing of it is lost, and nothing of it is new. */
#include "tests/unit/shard_fixture.h"

#define NEXT 8
#define NEXT_LIFE 2

static void begin_connected(struct fixture *f)
{
    begin(f);
    node_says(f, NEXT, NEXT_LIFE, true);
    make_live(f);
    present(f, true);
    commit_all(f);
    assert_int_equal(the_device(f)->status, STATUS_ONLINE);
}

static void sweep(struct fixture *f)
{
    for (int i = 0; i < 10; i++)
        shard_tick(f->shard, f->now_us);
    commit_all(f);
}

static void give_to(struct fixture *source, struct fixture *target)
{
    const struct shard_config config = {
        .node = NEXT,
        .life = NEXT_LIFE,
        .edges = EDGES,
        .seed = 6,
        .times = {300 * SECOND, 900 * SECOND, 5 * SECOND, 10 * SECOND, 3600 * SECOND}};
    *target = (struct fixture){.shard = shard_new(&config), .now_us = source->now_us};
    assert_non_null(target->shard);
    node_says(target, OWN, LIFE, true);
    slot_says(source, MSG_GIVE, NEXT, EPOCH + 1, 0);
    struct frame *frame = &shard_output(source->shard)->far[NEXT]->shard[SLOT % LIMIT_SLOTS % 3];
    struct span bytes = frame_finish(frame);
    assert_int_equal(shard_receive(target->shard, bytes.data, bytes.len, target->now_us), 0);
    assert_non_null(the_device(target));
}

/* As its edge tells it to a new owner. */
static void present_anew(struct fixture *target, int64_t since_us)
{
    struct msg_ref ref = own_ref(0);
    ref.epoch = EPOCH + 1;
    present_since(target, ref, true, since_us);
}

static void who_goes_while_a_slot_is_released_has_gone(void **state)
{
    (void)state;
    for (int in_flight = 0; in_flight < 2; in_flight++) {
        struct fixture f;
        begin_connected(&f);
        if (in_flight)
            publish(&f, 1, 0);
        slot_says(&f, MSG_RELEASE, NEXT, EPOCH, 0);
        present(&f, false);
        commit_all(&f);
        slot_says(&f, MSG_SLOT, OWN, EPOCH + 1, 0); /* it stays: nobody tells who is not there */
        assert_null(the_device(&f)->presences);
        f.now_us += 5 * SECOND;
        sweep(&f);
        assert_int_equal(the_device(&f)->status, STATUS_OFFLINE);
        end(&f);
    }
}

/* A released slot rests: nothing is asked of the database for it. */
static void who_comes_while_a_slot_is_released_is_no_work(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    slot_says(&f, MSG_RELEASE, NEXT, EPOCH, 0);
    present(&f, true);
    present(&f, false);
    assert_true(shard_is_quiet(f.shard));
    assert_null(the_device(&f));
    assert_int_equal(word(&f).epoch, 0);
    end(&f);
}

static void who_has_gone_before_it_is_given_is_offline_there_in_time(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_connected(&source);
    slot_says(&source, MSG_RELEASE, NEXT, EPOCH, 0);
    present(&source, false);
    source.now_us += 2 * SECOND;
    give_to(&source, &target);
    target.now_us += 3 * SECOND - 1;
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_ONLINE);
    target.now_us++;
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_OFFLINE);
    end(&source);
    end(&target);
}

/* Its edge said so to the former owner, who was it no more. */
static void whom_nobody_tells_anew_has_gone(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_connected(&source);
    slot_says(&source, MSG_RELEASE, NEXT, EPOCH, 0);
    give_to(&source, &target);
    target.now_us += 5 * SECOND - 1;
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_ONLINE);
    target.now_us++;
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_OFFLINE);
    end(&source);
    end(&target);
}

/* The former owner's clock is ahead: what it saw last was not after its connection went. */
static void who_was_seen_by_a_clock_that_is_ahead_has_gone(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_connected(&source);
    slot_says(&source, MSG_RELEASE, NEXT, EPOCH, 0);
    source.now_us -= SECOND;
    give_to(&source, &target);
    target.now_us += 6 * SECOND; /* its grace, from when it was seen */
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_OFFLINE);
    end(&source);
    end(&target);
}

/* And where it has died: the row says it. */
static void so_has_whom_nobody_has_when_it_is_loaded(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    shard_activate(f.shard, &tenant, &device_id, SLOT);
    struct batch *batch = shard_next_batch(f.shard);
    assert_int_equal(batch->loads_count, 1);
    batch->loads[0].status = STATUS_ONLINE;
    batch->loads[0].connected = true;
    batch->loads[0].last_seen_us = f.now_us + SECOND;
    answer(&f, batch, true, false);
    f.now_us += 6 * SECOND - 1;
    sweep(&f);
    assert_int_equal(the_device(&f)->status, STATUS_ONLINE);
    f.now_us++;
    sweep(&f);
    assert_int_equal(the_device(&f)->status, STATUS_OFFLINE);
    end(&f);
}

/* Idle for longer than what makes one without a connection offline: it is told anew a moment after
 * the slot has come, and neither that moment nor the telling changes anything. */
static void a_silent_device_stays_idle_through_a_move(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_connected(&source);
    const int64_t seen = the_device(&source)->last_seen_us;
    source.now_us += 2000 * SECOND;
    sweep(&source);
    assert_int_equal(the_device(&source)->status, STATUS_IDLE);
    slot_says(&source, MSG_RELEASE, NEXT, EPOCH, 0);
    give_to(&source, &target);
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_IDLE);
    present_anew(&target, seen);
    target.now_us += 100 * SECOND;
    sweep(&target);
    assert_int_equal(the_device(&target)->status, STATUS_IDLE);
    assert_int_equal(the_device(&target)->last_seen_us, seen);
    end(&source);
    end(&target);
}

static void a_connection_is_a_sign_of_life_when_it_is_made(void **state)
{
    (void)state;
    struct fixture f;
    begin_connected(&f);
    f.now_us += 400 * SECOND;
    sweep(&f);
    assert_int_equal(the_device(&f)->status, STATUS_IDLE);
    struct msg_ref second = own_ref(0);
    second.generation++;
    present_at(&f, second, true);
    assert_int_equal(the_device(&f)->last_seen_us, f.now_us);
    commit_all(&f);
    assert_int_equal(the_device(&f)->status, STATUS_ONLINE);
    end(&f);
}

/* It connected while nobody owned the slot: told later, it is one still. Another node's clock may
 * be ahead. */
static void it_is_one_of_the_time_when_it_was_made(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    present_since(&f, own_ref(0), true, f.now_us - 10 * SECOND);
    assert_int_equal(the_device(&f)->last_seen_us, f.now_us - 10 * SECOND);
    assert_true(the_device(&f)->dirty || !shard_is_quiet(f.shard));
    commit_all(&f);
    assert_int_equal(the_device(&f)->status, STATUS_ONLINE);
    struct msg_ref other = own_ref(0);
    other.generation++;
    present_since(&f, other, true, f.now_us + 1000 * SECOND);
    assert_int_equal(the_device(&f)->last_seen_us, f.now_us);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_goes_while_a_slot_is_released_has_gone),
        cmocka_unit_test(who_comes_while_a_slot_is_released_is_no_work),
        cmocka_unit_test(who_has_gone_before_it_is_given_is_offline_there_in_time),
        cmocka_unit_test(whom_nobody_tells_anew_has_gone),
        cmocka_unit_test(who_was_seen_by_a_clock_that_is_ahead_has_gone),
        cmocka_unit_test(so_has_whom_nobody_has_when_it_is_loaded),
        cmocka_unit_test(a_silent_device_stays_idle_through_a_move),
        cmocka_unit_test(a_connection_is_a_sign_of_life_when_it_is_made),
        cmocka_unit_test(it_is_one_of_the_time_when_it_was_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
