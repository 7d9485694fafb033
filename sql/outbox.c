#include "sql/outbox.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TEXT_OF(macro) TEXT_OF_VALUE(macro)
#define TEXT_OF_VALUE(value) #value

/* Whoever sends holds it shared. */
#define SENDERS "hashtext('gito mail')"
#define DUE "next_attempt_at <= now() AND " FREE
#define FREE "(claimed_until IS NULL OR claimed_until < clock_timestamp())"

struct digits {
    char s[24];
};

static struct digits digits(int64_t value)
{
    struct digits out;
    snprintf(out.s, sizeof out.s, "%" PRId64, value);
    return out;
}

/* One statement behind the fence. NULL on failure, with the reason. */
static PGresult *ask_fenced(const struct outbox *self, const char *sql, int count,
                            const char *const *values)
{
    struct digits incarnation = digits(self->incarnation);
    if (ask_do(self->db, "BEGIN", 0, NULL) != 0 ||
        ask_do(self->db, "SELECT fence($1, $2)", 2,
               (const char *[]){self->node_id, incarnation.s}) != 0)
        return NULL;
    PGresult *rows = ask_rows(self->db, sql, count, values);
    if (rows == NULL || ask_do(self->db, "COMMIT", 0, NULL) == 0)
        return rows;
    PQclear(rows);
    return NULL;
}

static int do_fenced(const struct outbox *self, const char *sql, int count,
                     const char *const *values)
{
    PGresult *rows = ask_fenced(self, sql, count, values);
    if (rows == NULL)
        return ask_error(self->db);
    int touched = atoi(PQcmdTuples(rows));
    PQclear(rows);
    return touched;
}

/* Asked first, without a transaction: an idle cluster writes nothing. */
static int anything_due(const struct outbox *self)
{
    PGresult *rows = ask_rows(self->db, "SELECT FROM outbox WHERE " DUE " LIMIT 1", 0, NULL);
    if (rows == NULL)
        return ask_error(self->db);
    int count = PQntuples(rows);
    PQclear(rows);
    return count;
}

int outbox_claim(const struct outbox *self, int limit, int64_t *ret_ids)
{
    struct digits most = digits(limit);
    int rc = anything_due(self);
    if (rc <= 0)
        return rc;
    PGresult *rows = ask_fenced(
        self,
        "WITH due AS (SELECT id FROM outbox WHERE " DUE
        " ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED), "
        "mine AS (UPDATE outbox o SET claimed_by = $2, claimed_until = "
        "clock_timestamp() + " TEXT_OF(OUTBOX_CLAIM_S) " * interval '1 s' "
                                                       "FROM due WHERE o.id = due.id RETURNING "
                                                       "o.id) SELECT id FROM mine ORDER BY id",
        2, (const char *[]){most.s, self->session});
    if (rows == NULL)
        return ask_error(self->db);
    int count = PQntuples(rows);
    for (int i = 0; i < count; i++)
        ret_ids[i] = strtoll(PQgetvalue(rows, i, 0), NULL, 10);
    PQclear(rows);
    return count;
}

/* The condition as it was when the rule fired, from the alert's message "NAME OPERATOR THRESHOLD
 * (current: VALUE)": the rule may have been changed since. */
static PGresult *read_alert(const struct outbox *self, int64_t id)
{
    struct digits number = digits(id);
    return ask_rows(
        self->db,
        "SELECT e.id, e.device_id, d.name, e.metric_name, "
        "COALESCE(e.metric_value::text, 'unknown'), "
        "COALESCE(substring(e.message FROM '^\\S+ (\\S+ \\S+) \\(current: '), "
        "r.operator || ' ' || r.threshold), "
        "(extract(epoch FROM e.fired_at) * 1000000)::bigint, o.attempts, o.tenant_id, "
        "o.recipients "
        "FROM outbox o JOIN alert_events e ON e.id = o.alert_event_id "
        "JOIN devices d ON d.id = e.device_id JOIN alert_rules r ON r.id = e.alert_rule_id "
        "WHERE o.id = $1 AND o.claimed_by = $2",
        2, (const char *[]){number.s, self->session});
}

/* `only`: a text[], or NULL. */
static PGresult *read_recipients(const struct outbox *self, const char *tenant, const char *only)
{
    struct digits most = digits(OUTBOX_RECIPIENTS_MAX + 1);
    return ask_rows(self->db,
                    "SELECT email FROM users WHERE tenant_id = $1 AND status = 'active' "
                    "AND ($3::text[] IS NULL OR email = ANY ($3::text[])) "
                    "ORDER BY created_at, id LIMIT $2",
                    3, (const char *[]){tenant, most.s, only});
}

