/* A telemetry payload is read whole and exactly, or refused with a reason one can act on. */
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/reading.h"
#include "proto/timestamp.h"
#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct readings readings;

static void parse(const char *json)
{
    if (readings_parse(&readings, json, strlen(json)) != 0)
        fail_msg("%s: %s", json, readings.reason);
    assert_string_equal(readings.reason, "");
}

static void expect_refused(const char *json, size_t len, int code, const char *reason)
{
    int r = readings_parse(&readings, json, len);
    if (r != code || strcmp(readings.reason, reason) != 0)
        fail_msg("%.200s: %d \"%s\", not \"%s\"", json, r, readings.reason, reason);
    assert_int_equal(readings.count, 0);
}

struct refused {
    const char *json, *reason;
};

static void expect_all_refused(const struct refused *table, size_t count)
{
    for (size_t i = 0; i < count; i++)
        expect_refused(table[i].json, strlen(table[i].json), ERR_MALFORMED, table[i].reason);
}

#define EXPECT_ALL_REFUSED(table) expect_all_refused(table, sizeof(table) / sizeof *(table))

static void expect_text(const char *bytes, size_t len, const char *expected)
{
    if (len != strlen(expected) || memcmp(bytes, expected, len) != 0)
        fail_msg("%.*s is not %s", (int)len, bytes, expected);
}

static void expect_extra(const char *json, const char *expected)
{
    parse(json);
    if (expected == NULL) {
        assert_null(readings.item[0].extra);
        assert_int_equal(readings.item[0].extra_len, 0);
    } else {
        assert_non_null(readings.item[0].extra);
        expect_text(readings.item[0].extra, readings.item[0].extra_len, expected);
    }
}

static void the_five_metrics_go_to_their_columns(void **state)
{
    (void)state;
    const char *json = " {\"temperature\":21.53,\"humidity\": 45.1 ,\"pressure\"\t:1013.2,\r\n"
                       "\"battery\":87,\"rssi\":-61} \n";
    parse(json);
    assert_int_equal(readings.count, 1);
    const struct reading *item = &readings.item[0];
    assert_true(item->value[METRIC_TEMPERATURE] == 21.53);
    assert_true(item->value[METRIC_HUMIDITY] == 45.1);
    assert_true(item->value[METRIC_PRESSURE] == 1013.2);
    assert_true(item->value[METRIC_BATTERY] == 87);
    assert_true(item->value[METRIC_RSSI] == -61);
    assert_int_equal(item->present, (1 << METRICS) - 1);
    assert_int_equal(item->timestamp_us, 0);
    assert_null(item->extra);
    assert_ptr_equal(item->payload, json + 1);
    assert_int_equal(item->payload_len, strlen(json) - 3);
}

static void extra_holds_what_the_columns_do_not(void **state)
{
    (void)state;
    expect_extra("{\"rssi\":1}", NULL);
    expect_extra("{\"seq\": 123456 , \"rssi\":1, \"t_us\":1.50e3 }",
                 "{\"seq\":123456,\"t_us\":1.50e3}");
    expect_extra("{\"rssi\":null}", "{\"rssi\":null}");
    expect_extra("{\"x\":null,\"rssi\":1}", "{\"x\":null}");
    expect_extra("{\"Temperature\":1}", "{\"Temperature\":1}");
    expect_extra("{\"temperatures\":1,\"temp\":1}", "{\"temperatures\":1,\"temp\":1}");
    expect_extra("{\"rssi\":1,\"timestamp\": 1795465826000}", "{\"timestamp\":1795465826000}");
    expect_extra("{\"rssi\":1,\"timestamp\":null}", "{\"timestamp\":null}");
    expect_extra("{\"timestamp\": \"2026-11-23 20:30:26Z\" ,\"rssi\":1}",
                 "{\"timestamp\":\"2026-11-23 20:30:26Z\"}");
}

static void numbers_that_a_double_does_not_keep_are_kept_as_text(void **state)
{
    (void)state;
    expect_extra("{\"rssi\":123456789.012345}", NULL);
    expect_extra("{\"rssi\":0.000000123456789012345}", NULL);
    expect_extra("{\"rssi\":1e-300,\"battery\":0.0e5,\"humidity\":-0}", NULL);
    expect_extra("{\"rssi\":123456789.0123456}", "{\"rssi\":123456789.0123456}");
    expect_extra("{\"rssi\":1, \"battery\":0.30000000000000004}",
                 "{\"battery\":0.30000000000000004}");
    assert_int_equal(readings.item[0].present, 1 << METRIC_RSSI | 1 << METRIC_BATTERY);
    assert_true(readings.item[0].value[METRIC_BATTERY] == 0.1 + 0.2);
    expect_extra("{\"rssi\":1e-310}", "{\"rssi\":1e-310}");
    expect_extra("{\"rssi\":1e-999}", "{\"rssi\":1e-999}");
    assert_true(readings.item[0].value[METRIC_RSSI] == 0);
}

