/* Who subscribes anew to what he has is interested in it all the while. */
#include "node/edge_mqtt.h"
#include "node/mailbox.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static unsigned changes, last_bits;

static void changed(void *context, const struct uuid *tenant, const struct uuid *device,
                    unsigned bits)
{
    (void)context, (void)tenant, (void)device;
    changes++;
    last_bits = bits;
}

static void subscribe(struct mqtt_conn *conn, const char *filter, uint8_t qos)
{
    struct session_subscription wanted = {
        .filter = mqtt_text(filter), .qos = qos, .retain_handling = 2};
    assert_int_equal(edge_watch_subscribe(conn, &wanted), 0);
}

/* No message is lost by it (MQTT-3.8.4-4): a shard that is told in between that nobody is
 * interested tells the next one to nobody. */
static void a_subscription_is_replaced_without_a_gap(void **state)
{
    (void)state;
    static const char filter[] = "00000000-0000-0000-0000-000000000000/devices/+/telemetry";
    struct edge edge = {.watchers.changed = changed};
    struct mqtt_conn conn = {.edge = &edge, .session = session_new(0)};
    zsock_t *mesh = mailbox_open("mesh", 0);
    edge_lanes_open(&edge, &(struct edge_args){.incarnation = 1});
    subscribe(&conn, filter, 0);
    assert_int_equal(changes, 1);
    subscribe(&conn, filter, 1);
    assert_int_equal(changes, 1);
    assert_int_equal(conn.subscriptions_count, 1);
    assert_int_equal(edge_watch_unsubscribe(&conn, mqtt_text(filter)), 0);
    assert_int_equal(changes, 2);
    assert_int_equal(last_bits, 0);
    assert_int_equal(edge_watch_unsubscribe(&conn, mqtt_text(filter)), ERR_NOT_FOUND);
    edge_lanes_close(&edge);
    watchers_free(&edge.watchers);
    session_destroy(&conn.session);
    zsock_destroy(&mesh);
}

int main(void)
{
    zsys_handler_set(NULL);
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_subscription_is_replaced_without_a_gap)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
