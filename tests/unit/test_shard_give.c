/* A slot goes to another node with what its devices' actors know, and the edges are told. */
#include "tests/unit/shard_fixture.h"

static void watch(struct fixture *f, struct msg_ref ref, unsigned bits)
{
    struct msg_interest item = {
        .ref = ref, .tenant = tenant, .device = device_id, .bits = (uint8_t)bits};
    receive(f, MSG_INTEREST, &item, sizeof item, "");
}

/* SLOT's device is live, two nodes are there. */
static void begin_source(struct fixture *f)
{
    begin(f);
    node_says(f, NEXT_NODE, NEXT_NODE_LIFE, true);
    node_says(f, THIRD, 1, true);
    make_live(f);
}

static void release_and_give(struct fixture *f)
{
    slot_says(f, MSG_RELEASE, NEXT_NODE, EPOCH, 0);
    commit_all(f);
    slot_says(f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
}

/* The frame to the next owner's shard of SLOT. */
static struct frame *given_frame(struct fixture *f)
{
    return &shard_output(f->shard)->far[NEXT_NODE]->shard[SLOT % LIMIT_SLOTS % 3];
}

static void hand_on(struct fixture *source, struct fixture *target)
{
    struct span bytes = frame_finish(given_frame(source));
    assert_int_equal(shard_receive(target->shard, bytes.data, bytes.len, target->now_us), 0);
    assert_int_equal(shard_count(target->shard)->slots, 1);
}

static void publish_to_next(struct fixture *target, uint16_t packet_id)
{
    struct msg_reading reading = make_reading(target, packet_id, 0);
    reading.ref = far_ref(THIRD, 1, 1);
    reading.ref.epoch = EPOCH + 1;
    reading.ref.packet_id = packet_id;
    receive(target, MSG_READING, &reading, sizeof reading, PAYLOAD);
}

/* ---- the source ---- */

/* The kinds of a frame's items, as letters, in order. */
static void kinds_of(struct frame *frame, char *out, size_t room)
{
    struct frame_reader reader;
    struct item item;
    size_t n = 0;
    if (frame->count > 0) {
        struct span bytes = frame_finish(frame);
        assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
        while (frame_next(&reader, &item) == 1 && n + 1 < room)
            out[n++] = item.kind == MSG_ACK        ? 'A'
                       : item.kind == MSG_SLOT     ? 'S'
                       : item.kind == MSG_SNAPSHOT ? 'D'
                       : item.kind == MSG_INTEREST ? 'I'
                       : item.kind == MSG_GIVEN    ? 'G'
                                                   : '?';
    }
    out[n] = '\0';
}

static void expect_kinds(struct frame *frame, const char *expected)
{
    char kinds[64];
    kinds_of(frame, kinds, sizeof kinds);
    assert_string_equal(kinds, expected);
}

static void it_is_given_when_it_is_at_rest_and_no_sooner(void **state)
{
    (void)state;
    struct fixture f;
    begin_source(&f);
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    publish(&f, 1, 0);
    slot_says(&f, MSG_RELEASE, NEXT_NODE, EPOCH, 0);
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    expect_kinds(given_frame(&f), "");
    commit_all(&f);
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH, 0); /* not in its own epoch */
    expect_kinds(given_frame(&f), "");
    assert_non_null(the_device(&f));
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    expect_kinds(given_frame(&f), "DG");
    assert_null(the_device(&f));
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    expect_kinds(given_frame(&f), "DG");
    end(&f);
}

static void the_time_without_an_owner_is_counted(void **state)
{
    (void)state;
    struct fixture f;
    begin_source(&f);
    publish(&f, 1, 0);
    slot_says(&f, MSG_RELEASE, NEXT_NODE, EPOCH, 0);
    f.now_us += 12000;
    commit_all(&f);
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    const struct pauses *pauses = &shard_count(f.shard)->pauses;
    assert_int_equal(pauses->count[4], 1); /* above 10 ms, to 15 */
    assert_int_equal(pauses->sum_us, 12000);
    end(&f);
}

static void every_edge_is_told_behind_its_answers(void **state)
{
    (void)state;
    struct fixture f;
    begin_source(&f);
    publish(&f, 1, 0);
    struct msg_reading reading = make_reading(&f, 2, 0);
    reading.ref = far_ref(THIRD, 1, 0);
    receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    release_and_give(&f);
    struct shard_out *out = shard_output(f.shard);
    expect_kinds(&out->edge[0], "S");
    expect_kinds(&out->edge[1], "AS");
    for (unsigned n = NEXT_NODE; n <= THIRD; n++)
        for (unsigned e = 0; e < EDGES; e++)
            expect_kinds(&out->far[n]->edge[e], n == THIRD && e == 0 ? "AS" : "S");
    struct msg_slot item = word(&f);
    assert_true(item.owner == NEXT_NODE && item.epoch == EPOCH + 1 && item.flags == SLOT_CLEAN);
    publish(&f, 3, 0);
    item = word(&f); /* whoever asks is told again */
    assert_true(item.owner == NEXT_NODE && item.epoch == EPOCH + 1);
    end(&f);
}

