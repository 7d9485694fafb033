/* The control thread on a PostgreSQL of our own: it tells of nodes and slots, wakes, tells of
 * changes, outlives an outage, leaves. */
#include "node/config.h"
#include "node/control.h"
#include "node/lease_thread.h"
#include "node/mailbox.h"
#include "node/mesh.h"
#include "proto/frame.h"
#include "sql/ask.h"
#include "sql/db.h"
#include "sql/membership.h"
#include "sql/provision.h"
#include "tests/unit/private_pg.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-0000000000aa"
#define DEVICE "00000000-0000-4000-8000-000000000000"
#define DEADLINE_MS 20000

static struct private_pg pg;
static struct config config;
static const volatile sig_atomic_t go_on;
static const char mesh_key[MESH_KEY_SIZE] = "0123456789012345678901234567890123456789";
static int64_t incarnation;
static uint16_t own_number;

static struct ask connect_as(const char *url, const char *role)
{
    char reason[300];
    struct ask db = {.conn = db_connect(url, "test", role, reason, sizeof reason)};
    if (db.conn == NULL)
        fail_msg("%s", reason);
    return db;
}

static void run(const char *sql)
{
    struct ask admin = connect_as(pg.admin_url, NULL);
    if (ask_do(&admin, sql, 0, NULL) != 0)
        fail_msg("%s: %s", sql, admin.reason);
    PQfinish(admin.conn);
}

static int64_t register_again(void)
{
    char reason[300];
    int64_t next = 0;
    if (control_register(&config, mesh_key, &go_on, &next, &own_number, reason, sizeof reason) != 0)
        fail_msg("%s", reason);
    return next;
}

static zactor_t *start_lease(void)
{
    struct lease_args *args = xcalloc(1, sizeof *args);
    *args = (struct lease_args){.config = &config, .incarnation = incarnation};
    return zactor_new(lease_actor, args);
}

static zactor_t *start_control(void)
{
    struct control_args *args = xcalloc(1, sizeof *args);
    *args = (struct control_args){
        .config = &config, .incarnation = incarnation, .number = own_number, .mesh_key = mesh_key};
    return zactor_new(control_actor, args);
}

static void wait_until_database(bool up)
{
    int64_t deadline = zclock_mono() + DEADLINE_MS;
    while (lease_database_up() != up) {
        assert_true(zclock_mono() < deadline);
        zclock_sleep(5);
    }
}

/* What a thread of the node is told: frames, item by item. */
struct inbox {
    zsock_t *sock;
    zmq_msg_t message;
    struct frame_reader reader;
    bool open; /* message is to be closed */
};

static void inbox_open(struct inbox *self, const char *name)
{
    *self = (struct inbox){.sock = mailbox_open(name, 0)};
    zsock_set_rcvtimeo(self->sock, DEADLINE_MS);
}

static void inbox_close(struct inbox *self)
{
    if (self->open)
        zmq_msg_close(&self->message);
    zsock_destroy(&self->sock);
}

static void next_frame(struct inbox *self)
{
    if (self->open)
        zmq_msg_close(&self->message);
    zmq_msg_init(&self->message);
    self->open = true;
    assert_true(zmq_msg_recv(&self->message, zsock_resolve(self->sock), 0) >= 0);
    const void *data = zmq_msg_data(&self->message);
    assert_int_equal(frame_open(&self->reader, data, zmq_msg_size(&self->message)), 0);
}

static struct item next_item(struct inbox *self)
{
    struct item item;
    while (!self->open || frame_next(&self->reader, &item) == 0)
        next_frame(self);
    return item;
}

/* The next item about devices is of this kind, and of DEVICE. */
static void expect_item(struct inbox *shard, enum msg_kind kind)
{
    struct uuid device;
    struct item item = next_item(shard);
    while (item.kind == MSG_NODE || item.kind == MSG_SLOT)
        item = next_item(shard);
    assert_int_equal(item.kind, kind);
    assert_int_equal(uuid_parse(DEVICE, UUID_TEXT_LEN, &device), 0);
    assert_memory_equal(&((const struct msg_device *)item.fixed)->device, &device, sizeof device);
}

/* The next item about credentials is of DEVICE, which others let in now. */
static void expect_revoked(struct inbox *edge)
{
    struct uuid device;
    struct item item = next_item(edge);
    while (item.kind != MSG_REVOKED)
        item = next_item(edge);
    const struct msg_revoked *revoked = item.fixed;
    assert_int_equal(uuid_parse(DEVICE, UUID_TEXT_LEN, &device), 0);
    assert_memory_equal(&revoked->holder, &device, sizeof device);
    assert_int_not_equal(revoked->mark, 0);
}

