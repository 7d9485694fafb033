/* Who may take a row of the outbox, for how long, and what is left of it, on a PostgreSQL of our
 * own. */
#include "cluster/planner.h"
#include "sql/db.h"
#include "sql/membership.h"
#include "sql/migrate.h"
#include "sql/outbox.h"
#include "sql/seed.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-000000000001"
#define DEVICE "00000000-0000-0000-0000-000000000100"

static struct private_pg pg;
static char reason[300];
static struct ask admin;

struct node {
    struct ask db;
    struct outbox outbox;
    char session[32];
};

static struct ask connect_as(const char *url, const char *name, const char *role)
{
    struct ask db = {.conn = db_connect(url, name, role, reason, sizeof reason)};
    if (db.conn == NULL)
        fail_msg("%s", reason);
    return db;
}

static void run(const char *sql)
{
    if (ask_do(&admin, sql, 0, NULL) != 0)
        fail_msg("%s: %s", sql, admin.reason);
}

static long number(const char *sql)
{
    PGresult *row = ask_rows(&admin, sql, 0, NULL);
    if (row == NULL)
        fail_msg("%s: %s", sql, admin.reason);
    long value = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return value;
}

/* A member of the cluster, each in a region of its own, with a connection. */
static void join(struct node *self, const char *name)
{
    int64_t incarnation = 0;
    struct member member = {
        .node_id = name, .region = name, .version = "1", .endpoints = "{}", .ttl_ms = 60000};
    uint16_t number;
    self->db = connect_as(pg.app_url, "joining", "gito_ingest");
    if (membership_register(&self->db, &member, planner_place, &incarnation, &number) != 0)
        fail_msg("%s", self->db.reason);
    snprintf(self->session, sizeof self->session, "%s/%ld", name, (long)incarnation);
    self->outbox = (struct outbox){&self->db, name, self->session, incarnation};
}

static void part(struct node *self)
{
    PQfinish(self->db.conn);
}

/* `count` alerts, each with its row, oldest first; nothing else. */
static void alerts(int count)
{
    char sql[1000];
    run("DELETE FROM alert_rules");
    run("INSERT INTO alert_rules (id, tenant_id, device_id, metric, operator, threshold) VALUES "
        "('00000000-0000-0000-0000-0000000000f1', '" TENANT "', '" DEVICE
        "', 'temperature', '<', 7)");
    snprintf(sql, sizeof sql,
             "WITH fired AS (INSERT INTO alert_events (tenant_id, alert_rule_id, device_id, "
             "metric_name, metric_value, message, fired_at) SELECT '" TENANT
             "', '00000000-0000-0000-0000-0000000000f1', '" DEVICE "', 'temperature', 35.5, "
             "'temperature > 30.5 (current: 35.5)', '2026-11-23 21:40:00.25+00' "
             "FROM generate_series(1, %d) RETURNING id, tenant_id) INSERT INTO outbox "
             "(tenant_id, kind, alert_event_id) SELECT tenant_id, 'email', id FROM fired",
             count);
    run(sql);
}

static void must(struct node *self, int rc)
{
    if (rc < 0)
        fail_msg("%s", self->db.reason);
}

static void a_row_is_claimed_by_one(void **state)
{
    (void)state;
    struct node a, b;
    int64_t ids[8], others[8];
    join(&a, "a-1");
    join(&b, "b-1");
    alerts(5);
    assert_int_equal(outbox_claim(&a.outbox, 3, ids), 3);
    assert_true(ids[0] < ids[1] && ids[1] < ids[2]);
    assert_int_equal(outbox_claim(&b.outbox, 8, others), 2);
    assert_true(others[0] > ids[2]);
    assert_int_equal(outbox_claim(&a.outbox, 8, others), 0);
    must(&a, outbox_release(&a.outbox));
    assert_int_equal(outbox_claim(&b.outbox, 8, others), 3);
    part(&a);
    part(&b);
}

static void the_claim_of_the_dead_runs_out(void **state)
{
    (void)state;
    struct node a, b;
    struct outbox_alert alert;
    int64_t id, other;
    join(&a, "a-1");
    join(&b, "b-1");
    alerts(1);
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    assert_in_range(number("SELECT extract(epoch FROM claimed_until - now())::int FROM outbox"), 50,
                    OUTBOX_CLAIM_S);
    run("UPDATE outbox SET claimed_until = now() - interval '1 s'");
    assert_int_equal(outbox_claim(&b.outbox, 1, &other), 1);
    assert_int_equal(other, id);
    /* Who lost the claim neither reads nor fails the row; */
    assert_int_equal(outbox_read(&a.outbox, id, &alert), ERR_NOT_FOUND);
    must(&a, outbox_failed(&a.outbox, id, "late"));
    must(&a, outbox_unwanted(&a.outbox, id));
    must(&a, outbox_release(&a.outbox));
    assert_int_equal(number("SELECT count(*) FROM outbox WHERE attempts = 0 "
                            "AND claimed_by LIKE 'b-1/%'"),
                     1);
    /* but what was accepted is not sent once more. */
    must(&a, outbox_sent(&a.outbox, id));
    assert_int_equal(outbox_read(&b.outbox, id, &alert), ERR_NOT_FOUND);
    part(&a);
    part(&b);
}

