/* Items that came to the wrong region, or that a dead owner may have stored; and who hears of it.
 */
#include "tests/unit/shard_fixture.h"

#define FAR 8
#define ELSEWHERE 4 /* number of the region in which the device's slot is */

static void watch(struct fixture *f, struct msg_ref ref, unsigned bits)
{
    struct msg_interest item = {
        .ref = ref, .tenant = tenant, .device = device_id, .bits = (uint8_t)bits};
    receive(f, MSG_INTEREST, &item, sizeof item, "");
}

/* ---- of another region ---- */

/* The database says that the device's slot is in region ELSEWHERE. */
static void answer_elsewhere(struct fixture *f)
{
    struct batch *batch = shard_next_batch(f->shard);
    assert_int_equal(batch->loads_count, 1);
    batch->loads[0].region = ELSEWHERE;
    answer(f, batch, true, false);
}

static unsigned homes(struct frame *frame, struct msg_home *ret_home)
{
    return take(frame, MSG_HOME, ret_home, sizeof *ret_home);
}

static void a_device_of_another_region_is_redirected(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_home home = {0};
    begin(&f);
    publish(&f, 1, 0);
    publish(&f, 2, MSG_DUP);
    struct msg_reading part = make_reading(&f, 3, 0);
    part.flags = 1; /* not the last of its PUBLISH */
    receive(&f, MSG_READING, &part, sizeof part, PAYLOAD);
    answer_elsewhere(&f);
    assert_int_equal(the_device(&f)->state, DEVICE_ABSENT);
    struct frame *frame = &shard_output(f.shard)->edge[1];
    assert_int_equal(look(frame, MSG_ACK, &home, 0), 0);
    assert_int_equal(homes(frame, &home), 3); /* each item by itself, in order */
    assert_true(home.ref.item == own_ref(1).item && home.region == ELSEWHERE);
    assert_true(uuid_equal(&home.id, &device_id));
    publish(&f, 4, 0);
    assert_int_equal(homes(frame, &home), 1);
    assert_int_equal(home.ref.item, own_ref(4).item);
    assert_true(shard_is_quiet(f.shard)); /* no row in telemetry_rejected */
    assert_int_equal(shard_count(f.shard)->rejected, 0);
    end(&f);
}

static void one_that_is_nowhere_is_refused(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_home home = {0};
    begin(&f);
    publish(&f, 1, 0);
    answer_elsewhere(&f);
    f.now_us += 2 * SECOND;
    publish(&f, 2, 0); /* asked about once more: deleted meanwhile */
    drop_output(&f);
    struct batch *batch = shard_next_batch(f.shard);
    batch->loads[0].region = ELSEWHERE;
    answer(&f, batch, false, false);
    assert_int_equal(homes(&shard_output(f.shard)->edge[1], &home), 0);
    assert_int_equal(shard_count(f.shard)->rejected, 1);
    commit_all(&f);
    end(&f);
}

/* Its edge took it for one of this region, because it was made a moment ago: it is told where the
 * device is, and tells the connection there. */
static void a_connection_of_a_device_elsewhere_is_not_closed(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_home home = {0};
    struct msg_kick kick = {0};
    begin(&f);
    present(&f, true);
    answer_elsewhere(&f);
    struct frame *frame = &shard_output(f.shard)->edge[1];
    assert_int_equal(look(frame, MSG_KICK, &kick, sizeof kick), 0);
    assert_int_equal(homes(frame, &home), 1);
    assert_true(home.ref.item == 0 && home.region == ELSEWHERE);
    present(&f, true); /* another one's */
    assert_int_equal(homes(frame, &home), 1);
    present(&f, false);
    assert_int_equal(homes(frame, &home), 0);
    assert_null(the_device(&f)->presences);
    f.now_us += 2 * SECOND;
    for (int i = 0; i < 10; i++)
        shard_tick(f.shard, f.now_us);
    assert_null(the_device(&f)); /* nothing keeps it here */
    end(&f);
}

