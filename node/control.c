#include "cluster/lease.h"
#include "cluster/planner.h"
#include "node/clock.h"
#include "node/control_inside.h"
#include "node/lease_thread.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "sql/db.h"
#include "sql/upkeep.h"
#include <inttypes.h>

#define POLL_MS 1000
/* All devices that are not offline are looked at so often: none is left without its timers. */
#define SWEEP_MS 600000
#define DRAIN_LOOK_MS 50
#define PRUNE_MS 15000
#define UPKEEP_MS 3600000
#define UPKEEP_RETRY_MS 60000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
int64_t control_now_ms(void)
{
    return clock_boot_us() / 1000;
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static void tell(struct control *self, enum msg_kind kind, const struct msg_device *item)
{
    control_view_tell_shard(&self->view, item->slot % LIMIT_SLOTS % (unsigned)self->config->shards,
                            kind, item, sizeof *item);
}

/* Who may connect is the edges' to know: each has connections of its own. */
static void tell_changed(void *arg, const struct change *change)
{
    struct control *self = arg;
    struct msg_revoked revoked = {.holder = change->holder, .mark = change->mark};
    struct msg_device item = {change->tenant, change->holder,
                              msg_slot(0, slot_of(&change->holder))};
    if (change->credentials)
        control_view_tell_edges(&self->view, MSG_REVOKED, &revoked, sizeof revoked);
    else
        tell(self, MSG_CHANGED, &item);
}

static void tell_awake(void *arg, const struct uuid *tenant, const struct uuid *device,
                       unsigned region)
{
    tell(arg, MSG_WAKE, &(struct msg_device){*tenant, *device, msg_slot(region, slot_of(device))});
}

static void tell_home(void *arg, const struct uuid *id, unsigned region)
{
    struct control *self = arg;
    struct msg_home item = {.id = *id, .region = (uint8_t)region};
    control_view_tell_edges(&self->view, MSG_HOME, &item, sizeof item);
}

/* The one place that gives a connection up. */
static void disconnect(struct control *self, const char *reason)
{
    if (self->backoff_ms == BACKOFF_MIN_MS)
        log_event(LEVEL_WARNING, "control_disconnected", "reason", "%s", reason);
    PQfinish(self->db.conn);
    self->db.conn = NULL;
    self->connect_at = control_now_ms() + self->backoff_ms;
    self->backoff_ms = least(2 * self->backoff_ms, BACKOFF_MAX_MS);
}

/* True: `rc` is a success, or a refusal that leaves the connection whole. */
bool control_went_on(struct control *self, const char *what, int rc)
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
    self->backoff_ms = BACKOFF_MIN_MS;
    self->poll_at = self->expiry_at = 0;
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
            self->poll_at = 0; /* the view changed */
        PQfreemem(notify);
    }
}

/* Devices of a dead owner's slots have timers to be watched. */
static void begin_sweep(struct control *self)
{
    self->sweeping = true;
    self->sweep_at = control_now_ms() + SWEEP_MS;
    self->awake = (struct uuid){0};
}

/* Of a view in which it is no member this node tells its threads nothing: they would say in its
 * name what is true of its successor. */
static void end_if_deposed(const struct control *self, const struct view_rows *rows)
{
    for (size_t i = 0; i < rows->nodes_count; i++) {
        const struct view_node *node = &rows->nodes[i];
        if (node->number == self->view.number && node->incarnation == self->incarnation &&
            (node->state == MEMBER_ACTIVE || node->state == MEMBER_DRAINING))
            return;
    }
    if (rows->version != self->view.version)
        lease_end_deposed(self->incarnation, "is no member any more");
}

static bool read_view(struct control *self)
{
    struct view_rows rows;
    int rc = membership_view_read(&self->db, self->view.version, &rows);
    if (!control_went_on(self, "read the view", rc))
        return false;
    if (rc != 0)
        return true;
    end_if_deposed(self, &rows);
    bool inherited = control_view_take(&self->view, &rows);
    membership_view_free(&rows);
    if (inherited)
        begin_sweep(self);
    return true;
}

