/* Points in time are read as RFC 3339 says, refused when they do not exist, and written back. */
#include "proto/timestamp.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
/* 2026-11-23T20:30:26Z */
#define EVENING (INT64_C(1795465826) * SECOND)

struct accepted {
    const char *text;
    int64_t us;
};

static void check_accepted(int (*parse)(const char *, size_t, int64_t *),
                           const struct accepted *table, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t us = -1;
        if (parse(table[i].text, strlen(table[i].text), &us) != 0)
            fail_msg("refused: %s", table[i].text);
        if (us != table[i].us)
            fail_msg("%s: %lld is not %lld", table[i].text, (long long)us, (long long)table[i].us);
    }
}

static void check_refused(int (*parse)(const char *, size_t, int64_t *), const char *const *table,
                          size_t count)
{
    for (size_t i = 0; i < count; i++) {
        int64_t us = 42;
        if (parse(table[i], strlen(table[i]), &us) != ERR_MALFORMED || us != 42)
            fail_msg("accepted: %s", table[i]);
    }
}

static void rfc3339_is_read(void **state)
{
    (void)state;
    static const struct accepted table[] = {
        {"2026-11-23T20:30:26Z", EVENING},
        {"2026-11-23t20:30:26z", EVENING},
        {"2026-11-23 20:30:26Z", EVENING},
        {"2026-11-23T20:30:26+00:00", EVENING},
        {"2026-11-23T20:30:26-00:00", EVENING},
        {"2026-11-23T22:00:26+01:30", EVENING},
        {"2026-11-24T00:30:26+04:00", EVENING},
        {"2026-11-23T00:30:26-20:00", EVENING},
        {"2026-11-23T20:30:26.1Z", EVENING + 100000},
        {"2026-11-23T20:30:26.123456Z", EVENING + 123456},
        {"2026-11-23T20:30:26.1234567Z", EVENING + 123456},
        {"2026-11-23T20:30:26.123456999Z", EVENING + 123456},
        {"2026-11-23T20:30:26.000000999+00:00", EVENING},
        {"2016-12-31T23:59:60Z", INT64_C(1483228800) * SECOND - 1},
        {"2016-12-31T23:59:60.5Z", INT64_C(1483228800) * SECOND - 1},
        {"2017-01-01T05:29:60+05:30", INT64_C(1483228800) * SECOND - 1},
        {"1970-01-01T00:00:00Z", TIMESTAMP_MIN},
        {"1969-12-31T23:00:00-01:00", TIMESTAMP_MIN},
        {"9999-12-31T23:59:59.999999Z", TIMESTAMP_MAX},
        {"2024-02-29T00:00:00Z", INT64_C(1709164800) * SECOND},
        {"2000-02-29T00:00:00Z", INT64_C(951782400) * SECOND},
    };
    check_accepted(timestamp_parse_rfc3339, table, sizeof table / sizeof *table);
}

static void what_is_no_point_in_time_is_refused(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "2026",
        "2026-11-23",
        "2026-11-23T20:30Z",
        "2026-11-23T20:30:26",
        "2026-11-23T20:30:26 ",
        "2026-11-23T20:30:26Z ",
        " 2026-11-23T20:30:26Z",
        "2026-11-23T20:30:26.Z",
        "2026-11-23T20:30:26,5Z",
        "2026-11-23T20:30:26.1234567890Z",
        "2026-11-23T20:30:26.12a4Z",
        "2026-11-23T20:30:26+0100",
        "2026-11-23T20:30:26+01",
        "2026-11-23T20:30:26+24:00",
        "2026-11-23T20:30:26+01:60",
        "2026-11-23T20:30:26 01:00",
        "2026-11-23T20:30:26+01:00Z",
        "2026-11-23T20:30:61Z",
        "2026-11-23T20:60:00Z",
        "2026-11-23T24:00:00Z",
        "2026-11-23T-1:00:00Z",
        "2026-11-23_20:30:26Z",
        "2026-00-23T20:30:26Z",
        "2026-13-23T20:30:26Z",
        "2026-11-00T20:30:26Z",
        "2026-11-31T20:30:26Z",
        "2026-02-29T00:00:00Z",
        "2100-02-29T00:00:00Z",
        "2024-02-30T00:00:00Z",
        "2026-1-23T20:30:26Z",
        "26-11-23T20:30:26Z",
        "+2026-11-23T20:30:26Z",
        "12026-11-23T20:30:26Z",
        "1969-12-31T23:59:59.999999Z",
        "1970-01-01T00:00:00+00:01",
        "9999-12-31T23:59:59-00:01",
        "0000-01-01T00:00:00Z",
        "1795465826000",
    };
    check_refused(timestamp_parse_rfc3339, table, sizeof table / sizeof *table);
    int64_t us;
    assert_int_equal(timestamp_parse_rfc3339("2026-11-23T20:30:26\0Z", 21, &us), ERR_MALFORMED);
    assert_int_equal(timestamp_parse_rfc3339("2026-11-23\0"
                                             "20:30:26Z",
                                             20, &us),
                     ERR_MALFORMED);
}