/* First of all who is there, then who owns which slot. */
static void expect_view(struct inbox *thread)
{
    struct item item = next_item(thread);
    assert_int_equal(item.kind, MSG_NODE);
    const struct msg_node node = *(const struct msg_node *)item.fixed;
    assert_int_equal(node.node, own_number);
    assert_int_equal(node.life, (uint16_t)incarnation);
    assert_true(node.alive && node.edges == 1 && node.shards == 1);
    for (uint16_t i = 0; i < LIMIT_SLOTS; i++) {
        item = next_item(thread);
        assert_int_equal(item.kind, MSG_SLOT);
        const struct msg_slot slot = *(const struct msg_slot *)item.fixed;
        assert_int_equal(slot.slot, msg_slot(0, i));
        assert_int_equal(slot.owner, own_number);
        assert_int_equal(slot.epoch, incarnation); /* each incarnation has owned them anew */
        assert_int_equal(slot.flags, 0);
    }
}

static void free_all_views(zsock_t *mesh)
{
    zmq_msg_t message;
    while (mailbox_take(mesh, &message)) {
        free(mailbox_object(&message));
        zmq_msg_close(&message);
    }
}

/* The mesh, which is not there, would. */
static void free_views(zsock_t *mesh)
{
    zmq_msg_t message;
    while (mailbox_take(mesh, &message)) {
        struct mesh_view *view = mailbox_object(&message);
        assert_int_equal(view->count, 0); /* it is alone */
        free(view);
        zmq_msg_close(&message);
    }
}

static bool is_in_state(const char *state)
{
    struct ask node = connect_as(pg.app_url, "gito_ingest");
    PGresult *row =
        ask_rows(&node, "SELECT state FROM cluster_nodes WHERE node_id = 'eu-1'", 0, NULL);
    bool is = strcmp(PQgetvalue(row, 0, 0), state) == 0;
    PQclear(row);
    PQfinish(node.conn);
    return is;
}

static void it_wakes_tells_and_outlives_an_outage(void **state)
{
    (void)state;
    incarnation = register_again();
    struct inbox shard, edge, mesh;
    inbox_open(&shard, "shard");
    inbox_open(&edge, "edge");
    inbox_open(&mesh, "mesh-view");
    run("UPDATE devices SET status = 'online' WHERE id = '" DEVICE "'");
    zactor_t *lease = start_lease(), *control = start_control();
    expect_view(&edge);
    expect_view(&shard);
    expect_item(&shard, MSG_WAKE);
    wait_until_database(true);
    run("INSERT INTO alert_rules (tenant_id, device_id, metric, operator, threshold) "
        "VALUES ('" TENANT "', '" DEVICE "', 'temperature', '>', 1)");
    expect_item(&shard, MSG_CHANGED);
    run("UPDATE device_credentials SET secret_hash = 'another'");
    expect_revoked(&edge);

    private_pg_crash(&pg);
    wait_until_database(false);
    private_pg_serve(&pg);
    run("UPDATE alert_rules SET threshold = 2");
    expect_item(&shard, MSG_CHANGED);
    wait_until_database(true);

    zactor_destroy(&lease);
    zactor_destroy(&control);
    assert_true(is_in_state("left"));
    inbox_close(&shard);
    inbox_close(&edge);
    free_views(mesh.sock);
    inbox_close(&mesh);
}

static int count_refusals(FILE *log)
{
    char line[1000];
    int count = 0;
    fseek(log, 0, SEEK_SET);
    while (fgets(line, sizeof line, log) != NULL)
        count += strstr(line, "devices to watch") != NULL;
    return count;
}

/* The devices to watch may not be read for a while: that is tried again, and not without a pause.
 */
static void what_is_refused_is_not_asked_for_at_once(void **state)
{
    (void)state;
    struct inbox shard, edge, mesh;
    FILE *log = tmpfile();
    int stderr_was = dup(STDERR_FILENO);
    incarnation = register_again();
    inbox_open(&shard, "shard");
    inbox_open(&edge, "edge");
    inbox_open(&mesh, "mesh-view");
    run("REVOKE SELECT ON devices FROM gito_ingest");
    assert_true(log != NULL && fcntl(fileno(log), F_SETFL, O_APPEND) == 0);
    assert_true(dup2(fileno(log), STDERR_FILENO) >= 0);
    zactor_t *control = start_control();
    int64_t deadline = zclock_mono() + DEADLINE_MS;
    while (count_refusals(log) < 2 && zclock_mono() < deadline)
        zclock_sleep(20);
    int refusals = count_refusals(log);
    run("GRANT SELECT ON devices TO gito_ingest");
    expect_item(&shard, MSG_WAKE);
    zactor_destroy(&control);
    dup2(stderr_was, STDERR_FILENO);
    close(stderr_was);
    fclose(log);
    assert_in_range(refusals, 2, 4);
    inbox_close(&shard);
    inbox_close(&edge);
    free_all_views(mesh.sock);
    inbox_close(&mesh);
}

/* For longer than anybody waits for it at one time. */
static struct ask hold_view(void)
{
    struct ask other = connect_as(pg.admin_url, NULL);
    assert_int_equal(ask_do(&other, "BEGIN; SELECT FROM cluster_version FOR UPDATE", 0, NULL), 0);
    assert_int_equal(PQsendQuery(other.conn, "SELECT pg_sleep(1.5); COMMIT"), 1);
    return other;
}

