/* A login that is under way while credentials are revoked is not let in by what holds no more. */
#include "node/edge_mqtt.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct edge edge; /* without connections */

static void revoked(uint8_t holder, int64_t mark)
{
    struct msg_revoked item = {.holder = {.bytes = {holder}}, .mark = mark};
    edge_kick_revoked(&edge, &item);
}

static bool missed(uint64_t since, uint8_t holder, int64_t mark)
{
    struct uuid id = {.bytes = {holder}};
    return edge_kick_missed(&edge, since, &id, mark);
}

static void a_login_from_before_a_revocation_is_not_let_in(void **state)
{
    (void)state;
    memset(&edge, 0, sizeof edge);
    uint64_t before = edge.revoked_count;
    assert_false(missed(before, 1, 10));
    revoked(1, 11);
    revoked(2, 0);
    assert_true(missed(before, 1, 10));
    assert_false(missed(before, 1, 11)); /* by the new secret */
    assert_true(missed(before, 2, 20));
    assert_false(missed(before, 3, 30)); /* another's */
    edge_kick_turn(&edge);
    assert_true(missed(before, 1, 10)); /* its answer may take longer than the turn */
    assert_false(missed(edge.revoked_count, 1, 10));
}

static void what_is_forgotten_is_taken_for_revoked(void **state)
{
    (void)state;
    memset(&edge, 0, sizeof edge);
    for (int i = 0; i < EDGE_REVOKED; i++)
        revoked(1, 11);
    assert_false(missed(0, 2, 20));
    revoked(1, 11);
    assert_true(missed(0, 2, 20));
    assert_false(missed(1, 2, 20));
    assert_int_equal(edge.revoked_count - edge.revoked_done, 1); /* a full ring was obeyed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_login_from_before_a_revocation_is_not_let_in),
        cmocka_unit_test(what_is_forgotten_is_taken_for_revoked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
