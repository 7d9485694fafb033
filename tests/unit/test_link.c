/*
 * Two links above a simulated transport that loses, doubles, reorders, stalls and cuts: what one
 * side puts in comes out at the other, once and in order, whatever the seed. Each check is shown
 * that it can fail, by a mutation of what lies between the links.
 *
 * LINK_SEEDS=N runs N seeds a kind of transport; a failure prints its seed.
 */
#include "cluster/link.h"
#include "proto/check.h"
#include "tests/unit/link_wire.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define PUTS_US 3000000    /* so long frames are put in and all goes wrong */
#define HEAL_US 120000000L /* by then, at the latest, all has arrived */
#define TURN_US 5000

/* Under a sanitizer each takes many times as long. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SEEDS 300
#else
#define SEEDS 2000
#endif

enum mutation {
    NONE,
    DELIVER_DOUBLES, /* frames that the link does not want delivered are */
    FORGE_ACKS,      /* the receiver says it has one more than it has */
    LOSE_QUESTIONS,  /* TAIL never arrives */
    FORGET_ROUNDS,   /* every GAP counts */
    DELIVER_EARLY,   /* frames past a gap are delivered */
    SPOIL_FRAMES,    /* on their way */
    IGNORE_WINDOW,   /* the sender forgets what is at the transport */
    KEEP_TOO_MUCH,   /* what is kept is counted wrong */
};

struct side {
    struct link link;
    struct wire ordered, quick; /* towards the other side */
    uint64_t put, got;          /* frames taken by the link, frames delivered */
    uint64_t again, tails;
    unsigned cuts;
    bool blocked; /* the transport takes nothing */
};

struct world {
    struct side side[2];
    struct weather weather;
    enum mutation mutation;
    uint64_t random;
    int64_t now_us;
    const char *broken; /* the first thing that did not hold */
};

static uint64_t below(struct world *world, uint64_t n)
{
    return wire_random(&world->random) % n;
}

static void hold(struct world *world, bool holds, const char *what)
{
    if (!holds && world->broken == NULL)
        world->broken = what;
}

static void put_frame(struct world *world, struct side *side)
{
    uint64_t number = side->put + 1;
    bool large = below(world, 50) == 0;
    uint32_t len = (uint32_t)(8 + below(world, large ? 2000000 : 2000));
    struct link_frame frame = {malloc(len), len, 1, (uint8_t)number};
    CHECK(frame.data != NULL);
    memcpy(frame.data, &number, sizeof number);
    CHECK(link_put(&side->link, &frame, UINT64_MAX) == 0);
    side->put = number;
    side->link.kept += world->mutation == KEEP_TOO_MUCH;
}

static void check_window(struct world *world, const struct link *link)
{
    size_t bytes = 0;
    for (uint64_t number = link->acked + 1; number <= link->sent; number++)
        bytes += link->frames[number & (link->size - 1)].len;
    hold(world, bytes <= LINK_WINDOW_BYTES || link->sent == link->acked + 1,
         "no more at the transport than its window");
}

static void send_all(struct world *world, struct side *side)
{
    struct envelope envelope;
    struct link *link = &side->link;
    while (!side->blocked && link_answer(link, world->now_us, &envelope)) {
        if (world->mutation == FORGE_ACKS && envelope.type == ENVELOPE_ACK)
            envelope.ack++;
        wire_send(&side->quick, &envelope, &world->weather, world->now_us);
        link_sent(link, &envelope, world->now_us);
    }
    while (!side->blocked && link_next(link, world->now_us, &envelope)) {
        if (envelope.type == ENVELOPE_TAIL)
            side->tails++;
        if (envelope.type != ENVELOPE_TAIL || world->mutation != LOSE_QUESTIONS)
            wire_send(&side->ordered, &envelope, &world->weather, world->now_us);
        side->again += link_sent(link, &envelope, world->now_us);
        if (world->mutation == IGNORE_WINDOW)
            link->under_way = 0;
    }
    check_window(world, link);
}

