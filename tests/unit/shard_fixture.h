#pragma once
/*
 * shard_fixture - a shard of node OWN with two edges, in whose slot SLOT one device lives; the
 * database is played by answer().
 */
#include "actors/shard_inside.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define SECOND 1000000LL
#define PAYLOAD "{\"temperature\":60}"
#define EDGES 2
/* This node, its incarnation, its slot, and the epoch in which the test begins. */
#define OWN 3
#define LIFE 7
#define SLOT 0x0fbb /* of device_id */
#define EPOCH 5

static const struct uuid tenant = {{1}}, device_id = {{2}};

struct fixture {
    shard_t *shard;
    int64_t now_us;
    bool absent; /* the database does not know the device */
};

static inline void receive(struct fixture *f, enum msg_kind kind, const void *fixed, size_t len,
                           const char *text)
{
    struct frame frame;
    frame_init(&frame, 1 << 20);
    assert_int_equal(frame_add(&frame, kind, fixed, len, &(struct span){text, strlen(text)}, 1), 0);
    struct span bytes = frame_finish(&frame);
    assert_int_equal(shard_receive(f->shard, bytes.data, bytes.len, f->now_us), 0);
    frame_free(&frame);
}

/* Of this node's edge 1, in the epoch in which the test began. */
static inline struct msg_ref own_ref(uint16_t packet_id)
{
    return (struct msg_ref){.node = OWN,
                            .life = LIFE,
                            .edge = 1,
                            .slot = SLOT,
                            .epoch = EPOCH,
                            .item = packet_id != 0 ? 0x100000U + packet_id : 0,
                            .packet_id = packet_id};
}

/* SLOT, RELEASE, GIVE, GIVEN. */
static inline void slot_says(struct fixture *f, enum msg_kind kind, uint16_t owner, uint32_t epoch,
                             uint8_t flags)
{
    struct msg_slot item = {.slot = SLOT, .owner = owner, .epoch = epoch, .flags = flags};
    receive(f, kind, &item, sizeof item, "");
}

static inline void node_says(struct fixture *f, uint16_t number, uint16_t life, bool alive)
{
    struct msg_node item = {
        .node = number, .life = life, .alive = alive, .edges = EDGES, .shards = 3};
    receive(f, MSG_NODE, &item, sizeof item, "");
}

/* Of an edge of another node. */
static inline struct msg_ref far_ref(uint16_t node, uint16_t life, uint8_t edge)
{
    return (struct msg_ref){.node = node, .life = life, .edge = edge, .slot = SLOT, .epoch = EPOCH};
}

/* An edge has told all that it says by itself of the slot. */
static inline void told(struct fixture *f, struct msg_ref ref)
{
    receive(f, MSG_TOLD, &(struct msg_told){ref}, sizeof(struct msg_told), "");
}

static inline void drop_output(struct fixture *f)
{
    struct shard_out *out = shard_output(f->shard);
    for (unsigned e = 0; e < LIMIT_EDGES; e++)
        frame_clear(&out->edge[e]);
    frame_clear(&out->redis);
    frame_clear(&out->control);
    for (uint32_t n = 0; n < out->far_end; n++)
        for (unsigned i = 0; out->far[n] != NULL && i < LIMIT_SHARDS; i++) {
            frame_clear(&out->far[n]->shard[i]);
            frame_clear(&out->far[n]->edge[i % LIMIT_EDGES]);
            frame_clear(&out->far[n]->watchers[i % LIMIT_EDGES]);
            frame_clear(&out->far[n]->promised[i % LIMIT_EDGES]);
        }
}

/* Owns nothing yet. */
static inline void begin_closed(struct fixture *f)
{
    assert_int_equal(uuid_hash(&device_id) % LIMIT_SLOTS, SLOT);
    const struct shard_config config = {
        .node = OWN,
        .life = LIFE,
        .edges = EDGES,
        .seed = 5,
        .requests_per_minute = 60,
        .redis = true,
        .times = {300 * SECOND, 900 * SECOND, 5 * SECOND, 10 * SECOND, 3600 * SECOND}};
    *f = (struct fixture){.shard = shard_new(&config), .now_us = 1000000 * SECOND};
    assert_non_null(f->shard);
}

static inline void begin(struct fixture *f)
{
    begin_closed(f);
    slot_says(f, MSG_SLOT, OWN, EPOCH, 0);
    for (uint8_t e = 0; e < EDGES; e++) {
        struct msg_ref ref = own_ref(0);
        ref.edge = e;
        told(f, ref);
    }
    assert_int_equal(shard_count(f->shard)->slots, 1);
}

static inline void end(struct fixture *f)
{
    shard_destroy(&f->shard);
    assert_null(f->shard);
}

static inline struct msg_reading make_reading(const struct fixture *f, uint16_t packet_id,
                                              uint8_t flags)
{
    struct msg_reading reading = {.tenant = tenant,
                                  .device = device_id,
                                  .ref = own_ref(packet_id),
                                  .flags = (uint8_t)(1 | MSG_LAST | flags),
                                  .present = 1U << METRIC_TEMPERATURE,
                                  .message_key = packet_id,
                                  .arrival_us = f->now_us,
                                  .timestamp_us = f->now_us,
                                  .payload_len = sizeof PAYLOAD - 1};
    reading.value[METRIC_TEMPERATURE] = 60;
    return reading;
}

static inline void publish(struct fixture *f, uint16_t packet_id, uint8_t flags)
{
    struct msg_reading reading = make_reading(f, packet_id, flags);
    receive(f, MSG_READING, &reading, sizeof reading, PAYLOAD);
}

