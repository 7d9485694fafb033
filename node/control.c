#include "node/control.h"
#include "cluster/lease.h"
#include "cluster/planner.h"
#include "cluster/slots.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/control_register.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "proto/check.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include "sql/changes.h"
#include "sql/db.h"
#include "sql/membership.h"
#include "sql/upkeep.h"
#include <stdatomic.h>

#define POLL_MS 1000
#define PRUNE_MS 60000
#define UPKEEP_MS 3600000
#define UPKEEP_RETRY_MS 60000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define FRAME_BYTES_MAX (256 * 1024)

struct control {
    const struct config *config;
    zsock_t *pipe;
    int64_t incarnation;
    char name[96]; /* of its sessions: node/incarnation */
    struct registration registration;
    struct ask db; /* conn NULL: away */
    struct lease lease;
    struct changes changes;
    zsock_t *shards[LIMIT_SHARDS];
    struct frame frames[LIMIT_SHARDS];
    enum msg_kind telling; /* kind of the items being told */
    struct uuid awake;     /* cursor of the sweep */
    bool sweeping;
    int64_t backoff_ms, connect_at, poll_at, prune_at, upkeep_at; /* of the boot clock, ms */
};

static atomic_bool database_up;

bool control_database_up(void)
{
    return atomic_load_explicit(&database_up, memory_order_relaxed);
}

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void flush_shard(struct control *self, unsigned shard)
{
    struct frame *frame = &self->frames[shard];
    if (frame->count == 0)
        return;
    struct span bytes = frame_finish(frame);
    mailbox_post(self->shards[shard], bytes.data, bytes.len);
    frame_clear(frame);
}

static void tell(void *arg, const struct uuid *tenant, const struct uuid *device)
{
    struct control *self = arg;
    unsigned shard = slot_of(device) % (unsigned)self->config->shards;
    struct msg_device item = {.tenant = *tenant, .device = *device};
    CHECK(frame_add(&self->frames[shard], self->telling, &item, sizeof item, NULL, 0) == 0);
    if (self->frames[shard].count == LIMIT_FRAME_ITEMS)
        flush_shard(self, shard);
}

static void flush_all(struct control *self)
{
    for (unsigned shard = 0; shard < (unsigned)self->config->shards; shard++)
        flush_shard(self, shard);
}

/* The one place that gives a connection up. */
static void disconnect(struct control *self, const char *reason)
{
    if (atomic_exchange(&database_up, false))
        log_event(LEVEL_WARNING, "database_away", "reason", "%s", reason);
    PQfinish(self->db.conn);
    self->db.conn = NULL;
    self->connect_at = now_ms() + self->backoff_ms;
    self->backoff_ms = least(2 * self->backoff_ms, BACKOFF_MAX_MS);
}

/* True: `rc` is a success, or a refusal that leaves the connection whole. */
static bool went_on(struct control *self, const char *what, int rc)
{
    if (rc >= 0)
        return true;
    if (rc != ERR_UNAVAILABLE) {
        log_event(LEVEL_WARNING, "control_refused", "reason", "could not %s: %s", what,
                  self->db.reason);
        return true;
    }
    char reason[320];
    snprintf(reason, sizeof reason, "could not %s: %s", what, self->db.reason);
    disconnect(self, reason);
    return false;
}

/* libpq would print the server's last words; disconnect() says them in a line of the log. */
static void ignore_notice(void *arg, const PGresult *notice)
{
    (void)arg;
    (void)notice;
}

