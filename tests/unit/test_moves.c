/* Slots on their way out: released, committed in groups, given; whatever the rows say meanwhile. */
#include "cluster/moves.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define HERE 4
#define THERE 5
#define ELSEWHERE 6
#define SLOT 0x2345
#define EPOCH 50

static moves_t *begin(void)
{
    moves_t *moves = moves_new(HERE);
    assert_non_null(moves);
    return moves;
}

static void end(moves_t *moves)
{
    moves_destroy(&moves);
    assert_null(moves);
}

static struct moves_order next(moves_t *moves)
{
    struct moves_order order;
    moves_next(moves, &order);
    return order;
}

static void answer_all(moves_t *moves, const struct moves_order *order, uint64_t epoch)
{
    uint64_t epochs[MOVES_GROUP];
    for (uint32_t i = 0; i < order->count; i++)
        epochs[i] = epoch;
    moves_answered(moves, order, epochs);
}

/* ---- the states, as drawn in moves.h ---- */

enum state { IDLE, WANTED, RELEASING, RESTING, REFUSED, STATES };

static moves_t *begin_in(enum state state)
{
    moves_t *moves = begin();
    moves_row(moves, SLOT, EPOCH, HERE, state == IDLE ? MSG_NOBODY : THERE);
    if (state >= RELEASING)
        assert_int_equal(next(moves).kind, MOVES_RELEASE);
    if (state >= RESTING)
        moves_released(moves, SLOT, EPOCH);
    if (state >= REFUSED) {
        struct moves_order order = next(moves);
        assert_int_equal(order.kind, MOVES_HAND_OVER);
        answer_all(moves, &order, 0);
    }
    return moves;
}

/* What it does next tells in which state it is; it is not in it afterwards. */
static enum state state_of(moves_t *moves, uint32_t epoch)
{
    if (moves_count(moves) == 0) {
        assert_int_equal(next(moves).kind, MOVES_NONE);
        return IDLE;
    }
    struct moves_order order = next(moves);
    if (order.kind == MOVES_RELEASE) {
        assert_int_equal(order.epoch, epoch);
        return WANTED;
    }
    if (order.kind != MOVES_NONE)
        return RESTING;
    moves_retry(moves);
    if (next(moves).kind != MOVES_NONE)
        return REFUSED;
    moves_released(moves, SLOT, epoch);
    assert_int_not_equal(next(moves).kind, MOVES_NONE);
    return RELEASING;
}

enum event {
    ROW_THE_SAME,
    ROW_OTHER_TARGET,
    ROW_STAYS,
    ROW_ANEW,
    ROW_ANEW_AND_MOVES,
    ROW_ANOTHERS,
    ROW_ANOTHERS_SAME_EPOCH,
    ROW_OLD,
    ROW_OLD_ANOTHERS,
    RELEASED,
    RELEASED_EARLIER,
    RELEASED_LATER,
    RETRY,
    EVENTS
};

/* Returns the epoch that is known then. */
static uint32_t apply(moves_t *moves, enum event event)
{
    switch (event) {
    case ROW_THE_SAME:
        moves_row(moves, SLOT, EPOCH, HERE, THERE);
        return EPOCH;
    case ROW_OTHER_TARGET:
        moves_row(moves, SLOT, EPOCH, HERE, ELSEWHERE);
        return EPOCH;
    case ROW_STAYS:
        moves_row(moves, SLOT, EPOCH, HERE, MSG_NOBODY);
        return EPOCH;
    case ROW_ANEW:
        moves_row(moves, SLOT, EPOCH + 1, HERE, MSG_NOBODY);
        return EPOCH + 1;
    case ROW_ANEW_AND_MOVES:
        moves_row(moves, SLOT, EPOCH + 1, HERE, THERE);
        return EPOCH + 1;
    case ROW_ANOTHERS:
        moves_row(moves, SLOT, EPOCH + 1, ELSEWHERE, HERE);
        return EPOCH + 1;
    case ROW_ANOTHERS_SAME_EPOCH:
        moves_row(moves, SLOT, EPOCH, ELSEWHERE, MSG_NOBODY);
        return EPOCH;
    case ROW_OLD:
        moves_row(moves, SLOT, EPOCH - 1, HERE, THERE);
        return EPOCH;
    case ROW_OLD_ANOTHERS:
        moves_row(moves, SLOT, EPOCH - 1, ELSEWHERE, MSG_NOBODY);
        return EPOCH;
    case RELEASED:
        moves_released(moves, SLOT, EPOCH);
        return EPOCH;
    case RELEASED_EARLIER:
        moves_released(moves, SLOT, EPOCH - 1);
        return EPOCH;
    case RELEASED_LATER:
        moves_released(moves, SLOT, EPOCH + 1);
        return EPOCH;
    case RETRY:
        moves_retry(moves);
        return EPOCH;
    case EVENTS:
        break;
    }
    fail();
    return 0;
}

