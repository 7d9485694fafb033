/* What goes to the watchers of other nodes, and what of it may be dropped on the way. */
#include "tests/unit/shard_fixture.h"

#define OTHER 8

static void only_what_was_promised_is_kept_for_a_slow_node(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    node_says(&f, OTHER, 1, true);
    struct msg_interest interest = {
        .ref = far_ref(OTHER, 1, 1), .tenant = tenant, .bits = INTEREST_MESSAGES};
    receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
    struct shard_far *far = shard_output(f.shard)->far[OTHER];
    for (uint8_t qos = 0; qos < 3; qos++) {
        struct msg_event event;
        struct msg_message message = {.ref = own_ref(qos),
                                      .tenant = tenant,
                                      .device = device_id,
                                      .flags = qos,
                                      .topic_len = 1};
        receive(&f, MSG_MESSAGE, &message, sizeof message, "t");
        bool kept = take(&far->promised[1], MSG_EVENT, &event, sizeof event) == 1;
        bool droppable = take(&far->watchers[1], MSG_EVENT, &event, sizeof event) == 1;
        assert_int_equal(kept, qos > 0);
        assert_int_equal(droppable, qos == 0);
    }
    end(&f);
}

/* As it is told, and as it is told once it is kept. */
static void what_a_client_says_of_its_message_goes_with_it(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    struct msg_interest interest = {.ref = own_ref(0), .tenant = tenant, .bits = INTEREST_MESSAGES};
    receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
    for (unsigned retain = 0; retain < 2; retain++) {
        struct msg_message message = {.ref = own_ref(1),
                                      .tenant = tenant,
                                      .device = device_id,
                                      .flags = (uint8_t)(1 | (retain ? MSG_RETAIN : 0)),
                                      .expires_us = 77,
                                      .topic_len = 1,
                                      .payload_len = 2,
                                      .properties_len = 3};
        receive(&f, MSG_MESSAGE, &message, sizeof message, "tpaabc");
        if (retain)
            commit_all(&f);
        struct frame_reader reader;
        struct item item;
        struct span bytes = frame_finish(&shard_output(f.shard)->edge[1]);
        assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
        do
            assert_int_equal(frame_next(&reader, &item), 1);
        while (item.kind != MSG_EVENT);
        struct msg_event event = *(const struct msg_event *)item.fixed;
        assert_int_equal(event.expires_us, 77);
        assert_int_equal(event.body_len, 2);
        assert_int_equal(event.properties_len, 3);
        assert_memory_equal(item.texts, "tpaabc", 6);
        frame_clear(&shard_output(f.shard)->edge[1]);
    }
    end(&f);
}

static struct msg_ref connection(uint16_t packet_id)
{
    struct msg_ref ref = own_ref(packet_id);
    ref.conn = 70U + packet_id;
    ref.generation = 5;
    return ref;
}

/* So that a subscriber that asked for No Local can be left out, wherever it is. */
static void a_publishers_connection_goes_with_what_it_says(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    make_live(&f);
    struct msg_interest interest = {.ref = own_ref(0),
                                    .tenant = tenant,
                                    .bits = INTEREST_TELEMETRY | INTEREST_MESSAGES |
                                            INTEREST_ALERTS | INTEREST_STATUS};
    receive(&f, MSG_INTEREST, &interest, sizeof interest, "");
    struct msg_reading reading = make_reading(&f, 1, 0);
    reading.ref = connection(1);
    receive(&f, MSG_READING, &reading, sizeof reading, PAYLOAD);
    for (uint8_t i = 2; i <= 3; i++) {
        struct msg_message message = {.ref = connection(i),
                                      .tenant = tenant,
                                      .device = device_id,
                                      .flags = (uint8_t)(i == 3 ? 1 | MSG_RETAIN : 1),
                                      .topic_len = 1};
        receive(&f, MSG_MESSAGE, &message, sizeof message, "t");
    }
    commit_all(&f);
    struct frame_reader reader;
    struct item item;
    unsigned of_clients = 0;
    struct span bytes = frame_finish(&shard_output(f.shard)->edge[1]);
    assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
    while (frame_next(&reader, &item) == 1) {
        if (item.kind != MSG_EVENT)
            continue;
        struct msg_event event = *(const struct msg_event *)item.fixed;
        bool clients = event.event == EVENT_TELEMETRY || event.event == EVENT_MESSAGE;
        struct msg_ref from = event.from, sender = connection(from.packet_id);
        assert_int_equal(msg_same_connection(&from, &sender), clients);
        of_clients += clients;
    }
    assert_int_equal(of_clients, 3);
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_promised_is_kept_for_a_slow_node),
        cmocka_unit_test(what_a_client_says_of_its_message_goes_with_it),
        cmocka_unit_test(a_publishers_connection_goes_with_what_it_says),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