static void a_query_may_say_it_shorter(void **state)
{
    (void)state;
    static const struct accepted table[] = {
        {"2026-11-23T20:30:26Z", EVENING},
        {"2026-11-23T22:00:26+01:30", EVENING},
        {"2026-11-23T22:00:26 01:30", EVENING},
        {"2026-11-23 22:00:26.5 01:30", EVENING + 500000},
        {"2026-11-23T19:00:26-01:30", EVENING},
        {"2026-11-23", INT64_C(1795392000) * SECOND},
        {"1970-01-01", 0},
        {"1795465826123", EVENING + 123000},
        {"0", 0},
        {"20261123", INT64_C(20261123) * SECOND}, /* digits alone are no date */
        {"1795465826", EVENING},
        {"99999999999", INT64_C(99999999999) * SECOND},
        {"100000000000", INT64_C(100000000) * SECOND},
        {"2026-11-23T20:30:26.123456", EVENING + 123456},
        {"2026-11-23 20:30:26", EVENING},
        {"2026-11-23T20:30Z", EVENING - 26 * SECOND},
        {"2026-11-23T20:30", EVENING - 26 * SECOND},
        {"2026-11-23T22:00+01:30", EVENING - 26 * SECOND},
        {"2026-11-23T22:00 0130", EVENING - 26 * SECOND},
        {"2026-11-23T20:30:26+0000", EVENING},
        {"2026-11-23T19:00:26-0130", EVENING},
        {"253402300799999", TIMESTAMP_MAX - 999},
    };
    check_accepted(timestamp_parse_query, table, sizeof table / sizeof *table);
    static const char *const refused[] = {
        "",
        "-1",
        "1.5",
        "1e3",
        "253402300800000",
        "99999999999999999999999",
        "2026-1",
        "2026-02-30",
        "today",
        "1969-12-31",
        "2026-11-23T",
        " 5",
        "5 ",
        "2026-11-23Z",
        "+5",
        "2026-11-23T20:30:26  01:30",
        "2026-11-23T20:30:26 ",
        "2026-11-23T20",
        "2026-11-23T20:30:",
        "2026-11-23T20:30:26.",
        "2026-11-23T20:30:26+013",
        "2026-11-23T20:30:26+01",
        "2026-11-23T20:30.5",
        "2026-11-23T24:00",
    };
    check_refused(timestamp_parse_query, refused, sizeof refused / sizeof *refused);
}

/* Against the C library's own calendar. */
static void expect_text(int64_t us)
{
    char ours[TIMESTAMP_TEXT_SIZE], theirs[64], whole[32];
    int64_t fraction = us % SECOND;
    if (fraction < 0)
        fraction += SECOND;
    time_t seconds = (time_t)((us - fraction) / SECOND);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    snprintf(whole, sizeof whole, "%04d-%02d-%02dT%02d:%02d:%02d", (tm.tm_year + 1900) % 10000,
             tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec);
    snprintf(theirs, sizeof theirs, "%s.%06lld+00:00", whole, (long long)fraction);
    assert_int_equal(timestamp_format(us, ours), TIMESTAMP_TEXT_LEN);
    assert_string_equal(ours, theirs);
}

static void every_day_is_written_as_the_calendar_has_it(void **state)
{
    (void)state;
    const int64_t day = 86400 * SECOND;
    for (int64_t d = -719528; d <= 2932896; d += d < -300 || d > 60000 ? 13 : 1) {
        expect_text(d * day);
        expect_text(d * day + day - 1);
    }
    expect_text(TIMESTAMP_MAX);
    expect_text(EVENING + 7);
}

static void what_is_written_is_read_back(void **state)
{
    (void)state;
    unsigned short seed[3] = {2026, 11, 23};
    for (int i = 0; i < 200000; i++) {
        char text[TIMESTAMP_TEXT_SIZE];
        int64_t back, us = (int64_t)(erand48(seed) * (double)TIMESTAMP_MAX);
        timestamp_format(us, text);
        assert_int_equal(timestamp_parse_rfc3339(text, TIMESTAMP_TEXT_LEN, &back), 0);
        assert_true(back == us);
        assert_int_equal(timestamp_parse_query(text, TIMESTAMP_TEXT_LEN, &back), 0);
        assert_true(back == us);
    }
}

static void instants_without_a_text_are_written_as_the_nearest(void **state)
{
    (void)state;
    char text[TIMESTAMP_TEXT_SIZE];
    timestamp_format(INT64_MIN, text);
    assert_string_equal(text, "0000-01-01T00:00:00.000000+00:00");
    timestamp_format(INT64_MAX, text);
    assert_string_equal(text, "9999-12-31T23:59:59.999999+00:00");
    timestamp_format(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999+00:00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc3339_is_read),
        cmocka_unit_test(what_is_no_point_in_time_is_refused),
        cmocka_unit_test(a_query_may_say_it_shorter),
        cmocka_unit_test(every_day_is_written_as_the_calendar_has_it),
        cmocka_unit_test(what_is_written_is_read_back),
        cmocka_unit_test(instants_without_a_text_are_written_as_the_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
