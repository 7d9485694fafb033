/* What is put into a frame comes out of it, in order; bytes that are no frame are refused. */
#include "proto/frame.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

static const struct msg_ack ack = {.ref = {.packet_id = 7}, .bytes = 3, .reason_len = 4};

static void add_ack(struct frame *frame)
{
    struct span text[] = {{"ye", 2}, {"s!", 2}};
    assert_int_equal(frame_add(frame, MSG_ACK, &ack, sizeof ack, text, 2), 0);
}

static void items_come_out_as_they_went_in(void **state)
{
    (void)state;
    struct frame frame;
    struct frame_reader reader;
    struct item item;
    struct msg_device device = {.device = {{1}}};
    frame_init(&frame, 1 << 20);
    for (int i = 0; i < 1000; i++) {
        add_ack(&frame);
        assert_int_equal(frame_add(&frame, MSG_WAKE, &device, sizeof device, NULL, 0), 0);
    }
    struct span bytes = frame_finish(&frame);
    assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(frame_next(&reader, &item), 1);
        assert_int_equal(item.kind, MSG_ACK);
        assert_memory_equal(item.fixed, &ack, sizeof ack);
        assert_memory_equal(item.texts, "yes!", 4);
        assert_int_equal(item.size, frame_item_size(MSG_ACK, 4));
        assert_int_equal(frame_next(&reader, &item), 1);
        assert_int_equal(item.kind, MSG_WAKE);
    }
    assert_int_equal(frame_next(&reader, &item), 0);
    frame_free(&frame);
}

/* Lanes keep items so, and send them as they are. */
static void an_item_written_by_itself_is_the_same(void **state)
{
    (void)state;
    struct frame as_parts, as_whole;
    struct span texts[] = {{"ye", 2}, {"", 0}, {"s!", 2}};
    uint8_t whole[256];
    size_t size = frame_item_size(MSG_ACK, 4);
    assert_int_equal(frame_fixed_size(MSG_ACK), sizeof ack);
    frame_item_write(whole, MSG_ACK, &ack, texts, 3);
    assert_memory_equal(frame_item_fixed(whole), &ack, sizeof ack);
    frame_init(&as_parts, 1024);
    frame_init(&as_whole, size + 16);
    assert_int_equal(frame_add(&as_parts, MSG_ACK, &ack, sizeof ack, texts, 3), 0);
    assert_int_equal(frame_add_written(&as_whole, whole, size), 0);
    assert_int_equal(frame_add_written(&as_whole, whole, size), ERR_FULL);
    assert_int_equal(as_whole.count, 1);
    struct span parts = frame_finish(&as_parts), one = frame_finish(&as_whole);
    assert_int_equal(parts.len, one.len);
    assert_memory_equal(parts.data, one.data, one.len);
    frame_free(&as_parts);
    frame_free(&as_whole);
}

/* Lanes write it, and shards read its slot, whatever the kind. */
static void a_reference_is_the_first_of_its_item(void **state)
{
    (void)state;
    assert_int_equal(offsetof(struct msg_reading, ref), 0);
    assert_int_equal(offsetof(struct msg_reject, ref), 0);
    assert_int_equal(offsetof(struct msg_presence, ref), 0);
    assert_int_equal(offsetof(struct msg_interest, ref), 0);
    assert_int_equal(offsetof(struct msg_message, ref), 0);
    assert_int_equal(offsetof(struct msg_claim, ref), 0);
    assert_int_equal(offsetof(struct msg_admit, ref), 0);
    assert_int_equal(msg_slot(LIMIT_REGIONS - 1, LIMIT_SLOTS - 1), UINT16_MAX);
    assert_int_equal(msg_slot(2, 5) >> MSG_SLOT_BITS, 2);
}

static void a_full_frame_takes_nothing_and_keeps_what_it_has(void **state)
{
    (void)state;
    struct frame frame;
    struct frame_reader reader;
    struct item item;
    char big[200] = {0};
    struct msg_ack large = {.reason_len = sizeof big};
    frame_init(&frame, 128);
    add_ack(&frame);
    assert_int_equal(frame_add(&frame, MSG_ACK, &large, sizeof large, &(struct span){big, 200}, 1),
                     ERR_FULL);
    assert_int_equal(frame.count, 1);
    struct span bytes = frame_finish(&frame);
    assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
    assert_int_equal(frame_next(&reader, &item), 1);
    assert_int_equal(frame_next(&reader, &item), 0);
    frame_clear(&frame);
    add_ack(&frame);
    assert_int_equal(frame.count, 1);
    frame_free(&frame);
}

/* Opens and reads to the end; what the first refusal was, or 0. */
static int read_all(const uint8_t *data, size_t len)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, data, len);
    while (rc == 0 && (rc = frame_next(&reader, &item)) == 1)
        rc = 0;
    return rc;
}

