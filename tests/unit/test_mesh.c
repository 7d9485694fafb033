/* Mesh threads that speak with each other by real ports of the loopback. */
#include "proto/envelope.h"
#include "tests/unit/mesh_site.h"
#include "tests/unit/tcp_proxy.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct site *a, *b;

/* Frames hold a number and then bytes that follow from it. */
static void send_number(struct site *from, const struct site *to, enum mesh_kind kind,
                        unsigned index, uint32_t number)
{
    uint32_t words[64];
    for (uint32_t i = 0; i < 64; i++)
        words[i] = number + i;
    site_send(from, &to->member, kind, index, words, 4 + number % 253);
}

static void expect_number(zsock_t *inbox, uint32_t number)
{
    zmq_msg_t message;
    uint32_t words[64], got[64];
    if (!site_take(inbox, &message, SITE_DEADLINE_MS))
        fail_msg("number %u did not come", number);
    for (uint32_t i = 0; i < 64; i++)
        words[i] = number + i;
    assert_int_equal(zmq_msg_size(&message), 4 + number % 253);
    memcpy(got, zmq_msg_data(&message), zmq_msg_size(&message));
    assert_int_equal(got[0], number);
    assert_memory_equal(got, words, zmq_msg_size(&message));
    zmq_msg_close(&message);
}

static void expect_nothing(zsock_t *inbox)
{
    zmq_msg_t message;
    assert_false(site_take(inbox, &message, 0));
}

static void expect_report(struct site *at, const struct site *of, bool suspected)
{
    zmq_msg_t message;
    struct mesh_report report;
    if (!site_take(at->control, &message, SITE_DEADLINE_MS))
        fail_msg("%s is not reported", of->member.name);
    assert_int_equal(zmq_msg_size(&message), sizeof report);
    memcpy(&report, zmq_msg_data(&message), sizeof report);
    zmq_msg_close(&message);
    assert_int_equal(report.number, of->member.number);
    assert_int_equal(report.life, (uint16_t)of->member.incarnation);
    assert_int_equal(report.suspected, suspected);
    if (suspected)
        assert_in_range(report.silent_ms, 1500, 10000);
}

static int start_two(void **state)
{
    (void)state;
    a = site_start(1, 70001, tcp_free_port(), 0);
    b = site_start(2, 5, tcp_free_port(), 0);
    return 0;
}

static int stop_two(void **state)
{
    (void)state;
    site_stop(a);
    site_stop(b);
    return 0;
}

static void frames_arrive_once_and_in_order(void **state)
{
    (void)state;
    sites_meet(a, b);
    for (uint32_t i = 0; i < 3000; i++) {
        send_number(a, b, MESH_SHARD, i % 2, i);
        send_number(b, a, MESH_EDGE, 0, i);
    }
    for (uint32_t i = 0; i < 3000; i++) {
        expect_number(b->shard[i % 2], i);
        expect_number(a->edge, i);
    }
    expect_nothing(b->shard[0]);
    expect_nothing(b->edge);
}

/* Its frames wait, and arrive when it has become a member. */
static void a_strangers_key_is_refused(void **state)
{
    (void)state;
    const struct mesh_member *both[] = {&a->member, &b->member};
    int64_t refused = metrics_get(METRIC_MESH_REFUSED);
    site_view(a, both, 1);
    site_view(b, both, 2);
    send_number(b, a, MESH_SHARD, 1, 4);
    wait_metric(METRIC_MESH_REFUSED, refused + 4); /* both connections, made anew as well */
    expect_nothing(a->shard[1]);
    site_view(a, both, 2);
    expect_number(a->shard[1], 4);
}

/* A row of the database may hold anything. */
static void a_peer_without_a_key_is_left_out(void **state)
{
    (void)state;
    static const char *const keys[] = {"", "tooshort", "0123456789012345678901234567890123456 \\ "};
    for (unsigned i = 0; i < 3; i++) {
        struct mesh_member odd = {.number = (uint16_t)(20 + i), .incarnation = 1};
        memcpy(odd.public_key, keys[i], strlen(keys[i]));
        site_view(a, (const struct mesh_member *[]){&odd, &b->member}, 2);
        site_view(b, (const struct mesh_member *[]){&odd, &a->member}, 2);
        send_number(a, b, MESH_SHARD, 1, i);
        expect_number(b->shard[1], i);
    }
}