/* ---- perhaps stored by an owner that has died ---- */

static void publish_again(struct fixture *f, uint16_t packet_id, uint8_t flags,
                          int64_t timestamp_us)
{
    struct msg_reading reading = make_reading(f, packet_id, flags);
    reading.ref.again = 1;
    reading.timestamp_us = timestamp_us;
    receive(f, MSG_READING, &reading, sizeof reading, PAYLOAD);
}

/* By its own timestamp; else among what is not older, for its client may have redelivered it to
 * another edge; but what comes with QoS 0 is never redelivered. */
static void it_is_looked_for_where_it_may_be(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    const int64_t arrived = f.now_us, own = arrived - 7 * SECOND;
    publish_again(&f, 1, 0, arrived);
    publish_again(&f, 2, MSG_DUP, arrived);
    publish_again(&f, 3, 0, own);
    publish_again(&f, 4, MSG_DUP, own);
    publish_again(&f, 0, 0, arrived);
    struct batch *batch = shard_next_batch(f.shard);
    const int64_t at[] = {0, 0, own, own, arrived}, since[] = {arrived, 0, 0, 0, 0};
    assert_true(batch->rows_count == 0 && batch->checks_count == 5);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(batch->checks[i].timestamp_us, at[i]);
        assert_int_equal(batch->checks[i].since_us, since[i]);
        assert_int_equal(batch->checks[i].message_key, (i + 1) % 5);
    }
    answer(&f, batch, true, true);
    end(&f);
}

static void what_was_stored_is_answered_and_told_once_more(void **state)
{
    (void)state;
    for (int stored = 0; stored < 2; stored++) {
        struct fixture f;
        struct msg_ack ack = {0};
        struct msg_event event = {0};
        begin(&f);
        make_live(&f);
        watch(&f, own_ref(0), INTEREST_TELEMETRY);
        publish_again(&f, 1, 0, f.now_us);
        answer(&f, shard_next_batch(f.shard), true, stored);
        commit_all(&f);
        struct frame *frame = &shard_output(f.shard)->edge[1];
        assert_int_equal(look(frame, MSG_EVENT, &event, sizeof event), 1);
        assert_int_equal(event.event, EVENT_TELEMETRY);
        assert_int_equal(event.again, stored); /* who has it already knows it by its key */
        assert_int_equal(event.key, 1);
        assert_int_equal(event.flags, 1); /* the QoS of its PUBLISH, which its subscribers see */
        struct msg_ref from = event.from, sender = own_ref(1);
        assert_true(msg_same_connection(&from, &sender));
        assert_int_equal(acks(&f, &ack), 1);
        assert_int_equal(ack.code, 0);
        /* To Redis nothing goes twice: its readers could not tell. */
        frame = &shard_output(f.shard)->redis;
        assert_int_equal(take(frame, MSG_EVENT, &event, sizeof event), stored ? 0 : 2);
        assert_int_equal(shard_count(f.shard)->rows, !stored);
        end(&f);
    }
}

static void a_clients_redelivery_is_told_to_nobody(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_event event = {0};
    begin(&f);
    make_live(&f);
    watch(&f, own_ref(0), INTEREST_TELEMETRY);
    publish(&f, 1, MSG_DUP);
    answer(&f, shard_next_batch(f.shard), true, true);
    assert_int_equal(take(&shard_output(f.shard)->edge[1], MSG_EVENT, &event, sizeof event), 0);
    end(&f);
}

/* ---- other nodes' edges ---- */

