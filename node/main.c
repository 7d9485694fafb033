/*
 * gito-node - one node of the cluster: configuration, signals, threads in their order.
 */
#include "actors/shard.h"
#include "node/bench_planner.h"
#include "node/bench_writer.h"
#include "node/command.h"
#include "node/config.h"
#include "node/control.h"
#include "node/edge.h"
#include "node/lease_thread.h"
#include "node/log.h"
#include "node/mesh.h"
#include "node/notifier.h"
#include "node/query.h"
#include "node/redis.h"
#include "node/shard_thread.h"
#include "node/writer.h"
#include "proto/check.h"
#include "sql/migrate.h"
#include "sql/provision.h"
#include "sql/seed.h"
#include <czmq.h>
#include <sys/resource.h>

static volatile sig_atomic_t stop;

static void on_signal(int number)
{
    stop = number;
}

struct node {
    const struct config *config;
    int64_t incarnation;
    uint16_t number;
    char mesh_key[MESH_KEY_SIZE], mesh_secret[MESH_KEY_SIZE];
    struct mesh_loop loop;
    zactor_t *edges[LIMIT_EDGES], *shards[LIMIT_SHARDS], *writers[LIMIT_WRITERS];
    zactor_t *queries[LIMIT_QUERIES], *redis, *notifier, *control, *lease, *mesh;
};

static void *args_of(const void *args, size_t size)
{
    void *copy = malloc(size);
    CHECK(copy != NULL);
    return memcpy(copy, args, size);
}

static zactor_t *start(zactor_fn *actor, const void *args, size_t size)
{
    zactor_t *self = zactor_new(actor, args_of(args, size));
    CHECK(self != NULL);
    return self;
}

#define START(actor, type, ...) start(actor, &(struct type){__VA_ARGS__}, sizeof(struct type))

static void start_mesh(struct node *self)
{
    struct mesh_args args = {.config = self->config,
                             .incarnation = self->incarnation,
                             .number = self->number,
                             .loop = &self->loop};
    memcpy(args.public_key, self->mesh_key, sizeof args.public_key);
    memcpy(args.secret_key, self->mesh_secret, sizeof args.secret_key);
    self->mesh = start(mesh_actor, &args, sizeof args);
}

static void start_threads(struct node *self)
{
    const struct config *config = self->config;
    self->lease = START(lease_actor, lease_args, config, self->incarnation);
    start_mesh(self);
    for (unsigned i = 0; i < config->shards; i++)
        self->shards[i] =
            START(shard_actor, shard_args, config, i, self->incarnation, self->number, &self->loop);
    for (unsigned i = 0; i < config->writers; i++)
        self->writers[i] = START(writer_actor, writer_args, config, i, self->incarnation);
    for (unsigned i = 0; i < config->queries; i++)
        self->queries[i] = START(query_actor, query_args, config, i, self->incarnation);
    if (config->redis_url[0] != '\0')
        self->redis = zactor_new(redis_actor, (void *)config);
    self->notifier = START(notifier_actor, notifier_args, config, self->incarnation);
    for (unsigned i = 0; i < config->edges; i++)
        self->edges[i] = START(edge_actor, edge_args, config, i, self->incarnation, self->number);
    self->control =
        START(control_actor, control_args, config, self->incarnation, self->number, self->mesh_key);
}

static void take_pending_signal(void)
{
    sigset_t mask;
    const struct timespec now = {0};
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    int number = sigtimedwait(&mask, NULL, &now);
    if (number > 0)
        stop = number;
}

/* SIGTERM: others serve its devices before it ends. A second signal does not wait for that. */
static void hand_off(struct node *self)
{
    zpoller_t *drained = zpoller_new(self->control, NULL);
    CHECK(drained != NULL);
    zstr_send(self->control, CONTROL_DRAIN);
    while (stop == 0 && zpoller_wait(drained, 100) == NULL && !zpoller_terminated(drained))
        take_pending_signal();
    if (stop == 0)
        zsock_wait(self->control);
    zpoller_destroy(&drained);
}