/* Peers come while the mesh is busy with frames: none is too early for it, since who sends it was
 * told of the peer after the mesh. */
static void a_view_counts_for_the_frame_behind_it(void **state)
{
    (void)state;
    static struct mesh_member away[40];
    const struct mesh_member *members[40];
    char secret[MESH_KEY_SIZE];
    int64_t dropped = metrics_get(METRIC_MESH_DROPPED), kept = 0;
    for (unsigned n = 0; n < 40; n++) {
        away[n] = (struct mesh_member){.number = (uint16_t)(10 + n), .incarnation = 1};
        snprintf(away[n].endpoint, sizeof away[n].endpoint, "tcp://127.0.0.1:1");
        mesh_keypair(&a->config, away[n].public_key, secret);
        members[n] = &away[n];
        site_view(a, members, n + 1);
        for (unsigned i = 0; i < 50; i++)
            site_send(a, &away[n], MESH_SHARD, 0, "frame", 5);
        kept += 50 * 5;
    }
    wait_metric(METRIC_MESH_KEPT, kept); /* and more, for their heads */
    assert_int_equal(metrics_get(METRIC_MESH_DROPPED), dropped);
}

static void a_restarted_peer_gets_only_what_is_for_its_new_life(void **state)
{
    (void)state;
    struct mesh_member old = b->member;
    sites_meet(a, b);
    send_number(a, b, MESH_SHARD, 0, 1);
    expect_number(b->shard[0], 1);
    site_stop(b);
    send_number(a, b, MESH_SHARD, 0, 2); /* kept in vain */
    b = site_start(2, old.incarnation + 1, (int)b->config.mesh_port, 0);
    int64_t dropped = metrics_get(METRIC_MESH_DROPPED);
    sites_meet(a, b);
    site_send(a, &old, MESH_SHARD, 0, "late", 4);
    send_number(a, b, MESH_SHARD, 0, 3);
    send_number(b, a, MESH_SHARD, 0, 4);
    expect_number(b->shard[0], 3);
    expect_number(a->shard[0], 4);
    expect_nothing(b->shard[0]);
    /* That it has the first one, it may not have said in time. */
    assert_in_range(metrics_get(METRIC_MESH_DROPPED), dropped + 2, dropped + 3);
}

static void a_peer_that_left_is_not_heard(void **state)
{
    (void)state;
    const struct mesh_member *alone[] = {&a->member};
    sites_meet(a, b);
    send_number(b, a, MESH_SHARD, 0, 1);
    expect_number(a->shard[0], 1);
    site_view(a, alone, 1);
    int64_t refused = metrics_get(METRIC_MESH_REFUSED);
    expect_report(b, a, true);
    send_number(b, a, MESH_SHARD, 0, 2);
    wait_metric(METRIC_MESH_REFUSED, refused + 1);
    expect_nothing(a->shard[0]);
}

/* The flags take away what lies between the nodes, until each suspects the other; then it comes
 * back. */
static void all_arrives_after(atomic_bool *const flags[2])
{
    uint32_t sent = 0, got = 0;
    for (; sent < 500; sent++)
        send_number(a, b, MESH_SHARD, 0, sent);
    for (; got < 250; got++)
        expect_number(b->shard[0], got);
    *flags[0] = *flags[1] = true;
    for (; sent < 2000; sent++) {
        send_number(a, b, MESH_SHARD, 0, sent);
        send_number(b, a, MESH_EDGE, 0, sent);
    }
    expect_report(a, b, true);
    expect_report(b, a, true);
    int64_t until = zclock_mono() + 500; /* two seconds all in all */
    for (; zclock_mono() < until; sent++) {
        send_number(a, b, MESH_SHARD, 0, sent);
        zclock_sleep(1);
    }
    *flags[0] = *flags[1] = false;
    for (; got < sent; got++)
        expect_number(b->shard[0], got);
    for (uint32_t i = 500; i < 2000; i++)
        expect_number(a->edge, i);
    expect_report(a, b, false);
    expect_report(b, a, false);
    expect_nothing(b->shard[0]);
    expect_nothing(a->edge);
}

