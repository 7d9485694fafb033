#include "node/notifier.h"
#include "node/clock.h"
#include "node/control_register.h"
#include "node/log.h"
#include "node/mail.h"
#include "node/metrics.h"
#include "node/smtp.h"
#include "proto/check.h"
#include "sql/db.h"
#include "sql/outbox.h"

#define POLL_MS 1000
#define BACKOFF_MIN_MS 100
#define BACKOFF_MAX_MS 2000
#define PAUSE_MIN_MS 1000
#define PAUSE_MAX_MS 30000
/* No message is begun that could end after its claim. */
#define CLAIM_USE_MS ((OUTBOX_CLAIM_S - SMTP_SEND_S_MAX - 5) * 1000)

/* An address has 254 bytes at most, and three around it. */
#define LATER_BYTES_MAX (260 * OUTBOX_RECIPIENTS_MAX)

/* What is to be written of the row that was last tried. */
enum verdict {
    VERDICT_NONE,
    VERDICT_SENT,
    VERDICT_PARTLY,   /* some are to be tried later: `later` */
    VERDICT_UNWANTED, /* nobody to send it to */
    VERDICT_REFUSED,  /* this message */
    VERDICT_AWAY,     /* no message can be sent now */
};

struct notifier {
    const struct config *config;
    zsock_t *pipe;
    char session[96]; /* node/incarnation */
    struct ask db;    /* conn NULL: away */
    struct outbox outbox;
    struct smtp *smtp;
    struct buf message;
    struct buf later;                /* recipients, as a text[] of SQL */
    int64_t ids[NOTIFIER_CLAIM_MAX]; /* claimed; from `next` on, not tried yet */
    int next, count;
    bool holds_claims; /* rows are claimed that will not be tried: to be released */
    enum verdict verdict;
    int64_t verdict_id;
    char reason[256];                           /* of a failed attempt */
    bool db_away, skip_told;                    /* said so already */
    int64_t backoff_ms, pause_ms;               /* pause 0: the mail server is well */
    int64_t connect_at, poll_at, claimed_at_ms; /* of the boot clock, ms */
};

static int64_t now_ms(void)
{
    return clock_boot_us() / 1000;
}

/* The only thing that ever comes by the pipe is $TERM. */
static bool should_stop(void *context)
{
    const struct notifier *self = context;
    return zsock_events(self->pipe) & ZMQ_POLLIN;
}

static void disconnect(struct notifier *self)
{
    if (!self->db_away)
        log_event(LEVEL_WARNING, "database_away", "reason", "could not read the outbox: %s",
                  self->db.reason);
    self->db_away = true;
    PQfinish(self->db.conn);
    self->db.conn = NULL;
    self->connect_at = now_ms() + self->backoff_ms;
    self->backoff_ms =
        self->backoff_ms < BACKOFF_MAX_MS / 2 ? self->backoff_ms * 2 : BACKOFF_MAX_MS;
}

/* True: `rc` is a success. Every failure ends the connection, and with it its transaction. */
static bool succeeded(struct notifier *self, int rc)
{
    if (rc < 0) {
        disconnect(self);
        return false;
    }
    if (self->db_away)
        log_event(LEVEL_INFO, "database_back", "session", "%s", self->session);
    self->db_away = false;
    self->backoff_ms = BACKOFF_MIN_MS;
    return true;
}

static void connect_again(struct notifier *self)
{
    self->db.conn = db_connect(self->config->database_url, self->session, "gito_ingest",
                               self->db.reason, sizeof self->db.reason);
    bool sends = self->config->smtp_host[0] != '\0';
    if (self->db.conn == NULL || ask_do(&self->db, "SET lock_timeout = '2s'", 0, NULL) != 0 ||
        (sends && outbox_sends(&self->outbox) != 0))
        disconnect(self);
}

/* ---- sending ---- */

static int compose(struct notifier *self, const struct outbox_alert *alert, const char *only)
{
    const struct mail mail = {
        .from = self->config->smtp_from,
        .to = only,
        .date_us = clock_real_us(),
        .alert = {alert->event_id, alert->device_id, alert->device_name, alert->metric,
                  alert->value, alert->condition, alert->fired_at_us},
    };
    buf_clear(&self->message);
    return mail_compose(&mail, &self->message);
}

/* Keeps those that may stand in an SMTP command. */
static size_t choose_recipients(const struct outbox_alert *alert, const char **ret_recipients)
{
    size_t count = 0;
    for (int i = 0; i < alert->recipients_count; i++)
        if (mail_address_valid(alert->recipients[i]))
            ret_recipients[count++] = alert->recipients[i];
    if (alert->recipients_cut || count < (size_t)alert->recipients_count)
        log_event(LEVEL_WARNING, "email_recipients_left_out", "text",
                  "alert %s goes to %zu users: the others are more than %d, or have no address "
                  "that mail can be sent to",
                  alert->event_id, count, OUTBOX_RECIPIENTS_MAX);
    return count;
}