/* What the shards said last, other nodes have before they read that this one has left. */
static void flush_mesh(struct node *self)
{
    zstr_send(self->mesh, MESH_FLUSH);
    zsock_wait(self->mesh);
}

/* All at once: what they wait for, a database that is away, may be the same. */
static void drain_shards(struct node *self)
{
    for (unsigned i = 0; i < self->config->shards; i++)
        zstr_send(self->shards[i], SHARD_DRAIN);
    for (unsigned i = 0; i < self->config->shards; i++)
        zsock_wait(self->shards[i]);
}

/* Who may wait for others (a mail server, a long query) ends while the node's slots are served, or
 * when they are another's. */
static void end_threads(struct node *self)
{
    zactor_destroy(&self->notifier); /* its claims are given back by a member */
    for (unsigned i = 0; i < LIMIT_EDGES; i++)
        zactor_destroy(&self->edges[i]);
    drain_shards(self);
    for (unsigned i = 0; i < LIMIT_WRITERS; i++)
        zactor_destroy(&self->writers[i]);
    for (unsigned i = 0; i < LIMIT_SHARDS; i++)
        zactor_destroy(&self->shards[i]);
    flush_mesh(self);
    zactor_destroy(&self->lease); /* renewed once more, it would see itself gone */
    zactor_destroy(&self->control);
    for (unsigned i = 0; i < LIMIT_QUERIES; i++)
        zactor_destroy(&self->queries[i]);
    zactor_destroy(&self->redis);
    zactor_destroy(&self->mesh);
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    log_event(LEVEL_INFO, "descriptors", "text", "%lu open files allowed",
              (unsigned long)limit.rlim_cur);
}

static int wait_for_signal(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    int number = 0;
    while (stop == 0 && sigwait(&mask, &number) != 0)
        ;
    return stop != 0 ? stop : number;
}

/* Signals reach main alone: while it registers as a flag, later by sigwait. */
static void take_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
}

static void block_signals(void)
{
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGINT);
    sigaddset(&mask, SIGTERM);
    sigprocmask(SIG_BLOCK, &mask, NULL);
}

/* Signals stay ours; sockets are bounded by the descriptors alone. (A function of its own, for the
 * thread sanitizer's suppressions to name.) */
static __attribute__((noinline)) void start_zmq(void)
{
    zsys_init();
    zsys_handler_set(NULL);
    zsys_set_max_sockets(0);
}

/* What a node cannot serve without, and a command can. */
static int check_serving(const struct config *config)
{
    const char *missing = config->database_url[0] == '\0'     ? "DATABASE_URL"
                          : config->jwt_secret_key[0] == '\0' ? "JWT_SECRET_KEY"
                                                              : NULL;
    if (missing == NULL)
        return 0;
    fprintf(stderr, "%s: must be set\n", missing);
    return EXIT_BAD_CONFIG;
}

static int run(const struct config *config)
{
    struct node node = {.config = config};
    char reason[512];
    if (check_serving(config) != 0)
        return EXIT_BAD_CONFIG;
    take_signals();
    raise_descriptor_limit();
    start_zmq();
    mesh_keypair(config, node.mesh_key, node.mesh_secret);
    int rc = control_register(config, node.mesh_key, &stop, &node.incarnation, &node.number, reason,
                              sizeof reason);
    if (rc != 0) {
        if (stop == 0)
            log_event(LEVEL_ERROR, "register_failed", "reason", "%s", reason);
        zsys_shutdown();
        return stop != 0 ? 0 : EXIT_RUN_FAILED;
    }
    block_signals();
    start_threads(&node);
    bool failed = edge_failures() > 0 || mesh_failures() > 0;
    if (!failed) {
        log_event(LEVEL_INFO, "ready", "text", "incarnation %ld", (long)node.incarnation);
        int number = wait_for_signal();
        log_event(LEVEL_INFO, "stopping", "text", "signal %d", number);
        if (number == SIGTERM)
            hand_off(&node);
    }
    end_threads(&node);
    zsys_shutdown();
    return failed ? EXIT_RUN_FAILED : 0;
}

