/*
 * Any bytes: what a frame's reader gives out lies within them, and items that it takes make, put
 * into a frame again, the same items.
 */
#include "proto/check.h"
#include "proto/frame.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static volatile uint8_t sink;

static void read_all(const void *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sink = ((const uint8_t *)bytes)[i];
}

static void copy(const uint8_t *data, size_t size, struct frame *again)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, data, size);
    CHECK(rc == 0 || rc == ERR_VERSION || rc == ERR_MALFORMED);
    while (rc == 0 && (rc = frame_next(&reader, &item)) == 1) {
        const uint8_t *fixed = item.fixed;
        CHECK(fixed >= data && item.texts > fixed && item.texts + item.texts_len <= data + size);
        CHECK(frame_item_size(item.kind, item.texts_len) == item.size);
        read_all(item.texts, item.texts_len);
        struct span texts = {item.texts, item.texts_len};
        CHECK(frame_add(again, item.kind, fixed, (size_t)(item.texts - fixed), &texts, 1) == 0);
        rc = 0;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct frame again, third;
    frame_init(&again, SIZE_MAX / 4);
    frame_init(&third, SIZE_MAX / 4);
    copy(data, size, &again);
    if (again.count > 0) {
        struct span bytes = frame_finish(&again);
        copy(bytes.data, bytes.len, &third);
        CHECK(third.count == again.count);
        struct span same = frame_finish(&third);
        CHECK(same.len == bytes.len && memcmp(same.data, bytes.data, bytes.len) == 0);
    }
    frame_free(&again);
    frame_free(&third);
    return 0;
}
