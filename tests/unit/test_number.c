/* A number is read by JSON's grammar alone, and to the nearest double, whatever its spelling. */
#include "proto/number.h"
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct number parsed(const char *text)
{
    struct number number = {0};
    if (number_parse(text, text + strlen(text), &number) != 0 || number.len != strlen(text))
        fail_msg("not read whole: %s", text);
    return number;
}

static void what_begins_no_number_is_refused(void **state)
{
    (void)state;
    static const char *const table[] = {"",    "-",   ".5", "-.5", "+1",       "1.",  "1.e5", "1e",
                                        "1e+", "1E-", "e5", "NaN", "Infinity", "--1", " 1",   "-x"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct number number = {.value = 7};
        assert_int_equal(number_parse(table[i], table[i] + strlen(table[i]), &number),
                         ERR_MALFORMED);
        assert_true(number.value == 7);
    }
}

static void it_ends_where_the_grammar_ends(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
    } table[] = {{"01", 1},   {"-01", 2}, {"1.5.5", 3}, {"1e5.5", 3}, {"1e5e5", 3},
                 {"0x10", 1}, {"1_0", 1}, {"12}", 2},   {"1 2", 1},   {"1.5f", 3}};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct number number;
        assert_int_equal(
            number_parse(table[i].text, table[i].text + strlen(table[i].text), &number), 0);
        assert_int_equal(number.len, table[i].len);
    }
    struct number number = parsed("-0");
    assert_true(number.value == 0 && signbit(number.value) && number.restorable);
}

static void nothing_is_read_past_the_end(void **state)
{
    (void)state;
    struct number number;
    const char *text = "-12.5e31";
    assert_int_equal(number_parse(text, text + 3, &number), 0);
    assert_true(number.value == -12);
    assert_int_equal(number_parse(text, text + 4, &number), ERR_MALFORMED);
    assert_int_equal(number_parse(text, text + 6, &number), ERR_MALFORMED);
    assert_int_equal(number_parse(text, text + 7, &number), 0);
    assert_true(number.value == -12500);
}

static void its_text_is_bounded(void **state)
{
    (void)state;
    char text[NUMBER_TEXT_MAX + 2];
    struct number number;
    memset(text, '1', sizeof text);
    assert_int_equal(number_parse(text, text + NUMBER_TEXT_MAX, &number), 0);
    assert_true(isinf(number.value) && !number.restorable);
    assert_int_equal(number_parse(text, text + NUMBER_TEXT_MAX + 1, &number), ERR_TOO_LARGE);
    assert_true(isinf(parsed("1e1000").value));
    assert_true(parsed("1e-1000").value == 0 && !parsed("1e-1000").restorable);
    static const char *const table[] = {"1e1001", "1e-1001", "0e99999999999999999999"};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        assert_int_equal(number_parse(table[i], table[i] + strlen(table[i]), &number),
                         ERR_TOO_LARGE);
}

static void only_what_15_digits_can_say_is_restorable(void **state)
{
    (void)state;
    assert_true(parsed("123456789.012345").restorable);
    assert_true(parsed("-0.000123456789012345e-200").restorable);
    assert_true(parsed("2.23e-308").restorable);
    assert_false(parsed("123456789.0123456").restorable);
    assert_false(parsed("2.2e-308").restorable);
}

static unsigned short seed[3] = {20261, 123, 2030};

static unsigned below(unsigned n)
{
    return (unsigned)(erand48(seed) * n);
}

/* One spelling of RFC 8259's grammar: short and plain, long, with an exponent, or a printed double.
 */
static size_t random_spelling(char out[static 128])
{
    char *at = out;
    if (below(3) == 0)
        *at++ = '-';
    if (below(4) == 0)
        return (size_t)(at - out) +
               (size_t)sprintf(at, "%.17g", erand48(seed) * pow(10, below(40)) / 1e20);
    unsigned whole = below(8) ? 1 + below(below(4) ? 6 : 25) : 0;
    if (whole == 0)
        *at++ = '0';
    for (unsigned i = 0; i < whole; i++)
        *at++ = (char)('0' + (i ? below(10) : 1 + below(9)));
    if (below(3)) {
        *at++ = '.';
        for (unsigned n = 1 + below(below(4) ? 8 : 40); n > 0; n--)
            *at++ = (char)('0' + (below(4) ? below(10) : 0));
    }
    if (below(3) == 0)
        at += sprintf(at, "%c%s%u", "eE"[below(2)], below(2) ? "-" : (below(2) ? "+" : ""),
                      below(below(3) ? 30 : 345));
    return (size_t)(at - out);
}

static void every_double_is_the_nearest(void **state)
{
    (void)state;
    for (int i = 0; i < 1000000; i++) {
        char text[128], back[40];
        size_t len = random_spelling(text);
        struct number number;
        memcpy(text + len, "}", 2);
        if (number_parse(text, text + len + 1, &number) != 0)
            fail_msg("refused: %s", text);
        double expected = strtod(text, NULL);
        if (memcmp(&number.value, &expected, sizeof expected) != 0 || number.len != len)
            fail_msg("%s: %a is not %a", text, number.value, expected);
        /* What is said to survive 15 digits comes back as the same double through them. */
        if (number.restorable) {
            snprintf(back, sizeof back, "%.15g", number.value);
            assert_true(strtod(back, NULL) == number.value);
        }
    }
}

static void halfway_and_extreme_doubles_are_the_nearest(void **state)
{
    (void)state;
    static const char *const table[] = {
        "9007199254740992",
        "9007199254740993",
        "9007199254740993.0",
        "9007199254740992e22",
        "9007199254740992e-22",
        "9007199254740991e23",
        "1e22",
        "1e23",
        "1e-22",
        "1e-23",
        "8.5e22",
        "123456789012345678",
        "1234567890123456789",
        "12345678901234567890",
        "18446744073709551616",
        "0.1",
        "0.3",
        "2.2250738585072011e-308",
        "4.9406564584124654e-324",
        "2.4703282292062327e-324",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "0e0",
        "-0.0e-0",
        "0.000000000000000000000000000000000000000000001",
        "100000000000000000000000000000000000000000000e-40",
        "6929495644600919.5",
        "3.518437208883201171875e13",
        "7.2057594037927933e16",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct number number = parsed(table[i]);
        double expected = strtod(table[i], NULL);
        if (memcmp(&number.value, &expected, sizeof expected) != 0)
            fail_msg("%s: %a is not %a", table[i], number.value, expected);
    }
}

/* Where a locale with a decimal comma is installed. */
static void the_locale_changes_nothing(void **state)
{
    (void)state;
    static const char *const locales[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "ru_RU.UTF-8"};
    for (size_t i = 0; i < sizeof locales / sizeof *locales; i++)
        if (setlocale(LC_ALL, locales[i]) != NULL)
            break;
    assert_true(parsed("0.30000000000000004").value > 0.3);
    assert_true(parsed("1.5").value == 1.5);
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_begins_no_number_is_refused),
        cmocka_unit_test(it_ends_where_the_grammar_ends),
        cmocka_unit_test(nothing_is_read_past_the_end),
        cmocka_unit_test(its_text_is_bounded),
        cmocka_unit_test(only_what_15_digits_can_say_is_restorable),
        cmocka_unit_test(every_double_is_the_nearest),
        cmocka_unit_test(halfway_and_extreme_doubles_are_the_nearest),
        cmocka_unit_test(the_locale_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