static void it_is_read_as_it_fired(void **state)
{
    (void)state;
    struct node a;
    struct outbox_alert alert;
    int64_t id;
    join(&a, "a-1");
    alerts(1);
    run("UPDATE users SET status = 'disabled' WHERE email = 'ops@gito.demo'");
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    assert_int_equal(outbox_read(&a.outbox, id, &alert), 0);
    assert_string_equal(alert.condition, "> 30.5");
    assert_string_equal(alert.value, "35.5");
    assert_string_equal(alert.metric, "temperature");
    assert_string_equal(alert.device_id, DEVICE);
    assert_string_equal(alert.device_name, "Demo Temperature Sensor");
    assert_true(alert.fired_at_us == INT64_C(1795470000250000));
    assert_int_equal(alert.recipients_count, 1);
    assert_string_equal(alert.recipients[0], "admin@gito.demo");
    outbox_alert_free(&alert);
    run("UPDATE alert_events SET message = NULL");
    assert_int_equal(outbox_read(&a.outbox, id, &alert), 0);
    assert_string_equal(alert.condition, "< 7");
    outbox_alert_free(&alert);
    part(&a);
}

static void sent_is_noted_once(void **state)
{
    (void)state;
    struct node a;
    int64_t id;
    join(&a, "a-1");
    alerts(1);
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    must(&a, outbox_sent(&a.outbox, id));
    assert_int_equal(number("SELECT count(*) FROM outbox"), 0);
    assert_int_equal(number("SELECT count(*) FROM alert_events WHERE notification_sent "
                            "AND notification_sent_at > now() - interval '1 min'"),
                     1);
    run("UPDATE alert_events SET notification_sent_at = '2020-01-01'");
    must(&a, outbox_sent(&a.outbox, id)); /* its outcome was not known */
    assert_int_equal(
        number("SELECT count(*) FROM alert_events WHERE notification_sent_at = '2020-01-01'"), 1);
    part(&a);
}

/* It is sent to the others alone, as long as they are active, and was notified by the first. */
static void what_some_have_waits_for_the_others(void **state)
{
    (void)state;
    struct node a;
    struct outbox_alert alert;
    int64_t id;
    join(&a, "a-1");
    alerts(1);
    run("INSERT INTO users (tenant_id, email, password_hash) VALUES ('" TENANT "', 'Ä{2}@b', '')");
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    must(&a, outbox_partly(&a.outbox, id, "{\"gone@b\",\"Ä{2}@b\"}", "later"));
    must(&a, outbox_partly(&a.outbox, id, "{\"gone@b\",\"Ä{2}@b\"}", "later")); /* not known */
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 0);
    assert_int_equal(number("SELECT attempts FROM outbox WHERE last_error = 'later'"), 1);
    run("UPDATE outbox SET next_attempt_at = now()");
    run("UPDATE alert_events SET notification_sent_at = '2020-01-01' WHERE notification_sent");
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    must(&a, outbox_read(&a.outbox, id, &alert));
    assert_int_equal(alert.recipients_count, 1);
    assert_string_equal(alert.recipients[0], "Ä{2}@b");
    outbox_alert_free(&alert);
    must(&a, outbox_sent(&a.outbox, id));
    assert_int_equal(
        number("SELECT count(*) FROM alert_events WHERE notification_sent_at = '2020-01-01'"), 1);
    run("DELETE FROM users WHERE email LIKE '%2%'");
    part(&a);
}

static void nobody_to_send_to_is_not_notified(void **state)
{
    (void)state;
    struct node a;
    int64_t id;
    join(&a, "a-1");
    alerts(1);
    assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
    must(&a, outbox_unwanted(&a.outbox, id));
    assert_int_equal(number("SELECT count(*) FROM outbox"), 0);
    assert_int_equal(number("SELECT count(*) FROM alert_events WHERE notification_sent"), 0);
    part(&a);
}

static void attempts_space_out(void **state)
{
    (void)state;
    struct node a;
    int64_t id;
    join(&a, "a-1");
    alerts(1);
    for (int attempt = 0; attempt < 12; attempt++) {
        double wait = attempt < 8 ? 5.0 * (1 << attempt) : 900;
        run("UPDATE outbox SET next_attempt_at = now()");
        assert_int_equal(outbox_claim(&a.outbox, 1, &id), 1);
        must(&a, outbox_failed(&a.outbox, id, "no answer"));
        must(&a, outbox_failed(&a.outbox, id, "no answer")); /* its outcome was not known */
        assert_int_equal(outbox_claim(&a.outbox, 1, &id), 0);
        long ms = number("SELECT (extract(epoch FROM next_attempt_at - now()) * 1000)::bigint "
                         "FROM outbox");
        assert_in_range(ms, (long)(wait * 800) - 1000, (long)(wait * 1200));
    }
    assert_int_equal(number("SELECT attempts FROM outbox WHERE last_error = 'no answer'"), 12);
    part(&a);
}