static void deliver(struct world *world, struct side *from, struct side *to,
                    const struct packet *packet)
{
    struct envelope in = packet->envelope;
    uint64_t before = to->link.got;
    if (world->mutation == FORGET_ROUNDS && in.type == ENVELOPE_GAP)
        in.round = to->link.round;
    if (world->mutation == SPOIL_FRAMES)
        in.index++;
    int rc = link_take(&to->link, &in, world->now_us);
    hold(world, rc >= 0, "only what was sent is acknowledged");
    bool wanted = rc == 1;
    if (world->mutation == DELIVER_DOUBLES && in.type == ENVELOPE_DATA && in.seq <= before)
        wanted = true;
    if (world->mutation == DELIVER_EARLY && in.type == ENVELOPE_DATA && in.seq > before + 1)
        wanted = true;
    if (!wanted)
        return;
    hold(world, packet->number == to->got + 1, "each frame once, in order");
    hold(world, packet->number <= from->put && in.index == (uint8_t)packet->number,
         "a frame as it was put in");
    to->got = packet->number;
}

static void receive_all(struct world *world, unsigned i)
{
    struct side *from = &world->side[i], *to = &world->side[1 - i];
    struct packet packet;
    while (wire_take(&from->ordered, world->now_us, &packet))
        deliver(world, from, to, &packet);
    while (wire_take(&from->quick, world->now_us, &packet))
        deliver(world, from, to, &packet);
}

/* The connection breaks: what is on it is gone. It comes back at once, unnoticed, or later. */
static void disturb(struct world *world, struct side *side)
{
    if (side->blocked) {
        if (below(world, 100) == 0) {
            side->blocked = false;
            link_renewed(&side->link, world->now_us);
        }
    } else if (below(world, 1000) < world->weather.cuts) {
        wire_cut(&side->ordered);
        wire_cut(&side->quick);
        side->cuts++;
        side->blocked = below(world, 2) == 0;
    }
}

static bool all_is_there(const struct world *world)
{
    const struct side *a = &world->side[0], *b = &world->side[1];
    return b->got == a->put && a->got == b->put && link_waiting(&a->link) == 0 &&
           link_waiting(&b->link) == 0;
}

static void begin(struct world *world, uint64_t seed, const struct weather *weather,
                  enum mutation mutation)
{
    *world = (struct world){.random = seed * 2 + 1, .weather = *weather, .mutation = mutation};
    for (unsigned i = 0; i < 2; i++) {
        link_init(&world->side[i].link);
        wire_init(&world->side[i].ordered, &world->random);
        wire_init(&world->side[i].quick, &world->random);
    }
}

static void end(struct world *world)
{
    for (unsigned i = 0; i < 2; i++)
        hold(world, !all_is_there(world) || world->side[i].link.kept == 0,
             "nothing is kept that has arrived");
    for (unsigned i = 0; i < 2; i++) {
        link_free(&world->side[i].link);
        wire_free(&world->side[i].ordered);
        wire_free(&world->side[i].quick);
    }
}

static void turn(struct world *world, bool healed)
{
    for (unsigned i = 0; i < 2; i++) {
        struct side *side = &world->side[i];
        if (!healed) {
            disturb(world, side);
            for (unsigned n = 0; n < 3 && below(world, 1000) < world->weather.puts; n++)
                put_frame(world, side);
        } else if (side->blocked) {
            side->blocked = false;
            link_renewed(&side->link, world->now_us);
        }
        receive_all(world, i);
        send_all(world, side);
    }
    world->now_us += TURN_US;
}

static const char *run_seed(uint64_t seed, const struct weather *weather, enum mutation mutation,
                            struct world *world)
{
    begin(world, seed, weather, mutation);
    while (world->now_us < PUTS_US && world->broken == NULL)
        turn(world, false);
    wire_heal(&world->weather);
    while (!all_is_there(world) && world->now_us < HEAL_US && world->broken == NULL)
        turn(world, true);
    hold(world, all_is_there(world), "all arrives once the transport is whole again");
    for (unsigned i = 0; i < 2 && weather->fifo; i++)
        hold(world, world->side[i].link.round <= world->side[i].cuts,
             "where order is kept nobody goes back without a loss");
    end(world);
    return world->broken;
}

static unsigned seeds(void)
{
    const char *text = getenv("LINK_SEEDS");
    return text != NULL ? (unsigned)atoi(text) : SEEDS;
}

