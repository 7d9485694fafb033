/* One connection a client id, and a budget of requests a minute. */
#include "actors/tenant.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define SECOND 1000000LL

static const struct uuid one = {{1}}, other = {{2}};

static int claim(struct tenants *tenants, const struct uuid *tenant, const char *id, uint32_t conn,
                 struct msg_ref *loser)
{
    struct msg_ref ref = {.conn = conn, .generation = conn * 10};
    return tenants_claim(tenants, tenant, id, strlen(id), &ref, conn, loser);
}

/* A connection at some node, as it is told anew when the tenant's slot has moved. */
static int claim_at(struct tenants *tenants, uint16_t node, uint16_t slot, const char *id,
                    int64_t since_us, struct msg_ref *loser)
{
    struct msg_ref ref = {.node = node, .slot = slot};
    return tenants_claim(tenants, &one, id, strlen(id), &ref, since_us, loser);
}

static void unclaim(struct tenants *tenants, const char *id, uint32_t conn)
{
    struct msg_ref ref = {.conn = conn, .generation = conn * 10};
    tenants_unclaim(tenants, &one, id, strlen(id), &ref);
}

static void a_second_claim_names_the_first(void **state)
{
    (void)state;
    struct tenants tenants;
    struct msg_ref loser = {0};
    tenants_init(&tenants, 10);
    assert_int_equal(claim(&tenants, &one, "a", 1, &loser), 0);
    assert_int_equal(claim(&tenants, &other, "a", 2, &loser), 0);
    assert_int_equal(claim(&tenants, &one, "b", 3, &loser), 0);
    assert_int_equal(claim(&tenants, &one, "a", 4, &loser), 1);
    assert_int_equal(loser.conn, 1);
    unclaim(&tenants, "a", 1); /* no more its own */
    assert_int_equal(claim(&tenants, &one, "a", 5, &loser), 1);
    assert_int_equal(loser.conn, 4);
    unclaim(&tenants, "a", 5);
    unclaim(&tenants, "a", 5);
    assert_int_equal(claim(&tenants, &one, "a", 6, &loser), 0);
    tenants_free(&tenants);
}

/* They are told anew in any order. */
static void who_connected_later_holds_the_client_id(void **state)
{
    (void)state;
    struct tenants tenants;
    struct msg_ref loser = {0};
    tenants_init(&tenants, 10);
    assert_int_equal(claim_at(&tenants, 1, 0, "a", 100, &loser), 0);
    assert_int_equal(claim_at(&tenants, 2, 0, "a", 99, &loser), 1);
    assert_int_equal(loser.node, 2);
    assert_int_equal(claim_at(&tenants, 1, 0, "a", 100, &loser), 0); /* told again */
    assert_int_equal(claim_at(&tenants, 3, 0, "a", 100, &loser), 1); /* no earlier: as it came */
    assert_int_equal(loser.node, 1);
    assert_int_equal(claim_at(&tenants, 4, 0, "a", 101, &loser), 1);
    assert_int_equal(loser.node, 3);
    assert_int_equal(claim_at(&tenants, 1, 0, "a", 100, &loser), 1);
    assert_int_equal(loser.node, 1);
    tenants_free(&tenants);
}

static void the_claims_of_a_node_or_a_slot_go_with_it(void **state)
{
    (void)state;
    struct tenants tenants;
    struct msg_ref loser = {0};
    char id[20];
    tenants_init(&tenants, 10);
    for (uint16_t i = 0; i < 300; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        assert_int_equal(claim_at(&tenants, i % 3, i % 2, id, 1000, &loser), 0);
    }
    tenants_lost_node(&tenants, 1);
    assert_int_equal(tenants.claims_count, 200);
    tenants_lost_slot(&tenants, 0);
    assert_int_equal(tenants.claims_count, 100);
    tenants_lost_slot(&tenants, 0);
    tenants_lost_node(&tenants, 7);
    for (uint16_t i = 0; i < 300; i++) {
        bool left = i % 3 != 1 && i % 2 != 0;
        snprintf(id, sizeof id, "client-%u", i);
        assert_int_equal(claim_at(&tenants, 5, 0, id, 1, &loser), left); /* an earlier one */
    }
    tenants_free(&tenants);
}

static void many_claims_come_and_go(void **state)
{
    (void)state;
    struct tenants tenants;
    struct msg_ref loser;
    char id[20];
    tenants_init(&tenants, 10);
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        assert_int_equal(claim(&tenants, &one, id, i, &loser), 0);
    }
    for (uint32_t i = 0; i < 1000; i += 3) {
        snprintf(id, sizeof id, "client-%u", i);
        unclaim(&tenants, id, i);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(id, sizeof id, "client-%u", i);
        assert_int_equal(claim(&tenants, &one, id, i + 5000, &loser), i % 3 == 0 ? 0 : 1);
        if (i % 3 != 0)
            assert_int_equal(loser.conn, i);
    }
    assert_int_equal(tenants.claims_count, 1000);
    tenants_free(&tenants);
}

static struct msg_admitted admit(struct tenants *tenants, const struct uuid *tenant, int64_t now_us)
{
    struct msg_admitted answer = {0};
    assert_int_equal(tenants_admit(tenants, tenant, now_us, &answer), 0);
    return answer;
}

static void the_budget_is_a_tenants_own_and_a_minutes(void **state)
{
    (void)state;
    struct tenants tenants;
    tenants_init(&tenants, 60);
    for (uint32_t i = 0; i < 60; i++) {
        struct msg_admitted answer = admit(&tenants, &one, 100 * SECOND);
        assert_true(answer.admitted);
        assert_int_equal(answer.limit, 60);
        assert_int_equal(answer.remaining, 59 - i);
    }
    struct msg_admitted refused = admit(&tenants, &one, 140 * SECOND);
    assert_false(refused.admitted);
    assert_int_equal(refused.remaining, 0);
    assert_int_equal(refused.reset_s, 20);
    assert_true(admit(&tenants, &other, 140 * SECOND).admitted);
    assert_false(admit(&tenants, &one, 160 * SECOND - 1).admitted);
    assert_int_equal(admit(&tenants, &one, 160 * SECOND - 1).reset_s, 1);
    assert_int_equal(admit(&tenants, &one, 160 * SECOND).remaining, 59);
    tenants_free(&tenants);
}

static void a_clock_set_back_costs_nothing(void **state)
{
    (void)state;
    struct tenants tenants;
    tenants_init(&tenants, 60);
    admit(&tenants, &one, 7200 * SECOND);
    assert_true(admit(&tenants, &one, 3600 * SECOND).admitted);
    assert_int_equal(admit(&tenants, &one, 3601 * SECOND).remaining, 58);
    tenants_free(&tenants);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_second_claim_names_the_first),
        cmocka_unit_test(who_connected_later_holds_the_client_id),
        cmocka_unit_test(the_claims_of_a_node_or_a_slot_go_with_it),
        cmocka_unit_test(many_claims_come_and_go),
        cmocka_unit_test(the_budget_is_a_tenants_own_and_a_minutes),
        cmocka_unit_test(a_clock_set_back_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