struct instant {
    const char *json;
    int64_t us;
};

static void a_reading_may_bring_its_time(void **state)
{
    (void)state;
    static const struct instant table[] = {
        {"{\"rssi\":1,\"timestamp\":\"2026-11-23T22:00:26.123456789+01:30\"}", 1795465826123456},
        {"{\"timestamp\":1795465826123,\"rssi\":1}", 1795465826123000},
        {"{\"timestamp\":1795465826123.456,\"rssi\":1}", 1795465826123456},
        {"{\"timestamp\":1.795465826123E12,\"rssi\":1}", 1795465826123000},
        {"{\"timestamp\":0.001,\"rssi\":1}", 1},
        {"{\"timestamp\":253402300799999,\"rssi\":1}", TIMESTAMP_MAX - 999},
        {"{\"timestamp\":null,\"rssi\":1}", 0},
        {"{\"rssi\":1}", 0},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        parse(table[i].json);
        if (readings.item[0].timestamp_us != table[i].us)
            fail_msg("%s: %lld", table[i].json, (long long)readings.item[0].timestamp_us);
    }
}

static void a_time_that_is_none_is_refused(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"{\"rssi\":1,\"timestamp\":\"yesterday\"}",
         "timestamp is not an RFC 3339 date and time of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":\"2026-02-30T00:00:00Z\"}",
         "timestamp is not an RFC 3339 date and time of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":\"1969-12-31T00:00:00Z\"}",
         "timestamp is not an RFC 3339 date and time of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":\"2026-11-23T20:30:26\\u005a\"}",
         "timestamp is not an RFC 3339 date and time of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":\"\\\"}",
         "timestamp is not an RFC 3339 date and time of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":\"2026",
         "not JSON at byte 23: expected the end of the timestamp"},
        {"{\"rssi\":1,\"timestamp\":true}",
         "timestamp is neither RFC 3339 text nor epoch milliseconds"},
        {"{\"rssi\":1,\"timestamp\":{}}",
         "timestamp is neither RFC 3339 text nor epoch milliseconds"},
        {"{\"rssi\":1,\"timestamp\":-1}",
         "timestamp is not in epoch milliseconds of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":253402300800000}",
         "timestamp is not in epoch milliseconds of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":1e400}",
         "timestamp is not in epoch milliseconds of the years 1970 to 9999"},
        {"{\"rssi\":1,\"timestamp\":0}",
         "timestamp is the Unix epoch itself: the clock is not set"},
        {"{\"rssi\":1,\"timestamp\":\"1970-01-01T00:00:00Z\"}",
         "timestamp is the Unix epoch itself: the clock is not set"},
        {"{\"timestamp\":1,\"rssi\":1,\"timestamp\":1}", "timestamp appears twice"},
        {"{\"timestamp\":1795465826000}", "no metric beside timestamp"},
    };
    EXPECT_ALL_REFUSED(table);
}

static void an_array_is_read_in_order(void **state)
{
    (void)state;
    parse(" [ {\"rssi\":-1,\"a\":1} ,\n{\"rssi\":-2}, {\"rssi\":-3,\"timestamp\":5,\"b\":2} ] ");
    assert_int_equal(readings.count, 3);
    for (int i = 0; i < 3; i++)
        assert_true(readings.item[i].value[METRIC_RSSI] == -1 - i);
    expect_text(readings.item[0].payload, readings.item[0].payload_len, "{\"rssi\":-1,\"a\":1}");
    expect_text(readings.item[1].payload, readings.item[1].payload_len, "{\"rssi\":-2}");
    expect_text(readings.item[0].extra, readings.item[0].extra_len, "{\"a\":1}");
    assert_null(readings.item[1].extra);
    expect_text(readings.item[2].extra, readings.item[2].extra_len, "{\"timestamp\":5,\"b\":2}");
    assert_int_equal(readings.item[0].timestamp_us, 0);
    assert_int_equal(readings.item[2].timestamp_us, 5000);
}

