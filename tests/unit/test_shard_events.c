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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_what_was_promised_is_kept_for_a_slow_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