int outbox_read(const struct outbox *self, int64_t id, struct outbox_alert *ret_alert)
{
    PGresult *row = read_alert(self, id);
    if (row == NULL)
        return ask_error(self->db);
    if (PQntuples(row) == 0) {
        PQclear(row);
        return ERR_NOT_FOUND;
    }
    const char *only = PQgetisnull(row, 0, 9) ? NULL : PQgetvalue(row, 0, 9);
    PGresult *users = read_recipients(self, PQgetvalue(row, 0, 8), only);
    if (users == NULL) {
        PQclear(row);
        return ask_error(self->db);
    }
    struct outbox_alert *a = ret_alert;
    const char **const texts[] = {&a->event_id, &a->device_id, &a->device_name,
                                  &a->metric,   &a->value,     &a->condition};
    for (int i = 0; i < 6; i++)
        *texts[i] = PQgetvalue(row, 0, i);
    a->fired_at_us = strtoll(PQgetvalue(row, 0, 6), NULL, 10);
    a->attempts = atoi(PQgetvalue(row, 0, 7));
    a->recipients_cut = PQntuples(users) > OUTBOX_RECIPIENTS_MAX;
    a->recipients_count = a->recipients_cut ? OUTBOX_RECIPIENTS_MAX : PQntuples(users);
    for (int i = 0; i < a->recipients_count; i++)
        a->recipients[i] = PQgetvalue(users, i, 0);
    a->rows[0] = row;
    a->rows[1] = users;
    return 0;
}

void outbox_alert_free(struct outbox_alert *self)
{
    PQclear(self->rows[0]);
    PQclear(self->rows[1]);
    self->rows[0] = self->rows[1] = NULL;
}

int outbox_sent(const struct outbox *self, int64_t id)
{
    struct digits number = digits(id);
    int rc = do_fenced(self,
                       "WITH gone AS (DELETE FROM outbox WHERE id = $1 RETURNING alert_event_id) "
                       "UPDATE alert_events e SET notification_sent = true, "
                       "notification_sent_at = now() FROM gone "
                       "WHERE e.id = gone.alert_event_id AND NOT e.notification_sent",
                       1, (const char *[]){number.s});
    return rc < 0 ? rc : 0;
}

int outbox_unwanted(const struct outbox *self, int64_t id)
{
    struct digits number = digits(id);
    int rc = do_fenced(self, "DELETE FROM outbox WHERE id = $1 AND claimed_by = $2", 2,
                       (const char *[]){number.s, self->session});
    return rc < 0 ? rc : 0;
}

#define LATER                                                                                      \
    "attempts = attempts + 1, last_error = $3, claimed_by = NULL, claimed_until = NULL, "          \
    "next_attempt_at = now() + LEAST(900, 5 * 2 ^ LEAST(attempts, 10)) "                           \
    "* (0.8 + 0.4 * random()) * interval '1 s' WHERE id = $1 AND claimed_by = $2"

int outbox_partly(const struct outbox *self, int64_t id, const char *recipients, const char *reason)
{
    struct digits number = digits(id);
    int rc = do_fenced(self,
                       "WITH partly AS (UPDATE outbox SET recipients = $4::text[], " LATER
                       " RETURNING alert_event_id) "
                       "UPDATE alert_events e SET notification_sent = true, "
                       "notification_sent_at = now() FROM partly "
                       "WHERE e.id = partly.alert_event_id AND NOT e.notification_sent",
                       4, (const char *[]){number.s, self->session, reason, recipients});
    return rc < 0 ? rc : 0;
}

int outbox_failed(const struct outbox *self, int64_t id, const char *reason)
{
    struct digits number = digits(id);
    int rc = do_fenced(self, "UPDATE outbox SET " LATER, 3,
                       (const char *[]){number.s, self->session, reason});
    return rc < 0 ? rc : 0;
}

int outbox_give_up(const struct outbox *self, int64_t id)
{
    struct digits number = digits(id), most = digits(OUTBOX_SWEEP_MAX);
    return do_fenced(
        self,
        "DELETE FROM outbox WHERE id IN (SELECT id FROM outbox "
        "WHERE ($1::bigint = 0 OR id = $1) AND (claimed_by = $2 OR " FREE ") "
        "AND created_at < now() - " TEXT_OF(OUTBOX_DAYS_MAX) " * interval '1 day' "
                                                             "LIMIT $3 FOR UPDATE SKIP LOCKED)",
        3, (const char *[]){number.s, self->session, most.s});
}

int outbox_release(const struct outbox *self)
{
    int rc = do_fenced(self,
                       "UPDATE outbox SET claimed_by = NULL, claimed_until = NULL "
                       "WHERE claimed_by = $1",
                       1, &self->session);
    return rc < 0 ? rc : 0;
}

/* Held as long as its session is there. */
int outbox_sends(const struct outbox *self)
{
    return ask_do(self->db, "SELECT pg_advisory_lock_shared(" SENDERS ")", 0, NULL);
}

int outbox_skip(const struct outbox *self)
{
    struct digits most = digits(OUTBOX_SWEEP_MAX);
    int rc = anything_due(self);
    if (rc <= 0)
        return rc;
    return do_fenced(self,
                     "DELETE FROM outbox WHERE (SELECT pg_try_advisory_xact_lock(" SENDERS
                     ")) AND id IN (SELECT id FROM outbox WHERE " DUE
                     " AND (attempts = 0 OR created_at < now() - " TEXT_OF(
                         OUTBOX_DAYS_MAX) " * interval '1 day')"
                                          " ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)",
                     1, (const char *[]){most.s});
}