static void every_state_and_event(void **state)
{
    (void)state;
    static const enum state expected[EVENTS][STATES] = {
        /*                   IDLE,   WANTED, RELEASING, RESTING, REFUSED */
        [ROW_THE_SAME] = {WANTED, WANTED, RELEASING, RESTING, RESTING},
        [ROW_OTHER_TARGET] = {WANTED, WANTED, RELEASING, RESTING, RESTING},
        [ROW_STAYS] = {IDLE, IDLE, RELEASING, RESTING, RESTING},
        [ROW_ANEW] = {IDLE, IDLE, IDLE, IDLE, IDLE},
        [ROW_ANEW_AND_MOVES] = {WANTED, WANTED, WANTED, WANTED, WANTED},
        [ROW_ANOTHERS] = {IDLE, IDLE, IDLE, IDLE, IDLE},
        [ROW_ANOTHERS_SAME_EPOCH] = {IDLE, IDLE, IDLE, IDLE, IDLE},
        [ROW_OLD] = {IDLE, WANTED, RELEASING, RESTING, REFUSED},
        [ROW_OLD_ANOTHERS] = {IDLE, WANTED, RELEASING, RESTING, REFUSED},
        [RELEASED] = {IDLE, WANTED, RESTING, RESTING, REFUSED},
        [RELEASED_EARLIER] = {IDLE, WANTED, RELEASING, RESTING, REFUSED},
        [RELEASED_LATER] = {IDLE, WANTED, RELEASING, RESTING, REFUSED},
        [RETRY] = {IDLE, WANTED, RELEASING, RESTING, RESTING},
    };
    for (int event = 0; event < EVENTS; event++)
        for (int from = 0; from < STATES; from++) {
            moves_t *moves = begin_in((enum state)from);
            uint32_t epoch = apply(moves, (enum event)event);
            enum state to = state_of(moves, epoch);
            if (to != expected[event][from])
                fail_msg("event %d in state %d leads to %d", event, from, to);
            end(moves);
        }
}

/* ---- orders ---- */

static void a_slot_is_released_then_handed_over(void **state)
{
    (void)state;
    moves_t *moves = begin();
    moves_row(moves, SLOT, EPOCH, HERE, THERE);
    struct moves_order order = next(moves);
    assert_int_equal(order.kind, MOVES_RELEASE);
    assert_true(order.count == 1 && order.slot[0] == SLOT);
    assert_true(order.epoch == EPOCH && order.target == THERE);
    assert_int_equal(next(moves).kind, MOVES_NONE); /* its shard has not said that it is at rest */
    moves_released(moves, SLOT, EPOCH);
    order = next(moves);
    assert_int_equal(order.kind, MOVES_HAND_OVER);
    assert_true(order.count == 1 && order.slot[0] == SLOT && order.target == THERE);
    assert_int_equal(next(moves).kind, MOVES_NONE);
    assert_int_equal(moves_count(moves), 1);
    answer_all(moves, &order, EPOCH + 1);
    assert_int_equal(moves_count(moves), 0);
    moves_row(moves, SLOT, EPOCH, HERE, THERE); /* read before that */
    assert_int_equal(moves_count(moves), 0);
    moves_row(moves, SLOT, EPOCH + 1, THERE, MSG_NOBODY);
    assert_int_equal(next(moves).kind, MOVES_NONE);
    assert_int_equal(moves_count(moves), 0);
    end(moves);
}

static bool all_of(const struct moves_order *order, unsigned region, uint16_t target,
                   uint32_t count)
{
    for (uint32_t i = 0; i < order->count; i++)
        if (order->slot[i] >> MSG_SLOT_BITS != region || order->slot[i] % LIMIT_SLOTS % 2 != target)
            return false;
    return order->kind == MOVES_HAND_OVER && order->target == target && order->count == count;
}

