/* Hand-off, drain and the orders of operators, on a PostgreSQL of our own. */
#include "tests/unit/membership_fixture.h"
#include <pthread.h>

#define TENANT "00000000-0000-0000-0000-0000000000aa"
#define USER "00000000-0000-0000-0000-0000000000bb"

static const struct membership_audit audit = {TENANT, USER, "127.0.0.1"};

static int keep(struct peer *self, const struct peer *target, const uint16_t *slots, size_t count,
                uint64_t *ret_epochs)
{
    return membership_keep(&self->db, self->member.node_id, self->incarnation, 0, slots, count,
                           target->number, ret_epochs);
}

static void what_still_moves_is_handed_over(void **state)
{
    (void)state;
    struct peer eu[3];
    uint16_t slots[6];
    uint64_t epochs[6] = {9, 9, 9, 9, 9, 9};
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    join(&eu[2], "eu-3");
    find_slots("target = 'eu-2'", slots, 3);
    find_slots("target IS NULL", slots + 3, 1);
    find_slots("target = 'eu-3'", slots + 4, 2);
    long version = version_now();
    must(&eu[0], hand_over(&eu[0], &eu[1], slots, 6, epochs));
    for (int i = 0; i < 6; i++)
        assert_int_equal(epochs[i], i < 3 ? 2 : 0);
    assert_int_equal(slots_where("owner = 'eu-2' AND state = 'owned' AND epoch = 2"), 3);
    assert_int_equal(number("SELECT count(*) FROM cluster_slots WHERE changed = %ld", version + 1),
                     3);
    assert_int_equal(version_now(), version + 1);
    /* Nothing is left to be done, and nothing is told. */
    must(&eu[0], hand_over(&eu[0], &eu[1], slots, 6, epochs));
    assert_int_equal(epochs[0], 0);
    assert_int_equal(version_now(), version + 1);
    /* Not its own; not its life. */
    must(&eu[1], hand_over(&eu[1], &eu[2], slots + 4, 2, epochs));
    assert_int_equal(epochs[0] + epochs[1], 0);
    must(&eu[0], peer_register(&eu[0]));
    eu[0].incarnation--;
    assert_int_equal(hand_over(&eu[0], &eu[2], slots + 4, 2, epochs), ERR_FENCED);
    assert_int_equal(keep(&eu[0], &eu[2], slots + 4, 2, epochs), ERR_FENCED);
    part(eu, 3);
}

static void nothing_is_handed_to_who_cannot_take_it(void **state)
{
    (void)state;
    struct peer eu[2];
    uint16_t slots[2];
    uint64_t epochs[2];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    find_slots("target = 'eu-2'", slots, 2);
    static const char *const reasons[] = {"state = 'draining'", "state = 'condemned'",
                                          "state = 'dead'", "state = 'left'",
                                          "lease_until = clock_timestamp() - interval '1 ms'"};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++) {
        run("UPDATE cluster_nodes SET %s WHERE node_id = 'eu-2'", reasons[i]);
        must(&eu[0], hand_over(&eu[0], &eu[1], slots, 2, epochs));
        assert_int_equal(epochs[0] + epochs[1], 0);
        run("UPDATE cluster_nodes SET state = 'active', "
            "lease_until = clock_timestamp() + interval '1 min' WHERE node_id = 'eu-2'");
    }
    must(&eu[0], hand_over(&eu[0], &eu[1], slots, 2, epochs));
    assert_int_equal(epochs[0], 2);
    part(eu, 2);
}

/* The target is declared dead between the release of the slots and their hand-over. */
static void the_target_may_die_meanwhile(void **state)
{
    (void)state;
    struct peer eu[3];
    uint16_t slots[2];
    uint64_t epochs[2];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    join(&eu[2], "eu-3");
    find_slots("target = 'eu-2'", slots, 2);
    expire("eu-2");
    assert_int_equal(bury(&eu[2]), 1);
    assert_int_equal(slots_where("target = 'eu-2'"), 0);
    must(&eu[0], hand_over(&eu[0], &eu[1], slots, 2, epochs));
    assert_int_equal(epochs[0] + epochs[1], 0);
    must(&eu[0], keep(&eu[0], &eu[1], slots, 2, epochs));
    assert_int_equal(epochs[0], 2);
    assert_int_equal(epochs[1], 2);
    assert_int_equal(slots_where("owner = 'eu-1' AND epoch = 2"), 2);
    part(eu, 3);
}

