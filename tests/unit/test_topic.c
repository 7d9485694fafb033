#include "proto/topic.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-000000000001"
#define DEVICE "00000000-0000-0000-0000-000000000100"

static void names_have_no_wildcards(void **state)
{
    (void)state;
    assert_true(topic_name_valid("a/b//c", 6));
    assert_true(topic_name_valid("/", 1));
    assert_false(topic_name_valid("", 0));
    assert_false(topic_name_valid("a/+", 3));
    assert_false(topic_name_valid("a#", 2));
    assert_false(topic_name_valid("a\0b", 3));
}

static void filters_have_wildcards_in_their_place(void **state)
{
    (void)state;
    static const struct {
        const char *filter;
        bool valid;
    } cases[] = {
        {"#", true},
        {"+", true},
        {"a/#", true},
        {"a/+/b", true},
        {"+/+", true},
        {"/+", true},
        {"//", true},
        {"+/#", true},
        {"a", true},
        {"$SYS/#", true},
        {"", false},
        {"a#", false},
        {"a/#/b", false},
        {"a+", false},
        {"+a/b", false},
        {"##", false},
        {"a/b#", false},
        {"#/", false},
        {"$share/g/a", true},
        {"$share/g/#", true},
        {"$share/g/", false},
        {"$share/g", false},
        {"$share//a", false},
        {"$share/+/a", false},
        {"$share/g#/a", false},
        {"$share/", false},
        {"$share", true},
        {"$share/g/a#", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (topic_filter_valid(cases[i].filter, strlen(cases[i].filter)) != cases[i].valid)
            fail_msg("%s", cases[i].filter);
}

static void filters_match_as_the_specification_says(void **state)
{
    (void)state;
    static const struct {
        const char *filter, *topic;
        bool matches;
    } cases[] = {
        {"sport/tennis/player1/#", "sport/tennis/player1", true},
        {"sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true},
        {"sport/tennis/player1/#", "sport/tennis/player2", false},
        {"sport/#", "sport", true},
        {"sport/#", "sports", false},
        {"#", "a/b/c", true},
        {"sport/tennis/+", "sport/tennis/player1", true},
        {"sport/tennis/+", "sport/tennis/player1/ranking", false},
        {"sport/+", "sport", false},
        {"sport/+", "sport/", true},
        {"+/+", "/finance", true},
        {"/+", "/finance", true},
        {"+", "/finance", false},
        {"+/monitor/Clients", "$SYS/monitor/Clients", false},
        {"#", "$SYS/monitor/Clients", false},
        {"$SYS/#", "$SYS/monitor/Clients", true},
        {"$SYS/monitor/+", "$SYS/monitor/Clients", true},
        {"a/b", "a/b", true},
        {"a/b", "a/b/", false},
        {"a/b/", "a/b", false},
        {"a", "A", false},
        {"a/+/c/#", "a/b/c", true},
        {"a/+/c/#", "a//c/d", true},
        {"/", "/", true},
        {"+/#", "a", true},
        {"", "a", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (topic_matches(cases[i].filter, strlen(cases[i].filter), cases[i].topic,
                          strlen(cases[i].topic)) != cases[i].matches)
            fail_msg("%s against %s", cases[i].filter, cases[i].topic);
}

static void wide_filters_cover_narrow_ones(void **state)
{
    (void)state;
    static const struct {
        const char *wide, *narrow;
        bool covers;
    } cases[] = {
        {"#", "#", true},         {"#", "+/a/#", true},
        {"+", "#", false},        {"+", "+", true},
        {"+", "a", true},         {"a", "+", false},
        {"a/#", "a/+/b", true},   {"a/#", "a", true},
        {"a/+", "a/#", false},    {"devices/#", "+/x", false},
        {"a/+/c", "a/b/c", true}, {"a/+/c", "a/+/+", false},
        {"+/+/#", "a/#", false},  {"#", "$x", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (topic_covers(cases[i].wide, strlen(cases[i].wide), cases[i].narrow,
                         strlen(cases[i].narrow)) != cases[i].covers)
            fail_msg("%s over %s", cases[i].wide, cases[i].narrow);
}

static void device_topics_are_taken_apart(void **state)
{
    (void)state;
    struct uuid tenant, device;
    const char *rest;
    size_t rest_len;
    const char good[] = TENANT "/devices/" DEVICE "/telemetry/x";
    assert_int_equal(topic_parse_device(good, sizeof good - 1, &tenant, &device, &rest, &rest_len),
                     0);
    assert_int_equal(tenant.bytes[15], 1);
    assert_int_equal(device.bytes[14], 1);
    assert_int_equal(rest_len, 11);
    assert_memory_equal(rest, "telemetry/x", 11);
    static const char *const bad[] = {TENANT "/devices/" DEVICE "/",
                                      TENANT "/devices/" DEVICE,
                                      TENANT "/device/" DEVICE "/t",
                                      "x" TENANT "/devices/" DEVICE "/t",
                                      TENANT "/devices/+/t",
                                      "",
                                      TENANT "/devices/0000000g-0000-0000-0000-000000000100/t"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (topic_parse_device(bad[i], strlen(bad[i]), &tenant, &device, &rest, &rest_len) !=
            ERR_MALFORMED)
            fail_msg("%s", bad[i]);
}

static void shared_filters_are_split(void **state)
{
    (void)state;
    const char *group, *filter;
    size_t group_len, filter_len;
    assert_int_equal(
        topic_split_shared("$share/g1/a/#", 13, &group, &group_len, &filter, &filter_len), 0);
    assert_int_equal(group_len, 2);
    assert_memory_equal(group, "g1", 2);
    assert_int_equal(filter_len, 3);
    assert_memory_equal(filter, "a/#", 3);
    assert_int_equal(topic_split_shared("a/b", 3, &group, &group_len, &filter, &filter_len),
                     ERR_NOT_FOUND);
    assert_int_equal(topic_split_shared("$share/g", 8, &group, &group_len, &filter, &filter_len),
                     ERR_MALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_have_no_wildcards),
        cmocka_unit_test(filters_have_wildcards_in_their_place),
        cmocka_unit_test(filters_match_as_the_specification_says),
        cmocka_unit_test(wide_filters_cover_narrow_ones),
        cmocka_unit_test(device_topics_are_taken_apart),
        cmocka_unit_test(shared_filters_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
