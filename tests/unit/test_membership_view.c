/* Regions and the view as nodes read it, on a PostgreSQL of our own. */
#include "tests/unit/membership_fixture.h"

static void age_all(const char *interval)
{
    run("UPDATE cluster_nodes SET left_at = left_at - interval '%s', "
        "started_at = started_at - interval '%s'",
        interval, interval);
    run("UPDATE cluster_regions SET made_at = made_at - interval '%s'", interval);
}

static void a_region_fails_over_after_its_hold_down_and_returns_as_planned(void **state)
{
    (void)state;
    struct peer nodes[3];
    int64_t ms = 0;
    static const char *const names[] = {"eu-1", "eu-2", "us-1"};
    for (int i = 0; i < 3; i++)
        join(&nodes[i], names[i]);
    (void)hand_over_all(&nodes[0], &nodes[1], 0);
    age_all("1 h");
    expire("us-1");
    assert_int_equal(bury(&nodes[0]), 1);
    assert_int_equal(slots_where("region = 'us' AND owner = 'us-1' AND epoch = 1"), 4096);
    must(&nodes[0], membership_expiry_ms(&nodes[0].db, &nodes[0].member, &ms));
    assert_in_range(ms, 20000, 30000);
    long version = version_now();
    assert_int_equal(bury(&nodes[0]), 0);
    assert_int_equal(version_now(), version);

    age_all("30 s");
    must(&nodes[0], membership_expiry_ms(&nodes[0].db, &nodes[0].member, &ms));
    assert_true(ms <= 0);
    assert_int_equal(bury(&nodes[0]), 0);
    assert_int_equal(version_now(), version + 1);
    assert_in_range(slots_where("region = 'us' AND owner = 'eu-1' AND epoch = 2"), 1946, 2150);
    assert_int_equal(slots_where("region = 'us' AND owner IN ('eu-1', 'eu-2')"), 4096);
    must(&nodes[0], membership_expiry_ms(&nodes[0].db, &nodes[0].member, &ms));
    assert_true(ms > 30000);
    /* One of those that took it in dies: the other has it at once. */
    expire("eu-2");
    assert_int_equal(bury(&nodes[0]), 1);
    assert_int_equal(slots_where("region = 'us' AND owner = 'eu-1'"), 4096);

    must(&nodes[2], peer_register(&nodes[2]));
    assert_int_equal(slots_where("region = 'us' AND owner = 'eu-1' AND target = 'us-1'"), 4096);
    assert_int_equal(hand_over_all(&nodes[0], &nodes[2], 1), 4096);
    assert_int_equal(slots_where("region = 'us' AND owner = 'us-1' AND state = 'owned'"), 4096);
    part(nodes, 3);
}

/* What is planned waits for no hold-down. */
static void the_last_of_a_region_hands_over_before_it_leaves(void **state)
{
    (void)state;
    struct peer eu1, eu2, us1;
    join(&eu1, "eu-1");
    join(&us1, "us-1");
    must(&us1, membership_drain(&us1.db, "us-1", planner_place, NULL));
    assert_int_equal(slots_where("owner = 'us-1' AND target = 'eu-1'"), 4096);
    assert_int_equal(hand_over_all(&us1, &eu1, 1), 4096);
    must(&us1, membership_leave(&us1.db, &us1.member, us1.incarnation, planner_place));
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned'"), 8192);
    must(&us1, peer_register(&us1));
    assert_int_equal(hand_over_all(&eu1, &us1, 1), 4096);
    join(&eu2, "eu-2");
    must(&us1, membership_leave(&us1.db, &us1.member, us1.incarnation, planner_place));
    assert_int_equal(slots_where("region = 'us' AND owner IN ('eu-1', 'eu-2')"), 4096);
    /* Nor what happens while it is away. */
    expire("eu-2");
    assert_int_equal(bury(&eu1), 1);
    assert_int_equal(slots_where("owner = 'eu-1' AND state = 'owned'"), 8192);
    PQfinish(eu2.db.conn);
    PQfinish(us1.db.conn);
    PQfinish(eu1.db.conn);
}