struct hand_off {
    pthread_t thread;
    struct peer *from, *to;
    uint16_t slots[2];
    uint64_t epochs[2];
    int rc;
};

static void *hand_over_in_thread(void *arg)
{
    struct hand_off *self = arg;
    self->rc = hand_over(self->from, self->to, self->slots, 2, self->epochs);
    return NULL;
}

/* The same, with the hand-over under way when the death is committed. */
static void a_hand_over_waits_for_a_burial(void **state)
{
    (void)state;
    struct peer eu[3];
    struct hand_off late = {.from = &eu[0], .to = &eu[1]};
    struct ask other = connect_as(pg.app_url, "other", "gito_ingest");
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    join(&eu[2], "eu-3");
    find_slots("target = 'eu-2'", late.slots, 2);
    run_in(&other, "BEGIN");
    run_in(&other, "SELECT FROM cluster_version FOR UPDATE");
    run_in(&other, "UPDATE cluster_nodes SET state = 'dead' WHERE node_id = 'eu-2'");
    assert_int_equal(pthread_create(&late.thread, NULL, hand_over_in_thread, &late), 0);
    wait_until_somebody_waits();
    run_in(&other, "COMMIT");
    pthread_join(late.thread, NULL);
    must(&eu[0], late.rc);
    assert_int_equal(late.epochs[0] + late.epochs[1], 0);
    assert_int_equal(slots_where("owner = 'eu-1'"), 4096);
    PQfinish(other.conn);
    part(eu, 3);
}

/* Who cannot have the view for itself within a second leaves nothing behind, and may come again. */
static void a_view_that_is_locked_is_refused(void **state)
{
    (void)state;
    struct peer eu[2];
    uint16_t slot;
    uint64_t epoch = 7;
    struct ask other = connect_as(pg.app_url, "other", "gito_ingest");
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    find_slots("target = 'eu-2'", &slot, 1);
    run_in(&other, "BEGIN");
    run_in(&other, "SELECT FROM cluster_version FOR UPDATE");
    assert_int_equal(hand_over(&eu[0], &eu[1], &slot, 1, &epoch), ERR_REFUSED);
    assert_int_equal(epoch, 7);
    assert_int_equal(membership_drain(&eu[1].db, "eu-1", planner_place, &audit), ERR_REFUSED);
    assert_int_equal(PQtransactionStatus(eu[0].db.conn), PQTRANS_IDLE);
    assert_int_equal(PQtransactionStatus(eu[1].db.conn), PQTRANS_IDLE);
    must(&eu[0], membership_renew(&eu[0].db, &eu[0].member, eu[0].incarnation)); /* no change */
    run_in(&other, "COMMIT");
    must(&eu[0], hand_over(&eu[0], &eu[1], &slot, 1, &epoch));
    assert_int_equal(epoch, 2);
    PQfinish(other.conn);
    part(eu, 2);
}

static void a_newer_target_outlives_a_hand_off_given_up(void **state)
{
    (void)state;
    struct peer eu[3];
    uint16_t slots[4];
    uint64_t epochs[4];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    join(&eu[2], "eu-3");
    find_slots("target = 'eu-2'", slots, 3);
    run("UPDATE cluster_slots SET target = 'eu-3' WHERE slot = %u", slots[1]);
    run("UPDATE cluster_slots SET owner = 'eu-3', target = NULL, state = 'owned' WHERE slot = %u",
        slots[2]);
    must(&eu[0], hand_over(&eu[0], &eu[1], slots + 1, 2, epochs));
    assert_int_equal(epochs[0] + epochs[1], 0);
    must(&eu[0], keep(&eu[0], &eu[1], slots, 3, epochs));
    assert_int_equal(epochs[0], 2);
    assert_int_equal(epochs[1], 2);
    assert_int_equal(epochs[2], 0);
    assert_int_equal(number("SELECT count(*) FROM cluster_slots WHERE slot = %u AND "
                            "state = 'owned' AND target IS NULL AND owner = 'eu-1'",
                            slots[0]),
                     1);
    assert_int_equal(number("SELECT count(*) FROM cluster_slots WHERE slot = %u AND "
                            "state = 'moving' AND target = 'eu-3' AND owner = 'eu-1'",
                            slots[1]),
                     1);
    part(eu, 3);
}