/* Regions 1 and 3, ten slots each, to nodes 0 and 1 by turns. */
static void a_group_is_of_one_region_and_target(void **state)
{
    (void)state;
    moves_t *moves = begin();
    unsigned seen = 0;
    uint16_t released[20];
    for (uint16_t i = 0; i < 20; i++)
        moves_row(moves, msg_slot(i < 10 ? 1 : 3, i), EPOCH, HERE, i % 2);
    unsigned groups = 0;
    for (struct moves_order order; (order = next(moves)).kind != MOVES_NONE;) {
        if (order.kind == MOVES_RELEASE) {
            assert_int_equal(order.target, order.slot[0] % LIMIT_SLOTS % 2);
            released[seen++] = order.slot[0];
            if (seen % 5 == 0) /* nothing is committed before the last of them is at rest */
                for (unsigned i = seen - 5; i < seen; i++)
                    moves_released(moves, released[i], EPOCH);
            continue;
        }
        groups++;
        assert_true(all_of(&order, order.slot[0] >> MSG_SLOT_BITS, order.target, 5));
        answer_all(moves, &order, EPOCH + 1);
    }
    assert_int_equal(seen, 20);
    assert_int_equal(groups, 4);
    assert_int_equal(moves_count(moves), 0);
    end(moves);
}

static void one_order_for_the_database_is_out_at_a_time(void **state)
{
    (void)state;
    moves_t *moves = begin();
    moves_row(moves, 0, EPOCH, HERE, THERE);
    assert_int_equal(next(moves).kind, MOVES_RELEASE);
    moves_released(moves, 0, EPOCH);
    assert_int_equal(next(moves).kind, MOVES_HAND_OVER);
    moves_row(moves, 1, EPOCH, HERE, THERE);
    assert_int_equal(next(moves).kind, MOVES_NONE); /* also no release: the group is not done */
    struct moves_order first = {.kind = MOVES_HAND_OVER, .count = 1, .slot = {0}};
    answer_all(moves, &first, EPOCH + 1);
    assert_int_equal(next(moves).kind, MOVES_RELEASE);
    moves_released(moves, 1, EPOCH);
    struct moves_order second = next(moves);
    assert_int_equal(second.kind, MOVES_HAND_OVER);
    assert_int_equal(second.count, 1);
    end(moves);
}

static void only_so_many_take_nothing_at_a_time(void **state)
{
    (void)state;
    static bool released[LIMIT_SLOTS];
    moves_t *moves = begin();
    struct moves_order order;
    unsigned out = 0, done = 0;
    for (uint16_t i = 0; i < LIMIT_SLOTS; i++)
        moves_row(moves, i, EPOCH, HERE, THERE);
    assert_int_equal(moves_count(moves), LIMIT_SLOTS);
    while ((order = next(moves)).kind == MOVES_RELEASE && ++out)
        moves_released(moves, order.slot[0], EPOCH);
    while (done < LIMIT_SLOTS) {
        assert_int_equal(order.kind, MOVES_HAND_OVER);
        assert_in_range(order.count, 1, MOVES_GROUP);
        for (uint32_t i = 0; i < order.count; i++) {
            assert_false(released[order.slot[i]]);
            released[order.slot[i]] = true;
        }
        done += order.count;
        out -= order.count;
        answer_all(moves, &order, EPOCH + 1);
        while ((order = next(moves)).kind == MOVES_RELEASE) {
            assert_in_range(++out, 1, MOVES_GROUP);
            moves_released(moves, order.slot[0], EPOCH);
        }
    }
    assert_int_equal(moves_count(moves), 0);
    end(moves);
}

/* Also what the database has refused: its devices wait all the same. */
static void what_was_refused_counts_as_well(void **state)
{
    (void)state;
    moves_t *moves = begin();
    struct moves_order order;
    for (uint16_t i = 0; i < 2 * MOVES_GROUP; i++)
        moves_row(moves, i, EPOCH, HERE, THERE);
    for (unsigned i = 0; i < MOVES_GROUP; i++)
        assert_int_equal(next(moves).kind, MOVES_RELEASE);
    assert_int_equal(next(moves).kind, MOVES_NONE);
    for (uint16_t i = 0; i < MOVES_GROUP; i++)
        moves_released(moves, i, EPOCH);
    order = next(moves);
    assert_int_equal(order.count, MOVES_GROUP);
    answer_all(moves, &order, 0);
    assert_int_equal(next(moves).kind, MOVES_NONE);
    moves_retry(moves);
    order = next(moves);
    assert_int_equal(order.kind, MOVES_HAND_OVER);
    answer_all(moves, &order, EPOCH + 1);
    assert_int_equal(next(moves).kind, MOVES_RELEASE);
    end(moves);
}

static void another_target_meanwhile_is_the_one(void **state)
{
    (void)state;
    for (int state_then = RELEASING; state_then <= REFUSED; state_then++) {
        moves_t *moves = begin_in((enum state)state_then);
        moves_row(moves, SLOT, EPOCH, HERE, ELSEWHERE);
        moves_released(moves, SLOT, EPOCH);
        struct moves_order order = next(moves);
        assert_int_equal(order.kind, MOVES_HAND_OVER);
        assert_int_equal(order.target, ELSEWHERE);
        end(moves);
    }
}

