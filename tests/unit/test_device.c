/* What can be said of one actor alone: its status, when it may go, what it holds. */
#include "actors/device.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND 1000000LL
#define NOW (1000000 * SECOND)

static const struct device_times times = {300 * SECOND, 900 * SECOND, 5 * SECOND, 10 * SECOND,
                                          3600 * SECOND};

static struct presence present; /* a connection of the device's own */

static int status(struct device device)
{
    return (int)device_status_due(&device, &times, NOW);
}

static void a_device_is_small(void **state)
{
    (void)state;
    assert_true(sizeof(struct device) <= 256);
}

static void with_a_connection_it_is_online_or_idle(void **state)
{
    (void)state;
    struct device device = {.presences = &present, .last_seen_us = NOW - 300 * SECOND + 1};
    assert_int_equal(status(device), STATUS_ONLINE);
    device.last_seen_us--;
    assert_int_equal(status(device), STATUS_IDLE);
    device.last_seen_us = 0;
    assert_int_equal(status(device), STATUS_IDLE);
}

static void after_its_connection_it_has_a_grace(void **state)
{
    (void)state;
    struct device device = {.last_seen_us = NOW - 20 * SECOND,
                            .disconnected_us = NOW - 5 * SECOND + 1};
    assert_int_equal(status(device), STATUS_ONLINE);
    device.disconnected_us--;
    assert_int_equal(status(device), STATUS_OFFLINE);
    device.last_seen_us = NOW - SECOND; /* someone publishes for it since */
    assert_int_equal(status(device), STATUS_ONLINE);
    /* However long it was silent: it was connected. */
    device.last_seen_us = NOW - 2000 * SECOND;
    device.disconnected_us = NOW - 5 * SECOND + 1;
    assert_int_equal(status(device), STATUS_IDLE);
    /* Its former owner saw it by a clock that was ahead. */
    device.last_seen_us = NOW - 5 * SECOND;
    device_disconnected(&device, NOW - 6 * SECOND);
    assert_int_equal(status(device), STATUS_OFFLINE);
}

static void without_a_connection_silence_makes_it_offline(void **state)
{
    (void)state;
    assert_int_equal(status((struct device){0}), STATUS_OFFLINE);
    assert_int_equal(status((struct device){.last_seen_us = NOW}), STATUS_ONLINE);
    assert_int_equal(status((struct device){.last_seen_us = NOW + SECOND}), STATUS_ONLINE);
    assert_int_equal(status((struct device){.last_seen_us = NOW - 300 * SECOND}), STATUS_IDLE);
    assert_int_equal(status((struct device){.last_seen_us = NOW - 900 * SECOND}), STATUS_OFFLINE);
}

static bool may_go(struct device device)
{
    return device_may_passivate(&device, &times, NOW);
}

static void it_goes_when_offline_long_enough_and_nothing_is_on_its_way(void **state)
{
    (void)state;
    struct device idle = {.state = DEVICE_LIVE, .touched_us = NOW - 3600 * SECOND};
    assert_true(may_go(idle));
    struct device device = idle;
    device.touched_us++;
    assert_false(may_go(device));
    device = idle, device.in_flight = 1;
    assert_false(may_go(device));
    device = idle, device.presences = &present;
    assert_false(may_go(device));
    device = idle, device.dirty = true;
    assert_false(may_go(device));
    device = idle, device.status = STATUS_IDLE;
    assert_false(may_go(device));
    device = idle, device.state = DEVICE_CHECKING;
    assert_false(may_go(device));
    device = idle, device.state = DEVICE_LOADING;
    assert_false(may_go(device));
}

static void an_absent_one_is_asked_for_again_after_a_second(void **state)
{
    (void)state;
    struct device device = {.state = DEVICE_ABSENT, .touched_us = NOW - SECOND};
    assert_true(may_go(device) && device_may_ask_again(&device, NOW));
    device.presences = &present;
    assert_true(!may_go(device) && device_may_ask_again(&device, NOW));
    device.in_flight = 1;
    assert_false(device_may_ask_again(&device, NOW));
    device.in_flight = 0;
    device.touched_us++;
    assert_false(device_may_ask_again(&device, NOW));
}

static void what_it_holds_comes_out_in_order(void **state)
{
    (void)state;
    struct device device = {0};
    struct msg_reading reading = {0};
    for (uint32_t i = 0; i < 5; i++) {
        reading.message_key = i;
        struct item item = {MSG_READING, &reading, (const uint8_t *)"text", 4, 100 + i};
        assert_int_equal(device_hold(&device, &item, 1), 0);
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct held *held = device_unhold(&device);
        assert_int_equal(held->reading.message_key, i);
        assert_int_equal(held->item_bytes, 100 + i);
        assert_memory_equal(held->texts, "text", 4);
        free(held);
    }
    device_clear(&device);
    assert_null(device_unhold(&device));
    assert_null(device.held_last);
}

