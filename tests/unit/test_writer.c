/* The writer thread: batches come back in order, and it ends when told, database or not. */
#include "node/config.h"
#include "node/mailbox.h"
#include "node/writer.h"
#include "store_fixture.h"

/* Each test its own names: a closed socket keeps its name for a moment. */
static zactor_t *start(const struct config *config, unsigned index)
{
    struct writer_args *args = malloc(sizeof *args);
    *args = (struct writer_args){.config = config, .index = index, .incarnation = INCARNATION};
    return zactor_new(writer_actor, args);
}

static struct batch *await(zsock_t *from)
{
    zmq_msg_t message;
    zmq_pollitem_t item = {.socket = zsock_resolve(from), .events = ZMQ_POLLIN};
    assert_int_equal(zmq_poll(&item, 1, 20000), 1);
    assert_true(mailbox_take(from, &message));
    struct batch *batch = mailbox_object(&message);
    zmq_msg_close(&message);
    return batch;
}

static void gives_batches_back_committed_and_in_order(void **state)
{
    (void)state;
    const struct config config = {.database_url = server.url, .node_id = "eu-1", .shards = 1};
    zsock_t *done = mailbox_open("done", 0);
    zactor_t *writer = start(&config, 0);
    zsock_t *to = mailbox_connect("writer", 0, 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct batch *batch = batch_new();
        batch->number = i;
        add_row(batch, 1, now_us, 1);
        mailbox_give(to, batch);
    }
    for (uint64_t i = 0; i < 3; i++) {
        struct batch *batch = await(done);
        assert_int_equal(batch->number, i);
        assert_int_equal(batch->error, 0);
        batch_destroy(&batch);
    }
    assert_string_equal(ask(TELEMETRY_COUNT), "3");
    zsock_destroy(&to);
    zactor_destroy(&writer);
    zsock_destroy(&done);
}

static void ends_with_the_database_away(void **state)
{
    (void)state;
    const struct config config = {
        .database_url = "host=/nonexistent", .node_id = "eu-1", .shards = 2};
    zsock_t *done = mailbox_open("done", 1);
    zactor_t *writer = start(&config, 1);
    zsock_t *to = mailbox_connect("writer", 1, 0);
    for (int i = 0; i < 2; i++) {
        struct batch *batch = batch_new();
        batch->shard = 1;
        add_row(batch, 1, 1000000, 1);
        mailbox_give(to, batch);
    }
    zsock_destroy(&to);
    zactor_destroy(&writer);
    for (int i = 0; i < 2; i++) {
        struct batch *batch = await(done);
        assert_int_equal(batch->error, ERR_UNAVAILABLE);
        batch_destroy(&batch);
    }
    zsock_destroy(&done);
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(gives_batches_back_committed_and_in_order, set_up),
        cmocka_unit_test(ends_with_the_database_away),
    };
    return cmocka_run_group_tests(tests, set_up_server, tear_down_server);
}
