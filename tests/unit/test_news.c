/* What changed in the view of the cluster, as operators read it. */
#include "node/news.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct view_node eu1 = {
    .node_id = "eu-1", .number = 0, .region = 0, .incarnation = 7, .state = MEMBER_DRAINING};
static struct view_node us1 = {
    .node_id = "us-1", .number = 255, .region = 1, .incarnation = 1, .state = MEMBER_LEFT};
static struct view_node *nodes[LIMIT_NODES] = {[0] = &eu1, [255] = &us1};
static struct view_region regions[] = {{"eu"}, {"us"}};
static const struct view_rows rows = {.version = 42, .regions = regions, .regions_count = 2};

#define VERSION_EVENT "event: version\nid: 42\ndata: {\"version\":42}\n\n"

static void assert_news(struct news *news, const char *expected)
{
    const struct buf *text = news_finish(news, nodes, &rows);
    assert_int_equal(text->len, strlen(expected));
    assert_memory_equal(text->data, expected, text->len);
    news_clear(news);
}

static void a_version_ends_the_events_that_led_to_it(void **state)
{
    (void)state;
    struct news news;
    news_init(&news);
    assert_news(&news, VERSION_EVENT);
    news_node(&news, 0);
    news_node(&news, 255);
    assert_news(&news, "event: node\ndata: {\"node_id\":\"eu-1\",\"region\":\"eu\",\"state\":"
                       "\"draining\",\"incarnation\":7,\"version\":42}\n\n"
                       "event: node\ndata: {\"node_id\":\"us-1\",\"region\":\"us\",\"state\":"
                       "\"left\",\"incarnation\":1,\"version\":42}\n\n" VERSION_EVENT);
    assert_news(&news, VERSION_EVENT); /* each is told once */
    news_free(&news);
    news_free(&news);
}

static void slots_are_counted_by_their_way(void **state)
{
    (void)state;
    struct news news;
    news_init(&news);
    for (unsigned i = 0; i < 5; i++) {
        news_slot(&news, 0, 0, 255);
        news_slot(&news, 1, 255, 0);
    }
    news_slot(&news, 0, PLACEMENT_NOBODY, 0);
    news_slot(&news, 0, 9, 0); /* of a node that nobody has heard of */
    assert_news(&news, "event: slots\ndata: {\"region\":\"eu\",\"from\":\"eu-1\",\"to\":\"us-1\","
                       "\"count\":5,\"version\":42}\n\n"
                       "event: slots\ndata: {\"region\":\"us\",\"from\":\"us-1\",\"to\":\"eu-1\","
                       "\"count\":5,\"version\":42}\n\n"
                       "event: slots\ndata: {\"region\":\"eu\",\"from\":null,\"to\":\"eu-1\","
                       "\"count\":1,\"version\":42}\n\n"
                       "event: slots\ndata: {\"region\":\"eu\",\"from\":null,\"to\":\"eu-1\","
                       "\"count\":1,\"version\":42}\n\n" VERSION_EVENT);
    news_free(&news);
}

static void many_ways_have_room(void **state)
{
    (void)state;
    struct news news;
    news_init(&news);
    for (uint16_t from = 0; from < LIMIT_NODES; from++)
        for (uint16_t region = 0; region < LIMIT_REGIONS; region++)
            news_slot(&news, region, from, PLACEMENT_NOBODY);
    assert_int_equal(news.ways_count, LIMIT_NODES * LIMIT_REGIONS);
    assert_false(buf_failed(news_finish(&news, nodes, &rows)));
    news_free(&news);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_version_ends_the_events_that_led_to_it),
        cmocka_unit_test(slots_are_counted_by_their_way),
        cmocka_unit_test(many_ways_have_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
