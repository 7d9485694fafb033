/* An envelope is read as it was written; other versions and what is no envelope are refused. */
#include "proto/envelope.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct envelope example = {
    .version = ENVELOPE_VERSION,
    .type = ENVELOPE_DATA,
    .kind = 2,
    .index = 7,
    .from = 300,
    .from_life = 65535,
    .to_life = 127,
    .round = 128,
    .seq = UINT64_C(1) << 40,
    .ack = 255,
    .data = "a frame",
    .len = 7,
};

static size_t write(const struct envelope *envelope, uint8_t *out)
{
    size_t head = envelope_head(envelope, out);
    memcpy(out + head, envelope->data, envelope->len);
    return head + envelope->len;
}

static void an_envelope_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t bytes[100];
    struct envelope read;
    size_t len = write(&example, bytes);
    assert_int_equal(envelope_open(bytes, len, &read), 0);
    assert_int_equal(read.version, ENVELOPE_VERSION);
    assert_int_equal(read.type, ENVELOPE_DATA);
    assert_int_equal(read.kind, 2);
    assert_int_equal(read.index, 7);
    assert_int_equal(read.from, 300);
    assert_int_equal(read.from_life, 65535);
    assert_int_equal(read.to_life, 127);
    assert_int_equal(read.round, 128);
    assert_true(read.seq == UINT64_C(1) << 40);
    assert_int_equal(read.ack, 255);
    assert_int_equal(read.len, 7);
    assert_memory_equal(read.data, "a frame", 7);
}

static void the_longest_head_has_room(void **state)
{
    (void)state;
    uint8_t bytes[ENVELOPE_HEAD_MAX];
    struct envelope longest = {.version = 255,
                               .type = 255,
                               .kind = 255,
                               .index = 255,
                               .from = 65535,
                               .from_life = 65535,
                               .to_life = 65535,
                               .round = UINT32_MAX,
                               .seq = UINT64_MAX,
                               .ack = UINT64_MAX,
                               .len = UINT32_MAX};
    assert_int_equal(envelope_head(&longest, bytes), 1 + 4 * 2 + 3 * 3 + 5 + 2 * 9 + 5);
}

static void every_cut_and_every_tail_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[100] = {0};
    struct envelope read = {.seq = 99};
    size_t len = write(&example, bytes);
    for (size_t n = 0; n < len; n++)
        assert_int_equal(envelope_open(bytes, n, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(bytes, len + 1, &read), ERR_MALFORMED);
    assert_int_equal(read.seq, 99); /* untouched */
}

static void another_version_is_told_apart_whatever_its_layout(void **state)
{
    (void)state;
    static const uint8_t newer[] = {0x92, ENVELOPE_VERSION + 1, ENVELOPE_DATA};
    static const uint8_t older[] = {0x9f, ENVELOPE_VERSION_MIN - 1, ENVELOPE_PING};
    static const uint8_t later[] = {0x9b, 0xcd, 0x12, 0x34, 1};
    struct envelope read;
    assert_int_equal(envelope_open(newer, sizeof newer, &read), ERR_VERSION);
    assert_int_equal(envelope_open(older, sizeof older, &read), ERR_VERSION);
    assert_int_equal(envelope_open(later, sizeof later, &read), ERR_VERSION);
}

static void a_refusal_is_read_in_every_version(void **state)
{
    (void)state;
    uint8_t bytes[100];
    struct envelope read,
        refusal = {.version = 200, .type = ENVELOPE_REFUSED, .from = 3, .seq = 200, .ack = 199};
    size_t len = envelope_head(&refusal, bytes);
    assert_int_equal(envelope_open(bytes, len, &read), 0);
    assert_int_equal(read.version, 200);
    assert_int_equal(read.seq, 200);
    assert_int_equal(read.ack, 199);
    assert_int_equal(envelope_open(bytes, len - 1, &read), ERR_MALFORMED);
}

static void lengths_and_numbers_are_not_believed(void **state)
{
    (void)state;
    static const uint8_t array[] = {0xdd, 0xff, 0xff, 0xff, 0xff, 1, 1};
    static const uint8_t bin[] = {0x9b, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0xc6, 255, 255, 255, 255};
    static const uint8_t node[] = {0x9b, 1, 1, 0xce, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 0xc4, 0};
    static const uint8_t type[] = {0x9b, 1, ENVELOPE_TYPES, 1, 1, 1, 0, 1, 0, 1, 0, 0xc4, 0};
    static const uint8_t none[] = {0x9b, 1, 0, 1, 1, 1, 0, 1, 0, 1, 0, 0xc4, 0};
    static const uint8_t fine[] = {0x9b, 1, 1, 1, 1, 1, 0, 1, 0, 1, 0, 0xc4, 0};
    struct envelope read;
    assert_int_equal(envelope_open(array, sizeof array, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(bin, sizeof bin, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(node, sizeof node, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(type, sizeof type, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(none, sizeof none, &read), ERR_MALFORMED);
    assert_int_equal(envelope_open(fine, sizeof fine, &read), 0);
}

static void the_newest_version_that_both_speak_is_spoken(void **state)
{
    (void)state;
    assert_int_equal(envelope_version_for(0), ENVELOPE_VERSION_MIN);
    assert_int_equal(envelope_version_for(ENVELOPE_VERSION_MIN), ENVELOPE_VERSION_MIN);
    assert_int_equal(envelope_version_for(ENVELOPE_VERSION + 1), ENVELOPE_VERSION);
    assert_int_equal(envelope_version_for(UINT64_MAX), ENVELOPE_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_envelope_is_read_as_it_was_written),
        cmocka_unit_test(the_longest_head_has_room),
        cmocka_unit_test(every_cut_and_every_tail_is_refused),
        cmocka_unit_test(another_version_is_told_apart_whatever_its_layout),
        cmocka_unit_test(a_refusal_is_read_in_every_version),
        cmocka_unit_test(lengths_and_numbers_are_not_believed),
        cmocka_unit_test(the_newest_version_that_both_speak_is_spoken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