static inline void present_since(struct fixture *f, struct msg_ref ref, bool is, int64_t since_us)
{
    struct msg_presence presence = {
        .ref = ref, .tenant = tenant, .device = device_id, .present = is, .since_us = since_us};
    receive(f, MSG_PRESENCE, &presence, sizeof presence, "");
}

static inline void present_at(struct fixture *f, struct msg_ref ref, bool is)
{
    present_since(f, ref, is, f->now_us);
}

static inline void present(struct fixture *f, bool is)
{
    present_at(f, own_ref(0), is);
}

/* As its edge names all that it has. */
static inline void present_again(struct fixture *f)
{
    struct msg_presence presence = {.ref = own_ref(0),
                                    .tenant = tenant,
                                    .device = device_id,
                                    .present = PRESENCE_AGAIN,
                                    .since_us = f->now_us};
    receive(f, MSG_PRESENCE, &presence, sizeof presence, "");
}

static inline struct msg_ref other_edge(void)
{
    struct msg_ref ref = own_ref(0);
    ref.edge = 0;
    return ref;
}

/* What the database would answer: every device is there, with one rule; nothing was stored. */
static inline void answer(struct fixture *f, struct batch *batch, bool found, bool stored)
{
    for (uint32_t i = 0; i < batch->loads_count; i++) {
        struct batch_rule *rule = batch_add_rules(batch);
        *rule = (struct batch_rule){.id = {{9}}, .threshold = 50, .cooldown_us = 300 * SECOND};
        strcpy(rule->metric, "temperature");
        batch->loads[i].found = found;
        batch->loads[i].tenant = tenant;
        batch->loads[i].rules_count = 1;
    }
    for (uint32_t i = 0; i < batch->checks_count; i++)
        batch->checks[i].stored = stored;
    for (uint32_t i = 0; i < batch->alerts_count; i++) {
        batch->alerts[i].fired = true;
        batch->alerts[i].last_fired_us = f->now_us;
    }
    shard_done(f->shard, batch, f->now_us);
}

static inline void commit(struct fixture *f)
{
    struct batch *batch = shard_next_batch(f->shard);
    assert_non_null(batch);
    answer(f, batch, !f->absent, false);
}

static inline void commit_all(struct fixture *f)
{
    while (!shard_is_quiet(f->shard))
        commit(f);
}

static inline struct device *the_device(struct fixture *f)
{
    uint32_t handle = shard_find(f->shard, &device_id);
    return handle == TABLE_NONE ? NULL : shard_device(f->shard, handle);
}

/* The device is known, and LIVE. */
static inline void make_live(struct fixture *f)
{
    shard_activate(f->shard, &tenant, &device_id, SLOT);
    commit(f);
    assert_int_equal(the_device(f)->state, DEVICE_LIVE);
}

/* How many items of `kind` wait in a frame. The first is copied. */
static inline unsigned look(struct frame *frame, enum msg_kind kind, void *ret_fixed, size_t len)
{
    struct frame_reader reader;
    struct item item;
    unsigned count = 0;
    if (frame->count == 0)
        return 0;
    struct span bytes = frame_finish(frame);
    assert_int_equal(frame_open(&reader, bytes.data, bytes.len), 0);
    while (frame_next(&reader, &item) == 1)
        if (item.kind == kind && count++ == 0)
            memcpy(ret_fixed, item.fixed, len);
    return count;
}

/* And all of the frame is gone then. */
static inline unsigned take(struct frame *frame, enum msg_kind kind, void *ret_fixed, size_t len)
{
    unsigned count = look(frame, kind, ret_fixed, len);
    frame_clear(frame);
    return count;
}

/* What edge 1 is told of SLOT's owner, once or not at all; epoch 0: nothing. */
static inline struct msg_slot word(struct fixture *f)
{
    struct msg_slot item = {0};
    unsigned count = take(&shard_output(f->shard)->edge[1], MSG_SLOT, &item, sizeof item);
    assert_in_range(count, 0, 1);
    if (count == 1)
        assert_true(item.slot == SLOT && item.from == OWN && item.from_life == LIFE);
    return item;
}

/* Control is told that SLOT is at rest. */
static inline bool is_released(struct fixture *f)
{
    struct msg_slot item = {0};
    if (take(&shard_output(f->shard)->control, MSG_RELEASED, &item, sizeof item) == 0)
        return false;
    assert_true(item.slot == SLOT && item.epoch == EPOCH);
    return true;
}

static inline unsigned acks(struct fixture *f, struct msg_ack *ret_ack)
{
    return take(&shard_output(f->shard)->edge[1], MSG_ACK, ret_ack, sizeof *ret_ack);
}

/* The next owner, and another node, whose edges watch and send as well. */
#define NEXT_NODE 8
#define THIRD 9
#define NEXT_NODE_LIFE 2

/* The next owner's shard, which hears what the source has for it. */
static inline void begin_target(struct fixture *target, struct fixture *source)
{
    const struct shard_config config = {
        .node = NEXT_NODE,
        .life = NEXT_NODE_LIFE,
        .edges = EDGES,
        .seed = 6,
        .times = {300 * SECOND, 900 * SECOND, 5 * SECOND, 10 * SECOND, 3600 * SECOND}};
    *target = (struct fixture){.shard = shard_new(&config), .now_us = source->now_us};
    assert_non_null(target->shard);
    node_says(target, OWN, LIFE, true);
    node_says(target, THIRD, 1, true);
    slot_says(target, MSG_SLOT, OWN, EPOCH, 0);
    slot_says(target, MSG_SLOT, NEXT_NODE, EPOCH + 1, SLOT_AWAITS);
}