/* And the one that makes it: LISTEN first, then all is read. */
static void connect_again(struct control *self)
{
    self->db.conn = db_connect(self->config->database_url, self->name, "gito_ingest",
                               self->db.reason, sizeof self->db.reason);
    if (self->db.conn == NULL) {
        disconnect(self, self->db.reason);
        return;
    }
    PQsetNoticeReceiver(self->db.conn, ignore_notice, NULL);
    int rc = ask_do(&self->db, "SET lock_timeout = '1s'", 0, NULL);
    if (rc == 0)
        rc = ask_do(&self->db, "LISTEN gito_view", 0, NULL);
    if (rc == 0)
        rc = ask_do(&self->db, "LISTEN gito_changes", 0, NULL);
    if (rc == 0)
        rc = changes_start(&self->changes, &self->db);
    if (rc != 0) {
        disconnect(self, self->db.reason);
        return;
    }
    self->poll_at = 0;
}

/* No drain: what is not acknowledged is sent again, to whoever serves now. */
static void end_deposed(const struct control *self)
{
    log_event(LEVEL_ERROR, "deposed", "reason",
              "incarnation %" PRId64 " of this node has been superseded: the process ends",
              self->incarnation);
    _exit(CONTROL_EXIT_DEPOSED);
}

static void obey(const struct control *self, enum lease_order order)
{
    switch (order) {
    case LEASE_EXIT:
        end_deposed(self);
        break;
    case LEASE_SAY_EXPIRED:
        log_event(LEVEL_WARNING, "lease_expired", "reason", "no renewal was granted in time");
        break;
    case LEASE_SAY_RENEWED:
        log_event(LEVEL_INFO, "lease_renewed", "reason", "the database grants renewals again");
        break;
    case LEASE_NOTHING:
    case LEASE_RENEW:
        break;
    }
}

static void renew(struct control *self)
{
    enum lease_event answer = LEASE_FAILED;
    if (self->db.conn != NULL) {
        int rc = membership_renew(&self->db, &self->registration.member, self->incarnation);
        if (rc == ERR_FENCED)
            answer = LEASE_NO_ROW;
        else if (went_on(self, "renew the lease", rc) && rc == 0)
            answer = LEASE_GRANTED;
    }
    if (answer == LEASE_GRANTED) {
        self->backoff_ms = BACKOFF_MIN_MS;
        if (!atomic_exchange(&database_up, true))
            log_event(LEVEL_INFO, "database_up", "session", "%s", self->name);
    }
    obey(self, lease_answer(&self->lease, answer, now_ms()));
}

static void keep_lease(struct control *self)
{
    enum lease_order order;
    while ((order = lease_tick(&self->lease, now_ms())) != LEASE_NOTHING) {
        obey(self, order);
        if (order == LEASE_RENEW)
            renew(self);
    }
}

static void take_notifications(struct control *self)
{
    PGnotify *notify;
    if (PQconsumeInput(self->db.conn) == 0) {
        disconnect(self, "the connection was lost");
        return;
    }
    while ((notify = PQnotifies(self->db.conn)) != NULL) {
        if (strcmp(notify->relname, "gito_changes") == 0)
            self->poll_at = 0;
        else
            self->lease.due_ms = 0; /* the view changed: are we still in it? */
        PQfreemem(notify);
    }
}

static bool read_changes(struct control *self)
{
    self->telling = MSG_CHANGED;
    self->poll_at = now_ms() + POLL_MS;
    return went_on(self, "read the changes", changes_read(&self->changes, &self->db, tell, self));
}

static bool sweep_page(struct control *self)
{
    self->telling = MSG_WAKE;
    int count = upkeep_awake(&self->db, &self->awake, tell, self);
    if (count == 0)
        self->sweeping = false;
    return went_on(self, "read the devices to watch", count);
}

static bool keep_partitions(struct control *self)
{
    int64_t days = self->config->retention_days;
    int rc = upkeep_partitions(&self->db, days);
    if (rc == 0 && days > 0)
        rc = upkeep_retention(&self->db, days);
    /* 1: there may be more to drop */
    self->upkeep_at = now_ms() + (rc == 0 ? UPKEEP_MS : rc > 0 ? POLL_MS : UPKEEP_RETRY_MS);
    return went_on(self, "keep the partitions", rc);
}