static void slots_of_a_dead_source_go_where_they_moved(void **state)
{
    (void)state;
    struct peer eu[3];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    join(&eu[2], "eu-3");
    run("CREATE TABLE before AS SELECT slot, target FROM cluster_slots WHERE target IS NOT NULL");
    expire("eu-1");
    assert_int_equal(bury(&eu[1]), 1);
    assert_int_equal(number("SELECT count(*) FROM cluster_slots s JOIN before b USING (slot) "
                            "WHERE s.owner <> b.target"),
                     0);
    assert_int_equal(slots_where("state = 'owned' AND owner <> 'eu-1' AND epoch = 2"), 4096);
    run("DROP TABLE before");
    part(eu, 3);
}

static void a_drain_gives_all_away_and_can_be_called_off(void **state)
{
    (void)state;
    struct peer eu[2];
    uint16_t slots[2];
    uint64_t epochs[2];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    long share = (long)hand_over_all(&eu[0], &eu[1], 0);
    must(&eu[0], membership_drain(&eu[0].db, "eu-1", planner_place, &audit));
    assert_int_equal(slots_where("owner = 'eu-1' AND target = 'eu-2'"), 4096 - share);
    run_in(&eu[0].db, "SELECT fence('eu-1', 1)"); /* it writes on */
    must(&eu[0], membership_renew(&eu[0].db, &eu[0].member, eu[0].incarnation));
    /* A hand-off that failed is asked for again. */
    find_slots("owner = 'eu-1'", slots, 2);
    must(&eu[0], keep(&eu[0], &eu[1], slots, 2, epochs));
    assert_int_equal(slots_where("target = 'eu-2'"), 4096 - share - 2);
    must(&eu[0], membership_drain(&eu[0].db, "eu-1", planner_place, NULL));
    assert_int_equal(slots_where("target = 'eu-2'"), 4096 - share);

    must(&eu[1], membership_cancel_drain(&eu[1].db, "eu-1", planner_place, &audit));
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned'"), 4096 - share);
    assert_int_equal(slots_where("target IS NOT NULL"), 0);
    assert_int_equal(membership_cancel_drain(&eu[1].db, "eu-1", planner_place, &audit),
                     ERR_REFUSED);
    assert_non_null(strstr(eu[1].db.reason, "eu-1 is not draining"));
    assert_int_equal(membership_drain(&eu[1].db, "eu-9", planner_place, &audit), ERR_NOT_FOUND);

    must(&eu[0], membership_drain(&eu[0].db, "eu-1", planner_place, &audit));
    assert_int_equal(hand_over_all(&eu[0], &eu[1], 0), 4096 - share);
    assert_int_equal(slots_where("owner = 'eu-2' AND state = 'owned'"), 4096);
    assert_int_equal(number("SELECT count(*) FROM audit_logs WHERE tenant_id = '" TENANT
                            "' AND user_id = '" USER "' AND ip_address = '127.0.0.1' AND "
                            "resource_type = 'node' AND resource_id = 'eu-1' AND action IN "
                            "('cluster.node.drain', 'cluster.node.cancel-drain')"),
                     3);
    part(eu, 2);
}

