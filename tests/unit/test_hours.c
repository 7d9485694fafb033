/* An hour is summed up in memory, closed by the first reading of a newer one, and rebuilt from the
 * readings wherever memory does not know all of it. */
#include "actors/hours.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define HOUR 500000LL /* any */

struct fixture {
    struct hours *hours;
    struct batch *batch;
    int64_t newest_us;
};

static void begin(struct fixture *f)
{
    *f = (struct fixture){.batch = batch_new()};
    assert_non_null(f->batch);
}

static void end(struct fixture *f)
{
    free(f->hours);
    batch_destroy(&f->batch);
}

/* A reading so many seconds after the hour's begin. */
static void add(struct fixture *f, int64_t hour, int64_t second, double temperature)
{
    struct batch_row row = {.device = {{7}},
                            .timestamp_us = hour * HOUR_US + second * 1000000,
                            .present = 1U << METRIC_TEMPERATURE};
    row.value[METRIC_TEMPERATURE] = temperature;
    assert_int_equal(hours_add(&f->hours, f->batch, &row, f->newest_us), 0);
    if (row.timestamp_us >= f->newest_us)
        f->newest_us = row.timestamp_us;
}

static void a_whole_hour_is_written_from_memory(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, HOUR, 1, 20);
    add(&f, HOUR, 2, 5);
    add(&f, HOUR, 3599, 10);
    assert_int_equal(f.batch->rollups_count, 0);
    add(&f, HOUR + 1, 0, 99);
    assert_int_equal(f.batch->rollups_count, 1);
    const struct batch_rollup *rollup = &f.batch->rollups[0];
    assert_false(rollup->rebuild);
    assert_true(rollup->hour_us == HOUR * HOUR_US);
    assert_int_equal(rollup->stats.samples, 3);
    assert_int_equal(rollup->stats.metric[METRIC_TEMPERATURE].count, 3);
    assert_int_equal(rollup->stats.metric[METRIC_HUMIDITY].count, 0);
    assert_true(rollup->stats.metric[METRIC_TEMPERATURE].min == 5);
    assert_true(rollup->stats.metric[METRIC_TEMPERATURE].max == 20);
    assert_true(rollup->stats.metric[METRIC_TEMPERATURE].sum == 35);
    assert_true(rollup->stats.metric[METRIC_TEMPERATURE].last == 10);
    assert_int_equal(f.hours->stats.samples, 1);
    end(&f);
}

static void an_hour_that_began_elsewhere_is_rebuilt(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    f.newest_us = HOUR * HOUR_US + 5; /* loaded: its readings are not in memory */
    add(&f, HOUR, 10, 1);
    assert_null(f.hours);
    add(&f, HOUR + 3, 0, 2);
    assert_int_equal(f.batch->rollups_count, 1);
    assert_true(f.batch->rollups[0].rebuild);
    assert_true(f.batch->rollups[0].hour_us == HOUR * HOUR_US);
    assert_non_null(f.hours);
    end(&f);
}

static void a_late_reading_rebuilds_its_hour_once_a_batch(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, HOUR, 10, 1);
    for (int i = 0; i < 100; i++)
        add(&f, HOUR - 2, i, 2);
    add(&f, HOUR - 3, 0, 2);
    assert_int_equal(f.batch->rollups_count, 2);
    assert_true(f.batch->rollups[0].rebuild && f.batch->rollups[1].rebuild);
    assert_int_equal(f.hours->stats.samples, 1);
    batch_clear(f.batch);
    add(&f, HOUR - 2, 5, 2);
    assert_int_equal(f.batch->rollups_count, 1);
    end(&f);
}

/* The sums would be right; which value was the last would not. */
static void a_late_reading_of_the_same_hour_has_it_rebuilt_at_its_end(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, HOUR, 10, 1);
    add(&f, HOUR, 5, 2);
    assert_null(f.hours);
    assert_int_equal(f.batch->rollups_count, 0);
    add(&f, HOUR + 1, 0, 3);
    assert_true(f.batch->rollups_count == 1 && f.batch->rollups[0].rebuild);
    end(&f);
}

/* Each reads all readings of its hour: what comes behind many of them waits for the next batch. */
static void many_rebuilds_fill_a_batch(void **state)
{
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint32_t i = 0; i < LIMIT_BATCH_REBUILDS; i++) {
        struct batch_row row = {.device = {{(uint8_t)i, 1}}, .timestamp_us = 1};
        assert_false(batch_is_full(f.batch, 0));
        assert_int_equal(hours_rebuild(f.batch, &row), 0);
        assert_int_equal(hours_rebuild(f.batch, &row), 0); /* the same, and so no more */
    }
    assert_true(batch_is_full(f.batch, 0));
    batch_clear(f.batch);
    assert_false(batch_is_full(f.batch, 0));
    for (int64_t hour = 0; hour <= LIMIT_BATCH_REBUILDS; hour++) /* from memory */
        add(&f, hour, 1, 20);
    assert_int_equal(f.batch->rollups_count, LIMIT_BATCH_REBUILDS);
    assert_false(batch_is_full(f.batch, 0));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_hour_is_written_from_memory),
        cmocka_unit_test(an_hour_that_began_elsewhere_is_rebuilt),
        cmocka_unit_test(a_late_reading_rebuilds_its_hour_once_a_batch),
        cmocka_unit_test(many_rebuilds_fill_a_batch),
        cmocka_unit_test(a_late_reading_of_the_same_hour_has_it_rebuilt_at_its_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