static void every_cut_and_every_tail_is_refused(void **state)
{
    (void)state;
    struct frame frame;
    uint8_t copy[256] = {0};
    frame_init(&frame, 256);
    add_ack(&frame);
    add_ack(&frame);
    struct span bytes = frame_finish(&frame);
    assert_in_range(bytes.len, 1, sizeof copy - 1);
    memcpy(copy, bytes.data, bytes.len);
    assert_int_equal(read_all(copy, bytes.len), 0);
    for (size_t len = 0; len < bytes.len; len++)
        assert_int_equal(read_all(copy, len), ERR_MALFORMED);
    assert_int_equal(read_all(copy, bytes.len + 1), ERR_MALFORMED);
    frame_free(&frame);
}

/* Three lengths of 32 bits, whose sum is that of the texts in 32 bits. */
static void lengths_together_do_not_overflow(void **state)
{
    (void)state;
    struct msg_snapshot snapshot = {
        .rules_len = 0x55555556, .hours_len = 0x55555556, .latest_len = 0x55555556};
    struct span text = {"{}", 2};
    struct frame frame;
    frame_init(&frame, 1024);
    for (int fits = 0; fits < 2; fits++) {
        assert_int_equal(frame_add(&frame, MSG_SNAPSHOT, &snapshot, sizeof snapshot, &text, 1), 0);
        struct span bytes = frame_finish(&frame);
        assert_int_equal(read_all(bytes.data, bytes.len), fits ? 0 : ERR_MALFORMED);
        frame_clear(&frame);
        snapshot.rules_len = snapshot.hours_len = 0;
        snapshot.latest_len = 2;
    }
    frame_free(&frame);
}

/* The database names the version of a member: no number of it may end a node. */
static void a_frame_for_one_too_old_stays_what_it_is(void **state)
{
    (void)state;
    for (unsigned version = 0; version < MSG_VERSION; version++) {
        uint8_t frame[] = {0x93, MSG_VERSION, 0, 0xc4, 0};
        frame_for_version(frame, sizeof frame, version);
        assert_int_equal(frame[1], version < MSG_VERSION_MIN ? MSG_VERSION : version);
        assert_int_equal(read_all(frame, sizeof frame), 0);
    }
}

static void another_version_is_told_apart(void **state)
{
    (void)state;
    static const uint8_t next[] = {0x93, MSG_VERSION + 1, 0, 0xc4, 0};
    static const uint8_t later[] = {0x91, 0xcd, 0x12, 0x34};
    static const uint8_t none[] = {0x93, 0xa1, 'x', 0, 0xc4, 0};
    assert_int_equal(read_all(next, sizeof next), ERR_VERSION);
    assert_int_equal(read_all(later, sizeof later), ERR_VERSION);
    assert_int_equal(read_all(none, sizeof none), ERR_MALFORMED);
}

static void lengths_are_not_believed(void **state)
{
    (void)state;
    static const uint8_t array[] = {0xdd, 0xff, 0xff, 0xff, 0xff, MSG_VERSION};
    static const uint8_t bin[] = {0x93, MSG_VERSION, 1, 0xc6, 0xff, 0xff, 0xff, 0xff};
    static const uint8_t count[] = {0x93, MSG_VERSION, 0xce, 0xff, 0xff, 0xff, 0xff, 0xc4, 0};
    assert_int_equal(read_all(array, sizeof array), ERR_MALFORMED);
    assert_int_equal(read_all(bin, sizeof bin), ERR_MALFORMED);
    assert_int_equal(read_all(count, sizeof count), ERR_MALFORMED);
}

/* A layout that changes leaves a frame of the former one, of which the fuzzer would reach little.
 */
static void the_fuzzers_frame_has_every_kind(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    struct frame_reader reader;
    struct item item;
    int rc, kinds = 0;
    FILE *file = fopen(GITO_SOURCE_DIR "/tests/fuzz/corpus/frame/all_kinds", "rb");
    assert_non_null(file);
    size_t len = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_int_equal(frame_open(&reader, bytes, len), 0);
    while ((rc = frame_next(&reader, &item)) == 1)
        assert_int_equal(item.kind, ++kinds);
    assert_int_equal(rc, 0);
    assert_int_equal(kinds, MSG_REVOKED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_as_they_went_in),
        cmocka_unit_test(an_item_written_by_itself_is_the_same),
        cmocka_unit_test(a_reference_is_the_first_of_its_item),
        cmocka_unit_test(a_full_frame_takes_nothing_and_keeps_what_it_has),
        cmocka_unit_test(every_cut_and_every_tail_is_refused),
        cmocka_unit_test(lengths_together_do_not_overflow),
        cmocka_unit_test(a_frame_for_one_too_old_stays_what_it_is),
        cmocka_unit_test(another_version_is_told_apart),
        cmocka_unit_test(lengths_are_not_believed),
        cmocka_unit_test(the_fuzzers_frame_has_every_kind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