static void no_seed_breaks_anything(const struct weather *weather)
{
    uint64_t frames = 0, again = 0;
    struct world world;
    for (unsigned seed = 1; seed <= seeds(); seed++) {
        const char *broken = run_seed(seed, weather, NONE, &world);
        if (broken != NULL)
            fail_msg("seed %u: does not hold: %s", seed, broken);
        for (unsigned i = 0; i < 2; i++) {
            frames += world.side[i].put;
            again += world.side[i].again;
        }
    }
    assert_in_range(frames, seeds(), UINT64_MAX);
    print_message("%u seeds, %lu frames, %lu sent again\n", seeds(), (unsigned long)frames,
                  (unsigned long)again);
}

static const struct weather cutting = {.fifo = true, .delay_us = 500, .puts = 300, .cuts = 10};
static const struct weather far_and_cutting = {
    .fifo = true, .delay_us = 40000, .bytes_per_s = 500000, .puts = 300, .stalls = 10, .cuts = 3};
static const struct weather wild = {
    .delay_us = 20000, .jitter_us = 60000, .puts = 30, .loss = 200, .doubles = 100, .cuts = 5};

static void cuts_lose_nothing(void **state)
{
    (void)state;
    no_seed_breaks_anything(&cutting);
}

static void a_slow_way_that_is_cut_loses_nothing(void **state)
{
    (void)state;
    no_seed_breaks_anything(&far_and_cutting);
}

static void loss_doubles_and_reordering_change_nothing(void **state)
{
    (void)state;
    no_seed_breaks_anything(&wild);
}

/* The check of that name fails with the mutation, in some seed. */
static void is_found(enum mutation mutation, const struct weather *weather, const char *check)
{
    struct world world;
    for (unsigned seed = 1; seed <= 300; seed++) {
        const char *broken = run_seed(seed, weather, mutation, &world);
        if (broken != NULL) {
            assert_string_equal(broken, check);
            return;
        }
    }
    fail_msg("mutation %d is not found: %s", mutation, check);
}

static void every_check_can_fail(void **state)
{
    (void)state;
    is_found(DELIVER_DOUBLES, &wild, "each frame once, in order");
    is_found(DELIVER_EARLY, &cutting, "each frame once, in order");
    is_found(SPOIL_FRAMES, &cutting, "a frame as it was put in");
    is_found(FORGE_ACKS, &cutting, "only what was sent is acknowledged");
    is_found(IGNORE_WINDOW, &far_and_cutting, "no more at the transport than its window");
    is_found(KEEP_TOO_MUCH, &cutting, "nothing is kept that has arrived");
    is_found(LOSE_QUESTIONS, &cutting, "all arrives once the transport is whole again");
    is_found(FORGET_ROUNDS, &far_and_cutting,
             "where order is kept nobody goes back without a loss");
}

/* 80 ms there and back, 222 kB/s (what TCP has left at 1 % loss), stalls of up to two seconds. */
static void a_slow_way_causes_no_storm(void **state)
{
    (void)state;
    static const struct weather weather = {
        .fifo = true, .delay_us = 40000, .bytes_per_s = 222000, .stalls = 100};
    struct world world;
    begin(&world, 7, &weather, NONE);
    while (world.side[0].put < 8000) {
        put_frame(&world, &world.side[0]);
        if (world.side[0].put % 100 == 0)
            turn(&world, true);
    }
    while (!all_is_there(&world) && world.now_us < 60 * HEAL_US)
        turn(&world, true);
    assert_true(all_is_there(&world));
    assert_null(world.broken);
    assert_int_equal(world.side[0].again, 0);
    assert_int_equal(world.side[0].link.round, 0);
    assert_in_range(world.side[0].tails, 0, world.now_us / LINK_RETRY_US);
    print_message("%lu frames in %lu s, %lu questions\n", (unsigned long)world.side[0].put,
                  (unsigned long)world.now_us / 1000000, (unsigned long)world.side[0].tails);
    end(&world);
}

static int put_bytes(struct link *link, uint32_t len, bool droppable)
{
    struct link_frame frame = {malloc(len), len, 1, 0};
    CHECK(frame.data != NULL);
    int rc = link_put(link, &frame, droppable ? LIMIT_LINK_BYTES : UINT64_MAX);
    if (rc != 0)
        free(frame.data);
    return rc;
}