static bool read_changes(struct control *self)
{
    self->poll_at = control_now_ms() + POLL_MS;
    moves_retry(self->view.moves);
    return read_view(self) &&
           control_went_on(self, "read the homes",
                           home_read(&self->homes, &self->db, tell_home, self)) &&
           control_went_on(self, "read the changes",
                           changes_read(&self->changes, &self->db, tell_changed, self));
}

/* ---- going ---- */

/* A lock that another holds for a second is no reason to leave without. */
static void ask_to_drain(struct control *self)
{
    int rc = self->db.conn == NULL
                 ? ERR_UNAVAILABLE
                 : membership_drain(&self->db, self->config->node_id, planner_place, NULL);
    self->drain_asked = rc != ERR_REFUSED;
    if (rc != 0)
        log_event(LEVEL_WARNING, "drain_failed", "reason", "could not drain: %s", self->db.reason);
    if (rc != 0 && rc != ERR_REFUSED)
        self->drain_until = 0;
    self->poll_at = 0;
}

/* An operator's order, or SIGTERM: the process ends when its slots are gone. */
static void drain(struct control *self)
{
    bool ordered = control_view_own_state(&self->view) == MEMBER_DRAINING;
    /* Told by SIGTERM it does not wait for what nobody may take; an operator's order does. */
    bool empty = moves_count(self->view.moves) == 0;
    if (ordered && !self->draining && !self->signalled && empty &&
        slots_count(&self->view.slots, self->view.number) == 0) {
        self->signalled = true; /* a second one would end the process at once */
        kill(getpid(), SIGTERM);
        return;
    }
    if (!self->draining || self->drained)
        return;
    if (!self->drain_asked && control_now_ms() < self->drain_until)
        ask_to_drain(self);
    if (ordered && empty && !self->moving_clients) {
        self->moving_clients = true;
        control_view_tell_elsewhere(&self->view, true);
    }
    bool gone = self->moving_clients && metrics_get(METRIC_MQTT_CONNECTIONS) == 0;
    if (gone || control_now_ms() >= self->drain_until) {
        self->drained = true;
        zsock_signal(self->pipe, 0);
    }
}

static void begin_drain(struct control *self)
{
    self->draining = true;
    self->drain_until = control_now_ms() + self->config->drain_seconds * 1000;
    if (!control_view_has_others(&self->view))
        self->drain_until = 0;
}

/* One that the database refuses is begun anew a moment later: at once it would be refused again,
 * and again. */
static bool sweep_page(struct control *self)
{
    int count = upkeep_awake(&self->db, &self->awake, tell_awake, self);
    if (count <= 0)
        self->sweeping = false;
    if (count < 0)
        self->sweep_at = control_now_ms() + POLL_MS;
    return control_went_on(self, "read the devices to watch", count);
}

static bool keep_partitions(struct control *self)
{
    int64_t days = self->config->retention_days;
    int rc = upkeep_partitions(&self->db, days);
    if (rc == 0 && days > 0)
        rc = upkeep_retention(&self->db, days);
    if (rc == 0 && days > 0)
        rc = upkeep_rejected(&self->db, days);
    /* 1: there may be more to drop */
    self->upkeep_at = control_now_ms() + (rc == 0 ? UPKEEP_MS : rc > 0 ? POLL_MS : UPKEEP_RETRY_MS);
    return control_went_on(self, "keep the partitions", rc);
}

static bool prune(struct control *self)
{
    int rc = changes_prune(&self->changes, &self->db);
    if (rc == 0)
        rc = upkeep_gone(&self->db);
    if (rc == 0)
        rc = upkeep_expired(&self->db);
    if (rc == 0)
        rc = upkeep_tokens(&self->db);
    self->prune_at = control_now_ms() + (rc > 0 ? POLL_MS : PRUNE_MS);
    return control_went_on(self, "prune what is gone", rc);
}

/* All that needs the database and is due. */
static void work(struct control *self)
{
    if (self->db.conn == NULL && control_now_ms() >= self->connect_at)
        connect_again(self);
    drain(self);
    control_mind_clients(self);
    if (self->db.conn == NULL)
        return;
    take_notifications(self);
    bool up = self->db.conn != NULL && control_give_slots(self);
    if (up && control_now_ms() >= self->poll_at)
        up = read_changes(self);
    if (up && control_now_ms() >= self->sweep_at)
        begin_sweep(self);
    if (up && self->sweeping)
        up = sweep_page(self);
    if (up && control_now_ms() >= self->expiry_at)
        up = control_bury(self);
    if (up)
        up = control_vote(self) && control_move_slots(self);
    if (up && control_now_ms() >= self->upkeep_at)
        up = keep_partitions(self);
    if (up && control_now_ms() >= self->prune_at)
        prune(self);
}