static void what_stays_after_all_gets_a_new_epoch(void **state)
{
    (void)state;
    for (int state_then = RELEASING; state_then <= REFUSED; state_then++) {
        moves_t *moves = begin_in((enum state)state_then);
        moves_row(moves, SLOT, EPOCH, HERE, MSG_NOBODY);
        moves_released(moves, SLOT, EPOCH);
        struct moves_order order = next(moves);
        assert_int_equal(order.kind, MOVES_KEEP);
        assert_true(order.count == 1 && order.slot[0] == SLOT && order.target == MSG_NOBODY);
        answer_all(moves, &order, EPOCH + 1);
        assert_int_equal(moves_count(moves), 0);
        moves_row(moves, SLOT, EPOCH + 1, HERE, MSG_NOBODY);
        assert_int_equal(moves_count(moves), 0);
        moves_row(moves, SLOT, EPOCH + 1, HERE, ELSEWHERE); /* and is to go again */
        order = next(moves);
        assert_int_equal(order.kind, MOVES_RELEASE);
        assert_int_equal(order.epoch, EPOCH + 1);
        end(moves);
    }
}

static void a_database_that_cannot_be_asked_is_asked_again(void **state)
{
    (void)state;
    moves_t *moves = begin_in(RESTING);
    for (int i = 0; i < 3; i++) {
        struct moves_order order = next(moves);
        assert_int_equal(order.kind, MOVES_HAND_OVER);
        moves_answered(moves, &order, NULL);
    }
    struct moves_order order = next(moves);
    answer_all(moves, &order, EPOCH + 1);
    assert_int_equal(moves_count(moves), 0);
    end(moves);
}

/* One is handed over, one was refused: each has its own answer. */
static void a_group_may_be_refused_in_part(void **state)
{
    (void)state;
    moves_t *moves = begin();
    uint64_t epochs[2] = {0, EPOCH + 1};
    for (uint16_t i = 0; i < 2; i++) {
        moves_row(moves, i, EPOCH, HERE, THERE);
        assert_int_equal(next(moves).kind, MOVES_RELEASE);
    }
    for (uint16_t i = 0; i < 2; i++)
        moves_released(moves, i, EPOCH);
    struct moves_order order = next(moves);
    assert_int_equal(order.count, 2);
    moves_answered(moves, &order, epochs);
    assert_int_equal(moves_count(moves), 1);
    assert_int_equal(next(moves).kind, MOVES_NONE); /* until somebody says so, or a row comes */
    moves_row(moves, order.slot[0], EPOCH, HERE, ELSEWHERE);
    order = next(moves);
    assert_true(order.count == 1 && order.slot[0] == 0 && order.target == ELSEWHERE);
    end(moves);
}

static void a_row_may_come_between_order_and_answer(void **state)
{
    (void)state;
    moves_t *moves = begin_in(RESTING);
    struct moves_order order = next(moves);
    moves_row(moves, SLOT, EPOCH + 1, THERE, MSG_NOBODY); /* it was done, and more since */
    answer_all(moves, &order, 0);
    moves_retry(moves);
    assert_int_equal(next(moves).kind, MOVES_NONE);
    assert_int_equal(moves_count(moves), 0);
    end(moves);

    moves = begin_in(RESTING);
    moves_row(moves, SLOT, EPOCH, HERE, MSG_NOBODY);
    order = next(moves);
    assert_int_equal(order.kind, MOVES_KEEP);
    moves_row(moves, SLOT, EPOCH + 1, HERE, ELSEWHERE); /* kept, and already to go again */
    struct moves_order release = next(moves);
    assert_int_equal(release.kind, MOVES_RELEASE);
    answer_all(moves, &order, EPOCH + 1);
    moves_released(moves, SLOT, EPOCH + 1);
    order = next(moves);
    assert_int_equal(order.kind, MOVES_HAND_OVER);
    assert_int_equal(order.target, ELSEWHERE);
    end(moves);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_and_event),
        cmocka_unit_test(a_slot_is_released_then_handed_over),
        cmocka_unit_test(a_group_is_of_one_region_and_target),
        cmocka_unit_test(one_order_for_the_database_is_out_at_a_time),
        cmocka_unit_test(only_so_many_take_nothing_at_a_time),
        cmocka_unit_test(what_was_refused_counts_as_well),
        cmocka_unit_test(another_target_meanwhile_is_the_one),
        cmocka_unit_test(what_stays_after_all_gets_a_new_epoch),
        cmocka_unit_test(a_database_that_cannot_be_asked_is_asked_again),
        cmocka_unit_test(a_group_may_be_refused_in_part),
        cmocka_unit_test(a_row_may_come_between_order_and_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