static void one_bad_reading_refuses_all(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"[{\"a\":1},{\"a\":1},{\"a\":1},{\"x\":1e11}]",
         "reading 3: value of \"x\" is larger than 1e10"},
        {"[{\"a\":1},{\"a\":\"1\"}]", "reading 1: metric \"a\" is not a number or null"},
        {"[{\"a\":1},{}]", "reading 1: the object is empty"},
        {"[{\"a\":1},{\"timestamp\":7}]", "reading 1: no metric beside timestamp"},
        {"[{\"a\":1},7]", "reading 1: not a JSON object"},
        {"[[{\"a\":1}]]", "reading 0: not a JSON object"},
        {"[{\"a\":1},]", "reading 1: not a JSON object"},
        {"[{\"a\":1,}]", "not JSON at byte 8: expected a name in quotes"},
        {"[{\"a\":1}", "not JSON at byte 8: expected ',' or ']'"},
        {"[{\"a\":1} {\"a\":1}]", "not JSON at byte 9: expected ',' or ']'"},
        {"[{\"a\":1}] 1", "not JSON at byte 10: expected nothing more"},
        {"[]", "the array is empty"},
        {"[ ]", "the array is empty"},
        {"[", "reading 0: not a JSON object"},
    };
    EXPECT_ALL_REFUSED(table);
}

static void what_is_not_json_is_refused(void **state)
{
    (void)state;
    static const char *const nothing = "the payload is not a JSON object or an array of objects";
    const struct refused table[] = {
        {"", nothing},
        {"  ", nothing},
        {"21.5", nothing},
        {"null", nothing},
        {"\"x\"", nothing},
        {"hello", nothing},
        {"\xef\xbb\xbf{\"a\":1}", nothing},
        {"{", "not JSON at byte 1: expected a name in quotes"},
        {"{a:1}", "not JSON at byte 1: expected a name in quotes"},
        {"{'a':1}", "not JSON at byte 1: expected a name in quotes"},
        {"{,\"a\":1}", "not JSON at byte 1: expected a name in quotes"},
        {"{\"a\":1,}", "not JSON at byte 7: expected a name in quotes"},
        {"{\"a\":1,,\"b\":1}", "not JSON at byte 7: expected a name in quotes"},
        {"{\"a", "not JSON at byte 3: expected the end of the name"},
        {"{\"a\"", "not JSON at byte 4: expected ':'"},
        {"{\"a\" 1}", "not JSON at byte 5: expected ':'"},
        {"{\"a\":", "not JSON at byte 5: expected a value"},
        {"{\"a\":}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":,\"b\":1}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":1", "not JSON at byte 6: expected ',' or '}'"},
        {"{\"a\":1]", "not JSON at byte 6: expected ',' or '}'"},
        {"{\"a\":1;\"b\":1}", "not JSON at byte 6: expected ',' or '}'"},
        {"{\"a\":1}}", "not JSON at byte 7: expected nothing more"},
        {"{\"a\":1},{\"a\":1}", "not JSON at byte 7: expected nothing more"},
        {"{\"a\":1} // x", "not JSON at byte 8: expected nothing more"},
        {"{\"a\":/**/1}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":\v1}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":nul}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":nullx}", "not JSON at byte 9: expected ',' or '}'"},
        {"{\"a\":NULL}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":NaN}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":Infinity}", "not JSON at byte 5: expected a number or null"},
        {"{\"a\":-Infinity}", "not JSON at byte 5: expected a number or null"},
    };
    EXPECT_ALL_REFUSED(table);
    expect_refused("{\"a\":1}\0", 8, ERR_MALFORMED, "not JSON at byte 7: expected nothing more");
    expect_refused("{\"a\":\0}", 7, ERR_MALFORMED, "not JSON at byte 5: expected a number or null");
    expect_refused("{\0\"a\":1}", 8, ERR_MALFORMED,
                   "not JSON at byte 1: expected a name in quotes");
}