static int start_two_with_ways(void **state)
{
    static struct tcp_proxy ways[2];
    int port_a = tcp_free_port(), port_b = tcp_free_port();
    tcp_proxy_start(&ways[0], port_a);
    tcp_proxy_start(&ways[1], port_b);
    a = site_start(1, 70001, port_a, ways[0].port);
    b = site_start(2, 5, port_b, ways[1].port);
    sites_meet(a, b);
    *state = ways;
    return 0;
}

static int stop_two_with_ways(void **state)
{
    struct tcp_proxy *ways = *state;
    stop_two(state);
    tcp_proxy_stop(&ways[0]);
    tcp_proxy_stop(&ways[1]);
    return 0;
}

static void a_peer_cut_off_for_two_seconds_loses_nothing(void **state)
{
    struct tcp_proxy *ways = *state;
    all_arrives_after((atomic_bool *const[2]){&ways[0].cut, &ways[1].cut});
}

/* Nothing breaks here, so nothing is to be sent again. */
static void a_peer_silent_for_two_seconds_loses_nothing(void **state)
{
    struct tcp_proxy *ways = *state;
    int64_t again = metrics_get(METRIC_MESH_RETRANSMITTED);
    all_arrives_after((atomic_bool *const[2]){&ways[0].hole, &ways[1].hole});
    assert_int_equal(metrics_get(METRIC_MESH_RETRANSMITTED), again);
}

/* Connections break again and again under load. */
static void many_cuts_lose_nothing(void **state)
{
    struct tcp_proxy *ways = *state;
    uint32_t sent = 0, got = 0;
    for (int cut = 0; cut < 20; cut++) {
        for (int n = 0; n < 500; n++)
            send_number(a, b, MESH_SHARD, 0, sent++);
        for (; got + 250 < sent; got++)
            expect_number(b->shard[0], got);
        tcp_proxy_break(&ways[1]);
    }
    for (; got < sent; got++)
        expect_number(b->shard[0], got);
    expect_nothing(b->shard[0]);
}

static void a_hung_shard_is_a_node_that_does_not_answer(void **state)
{
    (void)state;
    sites_meet(a, b);
    send_number(a, b, MESH_SHARD, 0, 1);
    expect_number(b->shard[0], 1);
    b->loop.turned_us[1] = clock_boot_us() - MESH_LOOP_US;
    expect_report(a, b, true);
    send_number(a, b, MESH_SHARD, 0, 2); /* its mesh still works */
    expect_number(b->shard[0], 2);
    b->loop.turned_us[1] = INT64_MAX / 2;
    expect_report(a, b, false);
    expect_nothing(b->control);
}

static void past_its_bounds_only_what_may_be_is_dropped(void **state)
{
    (void)state;
    struct mesh_member away = {.number = 9, .incarnation = 9, .endpoint = "tcp://127.0.0.1:1"};
    const struct mesh_member *members[] = {&away};
    struct mesh_head head = {.node = 9, .life = 9, .kind = MESH_EDGE, .keep = MESH_LIVE};
    char secret[MESH_KEY_SIZE];
    mesh_keypair(&a->config, away.public_key, secret);
    site_view(a, members, 1);
    int64_t dropped = metrics_get(METRIC_MESH_DROPPED);
    uint8_t *bytes = xcalloc(1, 1 << 20);
    for (int i = 0; i < 70; i++)
        site_send_head(a, head, bytes, 1 << 20);
    wait_metric(METRIC_MESH_DROPPED, dropped + 7); /* 63 with their heads are kept */
    head.keep = MESH_PROMISED;
    for (int i = 0; i < 70; i++)
        site_send_head(a, head, bytes, 1 << 20);
    wait_metric(METRIC_MESH_DROPPED, dropped + 13); /* 64 more are kept */
    head.keep = MESH_KEPT;
    for (int i = 0; i < 7; i++)
        site_send_head(a, head, bytes, 1 << 20);
    wait_metric(METRIC_MESH_KEPT, 134 << 20);
    assert_int_equal(metrics_get(METRIC_MESH_DROPPED), dropped + 13);
    free(bytes);
}

/* ---- a member by hand, which says what no mesh would ---- */