/* An event may be dropped on the way; a message of QoS 1 and an answer may not. */
static void watchers_far_away_hear_by_a_way_of_their_own(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_event event = {0};
    const struct msg_message message = {.ref = far_ref(FAR, 1, 0),
                                        .tenant = tenant,
                                        .device = device_id,
                                        .flags = 1,
                                        .topic_len = 1};
    begin(&f);
    node_says(&f, FAR, 1, true);
    make_live(&f);
    watch(&f, far_ref(FAR, 1, 1), INTEREST_TELEMETRY | INTEREST_MESSAGES);
    publish(&f, 1, 0);
    commit_all(&f);
    struct shard_far *far = shard_output(f.shard)->far[FAR];
    assert_int_equal(take(&far->watchers[1], MSG_EVENT, &event, sizeof event), 1);
    assert_int_equal(far->edge[1].count, 0);
    receive(&f, MSG_MESSAGE, &message, sizeof message, "t");
    assert_int_equal(take(&far->promised[1], MSG_EVENT, &event, sizeof event), 1);
    assert_int_equal(event.event, EVENT_MESSAGE);
    assert_int_equal(far->watchers[1].count, 0);
    assert_int_equal(take(&far->edge[0], MSG_ACK, &event, 0), 1);
    end(&f);
}

/* ---- an operator's question ---- */

static struct msg_actor ask(struct fixture *f, const struct uuid *of, bool passivate)
{
    struct msg_actor actor = {0};
    const struct msg_ask item = {
        .ref = own_ref(1), .tenant = *of, .device = device_id, .passivate = passivate};
    receive(f, MSG_ASK, &item, sizeof item, "");
    struct frame *frame = &shard_output(f->shard)->edge[1];
    assert_int_equal(take(frame, MSG_ACTOR, &actor, sizeof actor), 1);
    assert_int_equal(actor.ref.item, own_ref(1).item);
    return actor;
}

static void an_actor_is_described(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    assert_int_equal(ask(&f, &tenant, false).state, ACTOR_NONE);
    publish(&f, 1, 0);
    publish(&f, 2, 0);
    struct msg_actor actor = ask(&f, &tenant, false);
    assert_true(actor.state == ACTOR_LOADING && actor.held == 2 && actor.in_flight == 1);
    commit_all(&f);
    present(&f, true);
    actor = ask(&f, &tenant, false);
    assert_true(actor.state == ACTOR_LIVE && actor.held == 0 && actor.connections == 1);
    assert_true(actor.status == STATUS_ONLINE && actor.rules == 1);
    static const struct uuid other = {{7}};
    assert_int_equal(ask(&f, &other, true).state, ACTOR_NONE); /* not that tenant's */
    end(&f);
}

static void only_an_actor_at_rest_is_dropped(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    shard_activate(f.shard, &tenant, &device_id, SLOT);
    assert_false(ask(&f, &tenant, true).passivated); /* loading */
    commit(&f);
    present(&f, true);
    commit_all(&f);
    assert_false(ask(&f, &tenant, true).passivated); /* connected */
    present(&f, false);
    publish(&f, 1, 0);
    commit_all(&f);
    assert_true(the_device(&f)->dirty);
    assert_false(ask(&f, &tenant, true).passivated); /* last_seen is not written */
    f.now_us += 10 * SECOND;
    for (int i = 0; i < 10; i++)
        shard_tick(f.shard, f.now_us);
    assert_false(ask(&f, &tenant, true).passivated); /* it is on its way */
    commit_all(&f);
    assert_false(ask(&f, &tenant, false).passivated); /* it was not asked for */
    assert_true(ask(&f, &tenant, true).passivated);
    assert_null(the_device(&f));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_of_another_region_is_redirected),
        cmocka_unit_test(one_that_is_nowhere_is_refused),
        cmocka_unit_test(a_connection_of_a_device_elsewhere_is_not_closed),
        cmocka_unit_test(it_is_looked_for_where_it_may_be),
        cmocka_unit_test(what_was_stored_is_answered_and_told_once_more),
        cmocka_unit_test(a_clients_redelivery_is_told_to_nobody),
        cmocka_unit_test(watchers_far_away_hear_by_a_way_of_their_own),
        cmocka_unit_test(an_actor_is_described),
        cmocka_unit_test(only_an_actor_at_rest_is_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