static void names_are_letters_digits_and_underscores(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"{\"\":1}", "the name at byte 2 has not 1 to 64 characters"},
        {"{\"a b\":1}", "the name at byte 2 has other characters than letters, digits and _"},
        {"{\"a-b\":1}", "the name at byte 2 has other characters than letters, digits and _"},
        {"{\"a.b\":1}", "the name at byte 2 has other characters than letters, digits and _"},
        {"{\"t\xc3\xa4\":1}", "the name at byte 2 has other characters than letters, digits and _"},
        {"{\"\xff\":1}", "the name at byte 2 has other characters than letters, digits and _"},
        {"{ \"\\u0074emp\":1}", "the name at byte 3 is written with an escape"},
        {"{\"a\\\"\":1}", "the name at byte 2 is written with an escape"},
        {"[{\"a\":1},{\"b c\":1}]",
         "reading 1: the name at byte 11 has other characters than letters, digits and _"},
    };
    EXPECT_ALL_REFUSED(table);
    parse("{\"AZaz09_\":1,\"_\":2,\"0\":3}");

    char json[128], name[66];
    memset(name, 'n', 65);
    name[64] = name[65] = '\0';
    snprintf(json, sizeof json, "{\"%s\":1}", name);
    parse(json);
    snprintf(json, sizeof json, "{\"%s\":true}", name);
    expect_refused(json, strlen(json), ERR_MALFORMED,
                   "metric \"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn\" is "
                   "not a number or null");
    snprintf(json, sizeof json, "{\"%sn\":1}", name);
    expect_refused(json, strlen(json), ERR_MALFORMED,
                   "the name at byte 2 has not 1 to 64 characters");
}

static void values_are_numbers_or_null(void **state)
{
    (void)state;
    static const struct refused table[] = {
        {"{\"temperature\":\"21\"}", "metric \"temperature\" is not a number or null"},
        {"{\"temperature\":true}", "metric \"temperature\" is not a number or null"},
        {"{\"temperature\":false}", "metric \"temperature\" is not a number or null"},
        {"{\"x\":{\"y\":1}}", "metric \"x\" is not a number or null"},
        {"{\"x\":[1]}", "metric \"x\" is not a number or null"},
        {"{\"a\":1,\"a\":1}", "metric \"a\" appears twice"},
        {"{\"a\":1,\"b\":2,\"a\":null}", "metric \"a\" appears twice"},
        {"{\"rssi\":1,\"rssi\":1}", "metric \"rssi\" appears twice"},
        {"{\"rssi\":null,\"rssi\":1}", "metric \"rssi\" appears twice"},
        {"{}", "the object is empty"},
        {" { } ", "the object is empty"},
        {"{\"a\":10000000000.1}", "value of \"a\" is larger than 1e10"},
        {"{\"a\":-10000000001}", "value of \"a\" is larger than 1e10"},
        {"{\"a\":1e400}", "value of \"a\" is larger than 1e10"},
        {"{\"a\":-1E+999}", "value of \"a\" is larger than 1e10"},
        {"{\"a\":1e-1001}", "value of \"a\" has over 1024 characters or an exponent over 1000"},
        {"{\"a\":0e99999999999999999999}",
         "value of \"a\" has over 1024 characters or an exponent over 1000"},
    };
    EXPECT_ALL_REFUSED(table);
    parse("{\"a\":10000000000,\"b\":-1e10,\"c\":1E+10,\"d\":-0.0,\"e\":null}");
    assert_int_equal(readings.item[0].present, 0);
}

static void a_name_is_new_again_in_the_next_reading(void **state)
{
    (void)state;
    parse("[{\"a\":1,\"rssi\":1,\"timestamp\":1},{\"a\":1,\"rssi\":1,\"timestamp\":1}]");
    parse("{\"a\":1}");
    parse("{\"a\":1}");
}

static const char *const bad_numbers[] = {
    "01",  "-01",  "00",   "1.",  ".5",   "-",     "-.5",   "+1",       "1e",  "1e+",
    "1E-", "1.e5", "0x10", "1_0", "--1",  "1.5.5", "1e5.5", "1e5e5",    "- 1", "1 2",
    "1,5", "0.",   "-0.",  "1f",  "00.5", "1..5",  "e5",    "\xd9\xa1",
};

static void the_grammar_of_numbers_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad_numbers / sizeof *bad_numbers; i++) {
        char json[64];
        int n = snprintf(json, sizeof json, "{\"a\":%s}", bad_numbers[i]);
        if (readings_parse(&readings, json, (size_t)n) != ERR_MALFORMED)
            fail_msg("accepted: %s", json);
        assert_memory_equal(readings.reason, "not JSON at byte ", 17);
    }
}

static void a_payload_has_its_bounds(void **state)
{
    (void)state;
    static char json[LIMIT_PAYLOAD_BYTES + 2];
    memset(json, ' ', sizeof json);
    memcpy(json, "{\"a\":1}", 7);
    assert_int_equal(readings_parse(&readings, json, LIMIT_PAYLOAD_BYTES), 0);
    assert_int_equal(readings.item[0].payload_len, 7);
    expect_refused(json, LIMIT_PAYLOAD_BYTES + 1, ERR_TOO_LARGE,
                   "payload of 262145 bytes is larger than 262144");

    struct buf buf;
    buf_init(&buf, 1 << 20);
    buf_puts(&buf, "{\"timestamp\":1");
    for (int i = 0; i < LIMIT_METRICS; i++)
        buf_printf(&buf, ",\"m%d\":%d", i, i);
    buf_puts(&buf, "}");
    assert_int_equal(readings_parse(&readings, (char *)buf.data, buf.len), 0);
    buf.len--;
    buf_puts(&buf, ",\"more\":1}");
    expect_refused((char *)buf.data, buf.len, ERR_MALFORMED, "more than 256 metrics");
    buf_free(&buf);
}