/* ---- one-off commands ---- */

static int provision(const struct config *config, const struct command *c, char *reason,
                     size_t size)
{
    if (c->account != NULL)
        return provision_account(config->database_admin_url, c->tenant, c->account, c->password,
                                 reason, size);
    return provision_devices(config->database_admin_url, c->tenant, c->devices, c->secret_template,
                             reason, size);
}

/* N actors, activated and idle, in one shard; prints what they cost. */
static int bench_actors(int64_t count)
{
    struct shard_config config = {.edges = 1, .requests_per_minute = 1000, .seed = 1};
    struct frame frame;
    config.times = (struct device_times){1, 1, 1, 1, INT64_MAX};
    shard_t *shard = shard_new(&config);
    CHECK(shard != NULL);
    frame_init(&frame, 1 << 24);
    struct msg_slot slot = {.epoch = 1}; /* slot 0 is node 0's */
    CHECK(frame_add(&frame, MSG_SLOT, &slot, sizeof slot, NULL, 0) == 0);
    for (int64_t i = 0; i < count;) {
        for (int n = 0; n < 1000 && i < count; n++, i++) {
            struct msg_device wake = {0};
            memcpy(wake.device.bytes, &i, sizeof i);
            CHECK(frame_add(&frame, MSG_WAKE, &wake, sizeof wake, NULL, 0) == 0);
        }
        struct span bytes = frame_finish(&frame);
        CHECK(shard_receive(shard, bytes.data, bytes.len, 1) == 0);
        frame_clear(&frame);
        struct batch *batch = shard_next_batch(shard);
        for (uint32_t k = 0; k < batch->loads_count; k++)
            batch->loads[k].found = true;
        shard_done(shard, batch, 1);
    }
    printf("{\"actors\":%lu,\"bytes\":%zu,\"bytes_per_actor\":%.1f}\n",
           (unsigned long)shard_count(shard)->actors, shard_memory(shard),
           (double)shard_memory(shard) / (double)count);
    frame_free(&frame);
    shard_destroy(&shard);
    return 0;
}

static int run_command(const struct config *config, const struct command *c)
{
    char reason[512] = "";
    int rc = 0;
    switch (c->kind) {
    case COMMAND_RUN:
        return run(config);
    case COMMAND_CHECK:
        return check_serving(config);
    case COMMAND_MIGRATE:
        rc = migrate_run(config->database_admin_url, config->database_url, reason, sizeof reason);
        break;
    case COMMAND_SEED_DEMO:
        rc = seed_demo(config->database_admin_url, reason, sizeof reason);
        break;
    case COMMAND_PROVISION:
        rc = provision(config, c, reason, sizeof reason);
        break;
    case COMMAND_BENCH_WRITER:
        rc = bench_writer_run(config, (int)c->number);
        break;
    case COMMAND_BENCH_ACTORS:
        rc = bench_actors(c->number);
        break;
    case COMMAND_BENCH_PLANNER:
        rc = bench_planner_run((int)c->number);
        break;
    }
    if (reason[0] != '\0')
        fprintf(rc != 0 ? stderr : stdout, "gito-node: %s\n", reason);
    return rc == 0 ? 0 : rc == ERR_CONFIG ? EXIT_BAD_CONFIG : EXIT_RUN_FAILED;
}

int main(int argc, char **argv)
{
    struct config config;
    struct command command = command_parse(argc, argv);
    char reason[512];
    if (config_read(&config, reason, sizeof reason) != 0) {
        fprintf(stderr, "%s\n", reason);
        return EXIT_BAD_CONFIG;
    }
    if (log_init(config.log_level, config.node_id) != 0) {
        fprintf(stderr, "LOG_LEVEL: \"%s\" is none of debug, info, warning, error\n",
                config.log_level);
        config_free(&config);
        return EXIT_BAD_CONFIG;
    }
    int status = run_command(&config, &command);
    config_free(&config);
    return status;
}
