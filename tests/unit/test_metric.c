/* A metric's name can be judged before any reading brings it, and found in one that did. */
#include "proto/metric.h"
#include "proto/reading.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void names_can_be_asked_beforehand(void **state)
{
    (void)state;
    assert_true(metric_name_valid("temperature", 11));
    assert_true(metric_name_valid("_", 1));
    assert_false(metric_name_valid("", 0));
    assert_false(metric_name_valid("timestamp", 9));
    assert_true(metric_name_valid("timestamps", 10));
    assert_false(metric_name_valid("a b", 3));
    assert_false(metric_name_valid("a\0", 2));
    char name[65];
    memset(name, 'n', sizeof name);
    assert_true(metric_name_valid(name, 64));
    assert_false(metric_name_valid(name, 65));
    for (enum metric metric = 0; metric < METRICS; metric++) {
        const char *text = metric_names[metric];
        assert_int_equal(metric_find(text, strlen(text)), metric);
        assert_int_equal(metric_find(text, strlen(text) - 1), METRICS);
    }
    assert_int_equal(metric_find("pressura", 8), METRICS);
    assert_int_equal(metric_find("", 0), METRICS);
}

static void any_metric_can_be_asked_for(void **state)
{
    (void)state;
    const char *json = "{ \"timestamp\" : \"2026-11-23T20:30:26Z\" , \"rssi\":-61,\"none\" : null,"
                       "\"co2\" :\t4.17e2 ,\"last\":1}";
    double value = 7;
    size_t len = strlen(json);
    assert_int_equal(reading_metric(json, len, "co2", 3, &value), 1);
    assert_true(value == 417);
    assert_int_equal(reading_metric(json, len, "rssi", 4, &value), 1);
    assert_true(value == -61);
    assert_int_equal(reading_metric(json, len, "last", 4, &value), 1);
    assert_true(value == 1);
    value = 7;
    assert_int_equal(reading_metric(json, len, "none", 4, &value), 0);
    assert_int_equal(reading_metric(json, len, "co", 2, &value), 0);
    assert_int_equal(reading_metric(json, len, "co22", 4, &value), 0);
    assert_int_equal(reading_metric(json, len, "", 0, &value), 0);
    assert_int_equal(reading_metric(json, len, "timestamp", 9, &value), 0);
    assert_int_equal(reading_metric("{\"timestamp\":5,\"a\":1}", 21, "timestamp", 9, &value), 0);
    for (size_t cut = 0; cut < len; cut++)
        (void)!reading_metric(json, cut, "absent", 6, &value);
    assert_true(value == 7);
}

static void other_text_is_searched_safely(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "[{\"a\":1}]",
        "{",
        "{\"",
        "{\"a",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":\"1\"}",
        "{\"a\":1e999}",
        "{\"b\":\"",
        "{\"b\":1;\"a\":1}",
        "{\"a\" 1}",
    };
    double value = 7;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(reading_metric(table[i], strlen(table[i]), "a", 1, &value), 0);
    assert_true(value == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_metric_can_be_asked_for),
        cmocka_unit_test(other_text_is_searched_safely),
        cmocka_unit_test(names_can_be_asked_beforehand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
