/* Coming, dying, being voted out and leaving, on a PostgreSQL of our own. */
#include "tests/unit/membership_fixture.h"
#include <pthread.h>

static void three_nodes_share_the_slots(void **state)
{
    (void)state;
    struct peer eu1, eu2, eu3;
    join(&eu1, "eu-1");
    assert_int_equal(eu1.number, 0);
    assert_int_equal(eu1.incarnation, 1);
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned' AND epoch = 1"), 4096);

    join(&eu2, "eu-2");
    assert_int_equal(eu2.number, 1);
    assert_int_equal(slots_where("owner = 'eu-1' AND epoch = 1"), 4096); /* its owner lives */
    long moving = slots_where("target = 'eu-2' AND state = 'moving'");
    assert_in_range(moving, 1946, 2150);
    assert_int_equal(hand_over_all(&eu1, &eu2, 0), moving);
    assert_int_equal(slots_where("owner = 'eu-2' AND state = 'owned' AND target IS NULL "
                                 "AND epoch = 2"),
                     moving);

    join(&eu3, "eu-3");
    assert_int_equal(eu3.number, 2);
    size_t moved = hand_over_all(&eu1, &eu3, 0) + hand_over_all(&eu2, &eu3, 0);
    assert_in_range(moved, 1297, 1434);
    for (int i = 1; i <= 3; i++)
        assert_in_range(number("SELECT count(*) FROM cluster_slots WHERE owner = 'eu-%d'", i), 1297,
                        1434);
    assert_int_equal(slots_where("state <> 'owned'"), 0);
    PQfinish(eu3.db.conn);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void a_new_incarnation_fences_the_old_one(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    struct ask writer = connect_as(pg.app_url, "eu-1/1", "gito_ingest");
    run_in(&writer, "BEGIN");
    run_in(&writer, "SELECT fence('eu-1', 1)");
    join(&eu2, "eu-2");
    /* It stops here, with the fence held: the next incarnation ends its session. */
    must(&eu1, peer_register(&eu1));
    assert_int_equal(eu1.incarnation, 2);
    assert_int_equal(eu1.number, 0);
    assert_int_equal(ask_do(&writer, "COMMIT", 0, NULL), ERR_UNAVAILABLE);
    PQfinish(writer.conn);

    PGresult *fenced = PQexec(eu1.db.conn, "SELECT fence('eu-1', 1)");
    assert_int_equal(db_classify(fenced, eu1.db.conn), DB_FENCED);
    PQclear(fenced);
    run_in(&eu1.db, "SELECT fence('eu-1', 2)");
    assert_int_equal(membership_renew(&eu1.db, &eu1.member, 1), ERR_FENCED);
    assert_int_equal(membership_renew(&eu1.db, &eu1.member, 2), 0);
    /* Its slots stay its own, of the next epoch, and go on moving. */
    assert_int_equal(slots_where("owner = 'eu-1' AND epoch = 2"), 4096);
    assert_in_range(slots_where("target = 'eu-2' AND state = 'moving'"), 1946, 2150);
    assert_true(hand_over_all(&eu1, &eu2, 0) > 0);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static bool was_told(struct ask *db)
{
    run_in(db, "SELECT 1");
    PGnotify *notify = PQnotifies(db->conn);
    bool told = notify != NULL;
    if (told)
        assert_int_equal(strtol(notify->extra, NULL, 10), version_now());
    while (notify != NULL) {
        PQfreemem(notify);
        notify = PQnotifies(db->conn);
    }
    return told;
}

static void a_change_of_the_view_is_told_and_a_renewal_is_not(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    struct ask listener = connect_as(pg.app_url, "listener", "gito_ingest");
    run_in(&listener, "LISTEN gito_view");
    long version = version_now();
    join(&eu1, "eu-1");
    assert_true(was_told(&listener));
    assert_int_equal(version_now(), version + 1);
    assert_int_equal(slots_where("changed <> (SELECT version FROM cluster_version)"), 0);
    must(&eu1, membership_renew(&eu1.db, &eu1.member, eu1.incarnation));
    assert_int_equal(bury(&eu1), 0);
    assert_false(was_told(&listener));
    assert_int_equal(version_now(), version + 1);
    join(&eu2, "eu-2");
    assert_true(was_told(&listener));
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
    PQfinish(listener.conn);
}

static void the_dead_lose_their_slots(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    size_t moved = hand_over_all(&eu1, &eu2, 0);
    assert_int_equal(bury(&eu1), 0); /* it lives */
    expire("eu-2");
    assert_int_equal(bury(&eu1), 1);
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned'"), 4096);
    assert_int_equal(slots_where("epoch = 3"), moved);
    assert_int_equal(number("SELECT count(*) FROM cluster_nodes WHERE state = 'dead' AND left_at > "
                            "clock_timestamp() - interval '1 min'"),
                     1);
    /* It wakes up. */
    assert_int_equal(membership_renew(&eu2.db, &eu2.member, eu2.incarnation), ERR_FENCED);
    PGresult *fenced = PQexec(eu2.db.conn, "SELECT fence('eu-2', 1)");
    assert_int_equal(db_classify(fenced, eu2.db.conn), DB_FENCED);
    PQclear(fenced);
    assert_int_equal(membership_leave(&eu2.db, &eu2.member, eu2.incarnation, planner_place),
                     ERR_FENCED);
    size_t buried;
    assert_int_equal(membership_bury(&eu2.db, &eu2.member, eu2.incarnation, planner_place, &buried),
                     ERR_FENCED);
    assert_int_equal(bury(&eu1), 0);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void whoever_is_late_itself_buries_nobody(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    size_t buried = 7;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    expire("eu-1");
    expire("eu-2");
    assert_int_equal(membership_bury(&eu1.db, &eu1.member, eu1.incarnation, planner_place, &buried),
                     ERR_REFUSED);
    assert_int_equal(buried, 7);
    assert_int_equal(number("SELECT count(*) FROM cluster_nodes WHERE state = 'active'"), 2);
    /* Nor does who has just come. */
    must(&eu1, peer_register(&eu1));
    assert_int_equal(number("SELECT count(*) FROM cluster_nodes WHERE state = 'active'"), 2);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void an_end_waits_for_whoever_holds_the_fence(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    size_t buried = 0;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    (void)hand_over_all(&eu1, &eu2, 0);
    /* Not by name one of its sessions, so that nobody ends it. */
    struct ask writer = connect_as(pg.app_url, "somebody", "gito_ingest");
    run_in(&writer, "BEGIN");
    run_in(&writer, "SELECT fence('eu-2', 1)");
    expire("eu-2");
    long version = version_now();
    assert_int_equal(membership_bury(&eu1.db, &eu1.member, eu1.incarnation, planner_place, &buried),
                     ERR_REFUSED);
    assert_int_equal(version_now(), version);
    assert_int_equal(number("SELECT count(*) FROM cluster_nodes WHERE state = 'dead'"), 0);
    /* So does the next life, and a leave. */
    assert_int_equal(peer_register(&eu2), ERR_REFUSED);
    assert_int_equal(membership_leave(&eu2.db, &eu2.member, eu2.incarnation, planner_place),
                     ERR_REFUSED);
    run_in(&writer, "COMMIT");
    assert_int_equal(bury(&eu1), 1);
    PQfinish(writer.conn);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void a_death_ends_the_sessions_first(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    struct ask writer = connect_as(pg.app_url, "eu-2/1", "gito_ingest");
    struct ask other = connect_as(pg.app_url, "eu-1/1", "gito_ingest");
    run_in(&writer, "BEGIN");
    run_in(&writer, "SELECT fence('eu-2', 1)");
    run_in(&other, "BEGIN");
    run_in(&other, "SELECT fence('eu-1', 1)");
    expire("eu-2");
    assert_int_equal(bury(&eu1), 1);
    assert_int_equal(ask_do(&writer, "COMMIT", 0, NULL), ERR_UNAVAILABLE);
    run_in(&other, "COMMIT");
    PQfinish(other.conn);
    PQfinish(writer.conn);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

/* Of the longest name that a node may have the server keeps no more than that. */
static void sessions_of_a_long_name_are_ended_too(void **state)
{
    (void)state;
    static const char id[] = "eu-of-a-very-long-name-that-has-sixty-three-characters-all-in-1";
    struct peer eu1, eu2;
    assert_int_equal(strlen(id), 63);
    join(&eu1, "eu-1");
    join(&eu2, id);
    for (int dies = 0; dies < 2; dies++) {
        char name[96], fence[128];
        snprintf(name, sizeof name, "%s/%d", id, dies + 1);
        snprintf(fence, sizeof fence, "BEGIN; SELECT fence('%s', %d)", id, dies + 1);
        struct ask writer = connect_as(pg.app_url, name, "gito_ingest");
        run_in(&writer, fence);
        if (dies)
            expire(id);
        must(&eu2, dies ? bury(&eu1) != 1 : peer_register(&eu2));
        assert_int_equal(ask_do(&writer, "COMMIT", 0, NULL), ERR_UNAVAILABLE);
        PQfinish(writer.conn);
    }
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

struct burial {
    pthread_t thread;
    struct peer *peer;
    size_t buried;
    int rc;
};

static void *bury_in_thread(void *arg)
{
    struct burial *self = arg;
    self->rc = membership_bury(&self->peer->db, &self->peer->member, self->peer->incarnation,
                               planner_place, &self->buried);
    return NULL;
}

/* The renewal was under way when the death was about to be declared. */
static void a_renewal_that_commits_first_counts(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    struct burial burial = {.peer = &eu1, .buried = 7};
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    expire("eu-2");
    run_in(&eu2.db, "BEGIN");
    must(&eu2, membership_renew(&eu2.db, &eu2.member, eu2.incarnation));
    assert_int_equal(pthread_create(&burial.thread, NULL, bury_in_thread, &burial), 0);
    wait_until_somebody_waits();
    run_in(&eu2.db, "COMMIT");
    pthread_join(burial.thread, NULL);
    must(&eu1, burial.rc);
    assert_int_equal(burial.buried, 0);
    must(&eu2, membership_renew(&eu2.db, &eu2.member, eu2.incarnation));
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static int64_t expiry(struct peer *self)
{
    int64_t ms = 0;
    must(self, membership_expiry_ms(&self->db, &self->member, &ms));
    return ms;
}

static void the_next_expiry_is_known(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    assert_true(expiry(&eu1) == INT64_MAX);
    join(&eu2, "eu-2");
    assert_in_range(expiry(&eu1), TTL_MS - 10000, TTL_MS);
    expire("eu-2");
    assert_true(expiry(&eu1) < 0);
    assert_int_equal(bury(&eu1), 1);
    assert_true(expiry(&eu1) == INT64_MAX);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static bool vote(struct peer *self, const struct peer *suspect)
{
    bool condemned = false;
    must(self, membership_vote(&self->db, &self->member, self->incarnation, suspect->number,
                               suspect->incarnation, &condemned));
    return condemned;
}

static void a_majority_condemns(void **state)
{
    (void)state;
    struct peer eu[4];
    static const char *const names[] = {"eu-1", "eu-2", "eu-3", "eu-4"};
    bool condemned;
    for (int i = 0; i < 4; i++)
        join(&eu[i], names[i]);
    assert_false(vote(&eu[0], &eu[3]));
    assert_false(vote(&eu[0], &eu[3])); /* one voice, however often */
    run("UPDATE cluster_suspicions SET voted_at = clock_timestamp() - interval '11 s'");
    assert_false(vote(&eu[1], &eu[3]));
    must(&eu[3], membership_renew(&eu[3].db, &eu[3].member, eu[3].incarnation));
    long version = version_now();
    assert_true(vote(&eu[2], &eu[3]));
    assert_int_equal(version_now(), version + 1);
    assert_true(vote(&eu[0], &eu[3])); /* it is already */
    assert_int_equal(version_now(), version + 1);

    assert_int_equal(membership_renew(&eu[3].db, &eu[3].member, eu[3].incarnation), ERR_FENCED);
    assert_int_equal(ask_do(&eu[3].db, "SELECT fence('eu-4', 1)", 0, NULL), ERR_REFUSED);
    assert_int_equal(membership_vote(&eu[3].db, &eu[3].member, eu[3].incarnation, eu[0].number,
                                     eu[0].incarnation, &condemned),
                     ERR_FENCED);
    /* Its lease runs still. */
    assert_int_equal(bury(&eu[0]), 0);
    expire("eu-4");
    assert_int_equal(bury(&eu[0]), 1);
    for (int i = 0; i < 4; i++)
        PQfinish(eu[i].db.conn);
}

static void what_is_no_vote_does_not_count(void **state)
{
    (void)state;
    struct peer eu1, eu2, eu3;
    bool condemned;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    join(&eu3, "eu-3");
    /* Of an incarnation that is no more, */
    assert_false(vote(&eu1, &eu3));
    must(&eu1, peer_register(&eu1));
    assert_false(vote(&eu2, &eu3));
    /* about one that is no more, */
    struct peer former = eu3;
    must(&eu3, peer_register(&eu3));
    assert_false(vote(&eu1, &eu3));
    assert_false(vote(&eu2, &former));
    /* or about itself. */
    assert_int_equal(membership_vote(&eu3.db, &eu3.member, eu3.incarnation, eu3.number,
                                     eu3.incarnation, &condemned),
                     ERR_REFUSED);
    assert_true(vote(&eu2, &eu3));
    /* With one other, that one decides: and whoever is first. */
    assert_true(vote(&eu2, &eu1));
    assert_int_equal(membership_vote(&eu1.db, &eu1.member, eu1.incarnation, eu2.number,
                                     eu2.incarnation, &condemned),
                     ERR_FENCED);
    PQfinish(eu3.db.conn);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

/* In flight is something that its owner may have stored: the others wait for its lease. */
static void slots_of_the_condemned_wait_for_the_lease(void **state)
{
    (void)state;
    struct peer eu1, eu2, eu3;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    long moving = (long)hand_over_all(&eu1, &eu2, 0);
    assert_true(vote(&eu1, &eu2));
    join(&eu3, "eu-3");
    assert_int_equal(slots_where("owner = 'eu-2' AND epoch = 2 AND state = 'owned'"), moving);
    expire("eu-2");
    assert_int_equal(bury(&eu1), 1);
    assert_int_equal(slots_where("owner = 'eu-2'"), 0);
    assert_in_range(slots_where("owner = 'eu-3'"), 1946, 2150);
    PQfinish(eu3.db.conn);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void who_leaves_gives_its_slots_away(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    join(&eu2, "eu-2");
    size_t moved = hand_over_all(&eu1, &eu2, 0);
    must(&eu1, membership_leave(&eu1.db, &eu1.member, eu1.incarnation, planner_place));
    assert_int_equal(slots_where("owner = 'eu-2' AND state = 'owned'"), 4096);
    assert_int_equal(slots_where("epoch = 2"), 4096);
    assert_true(moved < 4096);
    assert_int_equal(membership_renew(&eu1.db, &eu1.member, eu1.incarnation), ERR_FENCED);
    assert_int_equal(membership_leave(&eu1.db, &eu1.member, eu1.incarnation, planner_place),
                     ERR_FENCED);
    /* The last one's stay, for itself when it comes again; or for another. */
    must(&eu2, membership_leave(&eu2.db, &eu2.member, eu2.incarnation, planner_place));
    assert_int_equal(slots_where("owner = 'eu-2' AND epoch = 2"), 4096);
    must(&eu2, peer_register(&eu2));
    assert_int_equal(slots_where("owner = 'eu-2' AND epoch = 3"), 4096);
    must(&eu2, membership_leave(&eu2.db, &eu2.member, eu2.incarnation, planner_place));
    must(&eu1, peer_register(&eu1));
    assert_int_equal(slots_where("owner = 'eu-1' AND epoch = 4"), 4096);
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

static void versions_of_the_mesh_differ_by_one_at_most(void **state)
{
    (void)state;
    struct peer eu1, eu2;
    join(&eu1, "eu-1");
    peer_init(&eu2, "eu-2");
    eu2.member.mesh_version = 7;
    assert_int_equal(peer_register(&eu2), ERR_REFUSED);
    assert_non_null(strstr(eu2.db.reason, "eu-1 speaks version 5"));
    eu2.member.mesh_version = 3;
    assert_int_equal(peer_register(&eu2), ERR_REFUSED);
    assert_int_equal(number("SELECT count(*) FROM cluster_nodes"), 1);
    eu2.member.mesh_version = 6;
    must(&eu2, peer_register(&eu2));
    /* Of whoever is away for long nobody asks. */
    must(&eu2, membership_leave(&eu2.db, &eu2.member, eu2.incarnation, planner_place));
    eu2.member.mesh_version = 9;
    expire("eu-1");
    assert_int_equal(peer_register(&eu2), ERR_REFUSED);
    run("UPDATE cluster_nodes SET lease_until = lease_until - interval '1 min'");
    must(&eu2, peer_register(&eu2));
    PQfinish(eu2.db.conn);
    PQfinish(eu1.db.conn);
}

/* A node too many takes the number of one that ended long ago and owns nothing. */
static void numbers_are_256(void **state)
{
    (void)state;
    struct peer eu1, next;
    join(&eu1, "eu-1");
    run("INSERT INTO cluster_nodes (node_id, incarnation, region, state, lease_until, version, "
        "started_at, number, left_at) SELECT 'eu-' || n, n, 'eu', 'dead', now(), '', now(), n - 1, "
        "now() - n * interval '1 s' FROM generate_series(2, 256) n WHERE n <> 7");
    run("INSERT INTO cluster_nodes (node_id, incarnation, region, state, lease_until, version, "
        "started_at) VALUES ('bench', 1, 'eu', 'draining', now(), '', now())"); /* no member */
    join(&next, "eu-300");
    assert_int_equal(next.number, 6);
    assert_int_equal(next.incarnation, 1);
    PQfinish(next.db.conn);
    peer_init(&next, "eu-301");
    assert_int_equal(peer_register(&next), ERR_REFUSED);
    assert_non_null(strstr(next.db.reason, "256 nodes"));
    run("UPDATE cluster_nodes SET left_at = now() - interval '2 h' WHERE node_id IN "
        "('eu-9', 'eu-10')");
    run("UPDATE cluster_nodes SET left_at = now() - interval '3 h' WHERE node_id = 'eu-11'");
    run("UPDATE cluster_slots SET owner = 'eu-11' WHERE slot = 1");
    run("UPDATE cluster_nodes SET left_at = now() - interval '150 min' WHERE node_id = 'eu-10'");
    must(&next, peer_register(&next));
    assert_int_equal(next.number, 9);
    assert_int_equal(next.incarnation, 257);
    must(&next, peer_register(&next)); /* as often as it likes */
    assert_int_equal(next.number, 9);
    assert_int_equal(number("SELECT count(number) FROM cluster_nodes"), 256);
    assert_int_equal(bury(&eu1), 0); /* the benchmark's row least of all */
    PQfinish(next.db.conn);
    PQfinish(eu1.db.conn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, no_nodes)
    const struct CMUnitTest tests[] = {
        TEST(three_nodes_share_the_slots),
        TEST(a_new_incarnation_fences_the_old_one),
        TEST(a_change_of_the_view_is_told_and_a_renewal_is_not),
        TEST(the_dead_lose_their_slots),
        TEST(whoever_is_late_itself_buries_nobody),
        TEST(an_end_waits_for_whoever_holds_the_fence),
        TEST(a_death_ends_the_sessions_first),
        TEST(sessions_of_a_long_name_are_ended_too),
        TEST(a_renewal_that_commits_first_counts),
        TEST(the_next_expiry_is_known),
        TEST(a_majority_condemns),
        TEST(what_is_no_vote_does_not_count),
        TEST(slots_of_the_condemned_wait_for_the_lease),
        TEST(who_leaves_gives_its_slots_away),
        TEST(versions_of_the_mesh_differ_by_one_at_most),
        TEST(numbers_are_256),
    };
    return cmocka_run_group_tests(tests, start_pg, stop_pg);
}
