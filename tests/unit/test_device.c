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
    struct device device = {.connections = 1, .last_seen_us = NOW - 300 * SECOND + 1};
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
    device = idle, device.connections = 1;
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
    device.connections = 1;
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
        cmocka_unit_test(the_newest_payload_replaces_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
