/* What an edge has to say goes in frames that everybody takes, however much it is in one turn. */
#include "node/edge_inside.h"
#include "node/mailbox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static const struct uuid tenant = {.bytes = {1}}, all;

static void open_edge(struct edge *edge, zsock_t *inboxes[static 2])
{
    struct edge_args args = {.incarnation = 1};
    struct msg_node node = {.life = 1, .alive = 1, .edges = 1, .shards = 1};
    memset(edge, 0, sizeof *edge);
    inboxes[0] = mailbox_open("shard", 0);
    inboxes[1] = mailbox_open("mesh", 0);
    edge->to_shard[0] = mailbox_connect("shard", 0, 0);
    edge_lanes_open(edge, &args);
    edge_lanes_take(edge, &(struct item){.kind = MSG_NODE, .fixed = &node});
}

static void close_edge(struct edge *edge, zsock_t *inboxes[static 2])
{
    edge_lanes_close(edge);
    zsock_destroy(&edge->to_shard[0]);
    zsock_destroy(&inboxes[0]);
    zsock_destroy(&inboxes[1]);
}

/* Items of the next frame; 0: there is none. */
static unsigned frame_items(zsock_t *inbox)
{
    zmq_msg_t message;
    struct frame_reader reader;
    struct item item;
    unsigned count = 0;
    if (!mailbox_take(inbox, &message))
        return 0;
    assert_int_equal(frame_open(&reader, zmq_msg_data(&message), zmq_msg_size(&message)), 0);
    while (frame_next(&reader, &item) == 1)
        count++;
    zmq_msg_close(&message);
    return count;
}

/* Subscriptions cost no credit: thousands of connections may have so many in one turn that one
 * frame would not hold what is said of them. */
static void no_frame_grows_with_what_a_turn_says(void **state)
{
    (void)state;
    struct edge edge;
    zsock_t *inboxes[2];
    open_edge(&edge, inboxes);
    for (unsigned i = 0; i < LIMIT_FRAME_ITEMS; i++) {
        edge_lanes_interest(&edge, &tenant, &all, i % 2);
        assert_int_equal(edge_lanes_sync(&edge, &(struct msg_sync){0}, &tenant, &all), 1);
    }
    assert_int_equal(frame_items(inboxes[0]), LIMIT_FRAME_ITEMS);
    assert_int_equal(frame_items(inboxes[0]), LIMIT_FRAME_ITEMS);
    assert_int_equal(frame_items(inboxes[0]), 0);
    edge_lanes_interest(&edge, &tenant, &all, 1);
    edge_lanes_flush(&edge);
    assert_int_equal(frame_items(inboxes[0]), 1);
    close_edge(&edge, inboxes);
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_frame_grows_with_what_a_turn_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