/* After an outage of all, however long it was. */
static void a_cluster_that_starts_waits_for_its_regions(void **state)
{
    (void)state;
    struct peer eu1, us1;
    int64_t ms = 0;
    join(&eu1, "eu-1");
    join(&us1, "us-1");
    run("UPDATE cluster_nodes SET state = 'dead', left_at = now()");
    age_all("1 h");
    must(&eu1, peer_register(&eu1));
    assert_int_equal(bury(&eu1), 0);
    assert_int_equal(slots_where("owner = 'us-1'"), 4096);
    must(&eu1, membership_expiry_ms(&eu1.db, &eu1.member, &ms));
    assert_in_range(ms, 20000, 30000);
    age_all("31 s");
    assert_int_equal(bury(&eu1), 0);
    assert_int_equal(slots_where("owner = 'eu-1'"), 8192);
    PQfinish(us1.db.conn);
    PQfinish(eu1.db.conn);
}

static void regions_keep_their_numbers(void **state)
{
    (void)state;
    struct peer ap1, us1;
    int64_t ms = 0;
    peer_init(&ap1, "ap-1");
    ap1.member.regions = "eu, us";
    must(&ap1, peer_register(&ap1));
    assert_int_equal(number("SELECT number FROM cluster_regions WHERE region = 'eu'"), 0);
    assert_int_equal(number("SELECT number FROM cluster_regions WHERE region = 'us'"), 1);
    assert_int_equal(number("SELECT number FROM cluster_regions WHERE region = 'ap'"), 2);
    assert_int_equal(slots_where("owner = 'ap-1' AND region = 'ap'"), 4096);
    /* A cluster that starts waits for its other regions. */
    assert_int_equal(slots_where("owner IS NULL AND state = 'free' AND epoch = 0"), 8192);
    must(&ap1, membership_expiry_ms(&ap1.db, &ap1.member, &ms));
    assert_in_range(ms, 20000, 30000);
    peer_init(&us1, "us-1");
    us1.member.regions = "us,xx,eu";
    must(&us1, peer_register(&us1));
    assert_int_equal(number("SELECT number FROM cluster_regions WHERE region = 'xx'"), 3);
    assert_int_equal(slots_where("owner = 'us-1' AND region = 'us' AND epoch = 1"), 4096);
    age_all("31 s");
    assert_int_equal(bury(&us1), 0);
    assert_int_equal(slots_where("owner = 'us-1' AND region = 'eu'"), 4096); /* the next after 0 */
    assert_int_equal(slots_where("owner = 'us-1' AND region = 'xx'"), 4096); /* 3, 0, 1 */

    us1.member.regions = "a,b,c,d,e,f,g,h,i,j,k,l,m";
    assert_int_equal(peer_register(&us1), ERR_REFUSED);
    assert_non_null(strstr(us1.db.reason, "at most 16 regions"));
    us1.member.regions = "a,b,c,d,e,f,g,h,i,j,k,l";
    must(&us1, peer_register(&us1));
    assert_int_equal(number("SELECT count(*) FROM cluster_regions"), 16);
    PQfinish(us1.db.conn);
    PQfinish(ap1.db.conn);
}

static const struct view_node *node_in(const struct view_rows *view, const char *node_id)
{
    for (size_t i = 0; i < view->nodes_count; i++)
        if (strcmp(view->nodes[i].node_id, node_id) == 0)
            return &view->nodes[i];
    fail_msg("%s is not in the view", node_id);
    return NULL;
}

