/* Buffers grow to their maximum and no further; ids survive their text. */
#include "proto/buf.h"
#include "proto/uuid.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_buffer_keeps_what_is_put(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 1 << 20);
    for (int i = 0; i < 10000; i++)
        buf_printf(&buf, "%d,", i);
    buf_puts(&buf, "end");
    buf_putc(&buf, '.');
    buf_put(&buf, NULL, 0);
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, 48890 + 4);
    assert_memory_equal(buf.data, "0,1,2,", 6);
    assert_memory_equal(buf.data + buf.len - 9, "9999,end.", 9);
    assert_true(buf.cap <= buf.max);
    buf_free(&buf);
    assert_null(buf.data);
    assert_int_equal(buf.max, 1 << 20);
}

static void a_full_buffer_fails_whole_and_stays_failed(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 300);
    for (int i = 0; i < 299; i++)
        buf_putc(&buf, 'x');
    buf_puts(&buf, "yy");
    assert_true(buf_failed(&buf));
    assert_int_equal(buf.len, 299);
    buf_putc(&buf, 'z');
    assert_int_equal(buf.len, 299);
    assert_null(buf_reserve(&buf, 0));
    buf_clear(&buf);
    assert_false(buf_failed(&buf));
    assert_int_equal(buf.len, 0);
    assert_non_null(buf_reserve(&buf, 300));
    assert_null(buf_reserve(&buf, 301));
    buf_free(&buf);
}

static void a_length_that_overflows_is_refused(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, SIZE_MAX / 4);
    buf_puts(&buf, "abc");
    assert_null(buf_reserve(&buf, SIZE_MAX - 1));
    assert_true(buf_failed(&buf));
    assert_int_equal(buf.len, 3);
    buf_free(&buf);
}

static void consumed_bytes_leave_at_the_front(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 64);
    buf_puts(&buf, "headertail");
    buf_consume(&buf, 6);
    assert_int_equal(buf.len, 4);
    assert_memory_equal(buf.data, "tail", 4);
    buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    buf_free(&buf);
}

static void printf_that_does_not_fit_leaves_nothing(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, 8);
    buf_printf(&buf, "%s", "1234567"); /* and its terminator */
    assert_false(buf_failed(&buf));
    buf_printf(&buf, "%s", "8");
    assert_true(buf_failed(&buf));
    assert_int_equal(buf.len, 7);
    assert_memory_equal(buf.data, "1234567", 7);
    buf_free(&buf);
}

static void an_id_survives_its_text(void **state)
{
    (void)state;
    for (int i = 0; i < 1000; i++) {
        struct uuid back, id = uuid_random();
        struct uuid_text text = uuid_text(&id);
        assert_int_equal(strlen(text.s), UUID_TEXT_LEN);
        assert_int_equal(text.s[14], '4');
        assert_non_null(strchr("89ab", text.s[19]));
        assert_int_equal(uuid_parse(text.s, UUID_TEXT_LEN, &back), 0);
        assert_true(uuid_equal(&id, &back));
        assert_true(uuid_hash(&id) == uuid_hash(&back));
    }
}

static void either_case_is_read_and_lower_case_written(void **state)
{
    (void)state;
    struct uuid id;
    assert_int_equal(uuid_parse("01234567-89AB-cdef-FEDC-ba9876543210", 36, &id), 0);
    assert_string_equal(uuid_text(&id).s, "01234567-89ab-cdef-fedc-ba9876543210");
    assert_int_equal(id.bytes[0], 0x01);
    assert_int_equal(id.bytes[15], 0x10);
    assert_false(uuid_is_nil(&id));
    assert_int_equal(uuid_parse("00000000-0000-0000-0000-000000000000", 36, &id), 0);
    assert_true(uuid_is_nil(&id));
}

static void what_is_no_id_is_refused(void **state)
{
    (void)state;
    static const char *const table[] = {
        "",
        "01234567-89ab-cdef-fedc-ba987654321",
        "01234567-89ab-cdef-fedc-ba98765432100",
        "01234567 89ab-cdef-fedc-ba9876543210",
        "0123456789ab--cdef-fedc-ba9876543210",
        "01234567-89ab-cdef-fedc-ba987654321g",
        "{1234567-89ab-cdef-fedc-ba987654321}",
        "01234567-89ab-cdef-fedc_ba9876543210",
        "-1234567-89ab-cdef-fedc-ba9876543210",
        "0x234567-89ab-cdef-fedc-ba9876543210",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct uuid id = {{7}};
        assert_int_equal(uuid_parse(table[i], strlen(table[i]), &id), ERR_MALFORMED);
        assert_int_equal(id.bytes[0], 7);
    }
}

static void every_error_has_its_sentence(void **state)
{
    (void)state;
    assert_string_equal(err_text(0), "success");
    assert_string_equal(err_text(ERR_MALFORMED), "malformed input");
    for (int code = -1; code >= -ERR_ORDINALS; code--)
        assert_string_not_equal(err_text(code), "unknown error");
    assert_string_equal(err_text(-ERR_ORDINALS - 1), "unknown error");
    assert_string_equal(err_text(1), "unknown error");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_buffer_keeps_what_is_put),
        cmocka_unit_test(a_full_buffer_fails_whole_and_stays_failed),
        cmocka_unit_test(a_length_that_overflows_is_refused),
        cmocka_unit_test(consumed_bytes_leave_at_the_front),
        cmocka_unit_test(printf_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(an_id_survives_its_text),
        cmocka_unit_test(either_case_is_read_and_lower_case_written),
        cmocka_unit_test(what_is_no_id_is_refused),
        cmocka_unit_test(every_error_has_its_sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