static void an_unreachable_peer_costs_what_is_kept_and_no_more(void **state)
{
    (void)state;
    struct link link;
    struct envelope envelope;
    link_init(&link);
    int taken = 0;
    while (put_bytes(&link, 1 << 20, true) == 0)
        taken++;
    assert_int_equal(taken, 63); /* of 64 MiB, with their heads */
    assert_int_equal(put_bytes(&link, 1 << 20, true), ERR_FULL);
    assert_in_range(link.kept, 1, LIMIT_LINK_BYTES);
    assert_int_equal(put_bytes(&link, 1 << 20, false), 0);
    assert_int_equal(put_bytes(&link, 1 << 20, false), 0);
    assert_int_equal(link_waiting(&link), 65);
    assert_int_equal(put_bytes(&link, LIMIT_LINK_FRAME_BYTES + 1, false), ERR_TOO_LARGE);
    int given = 0;
    for (; link_next(&link, 0, &envelope); given++)
        link_sent(&link, &envelope, 0);
    assert_int_equal(given, 3); /* the window */
    for (int64_t now = 0; now < 3600 * 1000000LL; now += 10000)
        for (; link_next(&link, now, &envelope); given++) {
            assert_int_equal(envelope.type, ENVELOPE_TAIL);
            link_sent(&link, &envelope, now);
        }
    assert_in_range(given, 800, 906); /* in an hour: one question each four seconds */
    link_free(&link);
}

static void questions_come_less_and_less_often(void **state)
{
    (void)state;
    static const int64_t expected_ms[] = {500, 1500, 3500, 7500, 11500, 15500};
    struct link link;
    struct envelope envelope;
    link_init(&link);
    assert_int_equal(put_bytes(&link, 10, false), 0);
    assert_true(link_next(&link, 0, &envelope));
    link_sent(&link, &envelope, 0);
    for (unsigned i = 0; i < sizeof expected_ms / sizeof *expected_ms; i++) {
        int64_t due = link_next_us(&link);
        assert_int_equal(due, expected_ms[i] * 1000);
        assert_false(link_next(&link, due - 1, &envelope));
        assert_true(link_next(&link, due, &envelope));
        assert_int_equal(envelope.type, ENVELOPE_TAIL);
        link_sent(&link, &envelope, due);
    }
    struct envelope ack = {.type = ENVELOPE_ACK, .ack = 1};
    assert_int_equal(link_take(&link, &ack, 0), 0);
    assert_int_equal(link_next_us(&link), INT64_MAX);
    ack.ack = 2;
    assert_int_equal(link_take(&link, &ack, 0), ERR_UNEXPECTED);
    link_free(&link);
}

static void an_acknowledgement_goes_with_a_frame_or_alone_a_little_later(void **state)
{
    (void)state;
    struct link link;
    struct envelope out, in = {.type = ENVELOPE_DATA, .seq = 1, .len = 100};
    link_init(&link);
    assert_int_equal(link_take(&link, &in, 1000), 1);
    assert_false(link_answer(&link, 1000, &out));
    assert_int_equal(link_answer_us(&link), 1000 + LINK_ACK_US);
    assert_int_equal(put_bytes(&link, 10, false), 0);
    assert_true(link_next(&link, 2000, &out));
    assert_int_equal(out.ack, 1);
    link_sent(&link, &out, 2000);
    assert_int_equal(link_answer_us(&link), INT64_MAX);
    in.seq = 2;
    assert_int_equal(link_take(&link, &in, 3000), 1);
    assert_true(link_answer(&link, 3000 + LINK_ACK_US, &out));
    assert_int_equal(out.type, ENVELOPE_ACK);
    assert_int_equal(out.ack, 2);
    link_sent(&link, &out, 3000 + LINK_ACK_US);
    in.seq = 3;
    in.len = LINK_ACK_BYTES;
    assert_int_equal(link_take(&link, &in, 40000), 1);
    assert_true(link_answer(&link, 40000, &out)); /* much is said at once */
    link_free(&link);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_lose_nothing),
        cmocka_unit_test(a_slow_way_that_is_cut_loses_nothing),
        cmocka_unit_test(loss_doubles_and_reordering_change_nothing),
        cmocka_unit_test(every_check_can_fail),
        cmocka_unit_test(a_slow_way_causes_no_storm),
        cmocka_unit_test(an_unreachable_peer_costs_what_is_kept_and_no_more),
        cmocka_unit_test(questions_come_less_and_less_often),
        cmocka_unit_test(an_acknowledgement_goes_with_a_frame_or_alone_a_little_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