static void the_view_is_read_by_and_by(void **state)
{
    (void)state;
    struct peer eu[2];
    struct view_rows view;
    uint16_t slots[2];
    uint64_t epochs[2];
    join(&eu[0], "eu-1");
    join(&eu[1], "eu-2");
    must(&eu[0], membership_view_read(&eu[0].db, 0, &view));
    assert_int_equal(view.version, version_now());
    assert_int_equal(view.regions_count, 1);
    assert_string_equal(view.regions[0].name, "eu");
    assert_int_equal(view.nodes_count, 2);
    const struct view_node *node = node_in(&view, "eu-2");
    assert_int_equal(node->number, 1);
    assert_int_equal(node->region, 0);
    assert_int_equal(node->incarnation, 1);
    assert_int_equal(node->state, MEMBER_ACTIVE);
    assert_string_equal(node->endpoints, "{\"mesh\": 7400}");
    assert_string_equal(node->mesh_key, "key");
    assert_int_equal(node->weight * 1000 + node->edges * 100 + node->shards * 10, 100120);
    assert_int_equal(node->mesh_version, 5);
    assert_in_range(node->lease_left_ms, TTL_MS - 10000, TTL_MS);
    assert_int_equal(view.slots_count, 4096);
    size_t moving = 0;
    for (size_t i = 0; i < 4096; i++) {
        assert_int_equal(view.slots[i].slot, i);
        assert_int_equal(view.slots[i].owner, 0);
        assert_int_equal(view.slots[i].epoch, 1);
        moving += view.slots[i].target == 1;
        assert_true(view.slots[i].target == 1 || view.slots[i].target == NOBODY);
    }
    assert_int_equal(moving, slots_where("target = 'eu-2'"));
    int64_t version = view.version;
    membership_view_free(&view);

    must(&eu[0], membership_view_read(&eu[0].db, version, &view));
    assert_int_equal(view.version, version);
    assert_int_equal(view.nodes_count + view.slots_count + view.regions_count, 0);
    find_slots("target = 'eu-2'", slots, 2);
    must(&eu[0], hand_over(&eu[0], &eu[1], slots, 2, epochs));
    must(&eu[0], membership_view_read(&eu[0].db, version, &view));
    assert_int_equal(view.version, version + 1);
    assert_int_equal(view.slots_count, 2);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(view.slots[i].slot, slots[i]);
        assert_int_equal(view.slots[i].owner, 1);
        assert_int_equal(view.slots[i].target, NOBODY);
        assert_int_equal(view.slots[i].epoch, 2);
    }
    membership_view_free(&view);
    must(&eu[0], membership_view_read(&eu[0].db, version + 1000, &view)); /* of another history */
    assert_int_equal(view.slots_count, 4096);
    membership_view_free(&view);
    membership_view_free(&view);
    part(eu, 2);
}

static void who_ended_is_seen_while_it_owns_slots(void **state)
{
    (void)state;
    struct peer eu1, us1;
    struct view_rows view;
    join(&eu1, "eu-1");
    join(&us1, "us-1");
    expire("us-1");
    assert_int_equal(bury(&eu1), 1);
    must(&eu1, membership_view_read(&eu1.db, 0, &view));
    assert_int_equal(node_in(&view, "us-1")->state, MEMBER_DEAD);
    assert_int_equal(node_in(&view, "us-1")->region, 1);
    assert_int_equal(view.slots_count, 8192);
    assert_int_equal(view.slots[4096].region, 1);
    assert_int_equal(view.slots[4096].owner, us1.number);
    membership_view_free(&view);
    age_all("1 h");
    assert_int_equal(bury(&eu1), 0);
    must(&eu1, membership_view_read(&eu1.db, 0, &view));
    assert_int_equal(view.nodes_count, 1);
    membership_view_free(&view);
    PQfinish(us1.db.conn);
    PQfinish(eu1.db.conn);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, no_nodes)
    const struct CMUnitTest tests[] = {
        TEST(a_region_fails_over_after_its_hold_down_and_returns_as_planned),
        TEST(the_last_of_a_region_hands_over_before_it_leaves),
        TEST(a_cluster_that_starts_waits_for_its_regions),
        TEST(regions_keep_their_numbers),
        TEST(the_view_is_read_by_and_by),
        TEST(who_ended_is_seen_while_it_owns_slots),
    };
    return cmocka_run_group_tests(tests, start_pg, stop_pg);
}
