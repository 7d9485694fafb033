/* Buckets of readings and hours: bounds, functions, and numbers that read back the same. */
#include "node/rest_aggregate.h"
#include <jansson.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND INT64_C(1000000)
#define HOUR (3600 * SECOND)
/* 2026-11-23T20:00:00Z, a Monday */
#define EVENING (INT64_C(1795464000) * SECOND)

static struct buf out;
static struct aggregate aggregate;

static void begin(int64_t seconds, enum aggregate_function function)
{
    buf_free(&out);
    buf_init(&out, 1 << 20);
    buf_putc(&out, '[');
    aggregate_begin(&aggregate, &out, seconds, function);
}

static void add(int64_t at_us, double temperature)
{
    struct aggregate_value metric[METRICS] = {
        [METRIC_TEMPERATURE] = {1, temperature, temperature, temperature, temperature}};
    aggregate_add(&aggregate, at_us, 1, metric);
}

static json_t *end_of_page(void)
{
    aggregate_end(&aggregate);
    buf_putc(&out, ']');
    assert_false(buf_failed(&out));
    json_t *rows = json_loadb((const char *)out.data, out.len, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(rows);
    return rows;
}

static json_t *end(void)
{
    json_t *rows = end_of_page();
    assert_int_equal(json_array_size(rows), aggregate.buckets);
    return rows;
}

static double number(const json_t *rows, size_t row, const char *name)
{
    const json_t *value = json_object_get(json_array_get(rows, row), name);
    assert_true(json_is_number(value));
    return json_number_value(value);
}

static const char *start(const json_t *rows, size_t row)
{
    return json_string_value(json_object_get(json_array_get(rows, row), "time_bucket"));
}

static void nothing_makes_no_bucket(void **state)
{
    (void)state;
    begin(60, AGGREGATE_ALL);
    json_decref(end());
    assert_int_equal(aggregate.buckets, 0);
}

static void tells_all_functions_of_a_bucket(void **state)
{
    (void)state;
    begin(3600, AGGREGATE_ALL);
    add(EVENING, 3);
    add(EVENING + 1, -1);
    add(EVENING + HOUR - 1, 2.5);
    add(EVENING + HOUR, 7);
    json_t *rows = end();
    assert_int_equal(aggregate.buckets, 2);
    assert_string_equal(start(rows, 0), "2026-11-23T20:00:00+00:00");
    assert_string_equal(start(rows, 1), "2026-11-23T21:00:00+00:00");
    assert_true(number(rows, 0, "temperature") == 1.5);
    assert_true(number(rows, 0, "temperature_min") == -1);
    assert_true(number(rows, 0, "temperature_max") == 3);
    assert_true(number(rows, 0, "temperature_last") == 2.5);
    assert_int_equal((int)number(rows, 0, "sample_count"), 3);
    assert_true(json_is_null(json_object_get(json_array_get(rows, 0), "rssi")));
    json_decref(rows);
}

/* An hour of the rollup and readings of the same bucket: as if all had been readings. */
static void hours_and_readings_make_one_bucket(void **state)
{
    (void)state;
    struct aggregate_value hour[METRICS] = {
        [METRIC_TEMPERATURE] = {4, -2, 10, 12, 6}, [METRIC_RSSI] = {0, 0, 0, 0, 0}};
    begin(6 * 3600, AGGREGATE_ALL);
    add(EVENING - HOUR, 100);
    aggregate_add(&aggregate, EVENING, 5, hour);
    add(EVENING + HOUR, -8);
    json_t *rows = end();
    assert_int_equal(aggregate.buckets, 1);
    assert_string_equal(start(rows, 0), "2026-11-23T18:00:00+00:00");
    assert_true(fabs(number(rows, 0, "temperature") * 6 - 104) < 1e-9);
    assert_true(number(rows, 0, "temperature_min") == -8);
    assert_true(number(rows, 0, "temperature_max") == 100);
    assert_true(number(rows, 0, "temperature_last") == -8);
    assert_int_equal((int)number(rows, 0, "sample_count"), 7);
    json_decref(rows);
}

static void one_function_is_told_alone(void **state)
{
    (void)state;
    static const double wanted[AGGREGATE_FUNCTIONS] = {2, 1, 3, 6, 3};
    for (enum aggregate_function f = 0; f < AGGREGATE_FUNCTIONS; f++) {
        begin(60, f);
        add(EVENING, 1);
        add(EVENING + 1, 2);
        add(EVENING + 2, 3);
        json_t *rows = end();
        assert_true(number(rows, 0, "temperature") == wanted[f]);
        assert_int_equal(json_object_size(json_array_get(rows, 0)), 2 + METRICS);
        json_decref(rows);
    }
}

static void a_page_has_its_buckets_alone(void **state)
{
    (void)state;
    static const struct {
        int64_t first, count;
        size_t rows;
    } pages[] = {{0, 2, 2}, {2, 2, 2}, {4, 2, 1}, {6, 2, 0}, {0, 9, 5}};
    for (unsigned i = 0; i < sizeof pages / sizeof *pages; i++) {
        begin(60, AGGREGATE_AVG);
        aggregate_page(&aggregate, pages[i].first, pages[i].count);
        for (int minute = 0; minute < 5; minute++)
            add(EVENING + minute * 60 * SECOND, minute);
        json_t *rows = end_of_page();
        assert_int_equal(aggregate.buckets, 5);
        assert_int_equal(json_array_size(rows), pages[i].rows);
        for (size_t row = 0; row < pages[i].rows; row++)
            assert_true(number(rows, row, "temperature") == (double)pages[i].first + (double)row);
        json_decref(rows);
    }
}

static void buckets_begin_at_whole_days_and_mondays(void **state)
{
    (void)state;
    begin(86400, AGGREGATE_AVG);
    add(0, 1); /* before the origin too */
    add(EVENING, 1);
    json_t *rows = end();
    assert_string_equal(start(rows, 0), "1970-01-01T00:00:00+00:00");
    assert_string_equal(start(rows, 1), "2026-11-23T00:00:00+00:00");
    json_decref(rows);
    begin(7 * 86400, AGGREGATE_AVG);
    add(EVENING + 24 * HOUR, 1);
    rows = end();
    assert_string_equal(start(rows, 0), "2026-11-23T00:00:00+00:00");
    json_decref(rows);
}

static void check_number(double value)
{
    begin(60, AGGREGATE_LAST);
    add(EVENING, value);
    json_t *rows = end();
    assert_true(number(rows, 0, "temperature") == value);
    json_decref(rows);
}

static void measured_numbers_read_back_the_same(void **state)
{
    (void)state;
    static const double some[] = {0,           -0.0,    1,        -1,        0.1,       -0.05,
                                  21.37,       1e-7,    1e10,     -1e10,     1e9,       999999999.9,
                                  1.0 / 3,     5e-324,  0.3,      0.1 + 0.2, 1234.5678, 1e-300,
                                  123456.7891, -273.15, 1e9 - 0.5};
    uint64_t seed = 42;
    for (size_t i = 0; i < sizeof some / sizeof *some; i++)
        check_number(some[i]);
    for (int i = 0; i < 20000; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        double units = (double)(int64_t)(seed >> 33) - 1e9;
        check_number(units / 100);
        check_number(units / 10007);
    }
}

static int tear_down(void **state)
{
    (void)state;
    buf_free(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_makes_no_bucket),
        cmocka_unit_test(tells_all_functions_of_a_bucket),
        cmocka_unit_test(hours_and_readings_make_one_bucket),
        cmocka_unit_test(one_function_is_told_alone),
        cmocka_unit_test(a_page_has_its_buckets_alone),
        cmocka_unit_test(buckets_begin_at_whole_days_and_mondays),
        cmocka_unit_test(measured_numbers_read_back_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}