/* 0 or an error of smtp_send, with `reason`. */
static int transmit(struct notifier *self, const struct outbox_alert *alert,
                    const char *const *recipients, size_t count, bool *ret_later)
{
    char from[256];
    if (mail_address_of(self->config->smtp_from, from, sizeof from) != 0) {
        snprintf(self->reason, sizeof self->reason, "SMTP_FROM_EMAIL is not an address");
        return ERR_UNAVAILABLE;
    }
    int rc = compose(self, alert, count == 1 ? recipients[0] : NULL);
    if (rc != 0) {
        snprintf(self->reason, sizeof self->reason, "could not compose: %s", err_text(rc));
        return ERR_REFUSED;
    }
    const struct smtp_letter letter = {
        from, recipients, count, self->message.data, self->message.len, ret_later};
    return smtp_send(self->smtp, &letter, self->reason, sizeof self->reason);
}

/* What can be sent to (mail_address_valid) needs no escapes between quotes. */
static size_t list_later(struct notifier *self, const char *const *recipients, size_t count,
                         const bool *later)
{
    size_t listed = 0;
    buf_clear(&self->later);
    for (size_t i = 0; i < count; i++)
        if (later[i])
            buf_printf(&self->later, "%c\"%s\"", listed++ == 0 ? '{' : ',', recipients[i]);
    buf_put(&self->later, "}", 2); /* and its end */
    CHECK(!buf_failed(&self->later));
    return listed;
}

static enum verdict accepted(struct notifier *self, const struct outbox_alert *alert, size_t count,
                             size_t later)
{
    metrics_add(METRIC_EMAILS_SENT, 1);
    log_event(LEVEL_INFO, "email_sent", "text", "alert %s to %zu users", alert->event_id,
              count - later);
    if (later == 0)
        return VERDICT_SENT;
    snprintf(self->reason, sizeof self->reason, "the server asked to be tried later for %zu of %zu",
             later, count);
    log_event(LEVEL_WARNING, "email_later", "reason", "alert %s: %s", alert->event_id,
              self->reason);
    return VERDICT_PARTLY;
}

static enum verdict try_to_send(struct notifier *self, const struct outbox_alert *alert)
{
    const char *recipients[OUTBOX_RECIPIENTS_MAX];
    bool later[OUTBOX_RECIPIENTS_MAX];
    size_t count = choose_recipients(alert, recipients);
    if (count == 0) {
        log_event(LEVEL_INFO, "email_unwanted", "text", "alert %s: its tenant has no active user",
                  alert->event_id);
        return VERDICT_UNWANTED;
    }
    int rc = transmit(self, alert, recipients, count, later);
    if (rc == ERR_UNEXPECTED) /* $TERM: as if it had not been tried */
        return VERDICT_NONE;
    if (rc == 0)
        return accepted(self, alert, count, list_later(self, recipients, count, later));
    metrics_add(METRIC_EMAILS_FAILED, 1);
    log_event(LEVEL_WARNING, "email_failed", "reason", "could not send alert %s, attempt %d: %s",
              alert->event_id, alert->attempts + 1, self->reason);
    return rc == ERR_REFUSED ? VERDICT_REFUSED : VERDICT_AWAY;
}

static void send_next(struct notifier *self)
{
    struct outbox_alert alert;
    int64_t id = self->ids[self->next];
    if (now_ms() > self->claimed_at_ms + CLAIM_USE_MS) {
        self->next = self->count;
        self->holds_claims = true;
        return;
    }
    int rc = outbox_read(&self->outbox, id, &alert);
    if (rc == ERR_NOT_FOUND) {
        self->next++;
        return;
    }
    if (!succeeded(self, rc))
        return;
    self->verdict_id = id;
    self->verdict = try_to_send(self, &alert);
    self->next++;
    self->holds_claims = self->holds_claims || self->verdict == VERDICT_NONE;
    outbox_alert_free(&alert);
}

/* ---- what became of it ---- */

static void tell_given_up(const struct notifier *self, int count)
{
    if (count > 0)
        log_event(LEVEL_ERROR, "email_given_up", "text",
                  "%d alerts were not mailed within %d days, and will not be: %s", count,
                  OUTBOX_DAYS_MAX, self->reason);
}

static int note_failure(struct notifier *self, bool away)
{
    int count = outbox_give_up(&self->outbox, away ? 0 : self->verdict_id);
    if (count < 0)
        return count;
    tell_given_up(self, count);
    return outbox_failed(&self->outbox, self->verdict_id, self->reason);
}

static int write_verdict(struct notifier *self)
{
    switch (self->verdict) {
    case VERDICT_SENT:
        return outbox_sent(&self->outbox, self->verdict_id);
    case VERDICT_PARTLY:
        return outbox_partly(&self->outbox, self->verdict_id, (const char *)self->later.data,
                             self->reason);
    case VERDICT_UNWANTED:
        return outbox_unwanted(&self->outbox, self->verdict_id);
    case VERDICT_REFUSED:
    case VERDICT_AWAY:
        return note_failure(self, self->verdict == VERDICT_AWAY);
    case VERDICT_NONE:
        break;
    }
    return 0;
}