struct hand {
    void *context, *router, *dealer;
    struct mesh_member member;
};

static void hand_start(struct hand *self, struct site *to, bool member)
{
    char secret[MESH_KEY_SIZE], endpoint[288];
    int one = 1, none = 0;
    size_t len = sizeof self->member.endpoint;
    self->member = (struct mesh_member){.number = 3, .incarnation = 33, .name = "by-hand"};
    mesh_keypair(NULL, self->member.public_key, secret);
    self->context = zmq_ctx_new();
    self->router = zmq_socket(self->context, ZMQ_ROUTER);
    self->dealer = zmq_socket(self->context, ZMQ_DEALER);
    zmq_setsockopt(self->router, ZMQ_CURVE_SERVER, &one, sizeof one);
    zmq_setsockopt(self->router, ZMQ_CURVE_SECRETKEY, secret, MESH_KEY_SIZE);
    zmq_setsockopt(self->dealer, ZMQ_CURVE_SERVERKEY, to->member.public_key, MESH_KEY_SIZE);
    zmq_setsockopt(self->dealer, ZMQ_CURVE_PUBLICKEY, self->member.public_key, MESH_KEY_SIZE);
    zmq_setsockopt(self->dealer, ZMQ_CURVE_SECRETKEY, secret, MESH_KEY_SIZE);
    zmq_setsockopt(self->dealer, ZMQ_LINGER, &none, sizeof none);
    assert_int_equal(zmq_bind(self->router, "tcp://127.0.0.1:*"), 0);
    zmq_getsockopt(self->router, ZMQ_LAST_ENDPOINT, self->member.endpoint, &len);
    snprintf(endpoint, sizeof endpoint, "%s", to->member.endpoint);
    const struct mesh_member *members[] = {&self->member};
    if (member)
        site_view(to, members, 1);
    assert_int_equal(zmq_connect(self->dealer, endpoint), 0);
}

static void hand_stop(struct hand *self)
{
    zmq_close(self->router);
    zmq_close(self->dealer);
    zmq_ctx_term(self->context);
}

static void hand_say(struct hand *self, const struct envelope *envelope)
{
    uint8_t bytes[ENVELOPE_HEAD_MAX + 16];
    size_t len = envelope_head(envelope, bytes);
    if (envelope->len > 0)
        memcpy(bytes + len, envelope->data, envelope->len);
    assert_true(zmq_send(self->dealer, bytes, len + envelope->len, 0) >= 0);
}

/* The next envelope of that type; others are passed over. */
static struct envelope hand_hear(struct hand *self, enum envelope_type type, uint8_t *bytes,
                                 size_t size)
{
    struct envelope envelope;
    int64_t deadline = zclock_mono() + SITE_DEADLINE_MS;
    while (zclock_mono() < deadline) {
        zmq_pollitem_t item = {self->router, 0, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, 100) <= 0)
            continue;
        assert_true(zmq_recv(self->router, bytes, size, 0) > 0); /* the routing id */
        int len = zmq_recv(self->router, bytes, size, 0);
        assert_in_range(len, 1, size);
        assert_int_equal(envelope_open(bytes, (size_t)len, &envelope), 0);
        if (envelope.type == type)
            return envelope;
    }
    fail_msg("no envelope of type %d came", type);
    return envelope;
}

static const struct envelope by_hand = {.version = ENVELOPE_VERSION,
                                        .type = ENVELOPE_DATA,
                                        .kind = MESH_SHARD,
                                        .from = 3,
                                        .from_life = 33,
                                        .to_life = (uint16_t)70001,
                                        .seq = 1,
                                        .data = "hello",
                                        .len = 5};