static void the_last_node_drains_to_nobody(void **state)
{
    (void)state;
    struct peer eu1;
    join(&eu1, "eu-1");
    must(&eu1, membership_drain(&eu1.db, "eu-1", planner_place, NULL));
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned'"), 4096);
    assert_int_equal(membership_evict(&eu1.db, "eu-1", &audit), ERR_REFUSED);
    assert_non_null(strstr(eu1.db.reason, "eu-1 is the last one"));
    PQfinish(eu1.db.conn);
}

static void the_evicted_are_buried_at_once(void **state)
{
    (void)state;
    struct peer eu[2];
    int64_t ms = 0;
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    long rows = number("SELECT count(*) FROM audit_logs");
    must(&eu[0], membership_evict(&eu[0].db, "eu-2", &audit));
    assert_int_equal(number("SELECT count(*) FROM audit_logs WHERE action = 'cluster.node.evict'"),
                     1);
    assert_int_equal(membership_renew(&eu[1].db, &eu[1].member, eu[1].incarnation), ERR_FENCED);
    assert_int_equal(membership_drain(&eu[0].db, "eu-2", planner_place, &audit), ERR_REFUSED);
    must(&eu[0], membership_expiry_ms(&eu[0].db, &eu[0].member, &ms));
    assert_true(ms <= 0);
    assert_int_equal(bury(&eu[0]), 1);
    assert_int_equal(membership_evict(&eu[0].db, "eu-2", &audit), ERR_NOT_FOUND);
    assert_int_equal(number("SELECT count(*) FROM audit_logs"), rows + 1); /* of what was done */
    part(eu, 2);
}

static void a_rebalance_is_shown_before_it_is_done(void **state)
{
    (void)state;
    struct peer eu[2];
    struct slot_move *moves = NULL;
    size_t planned = 0, moved = 0;
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    (void)hand_over_all(&eu[0], &eu[1], 0);
    run("UPDATE cluster_nodes SET weight = 300 WHERE node_id = 'eu-2'");
    long version = version_now();
    must(&eu[0], membership_dry_run(&eu[0].db, planner_place, &moves, &planned));
    assert_in_range(planned, 700, 1200);
    for (size_t i = 0; i < planned; i++) {
        assert_int_equal(moves[i].from, 0);
        assert_int_equal(moves[i].to, 1);
    }
    assert_int_equal(version_now(), version);
    assert_int_equal(slots_where("target IS NOT NULL"), 0);
    must(&eu[0], membership_rebalance(&eu[0].db, planner_place, &audit, &moved));
    assert_int_equal(moved, planned);
    for (size_t i = 0; i < planned; i++)
        assert_int_equal(number("SELECT count(*) FROM cluster_slots WHERE slot = %u AND "
                                "target = 'eu-2'",
                                moves[i].slot),
                         1);
    assert_int_equal(version_now(), version + 1);
    must(&eu[0], membership_rebalance(&eu[0].db, planner_place, &audit, &moved));
    assert_int_equal(moved, 0);
    assert_int_equal(version_now(), version + 1);
    assert_int_equal(
        number("SELECT count(*) FROM audit_logs WHERE action = 'cluster.rebalance' AND "
               "resource_type = 'ring'"),
        2);
    free(moves);
    part(eu, 2);
}

static int start(void **state)
{
    int rc = start_pg(state);
    run("INSERT INTO tenants (id, name) VALUES ('" TENANT "', 'operators')");
    return rc;
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, no_nodes)
    const struct CMUnitTest tests[] = {
        TEST(what_still_moves_is_handed_over),
        TEST(nothing_is_handed_to_who_cannot_take_it),
        TEST(the_target_may_die_meanwhile),
        TEST(a_hand_over_waits_for_a_burial),
        TEST(a_view_that_is_locked_is_refused),
        TEST(a_newer_target_outlives_a_hand_off_given_up),
        TEST(slots_of_a_dead_source_go_where_they_moved),
        TEST(a_drain_gives_all_away_and_can_be_called_off),
        TEST(the_last_node_drains_to_nobody),
        TEST(the_evicted_are_buried_at_once),
        TEST(a_rebalance_is_shown_before_it_is_done),
    };
    return cmocka_run_group_tests(tests, start, stop_pg);
}