static void pause_sending(struct notifier *self)
{
    self->pause_ms = self->pause_ms == 0 ? PAUSE_MIN_MS : self->pause_ms * 2;
    if (self->pause_ms > PAUSE_MAX_MS)
        self->pause_ms = PAUSE_MAX_MS;
    self->poll_at = now_ms() + self->pause_ms;
    self->holds_claims = self->next < self->count;
    self->next = self->count;
}

static void settle(struct notifier *self)
{
    if (!succeeded(self, write_verdict(self)))
        return; /* the same again when the database is back */
    if (self->verdict == VERDICT_AWAY)
        pause_sending(self);
    else if (self->verdict != VERDICT_UNWANTED)
        self->pause_ms = 0;
    self->verdict = VERDICT_NONE;
}

/* ---- taking rows ---- */

static void release(struct notifier *self)
{
    if (succeeded(self, outbox_release(&self->outbox)))
        self->holds_claims = false;
}

static void skip(struct notifier *self)
{
    int count = outbox_skip(&self->outbox);
    if (!succeeded(self, count))
        return;
    if (count > 0 && !self->skip_told) {
        log_event(LEVEL_WARNING, "email_not_configured", "text",
                  "SMTP_HOST is not set: alerts are not mailed");
        self->skip_told = true;
    }
    if (count < OUTBOX_SWEEP_MAX)
        self->poll_at = now_ms() + POLL_MS;
}

static void claim(struct notifier *self)
{
    self->claimed_at_ms = now_ms();
    int count = outbox_claim(&self->outbox, self->pause_ms > 0 ? 1 : NOTIFIER_CLAIM_MAX, self->ids);
    if (!succeeded(self, count))
        return;
    self->next = 0;
    self->count = count;
    if (count == 0) {
        smtp_close(self->smtp);
        self->poll_at = now_ms() + POLL_MS;
    }
}

/* One step of what is due. */
static void work(struct notifier *self)
{
    if (self->db.conn == NULL && now_ms() >= self->connect_at)
        connect_again(self);
    if (self->db.conn == NULL)
        return;
    if (self->verdict != VERDICT_NONE)
        settle(self);
    else if (self->next < self->count)
        send_next(self);
    else if (self->holds_claims)
        release(self);
    else if (now_ms() >= self->poll_at && self->config->smtp_host[0] == '\0')
        skip(self);
    else if (now_ms() >= self->poll_at)
        claim(self);
}

static long idle_ms(const struct notifier *self)
{
    int64_t at = self->poll_at;
    if (self->db.conn == NULL)
        at = self->connect_at;
    else if (self->verdict != VERDICT_NONE || self->next < self->count || self->holds_claims)
        return 0;
    return at > now_ms() ? (long)(at - now_ms()) : 0;
}

/* True: $TERM. */
static bool wait_for_term(struct notifier *self)
{
    zmq_pollitem_t item = {.socket = zsock_resolve(self->pipe), .events = ZMQ_POLLIN};
    int rc = zmq_poll(&item, 1, idle_ms(self));
    return rc < 0 ? errno == ETERM : (item.revents & ZMQ_POLLIN) != 0;
}

/* The outcome of the last message is worth a try; what is claimed and not sent is for others. */
static void leave(struct notifier *self)
{
    if (self->db.conn != NULL && self->verdict != VERDICT_NONE)
        settle(self);
    if (self->db.conn != NULL && (self->holds_claims || self->next < self->count))
        release(self);
}

static struct notifier *notifier_new(zsock_t *pipe, const struct notifier_args *args)
{
    struct notifier *self = xcalloc(1, sizeof *self);
    self->config = args->config;
    self->pipe = pipe;
    self->backoff_ms = BACKOFF_MIN_MS;
    registration_session(args->config, args->incarnation, self->session, sizeof self->session);
    self->outbox = (struct outbox){.db = &self->db,
                                   .node_id = args->config->node_id,
                                   .session = self->session,
                                   .incarnation = args->incarnation};
    self->smtp = smtp_new(args->config, should_stop, self);
    CHECK(self->smtp != NULL);
    buf_init(&self->message, MAIL_BYTES_MAX);
    buf_init(&self->later, LATER_BYTES_MAX);
    return self;
}

void notifier_actor(zsock_t *pipe, void *args)
{
    struct notifier *self = notifier_new(pipe, args);
    free(args);
    pthread_setname_np(pthread_self(), "gito-notifier");
    zsock_signal(pipe, 0);
    do {
        work(self);
    } while (!wait_for_term(self));
    leave(self);
    smtp_destroy(&self->smtp);
    PQfinish(self->db.conn);
    buf_free(&self->message);
    buf_free(&self->later);
    free(self);
}