static void watchers_of_its_devices_go_with_it(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_interest item = {0};
    begin_source(&f);
    watch(&f, far_ref(THIRD, 1, 1), INTEREST_ALERTS);
    release_and_give(&f);
    expect_kinds(given_frame(&f), "IDG");
    take(given_frame(&f), MSG_INTEREST, &item, sizeof item);
    assert_true(item.ref.node == THIRD && item.ref.life == 1 && item.ref.edge == 1);
    assert_true(item.ref.slot == SLOT && item.ref.epoch == EPOCH + 1);
    assert_int_equal(item.bits, INTEREST_ALERTS);
    end(&f);
}

/* A device that has said nothing for long is watched all the same. */
static void those_of_a_device_without_an_actor_go_too(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    node_says(&f, NEXT_NODE, NEXT_NODE_LIFE, true);
    node_says(&f, THIRD, 1, true);
    watch(&f, far_ref(THIRD, 1, 1), INTEREST_TELEMETRY);
    assert_null(the_device(&f));
    release_and_give(&f);
    expect_kinds(given_frame(&f), "IG");
    end(&f);
}

static void a_target_that_has_died_since_is_given_nothing(void **state)
{
    (void)state;
    struct fixture f;
    begin_source(&f);
    slot_says(&f, MSG_RELEASE, NEXT_NODE, EPOCH, 0);
    node_says(&f, NEXT_NODE, NEXT_NODE_LIFE, false);
    slot_says(&f, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    assert_int_equal(word(&f).owner, NEXT_NODE); /* the view says whose it is after him */
    assert_null(the_device(&f));
    end(&f);
}

/* Devices that a target has asked the database for; it knows them all. */
static unsigned loads_of(struct fixture *target)
{
    unsigned loads = 0;
    for (struct batch *batch; (batch = shard_next_batch(target->shard)) != NULL;) {
        loads += batch->loads_count;
        answer(target, batch, true, false);
    }
    return loads;
}

/* However long ago that was: the database may have been away meanwhile. */
static void what_has_changed_meanwhile_is_read_anew_there(void **state)
{
    (void)state;
    struct fixture source, target;
    struct msg_device changed = {.tenant = tenant, .device = device_id, .slot = SLOT};
    begin_source(&source);
    slot_says(&source, MSG_RELEASE, NEXT_NODE, EPOCH, 0);
    receive(&source, MSG_CHANGED, &changed, sizeof changed, "");
    slot_says(&source, MSG_GIVE, NEXT_NODE, EPOCH + 1, 0);
    begin_target(&target, &source);
    hand_on(&source, &target);
    assert_non_null(the_device(&target)); /* its timers go on */
    assert_int_equal(loads_of(&target), 1);
    end(&source);
    end(&target);
}

/* The mesh takes no frame past its bound: then the word that this was all would be lost as well. */
static void what_no_frame_can_hold_is_loaded_there(void **state)
{
    (void)state;
    static const char payload[LIMIT_PAYLOAD_BYTES];
    struct fixture f;
    struct msg_slot item = {0};
    const uint16_t devices = LIMIT_LINK_FRAME_BYTES / LIMIT_PAYLOAD_BYTES + 10;
    begin_source(&f);
    for (uint16_t n = 0; n < devices; n++) {
        const struct uuid id = {{7, (uint8_t)n, (uint8_t)(n >> 8)}};
        struct device *device = shard_device(f.shard, shard_make(f.shard, &tenant, &id, SLOT));
        device->state = DEVICE_LIVE;
        device->status = STATUS_IDLE;
        f.shard->counts.active++;
        assert_int_equal(device_keep_latest(device, payload, sizeof payload), 0);
    }
    release_and_give(&f);
    struct frame *frame = given_frame(&f);
    assert_in_range(frame_finish(frame).len, 1, LIMIT_LINK_FRAME_BYTES);
    assert_in_range(look(frame, MSG_SNAPSHOT, &item, 0), devices, devices + 1);
    assert_int_equal(take(frame, MSG_GIVEN, &item, sizeof item), 1);
    assert_int_equal(word(&f).epoch, EPOCH + 1);
    end(&f);
}

/* More rules than a snapshot takes: its next owner loads it, and watches its timers. */
static void a_device_that_is_left_out_is_woken_there(void **state)
{
    (void)state;
    for (int offline = 0; offline < 2; offline++) {
        struct fixture source, target;
        struct batch_rule rules[100] = {0};
        begin_source(&source);
        assert_int_equal(rules_load(&the_device(&source)->rules, rules, 100), 0);
        the_device(&source)->status = offline ? STATUS_OFFLINE : STATUS_IDLE;
        source.shard->counts.active += !offline;
        release_and_give(&source);
        begin_target(&target, &source);
        hand_on(&source, &target);
        assert_int_equal(loads_of(&target), !offline);
        assert_int_equal(the_device(&target) != NULL, !offline);
        end(&source);
        end(&target);
    }
}

/* Control has said whom to wake; then the slot is given on before it is open. */
static void who_is_to_be_woken_is_woken_by_the_next_owner(void **state)
{
    (void)state;
    struct fixture source, target;
    struct msg_device wake = {.tenant = tenant, .device = device_id, .slot = SLOT};
    begin_closed(&source);
    node_says(&source, NEXT_NODE, NEXT_NODE_LIFE, true);
    slot_says(&source, MSG_SLOT, OWN, EPOCH, SLOT_AWAITS);
    receive(&source, MSG_WAKE, &wake, sizeof wake, "");
    assert_null(the_device(&source));
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    assert_int_equal(loads_of(&target), 1);
    end(&source);
    end(&target);
}

static void claims_of_its_tenants_are_told_anew(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_claim claim = {.ref = own_ref(0), .tenant = tenant, .client_id_len = 1};
    begin_source(&f);
    receive(&f, MSG_CLAIM, &claim, sizeof claim, "x");
    claim.ref.slot = SLOT + 1; /* another tenant's slot, and it is not held */
    receive(&f, MSG_CLAIM, &claim, sizeof claim, "y");
    assert_int_equal(f.shard->tenants.claims_count, 1);
    release_and_give(&f);
    assert_int_equal(f.shard->tenants.claims_count, 0);
    end(&f);
}

/* ---- and the target ---- */

static void an_actor_goes_on_as_it_was(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_source(&source);
    publish(&source, 1, 0); /* fires its rule */
    commit_all(&source);
    assert_int_equal(shard_count(source.shard)->alerts, 1);
    source.now_us += SECOND;
    publish(&source, 2, 0); /* not written to its row yet */
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    struct device *device = the_device(&target);
    assert_int_equal(device->state, DEVICE_LIVE);
    assert_true(shard_is_quiet(target.shard)); /* nothing is to be loaded */
    assert_true(uuid_equal(&device->tenant, &tenant));
    assert_int_equal(device->status, STATUS_ONLINE);
    assert_int_equal(shard_count(target.shard)->active, 1);
    assert_int_equal(device->last_seen_us, source.now_us);
    assert_int_equal(device->newest_us, source.now_us);
    assert_int_equal(device->rules->count, 1);
    assert_int_equal(device->rules->rule[0].last_fired_us, source.now_us - SECOND);
    end(&source);
    end(&target);
}

static void its_rules_keep_their_cooldown(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_source(&source);
    publish(&source, 1, 0);
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    target.now_us += 299 * SECOND;
    publish_to_next(&target, 2);
    commit_all(&target);
    assert_int_equal(shard_count(target.shard)->alerts, 0);
    target.now_us += SECOND;
    publish_to_next(&target, 3);
    commit_all(&target);
    assert_int_equal(shard_count(target.shard)->alerts, 1);
    end(&source);
    end(&target);
}

/* The hour that is closed there holds what both have counted. */
static void the_sums_of_its_hour_go_on(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_source(&source);
    publish(&source, 1, 0);
    publish(&source, 2, 0);
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    publish_to_next(&target, 3);
    commit_all(&target);
    target.now_us += 3600 * SECOND;
    publish_to_next(&target, 4);
    struct batch *batch = shard_next_batch(target.shard);
    assert_int_equal(batch->rollups_count, 1);
    assert_false(batch->rollups[0].rebuild);
    assert_int_equal(batch->rollups[0].stats.samples, 3);
    assert_true(batch->rollups[0].stats.metric[METRIC_TEMPERATURE].sum == 180);
    answer(&target, batch, true, false);
    end(&source);
    end(&target);
}

/* Touches are coalesced: what is to be written next time is written by the next owner. */
static void the_newest_payload_is_written_there(void **state)
{
    (void)state;
    struct fixture source, target;
    begin_source(&source);
    publish(&source, 1, 0);
    commit_all(&source);
    publish(&source, 2, 0);
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    target.now_us += 10 * SECOND;
    for (int i = 0; i < 10; i++)
        shard_tick(target.shard, target.now_us);
    struct batch *batch = shard_next_batch(target.shard);
    assert_non_null(batch);
    assert_int_equal(batch->touches_count, 1);
    assert_int_equal(batch->touches[0].last_seen_us, source.now_us);
    assert_int_equal(batch->touches[0].latest_us, source.now_us);
    assert_int_equal(batch->touches[0].latest.len, sizeof PAYLOAD - 1);
    assert_memory_equal(batch_text_of(batch, batch->touches[0].latest), PAYLOAD,
                        sizeof PAYLOAD - 1);
    answer(&target, batch, true, false);
    end(&source);
    end(&target);
}

static void its_watchers_miss_nothing(void **state)
{
    (void)state;
    struct fixture source, target;
    struct msg_event event = {0};
    begin_source(&source);
    watch(&source, far_ref(THIRD, 1, 1), INTEREST_TELEMETRY);
    watch(&source, own_ref(0), INTEREST_TELEMETRY);
    release_and_give(&source);
    begin_target(&target, &source);
    hand_on(&source, &target);
    publish_to_next(&target, 3);
    commit_all(&target);
    struct shard_out *out = shard_output(target.shard);
    for (unsigned n = OWN; n <= THIRD; n += THIRD - OWN)
        assert_int_equal(take(&out->far[n]->watchers[1], MSG_EVENT, &event, sizeof event), 1);
    end(&source);
    end(&target);
}

/* An edge hears of the next owner, and tells him all that it wants by now, sooner than what its
 * former owner knew comes there: by another way, which is slower. */
static void what_an_edge_says_itself_is_newer_than_what_is_given(void **state)
{
    (void)state;
    struct fixture source, target;
    struct msg_event event = {0};
    struct msg_ref ref = far_ref(THIRD, 1, 1);
    begin_source(&source);
    watch(&source, ref, INTEREST_STATUS);
    release_and_give(&source);
    begin_target(&target, &source);
    ref.epoch = EPOCH + 1;
    watch(&target, ref, INTEREST_STATUS | INTEREST_TELEMETRY);
    told(&target, ref);
    hand_on(&source, &target);
    publish_to_next(&target, 3);
    commit_all(&target);
    struct frame *frame = &shard_output(target.shard)->far[THIRD]->watchers[1];
    assert_int_equal(take(frame, MSG_EVENT, &event, sizeof event), 2);
    end(&source);
    end(&target);
}

/* Who watches it no more says so to its owner: a former one would never hear of it. */
static void a_former_owner_knows_no_watchers(void **state)
{
    (void)state;
    struct fixture f;
    struct msg_event event = {0};
    begin_source(&f);
    watch(&f, far_ref(THIRD, 1, 1), INTEREST_TELEMETRY);
    release_and_give(&f);
    assert_int_equal(f.shard->interest.table.count, 0);
    slot_says(&f, MSG_GIVEN, OWN, EPOCH + 2, 0);
    struct msg_reading reading = make_reading(&f, 1, 0);
    reading.ref.epoch = EPOCH + 2;
    receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    commit_all(&f);
    struct frame *frame = &shard_output(f.shard)->far[THIRD]->watchers[1];
    assert_int_equal(take(frame, MSG_EVENT, &event, sizeof event), 0);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_given_when_it_is_at_rest_and_no_sooner),
        cmocka_unit_test(the_time_without_an_owner_is_counted),
        cmocka_unit_test(every_edge_is_told_behind_its_answers),
        cmocka_unit_test(watchers_of_its_devices_go_with_it),
        cmocka_unit_test(those_of_a_device_without_an_actor_go_too),
        cmocka_unit_test(a_target_that_has_died_since_is_given_nothing),
        cmocka_unit_test(what_has_changed_meanwhile_is_read_anew_there),
        cmocka_unit_test(what_no_frame_can_hold_is_loaded_there),
        cmocka_unit_test(a_device_that_is_left_out_is_woken_there),
        cmocka_unit_test(who_is_to_be_woken_is_woken_by_the_next_owner),
        cmocka_unit_test(claims_of_its_tenants_are_told_anew),
        cmocka_unit_test(an_actor_goes_on_as_it_was),
        cmocka_unit_test(its_rules_keep_their_cooldown),
        cmocka_unit_test(the_sums_of_its_hour_go_on),
        cmocka_unit_test(the_newest_payload_is_written_there),
        cmocka_unit_test(its_watchers_miss_nothing),
        cmocka_unit_test(what_an_edge_says_itself_is_newer_than_what_is_given),
        cmocka_unit_test(a_former_owner_knows_no_watchers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
