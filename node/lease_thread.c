#include "node/lease_thread.h"
#include "cluster/lease.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/control_register.h"
#include "node/log.h"
#include "proto/check.h"
#include "sql/db.h"
#include <inttypes.h>
#include <stdatomic.h>

#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
/* As long as it may be without an end of its own. */
#define IDLE_MAX_MS 1000

struct lease_thread {
    const struct config *config;
    zsock_t *pipe;
    int64_t incarnation;
    char name[96];
    struct registration registration;
    struct ask db; /* conn NULL: away */
    struct lease lease;
    int64_t backoff_ms, connect_at;
};

static atomic_bool database_up;
static _Atomic int64_t judge_from_ms = INT64_MAX, judge_until_ms;

bool lease_database_up(void)
{
    return atomic_load_explicit(&database_up, memory_order_relaxed);
}

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

bool lease_thread_may_judge(void)
{
    int64_t now = now_ms();
    return now >= atomic_load(&judge_from_ms) && now < atomic_load(&judge_until_ms);
}

void lease_end_deposed(int64_t incarnation, const char *why)
{
    log_event(LEVEL_ERROR, "deposed", "reason",
              "incarnation %" PRId64 " of this node %s: the process ends", incarnation, why);
    _exit(LEASE_EXIT_DEPOSED);
}

static void disconnect(struct lease_thread *self)
{
    if (atomic_exchange(&database_up, false))
        log_event(LEVEL_WARNING, "database_away", "reason", "could not renew the lease: %s",
                  self->db.reason);
    PQfinish(self->db.conn);
    self->db.conn = NULL;
    self->connect_at = now_ms() + self->backoff_ms;
    self->backoff_ms =
        2 * self->backoff_ms < BACKOFF_MAX_MS ? 2 * self->backoff_ms : BACKOFF_MAX_MS;
}

static void connect_again(struct lease_thread *self)
{
    self->db.conn = db_connect(self->config->database_url, self->name, "gito_ingest",
                               self->db.reason, sizeof self->db.reason);
    if (self->db.conn == NULL ||
        ask_do(&self->db, "SET statement_timeout = '2s'", 0, NULL) == ERR_UNAVAILABLE)
        disconnect(self);
}

static enum lease_event ask(struct lease_thread *self)
{
    if (self->db.conn == NULL)
        return LEASE_FAILED;
    int rc = membership_renew(&self->db, &self->registration.member, self->incarnation);
    if (rc == 0)
        return LEASE_GRANTED;
    if (rc == ERR_UNAVAILABLE)
        disconnect(self);
    return rc == ERR_FENCED ? LEASE_NO_ROW : LEASE_FAILED;
}

static void obey(const struct lease_thread *self, enum lease_order order)
{
    switch (order) {
    case LEASE_EXIT:
        lease_end_deposed(self->incarnation, "has been superseded or condemned");
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

static void renew(struct lease_thread *self)
{
    enum lease_event answer = ask(self);
    if (answer == LEASE_GRANTED) {
        self->backoff_ms = BACKOFF_MIN_MS;
        if (!atomic_exchange(&database_up, true))
            log_event(LEVEL_INFO, "database_up", "session", "%s", self->name);
    }
    obey(self, lease_answer(&self->lease, answer, now_ms()));
}

static void work(struct lease_thread *self)
{
    enum lease_order order;
    if (self->db.conn == NULL && now_ms() >= self->connect_at)
        connect_again(self);
    while ((order = lease_tick(&self->lease, now_ms())) != LEASE_NOTHING) {
        obey(self, order);
        if (order == LEASE_RENEW)
            renew(self);
    }
    bool steady = self->lease.steady_ms != INT64_MAX;
    atomic_store(&judge_from_ms, steady ? self->lease.steady_ms + self->lease.ttl_ms : INT64_MAX);
    atomic_store(&judge_until_ms, steady ? self->lease.deadline_ms : 0);
}

static long idle_ms(const struct lease_thread *self)
{
    int64_t next = lease_next_ms(&self->lease);
    if (self->db.conn == NULL && self->connect_at < next)
        next = self->connect_at;
    int64_t left = next - now_ms();
    return (long)(left < 0 ? 0 : left < IDLE_MAX_MS ? left : IDLE_MAX_MS);
}

void lease_actor(zsock_t *pipe, void *args)
{
    const struct lease_args *given = args;
    struct lease_thread self = {
        .config = given->config, .pipe = pipe, .incarnation = given->incarnation};
    zmq_pollitem_t items[] = {{.socket = zsock_resolve(pipe), .events = ZMQ_POLLIN}};
    self.backoff_ms = BACKOFF_MIN_MS;
    registration_init(&self.registration, self.config, NULL);
    registration_session(self.config, self.incarnation, self.name, sizeof self.name);
    free(args);
    /* Due at once: the registration was granted some time ago. */
    lease_init(&self.lease, LEASE_TTL_MS, now_ms() - LEASE_TTL_MS / 4);
    pthread_setname_np(pthread_self(), "gito-lease");
    zsock_signal(pipe, 0);
    do {
        work(&self);
    } while (zmq_poll(items, 1, idle_ms(&self)) == 0); /* the only order there is: end */
    atomic_store(&database_up, false);
    PQfinish(self.db.conn);
}