static void a_peer_of_another_version_is_refused_and_told_why(void **state)
{
    (void)state;
    struct hand hand;
    uint8_t bytes[1000];
    zmq_msg_t message;
    int64_t refused = metrics_get(METRIC_MESH_REFUSED);
    hand_start(&hand, a, true);
    struct envelope newer = by_hand;
    newer.version = ENVELOPE_VERSION + 1;
    hand_hear(&hand, ENVELOPE_PING, bytes, sizeof bytes); /* so its answer has a way */
    hand_say(&hand, &newer);
    struct envelope refusal = hand_hear(&hand, ENVELOPE_REFUSED, bytes, sizeof bytes);
    assert_int_equal(refusal.seq, ENVELOPE_VERSION);
    assert_int_equal(refusal.ack, ENVELOPE_VERSION_MIN);
    assert_int_equal(refusal.from, 1);
    assert_in_range(metrics_get(METRIC_MESH_REFUSED), refused + 1, refused + 2);
    expect_nothing(a->shard[0]);
    hand_say(&hand, &by_hand); /* the same in a version that is spoken */
    assert_true(site_take(a->shard[0], &message, SITE_DEADLINE_MS));
    assert_int_equal(zmq_msg_size(&message), 5);
    zmq_msg_close(&message);
    struct envelope ack = hand_hear(&hand, ENVELOPE_ACK, bytes, sizeof bytes);
    assert_int_equal(ack.ack, 1);
    hand_stop(&hand);
}

/* It says nothing, so it is at the door that it is refused. */
static void a_stranger_does_not_get_in(void **state)
{
    (void)state;
    struct hand hand;
    const struct mesh_member *nobody[] = {NULL};
    site_view(a, nobody, 0);
    int64_t refused = metrics_get(METRIC_MESH_REFUSED);
    hand_start(&hand, a, false);
    wait_metric(METRIC_MESH_REFUSED, refused + 1);
    hand_stop(&hand);
}

static void nobody_speaks_for_another(void **state)
{
    (void)state;
    struct hand hand;
    zmq_msg_t message;
    int64_t refused = metrics_get(METRIC_MESH_REFUSED);
    hand_start(&hand, a, true);
    struct envelope forged[] = {by_hand, by_hand, by_hand, by_hand};
    forged[0].from = 2;
    forged[1].from_life = 34;
    forged[2].to_life = 70002 & 0xffff;
    forged[3].ack = 7; /* has a frame that was never sent */
    for (int i = 0; i < 4; i++)
        hand_say(&hand, &forged[i]);
    zmq_send(hand.dealer, "nonsense", 8, 0);
    hand_say(&hand, &by_hand);
    assert_true(site_take(a->shard[0], &message, SITE_DEADLINE_MS));
    zmq_msg_close(&message);
    expect_nothing(a->shard[0]);
    assert_in_range(metrics_get(METRIC_MESH_REFUSED), refused + 5, refused + 6);
    hand_stop(&hand);
}

static void a_port_that_is_taken_is_a_failure(void **state)
{
    (void)state;
    unsigned before = mesh_failures();
    struct site *third = site_start(3, 1, (int)a->config.mesh_port, 0);
    assert_int_equal(mesh_failures(), before + 1);
    site_stop(third);
}

#define TWO(test) cmocka_unit_test_setup_teardown(test, start_two, stop_two)
#define TWO_WITH_WAYS(test)                                                                        \
    cmocka_unit_test_setup_teardown(test, start_two_with_ways, stop_two_with_ways)

/* A function of its own, for the thread sanitizer's suppressions to name. */
static __attribute__((noinline)) void start_zmq(void)
{
    zsys_init();
    zsys_handler_set(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TWO(frames_arrive_once_and_in_order),
        TWO(a_strangers_key_is_refused),
        TWO(a_peer_without_a_key_is_left_out),
        TWO(a_view_counts_for_the_frame_behind_it),
        TWO(a_restarted_peer_gets_only_what_is_for_its_new_life),
        TWO(a_peer_that_left_is_not_heard),
        TWO_WITH_WAYS(a_peer_cut_off_for_two_seconds_loses_nothing),
        TWO_WITH_WAYS(a_peer_silent_for_two_seconds_loses_nothing),
        TWO_WITH_WAYS(many_cuts_lose_nothing),
        TWO(a_hung_shard_is_a_node_that_does_not_answer),
        TWO(past_its_bounds_only_what_may_be_is_dropped),
        TWO(a_peer_of_another_version_is_refused_and_told_why),
        TWO(a_stranger_does_not_get_in),
        TWO(nobody_speaks_for_another),
        TWO(a_port_that_is_taken_is_a_failure),
    };
    start_zmq();
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    zsys_shutdown();
    return failed;
}