static struct msg_ref connection(uint16_t node, uint16_t life, uint32_t conn, uint32_t generation)
{
    return (struct msg_ref){.node = node, .life = life, .conn = conn, .generation = generation};
}

/* Told again, or told of another that has gone, its connections are the same. */
static void its_connections_are_told_apart(void **state)
{
    (void)state;
    struct device device = {0};
    const struct msg_ref a = connection(1, 7, 3, 1), b = connection(2, 7, 3, 1);
    const struct msg_ref others[] = {connection(1, 8, 3, 1), connection(1, 7, 4, 1),
                                     connection(1, 7, 3, 2), connection(3, 7, 3, 1)};
    struct msg_ref of_b = b;
    assert_true(device_came(&device, &a, false));
    assert_false(device_came(&device, &a, false));
    assert_true(device_came(&device, &b, false));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(device_went(&device, &others[i]));
    of_b.slot = 9, of_b.epoch = 4, of_b.item = 5; /* say nothing of the connection */
    assert_true(device_went(&device, &of_b));
    assert_false(device_went(&device, &b));
    assert_non_null(device.presences);
    assert_true(device_went(&device, &a));
    assert_null(device.presences);
    device_clear(&device);
}

/* An edge that names all it has leaves out who went while it knew of no owner. */
static void whom_its_edge_does_not_name_has_gone(void **state)
{
    (void)state;
    struct device device = {0};
    const struct msg_ref a = connection(1, 7, 3, 1), b = connection(1, 7, 4, 1);
    const struct msg_ref other_edge = {.node = 1, .life = 7, .edge = 1, .conn = 3, .generation = 1};
    assert_true(device_came(&device, &a, false));
    assert_true(device_came(&device, &other_edge, false));
    assert_true(device_came(&device, &b, true));
    assert_true(device_told(&device, &a));
    assert_false(device_went(&device, &a));
    assert_false(device_came(&device, &b, true));
    assert_false(device_told(&device, &a));
    assert_true(device_told(&device, &a)); /* this time it named nobody */
    assert_true(device_went(&device, &other_edge));
    assert_null(device.presences);
    device_clear(&device);
}

static void the_connections_of_a_node_go_with_it(void **state)
{
    (void)state;
    struct device device = {0};
    for (uint32_t i = 0; i < 12; i++) {
        const struct msg_ref ref = connection((uint16_t)(i % 3), 1, i, 0);
        assert_true(device_came(&device, &ref, false));
    }
    assert_false(device_lost_node(&device, 3));
    assert_true(device_lost_node(&device, 1));
    assert_false(device_lost_node(&device, 1));
    unsigned left = 0;
    for (const struct presence *p = device.presences; p != NULL; p = p->next, left++)
        assert_int_not_equal(p->ref.node, 1);
    assert_int_equal(left, 8);
    assert_true(device_lost_node(&device, 0) && device_lost_node(&device, 2));
    assert_null(device.presences);
    device_clear(&device);
}

static void the_newest_payload_replaces_the_one_before(void **state)
{
    (void)state;
    struct device device = {0};
    assert_int_equal(device_keep_latest(&device, "short", 5), 0);
    assert_int_equal(device_keep_latest(&device, "a longer one", 12), 0);
    assert_int_equal(device_keep_latest(&device, "last", 4), 0);
    assert_int_equal(device.latest->len, 4);
    assert_memory_equal(device.latest->payload, "last", 4);
    device_drop_kept(&device);
    assert_null(device.latest);
    device_clear(&device);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_device_is_small),
        cmocka_unit_test(with_a_connection_it_is_online_or_idle),
        cmocka_unit_test(after_its_connection_it_has_a_grace),
        cmocka_unit_test(without_a_connection_silence_makes_it_offline),
        cmocka_unit_test(it_goes_when_offline_long_enough_and_nothing_is_on_its_way),
        cmocka_unit_test(an_absent_one_is_asked_for_again_after_a_second),
        cmocka_unit_test(what_it_holds_comes_out_in_order),
        cmocka_unit_test(its_connections_are_told_apart),
        cmocka_unit_test(whom_its_edge_does_not_name_has_gone),
        cmocka_unit_test(the_connections_of_a_node_go_with_it),
        cmocka_unit_test(the_newest_payload_replaces_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
