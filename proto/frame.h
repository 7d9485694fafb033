#pragma once
/*
 * frame - many items in one message: a msgpack array [version, count, bin], the items in the bin.
 *
 * In:    items of msg.h, by kind, fixed part and texts.
 * Out:   one contiguous piece of bytes for a socket.
 * Owner: the thread that builds or reads it.
 * Bound: `max` of the builder; a reader believes no length before it has checked it.
 */
#include "proto/buf.h"
#include "proto/msg.h"

struct frame {
    struct buf bytes;
    uint32_t count;
};

void frame_init(struct frame *self, size_t max);
void frame_free(struct frame *self);

/* One piece of an item's texts. */
struct span {
    const void *data;
    size_t len;
};

/* 0, or ERR_FULL with nothing added. */
int frame_add(struct frame *self, enum msg_kind kind, const void *fixed, size_t fixed_len,
              const struct span *texts, size_t texts_count) MUST_CHECK;
/* An item by itself, as it is in a frame: `to` has frame_item_size() bytes. */
void frame_item_write(void *to, enum msg_kind kind, const void *fixed, const struct span *texts,
                      size_t texts_count);
/* Adds such an item. 0, or ERR_FULL with nothing added. */
int frame_add_written(struct frame *self, const void *item, size_t size) MUST_CHECK;
/* The packed struct of such an item. */
void *frame_item_fixed(void *item);
/* Bytes of the packed struct of a kind. */
size_t frame_fixed_size(enum msg_kind kind);
/* Bytes that an item with so many of texts has in a frame: what a sender's credit counts. */
size_t frame_item_size(enum msg_kind kind, size_t texts_len);
/* The finished bytes, valid until the next call; the frame is then to be cleared. */
struct span frame_finish(struct frame *self);
void frame_clear(struct frame *self);

struct frame_reader {
    const uint8_t *at, *end;
    uint32_t left;
};
struct item {
    enum msg_kind kind;
    const void *fixed; /* packed struct of its kind */
    const uint8_t *texts;
    size_t texts_len;
    size_t size; /* bytes of the item in its frame */
};

/* Makes a finished frame one of `version`, below MSG_VERSION, for a node that knows no later one;
 * below MSG_VERSION_MIN it stays as it is, and that node refuses it. Their layouts are the same so
 * far: a version that changes one is put into the former's words here. */
void frame_for_version(void *frame, size_t len, unsigned version);

/* 0, ERR_VERSION (a peer of another version) or ERR_MALFORMED. */
int frame_open(struct frame_reader *self, const void *data, size_t len) MUST_CHECK;
/* 1 and the item; 0 at the end; ERR_MALFORMED: an unknown kind, or lengths that do not fit. */
int frame_next(struct frame_reader *self, struct item *ret_item) MUST_CHECK;