static void the_largest_array_is_read_and_nothing_is_allocated_again(void **state)
{
    (void)state;
    struct buf buf;
    buf_init(&buf, LIMIT_PAYLOAD_BYTES);
    buf_puts(&buf, "[{\"a\":0}");
    size_t count = 1;
    for (; buf.len + 9 < LIMIT_PAYLOAD_BYTES; count++)
        buf_puts(&buf, ",{\"a\":1}");
    buf_puts(&buf, "]");
    assert_int_equal(readings_parse(&readings, (char *)buf.data, buf.len), 0);
    assert_int_equal(readings.count, count);
    for (size_t i = 0; i < count; i++)
        expect_text(readings.item[i].extra, readings.item[i].extra_len,
                    i ? "{\"a\":1}" : "{\"a\":0}");
    const void *item = readings.item, *extra = readings.extra, *names = readings.names;
    parse("{\"a\":1}");
    assert_int_equal(readings_parse(&readings, (char *)buf.data, buf.len), 0);
    assert_ptr_equal(readings.item, item);
    assert_ptr_equal(readings.extra, extra);
    assert_ptr_equal(readings.names, names);
    buf_free(&buf);
}

/* {columns that are present} || extra, as the store puts a reading together again. */
static json_t *put_together(const struct reading *item)
{
    json_t *whole = json_object();
    for (int metric = 0; metric < METRICS; metric++)
        if (item->present & UINT32_C(1) << metric)
            json_object_set_new(whole, metric_names[metric], json_real(item->value[metric]));
    if (item->extra != NULL) {
        json_t *extra = json_loadb(item->extra, item->extra_len, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(extra);
        json_object_update(whole, extra);
        json_decref(extra);
    }
    return whole;
}

static void columns_and_extra_make_the_payload_again(void **state)
{
    (void)state;
    static const char *const table[] = {
        "{\"rssi\":1}",
        "{\"a\":1,\"rssi\":null,\"battery\":0.30000000000000004,\"b\":null,\"humidity\":1.5}",
        "{\"timestamp\":\"2026-11-23T20:30:26Z\",\"pressure\":1013.25,\"x\":1e-5}",
        "{\"temperature\":-0.0,\"humidity\":1e-320,\"timestamp\":1795465826000}",
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        parse(table[i]);
        json_t *given = json_loads(table[i], JSON_DECODE_INT_AS_REAL, NULL);
        json_t *whole = put_together(&readings.item[0]);
        assert_int_equal(json_object_size(given), json_object_size(whole));
        const char *name;
        json_t *member;
        json_object_foreach(given, name, member)
        {
            json_t *ours = json_object_get(whole, name);
            assert_non_null(ours);
            if (json_is_number(member))
                assert_true(json_number_value(ours) == json_number_value(member));
            else
                assert_true(json_equal(ours, member));
        }
        json_decref(given);
        json_decref(whole);
    }
}

static int set_up(void **state)
{
    (void)state;
    readings_init(&readings);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    readings_free(&readings);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_five_metrics_go_to_their_columns),
        cmocka_unit_test(extra_holds_what_the_columns_do_not),
        cmocka_unit_test(numbers_that_a_double_does_not_keep_are_kept_as_text),
        cmocka_unit_test(a_reading_may_bring_its_time),
        cmocka_unit_test(a_time_that_is_none_is_refused),
        cmocka_unit_test(an_array_is_read_in_order),
        cmocka_unit_test(one_bad_reading_refuses_all),
        cmocka_unit_test(what_is_not_json_is_refused),
        cmocka_unit_test(names_are_letters_digits_and_underscores),
        cmocka_unit_test(values_are_numbers_or_null),
        cmocka_unit_test(a_name_is_new_again_in_the_next_reading),
        cmocka_unit_test(the_grammar_of_numbers_is_kept),
        cmocka_unit_test(a_payload_has_its_bounds),
        cmocka_unit_test(the_largest_array_is_read_and_nothing_is_allocated_again),
        cmocka_unit_test(columns_and_extra_make_the_payload_again),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
