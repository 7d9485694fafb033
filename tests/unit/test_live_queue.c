#include "node/live_queue.h"
#include "node/metrics.h"
#include "proto/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define FRAME_BYTES 1024

static struct uuid device(unsigned n)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, &n, sizeof n);
    return id;
}

/* A frame of FRAME_BYTES that begins with `n`. */
static void telemetry(struct live_queue *queue, unsigned of, unsigned n)
{
    char text[FRAME_BYTES] = {0};
    struct uuid id = device(of);
    snprintf(text, sizeof text, "%u", n);
    live_queue_telemetry(queue, &id, text, sizeof text);
}

static unsigned take(struct live_queue *queue)
{
    size_t len;
    unsigned n = 0;
    uint8_t *frame = live_queue_first(queue, &len);
    assert_non_null(frame);
    assert_int_equal(len, FRAME_BYTES);
    assert_int_equal(sscanf((const char *)frame, "%u", &n), 1);
    live_queue_drop_first(queue);
    return n;
}

static unsigned fill(struct live_queue *queue)
{
    unsigned n = 0;
    while (queue->bytes + FRAME_BYTES <= LIMIT_WS_QUEUE_BYTES)
        telemetry(queue, 1, n++);
    return n;
}

static void keeps_the_order(void **state)
{
    (void)state;
    struct live_queue queue;
    live_queue_init(&queue);
    assert_true(live_queue_is_empty(&queue));
    for (unsigned i = 0; i < 10; i++)
        telemetry(&queue, i % 3, i);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(take(&queue), i);
    assert_true(live_queue_is_empty(&queue));
    size_t len;
    assert_null(live_queue_first(&queue, &len));
    live_queue_free(&queue);
}

static void past_its_bound_the_newest_of_each_device_stays(void **state)
{
    (void)state;
    struct live_queue queue;
    live_queue_init(&queue);
    unsigned queued = fill(&queue);
    for (unsigned round = 0; round < 5; round++)
        for (unsigned of = 0; of < 100; of++)
            telemetry(&queue, of, round * 1000 + of);
    assert_true(queue.bytes <= LIMIT_WS_QUEUE_BYTES);
    for (unsigned i = 0; i < queued; i++)
        assert_int_equal(take(&queue), i);
    for (unsigned of = 0; of < 100; of++)
        assert_int_equal(take(&queue), 4000 + of);
    assert_true(live_queue_is_empty(&queue));
    telemetry(&queue, 7, 1); /* and then it goes on as before */
    telemetry(&queue, 7, 2);
    assert_int_equal(take(&queue), 1);
    assert_int_equal(take(&queue), 2);
    live_queue_free(&queue);
}

static void devices_past_the_limit_are_dropped(void **state)
{
    (void)state;
    struct live_queue queue;
    live_queue_init(&queue);
    unsigned queued = fill(&queue);
    for (unsigned of = 0; of < LIMIT_WATCHED_DEVICES + 10; of++)
        telemetry(&queue, of, of);
    assert_int_equal(queue.newest_count, LIMIT_WATCHED_DEVICES);
    for (unsigned i = 0; i < queued; i++)
        take(&queue);
    for (unsigned of = 0; of < LIMIT_WATCHED_DEVICES; of++)
        assert_int_equal(take(&queue), of);
    assert_true(live_queue_is_empty(&queue));
    live_queue_free(&queue);
}

static void other_frames_are_never_dropped_and_fail_at_the_end(void **state)
{
    (void)state;
    struct live_queue queue;
    char text[FRAME_BYTES] = "0";
    live_queue_init(&queue);
    fill(&queue);
    telemetry(&queue, 2, 77); /* waits apart: what follows overtakes it */
    unsigned added = 0;
    while (live_queue_add(&queue, text, sizeof text) == 0)
        added++;
    assert_int_equal(queue.bytes, 4 * LIMIT_WS_QUEUE_BYTES);
    assert_true(added >= 3 * LIMIT_WS_QUEUE_BYTES / FRAME_BYTES);
    assert_int_equal(live_queue_add(&queue, text, sizeof text), ERR_FULL);
    for (unsigned i = 0; i < 4 * LIMIT_WS_QUEUE_BYTES / FRAME_BYTES; i++)
        take(&queue);
    assert_int_equal(take(&queue), 77);
    live_queue_free(&queue);
}

/* Who reads slowly, of many devices, gets what waited apart: that is more than four times the
 * bound, and no reason to close his connection when a status comes. */
static void what_waited_apart_leaves_room_for_other_frames(void **state)
{
    (void)state;
    struct live_queue queue;
    char text[FRAME_BYTES] = "77";
    live_queue_init(&queue);
    unsigned queued = fill(&queue);
    for (unsigned of = 0; of < LIMIT_WATCHED_DEVICES; of++)
        telemetry(&queue, of, of);
    for (unsigned i = 0; i < queued; i++)
        take(&queue);
    assert_int_equal(take(&queue), 0);
    assert_int_equal(live_queue_add(&queue, text, sizeof text), 0);
    assert_int_equal(live_queue_add(&queue, text, sizeof text), 0);
    for (unsigned of = 1; of < LIMIT_WATCHED_DEVICES; of++)
        assert_int_equal(take(&queue), of);
    assert_int_equal(take(&queue), 77);
    assert_int_equal(take(&queue), 77);
    assert_int_equal(queue.bytes + queue.conflated, 0);
    live_queue_free(&queue);
}

static void freeing_gives_back_what_waits(void **state)
{
    (void)state;
    struct live_queue queue;
    live_queue_init(&queue);
    fill(&queue);
    telemetry(&queue, 2, 1); /* the leak check of the sanitizer build sees it */
    live_queue_free(&queue);
    assert_true(live_queue_is_empty(&queue));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keeps_the_order),
        cmocka_unit_test(past_its_bound_the_newest_of_each_device_stays),
        cmocka_unit_test(devices_past_the_limit_are_dropped),
        cmocka_unit_test(other_frames_are_never_dropped_and_fail_at_the_end),
        cmocka_unit_test(what_waited_apart_leaves_room_for_other_frames),
        cmocka_unit_test(freeing_gives_back_what_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
