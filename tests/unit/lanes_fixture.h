#pragma once
/*
 * lanes_fixture - the lanes of an edge of node HERE, and a log of all that they ask for.
 */
#include "cluster/lanes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HERE 20
#define LIFE 0xbeef
#define EDGE 3
#define SLOT 0x0123
#define A 1
#define B 2
#define C 3
/* The incarnation that nodes have when a test does not say another. */
#define FIRST 5

#define LOGGED_MAX 4096

struct logged {
    enum { LOGGED_SENT, LOGGED_TOLD, LOGGED_NODE } what;
    uint16_t number, slot, life; /* NODE: life */
    unsigned shards;
    enum msg_kind kind;
    struct msg_ref ref;
    size_t size;
};

struct fixture {
    lanes_t *lanes;
    int64_t now_us;
    struct logged logged[LOGGED_MAX];
    unsigned logged_count, looked; /* looked: how many of them have been looked at */
};

static inline struct logged *log_next(void *context)
{
    struct fixture *f = context;
    assert_in_range(f->logged_count, 0, LOGGED_MAX - 1);
    return &f->logged[f->logged_count++];
}

/* The item is read as its receiver would read it. */
static inline void on_send(void *context, uint16_t number, uint16_t slot, const void *item,
                           size_t size)
{
    struct frame frame;
    struct frame_reader reader;
    struct item read;
    frame_init(&frame, 1 << 20);
    assert_int_equal(frame_add_written(&frame, item, size), 0);
    struct span bytes = frame_finish(&frame);
    assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
    assert_int_equal(frame_next(&reader, &read), 1);
    *log_next(context) = (struct logged){.what = LOGGED_SENT,
                                         .number = number,
                                         .slot = slot,
                                         .kind = read.kind,
                                         .ref = *(const struct msg_ref *)read.fixed,
                                         .size = read.size};
    assert_int_equal(frame_next(&reader, &read), 0);
    frame_free(&frame);
}

static inline void on_tell(void *context, uint16_t slot)
{
    *log_next(context) = (struct logged){.what = LOGGED_TOLD, .slot = slot};
}

static inline void on_node(void *context, uint16_t number, uint16_t life, unsigned shards)
{
    *log_next(context) =
        (struct logged){.what = LOGGED_NODE, .number = number, .life = life, .shards = shards};
}

static inline struct fixture *begin(void)
{
    static struct fixture fixture;
    const struct lanes_config config = {.node = HERE, .life = LIFE, .edge = EDGE};
    fixture = (struct fixture){.now_us = 1000};
    const struct lanes_events events = {
        .send = on_send, .tell = on_tell, .node = on_node, .context = &fixture};
    fixture.lanes = lanes_new(&config, &events);
    return &fixture;
}

static inline void end(struct fixture *f)
{
    assert_int_equal(f->looked, f->logged_count); /* nothing more than what the test expected */
    lanes_destroy(&f->lanes);
    assert_null(f->lanes);
}

/* ---- what the lanes hear ---- */

static inline void node_is(struct fixture *f, uint16_t number, uint16_t life, bool alive)
{
    const struct msg_node node = {
        .node = number, .life = life, .alive = alive, .edges = 1, .shards = 4};
    lanes_take(f->lanes, &(struct item){.kind = MSG_NODE, .fixed = &node}, f->now_us);
}

static inline void slot_is(struct fixture *f, const struct msg_slot *news)
{
    lanes_take(f->lanes, &(struct item){.kind = MSG_SLOT, .fixed = news}, f->now_us);
}

static inline void control_says(struct fixture *f, uint16_t owner, uint32_t epoch)
{
    const struct msg_slot news = {.slot = SLOT, .from = HERE, .owner = owner, .epoch = epoch};
    slot_is(f, &news);
}

/* A shard of `from`, in the incarnation `life`, says that `owner` is it. */
static inline void shard_says(struct fixture *f, uint16_t from, uint16_t life, uint16_t owner,
                              uint32_t epoch)
{
    const struct msg_slot news = {.slot = SLOT,
                                  .from = from,
                                  .from_life = life,
                                  .owner = owner,
                                  .flags = SLOT_CLEAN,
                                  .epoch = epoch};
    slot_is(f, &news);
}

static inline void expect_node(struct fixture *f, uint16_t number, uint16_t life)
{
    const struct logged *l = &f->logged[f->looked++];
    assert_true(f->looked <= f->logged_count && l->what == LOGGED_NODE);
    assert_int_equal(l->number, number);
    assert_int_equal(l->life, life);
    assert_int_equal(l->shards, 4);
}

static inline void expect_told(struct fixture *f)
{
    const struct logged *l = &f->logged[f->looked++];
    assert_true(f->looked <= f->logged_count && l->what == LOGGED_TOLD);
    assert_int_equal(l->slot, SLOT);
}

static inline void expect_quiet(const struct fixture *f)
{
    assert_int_equal(f->looked, f->logged_count);
}

/* The next thing is that message `n` is sent; its name. */
static inline uint32_t expect_sent(struct fixture *f, uint16_t to, uint32_t epoch, uint16_t n,
                                   bool again)
{
    const struct logged *l = &f->logged[f->looked++];
    assert_true(f->looked <= f->logged_count && l->what == LOGGED_SENT);
    assert_int_equal(l->number, to);
    assert_int_equal(l->ref.epoch, epoch);
    assert_int_equal(l->ref.packet_id, n);
    assert_int_equal(l->ref.again, again);
    assert_int_equal(l->ref.slot, l->slot);
    return l->ref.item;
}

/* Node A is there and owns SLOT in epoch 10. */
static inline struct fixture *begin_with_owner(void)
{
    struct fixture *f = begin();
    node_is(f, A, FIRST, true);
    node_is(f, B, FIRST, true);
    node_is(f, C, FIRST, true);
    control_says(f, A, 10);
    expect_node(f, A, FIRST);
    expect_node(f, B, FIRST);
    expect_node(f, C, FIRST);
    expect_told(f);
    expect_quiet(f);
    return f;
}

/* ---- what they are given ---- */

/* Message `n`, for SLOT or another one. */
static inline size_t add_to(struct fixture *f, uint16_t slot, uint16_t n)
{
    const struct msg_message message = {
        .ref = {.packet_id = n, .conn = 100U + n, .generation = 7, .again = 1}, /* not its to say */
        .topic_len = 3,
        .payload_len = 4};
    struct span texts[] = {{"a/b", 3}, {"text", 4}};
    return lanes_add(f->lanes, slot, MSG_MESSAGE, &message, texts, 2);
}

static inline void add(struct fixture *f, uint16_t n)
{
    assert_int_equal(add_to(f, SLOT, n), frame_item_size(MSG_MESSAGE, 7));
}

static inline void say(struct fixture *f, uint16_t n)
{
    const struct msg_presence presence = {.ref = {.packet_id = n}, .present = 1};
    lanes_say(f->lanes, SLOT, MSG_PRESENCE, &presence, NULL, 0);
}