/* Milliseconds until something is due. */
static long idle_ms(const struct control *self)
{
    int64_t next = INT64_MAX;
    if (self->draining && !self->drained)
        return DRAIN_LOOK_MS;
    if (self->db.conn == NULL)
        next = least(next, self->connect_at);
    else if (self->sweeping)
        return 0;
    else
        next = least(least(least(next, self->poll_at), self->expiry_at),
                     least(self->prune_at, self->upkeep_at));
    int64_t left = next - control_now_ms();
    return (long)(left < 0 ? 0 : least(left, POLL_MS));
}

/* True: $TERM. */
static bool take_pipe(struct control *self)
{
    char *command = zstr_recv(self->pipe);
    bool term = command == NULL || streq(command, "$TERM");
    if (!term)
        begin_drain(self); /* CONTROL_DRAIN */
    zstr_free(&command);
    return term;
}

static bool wait_for_term(struct control *self)
{
    zmq_pollitem_t items[4] = {{.socket = zsock_resolve(self->pipe), .events = ZMQ_POLLIN},
                               {.socket = zsock_resolve(self->reports), .events = ZMQ_POLLIN},
                               {.socket = zsock_resolve(self->released), .events = ZMQ_POLLIN}};
    if (self->db.conn != NULL) {
        items[3].fd = PQsocket(self->db.conn);
        items[3].events = ZMQ_POLLIN;
    }
    if (zmq_poll(items, self->db.conn != NULL ? 4 : 3, idle_ms(self)) < 0)
        return errno == ETERM;
    control_take_reports(self);
    control_take_released(self);
    return (items[0].revents & ZMQ_POLLIN) && take_pipe(self);
}

static struct control *control_new(zsock_t *pipe, const struct control_args *args)
{
    struct control *self = xcalloc(1, sizeof *self);
    self->config = args->config;
    self->pipe = pipe;
    self->incarnation = args->incarnation;
    begin_sweep(self);
    self->backoff_ms = BACKOFF_MIN_MS;
    registration_init(&self->registration, args->config, args->mesh_key);
    registration_session(args->config, args->incarnation, self->name, sizeof self->name);
    changes_init(&self->changes);
    self->prune_at = control_now_ms() + PRUNE_MS;
    self->reports = mailbox_open("control", 0);
    self->released = mailbox_open("control-released", 0);
    control_view_open(&self->view, args->config, args->number);
    return self;
}

static void control_destroy(struct control *self)
{
    zsock_destroy(&self->reports);
    zsock_destroy(&self->released);
    control_view_close(&self->view);
    changes_free(&self->changes);
    PQfinish(self->db.conn);
    free(self);
}

/* When its lease has run out the others do it. Until then nobody would serve its slots, so that a
 * lock which another holds for a second is waited for. */
static void leave(struct control *self)
{
    int64_t until = control_now_ms() + LEASE_TTL_MS;
    int rc = ERR_REFUSED;
    while (rc == ERR_REFUSED && self->db.conn != NULL && control_now_ms() < until)
        rc = membership_leave(&self->db, &self->registration.member, self->incarnation,
                              planner_place);
    if (rc == 0)
        log_event(LEVEL_INFO, "left", "session", "%s", self->name);
    else
        log_event(LEVEL_WARNING, "leave_failed", "reason", "could not leave: %s",
                  self->db.conn != NULL ? self->db.reason : "the database is away");
}

void control_actor(zsock_t *pipe, void *args)
{
    struct control *self = control_new(pipe, args);
    free(args);
    pthread_setname_np(pthread_self(), "gito-control");
    zsock_signal(pipe, 0);
    do {
        work(self);
        control_view_flush(&self->view);
    } while (!wait_for_term(self));
    leave(self);
    control_destroy(self);
}
