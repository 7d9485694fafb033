/* A batch takes elements and texts, says when it is full, and is empty again when cleared. */
#include "proto/batch.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void every_list_makes_it_not_empty(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    assert_non_null(batch);
    assert_true(batch_is_empty(batch));
#define LIST(type, name)                                                                           \
    assert_non_null(batch_add_##name(batch));                                                      \
    assert_false(batch_is_empty(batch));                                                           \
    batch_clear(batch);                                                                            \
    assert_true(batch_is_empty(batch));
    BATCH_LISTS
#undef LIST
    batch_destroy(&batch);
    assert_null(batch);
    batch_destroy(&batch);
}

static void texts_stay_where_they_were_put(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    struct text first = batch_text(batch, "first", 5), none = batch_text(batch, NULL, 0), last;
    for (int i = 0; i < 10000; i++)
        last = batch_text(batch, "another", 7);
    assert_int_equal(none.len, 0);
    assert_memory_equal(batch_text_of(batch, first), "first", 5);
    assert_memory_equal(batch_text_of(batch, last), "another", 7);
    batch_destroy(&batch);
}

static void it_is_full_by_rows(void **state)
{
    (void)state;
    struct batch *batch = batch_new();
    for (int i = 0; i < LIMIT_BATCH_ROWS; i++) {
        assert_false(batch_is_full(batch, 10));
        if (i % 2 == 0)
            batch_add_rows(batch)->seq = i;
        else
            batch_add_rejects(batch);
    }
    assert_true(batch_is_full(batch, 0));
    assert_int_equal(batch->rows[1].seq, 2);
    batch_clear(batch);
    assert_false(batch_is_full(batch, 0));
    assert_int_equal(batch_add_rows(batch)->seq, 0);
    batch_destroy(&batch);
}

static void it_is_full_by_bytes_and_takes_one_of_any_size(void **state)
{
    (void)state;
    static char half[LIMIT_BATCH_BYTES / 2 + 1];
    struct batch *batch = batch_new();
    assert_false(batch_is_full(batch, 2UL * LIMIT_BATCH_BYTES));
    batch_text(batch, half, sizeof half);
    assert_false(batch_is_full(batch, 10));
    assert_true(batch_is_full(batch, sizeof half));
    batch_destroy(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_list_makes_it_not_empty),
        cmocka_unit_test(texts_stay_where_they_were_put),
        cmocka_unit_test(it_is_full_by_rows),
        cmocka_unit_test(it_is_full_by_bytes_and_takes_one_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