static void given_up_after_three_days(void **state)
{
    (void)state;
    struct node a, b;
    int64_t ids[4], other;
    join(&a, "a-1");
    join(&b, "b-1");
    alerts(4);
    assert_int_equal(outbox_claim(&b.outbox, 1, &other), 1);
    assert_int_equal(outbox_claim(&a.outbox, 1, ids), 1);
    assert_int_equal(outbox_give_up(&a.outbox, 0), 0);
    run("UPDATE outbox SET created_at = now() - interval '73 h'");
    assert_int_equal(outbox_give_up(&a.outbox, ids[0]), 1);
    assert_int_equal(outbox_give_up(&a.outbox, 0), 2); /* all but what another is sending */
    assert_int_equal(number("SELECT count(*) FROM outbox"), 1);
    assert_int_equal(number("SELECT count(*) FROM alert_events WHERE notification_sent"), 0);
    part(&a);
    part(&b);
}

static void skipped_rows_go(void **state)
{
    (void)state;
    struct node a;
    join(&a, "a-1");
    alerts(3);
    assert_int_equal(outbox_skip(&a.outbox), 3);
    assert_int_equal(outbox_skip(&a.outbox), 0);
    assert_int_equal(number("SELECT count(*) FROM alert_events WHERE notification_sent"), 0);
    part(&a);
}

/* Nor what somebody has tried to send: he may be back. */
static void nothing_is_skipped_where_another_sends(void **state)
{
    (void)state;
    struct node a, b;
    int64_t id;
    join(&a, "a-1");
    join(&b, "b-1");
    alerts(2);
    assert_int_equal(outbox_sends(&b.outbox), 0);
    assert_int_equal(outbox_skip(&a.outbox), 0);
    assert_int_equal(outbox_claim(&b.outbox, 1, &id), 1);
    assert_int_equal(outbox_failed(&b.outbox, id, "no answer"), 0);
    part(&b);
    for (int i = 0; i < 1000 && number("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'");
         i++)
        run("SELECT pg_sleep(0.01)"); /* its session ends after its connection */
    run("UPDATE outbox SET next_attempt_at = now(), claimed_until = NULL");
    assert_int_equal(outbox_skip(&a.outbox), 1);
    assert_int_equal(number("SELECT count(*) FROM outbox WHERE attempts = 1"), 1);
    run("UPDATE outbox SET created_at = now() - interval '73 h'");
    assert_int_equal(outbox_skip(&a.outbox), 1);
    part(&a);
}

static void the_fenced_change_nothing(void **state)
{
    (void)state;
    struct node old, new;
    int64_t id;
    join(&old, "a-1");
    alerts(1);
    assert_int_equal(outbox_claim(&old.outbox, 1, &id), 1);
    part(&old);
    join(&new, "a-1");
    old.db = connect_as(pg.app_url, "revenant", "gito_ingest");
    int (*const changes[])(const struct outbox *) = {outbox_release, outbox_skip};
    run("UPDATE outbox SET claimed_until = now()");
    for (int i = 0; i < 2; i++) {
        assert_int_equal(changes[i](&old.outbox), ERR_REFUSED);
        assert_non_null(strstr(old.db.reason, "fenced off"));
        assert_int_equal(ask_do(&old.db, "ROLLBACK", 0, NULL), 0);
    }
    assert_int_equal(outbox_sent(&old.outbox, id), ERR_REFUSED);
    assert_int_equal(ask_do(&old.db, "ROLLBACK", 0, NULL), 0);
    assert_int_equal(outbox_claim(&old.outbox, 1, &id), ERR_REFUSED);
    assert_int_equal(number("SELECT count(*) FROM outbox"), 1);
    part(&old);
    part(&new);
}

/* What fired is deleted, alert by alert, however many rows wait for a mail server: within what a
 * statement is given (ASK_DEADLINE_MS). */
static void a_full_outbox_keeps_no_rule_alive(void **state)
{
    (void)state;
    alerts(20000);
    run("DELETE FROM alert_rules");
    assert_int_equal(number("SELECT count(*) FROM outbox"), 0);
}

static int start(void **state)
{
    (void)state;
    private_pg_start(&pg);
    if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0 ||
        seed_demo(pg.admin_url, reason, sizeof reason) != 0) {
        fprintf(stderr, "%s\n", reason);
        return -1;
    }
    admin = connect_as(pg.admin_url, "test", NULL);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    PQfinish(admin.conn);
    private_pg_stop(&pg);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_claimed_by_one),
        cmocka_unit_test(the_claim_of_the_dead_runs_out),
        cmocka_unit_test(it_is_read_as_it_fired),
        cmocka_unit_test(sent_is_noted_once),
        cmocka_unit_test(what_some_have_waits_for_the_others),
        cmocka_unit_test(nobody_to_send_to_is_not_notified),
        cmocka_unit_test(attempts_space_out),
        cmocka_unit_test(given_up_after_three_days),
        cmocka_unit_test(skipped_rows_go),
        cmocka_unit_test(nothing_is_skipped_where_another_sends),
        cmocka_unit_test(the_fenced_change_nothing),
        cmocka_unit_test(a_full_outbox_keeps_no_rule_alive),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