static bool prune(struct control *self)
{
    self->prune_at = now_ms() + PRUNE_MS;
    return went_on(self, "prune the changes", changes_prune(&self->changes, &self->db));
}

/* All that needs the database and is due. */
static void work(struct control *self)
{
    if (self->db.conn == NULL && now_ms() >= self->connect_at)
        connect_again(self);
    keep_lease(self);
    if (self->db.conn == NULL)
        return;
    take_notifications(self);
    bool up = self->db.conn != NULL;
    if (up && now_ms() >= self->poll_at)
        up = read_changes(self);
    if (up && self->sweeping)
        up = sweep_page(self);
    if (up && now_ms() >= self->upkeep_at)
        up = keep_partitions(self);
    if (up && now_ms() >= self->prune_at)
        prune(self);
}

/* Milliseconds until something is due. */
static long idle_ms(const struct control *self)
{
    int64_t next = lease_next_ms(&self->lease);
    if (self->db.conn == NULL)
        next = least(next, self->connect_at);
    else if (self->sweeping)
        return 0;
    else
        next = least(least(next, self->poll_at), least(self->prune_at, self->upkeep_at));
    int64_t left = next - now_ms();
    return (long)(left < 0 ? 0 : least(left, POLL_MS));
}

/* True: $TERM. */
static bool wait_for_term(struct control *self)
{
    zmq_pollitem_t items[2] = {{.socket = zsock_resolve(self->pipe), .events = ZMQ_POLLIN}};
    if (self->db.conn != NULL) {
        items[1].fd = PQsocket(self->db.conn);
        items[1].events = ZMQ_POLLIN;
    }
    if (zmq_poll(items, self->db.conn != NULL ? 2 : 1, idle_ms(self)) < 0)
        return errno == ETERM;
    if ((items[0].revents & ZMQ_POLLIN) == 0)
        return false;
    char *command = zstr_recv(self->pipe);
    bool term = command == NULL || streq(command, "$TERM");
    zstr_free(&command);
    return term;
}

static struct control *control_new(zsock_t *pipe, const struct control_args *args)
{
    struct control *self = xcalloc(1, sizeof *self);
    self->config = args->config;
    self->pipe = pipe;
    self->incarnation = args->incarnation;
    self->sweeping = true;
    self->backoff_ms = BACKOFF_MIN_MS;
    registration_init(&self->registration, args->config);
    registration_session(args->config, args->incarnation, self->name, sizeof self->name);
    /* Due at once: the registration was granted some time ago. */
    lease_init(&self->lease, LEASE_TTL_MS, now_ms() - LEASE_TTL_MS / 4);
    changes_init(&self->changes);
    self->prune_at = now_ms() + PRUNE_MS;
    for (unsigned shard = 0; shard < (unsigned)self->config->shards; shard++) {
        self->shards[shard] = mailbox_connect("shard", shard, 0);
        frame_init(&self->frames[shard], FRAME_BYTES_MAX);
    }
    return self;
}

static void control_destroy(struct control *self)
{
    for (unsigned shard = 0; shard < (unsigned)self->config->shards; shard++) {
        zsock_destroy(&self->shards[shard]);
        frame_free(&self->frames[shard]);
    }
    changes_free(&self->changes);
    PQfinish(self->db.conn);
    free(self);
}

static void leave(struct control *self)
{
    if (self->db.conn != NULL && membership_leave(&self->db, &self->registration.member,
                                                  self->incarnation, planner_place) == 0)
        log_event(LEVEL_INFO, "left", "session", "%s", self->name);
    atomic_store(&database_up, false);
}

void control_actor(zsock_t *pipe, void *args)
{
    struct control *self = control_new(pipe, args);
    free(args);
    zsock_signal(pipe, 0);
    do {
        work(self);
        flush_all(self);
    } while (!wait_for_term(self));
    leave(self);
    control_destroy(self);
}