static void it_drains_and_leaves_though_a_lock_is_held(void **state)
{
    (void)state;
    struct config second = config;
    struct inbox shard, edge, mesh;
    char reason[300];
    int64_t ignored;
    uint16_t number;
    incarnation = register_again();
    second.node_id = "eu-2";
    assert_int_equal(
        control_register(&second, mesh_key, &go_on, &ignored, &number, reason, sizeof reason), 0);
    inbox_open(&shard, "shard");
    inbox_open(&edge, "edge");
    inbox_open(&mesh, "mesh-view");
    zactor_t *control = start_control();
    while (next_item(&edge).kind != MSG_SLOT) /* it has read the view */
        ;
    struct ask other = hold_view();
    zstr_send(control, CONTROL_DRAIN);
    int64_t deadline = zclock_mono() + DEADLINE_MS;
    while (!is_in_state("draining"))
        assert_true(zclock_mono() < deadline);
    PQfinish(other.conn);
    other = hold_view();
    zactor_destroy(&control);
    assert_true(is_in_state("left"));
    PQfinish(other.conn);
    inbox_close(&shard);
    inbox_close(&edge);
    free_all_views(mesh.sock);
    inbox_close(&mesh);
}

/* Where it owns nothing they go at once. */
static void clients_are_sent_to_a_host_of_a_long_name(void **state)
{
    (void)state;
    char host[254] = "", reason[300];
    struct config second = config;
    struct inbox shard, edge, mesh;
    int64_t ignored;
    uint16_t number;
    run("DELETE FROM cluster_slots");
    run("DELETE FROM cluster_nodes");
    memset(host, 'h', sizeof host - 1);
    second.node_id = "eu-2";
    second.advertise_address = host;
    second.mqtt_port = 12345;
    assert_int_equal(
        control_register(&second, mesh_key, &go_on, &ignored, &number, reason, sizeof reason), 0);
    config.node_weight = 0;
    incarnation = register_again();
    inbox_open(&shard, "shard");
    inbox_open(&edge, "edge");
    inbox_open(&mesh, "mesh-view");
    zactor_t *control = start_control();
    while (next_item(&edge).kind != MSG_SLOT) /* it has read the view */
        ;
    zstr_send(control, CONTROL_DRAIN);
    struct item item = next_item(&edge);
    while (item.kind != MSG_DRAIN)
        item = next_item(&edge);
    assert_int_equal(item.texts_len, strlen(host) + strlen(":12345"));
    assert_memory_equal(item.texts, host, strlen(host));
    assert_memory_equal(item.texts + strlen(host), ":12345", strlen(":12345"));
    zactor_destroy(&control);
    inbox_close(&shard);
    inbox_close(&edge);
    free_all_views(mesh.sock);
    inbox_close(&mesh);
}

/* In a process of its own: the test's is not to end. */
static void a_superseded_incarnation_ends(void **state)
{
    (void)state;
    int status;
    incarnation = register_again();
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        zsock_t *shard = mailbox_open("shard", 0);
        zactor_t *lease = start_lease(), *control = start_control();
        zclock_sleep(DEADLINE_MS);
        zactor_destroy(&lease);
        zactor_destroy(&control);
        zsock_destroy(&shard);
        _exit(0);
    }
    assert_int_equal(register_again(), incarnation + 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), LEASE_EXIT_DEPOSED);
}

static void registration_ends_when_told_to_stop(void **state)
{
    (void)state;
    static const volatile sig_atomic_t stop = 1;
    char reason[300];
    int64_t untouched = 7;
    uint16_t number = 8;
    assert_int_equal(
        control_register(&config, mesh_key, &stop, &untouched, &number, reason, sizeof reason),
        ERR_UNAVAILABLE);
    assert_true(untouched == 7 && number == 8);
}

static int start(void **state)
{
    (void)state;
    char reason[300];
    private_pg_start(&pg);
    config = (struct config){.database_url = pg.app_url,
                             .database_admin_url = pg.admin_url,
                             .node_id = "eu-1",
                             .node_region = "eu",
                             .bind_address = "127.0.0.1",
                             .advertise_address = "127.0.0.1",
                             .cluster_regions = "",
                             .tls_cert_file = "",
                             .node_weight = 100,
                             .drain_seconds = 60,
                             .edges = 1,
                             .shards = 1};
    (void)register_again();
    return provision_devices(pg.admin_url, TENANT, 1, "s", reason, sizeof reason);
}

static int stop_all(void **state)
{
    (void)state;
    private_pg_stop(&pg);
    return 0;
}

int main(void)
{
    /* First the one that forks: no thread of CZMQ is there yet. */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_superseded_incarnation_ends),
        cmocka_unit_test(registration_ends_when_told_to_stop),
        cmocka_unit_test(it_wakes_tells_and_outlives_an_outage),
        cmocka_unit_test(what_is_refused_is_not_asked_for_at_once),
        cmocka_unit_test(it_drains_and_leaves_though_a_lock_is_held),
        cmocka_unit_test(clients_are_sent_to_a_host_of_a_long_name),
    };
    return cmocka_run_group_tests(tests, start, stop_all);
}
