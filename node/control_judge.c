/* Whose lease has run out is declared dead; who does not answer is voted against; and whether it is
 * this node itself that is cut off. */
#include "cluster/lease.h"
#include "cluster/planner.h"
#include "node/control_inside.h"
#include "node/lease_thread.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/mesh.h"
#include "proto/check.h"
#include <inttypes.h>

/* A suspect is voted against this often while it is one; and at first not before TCP had time to go
 * on after a short cut, which it does on one way after the other. */
#define VOTE_MS 2000
#define FIRST_VOTE_MS 1000
#define TURN_MS 200
#define EXPIRY_MS 500 /* leases of others are looked at this often, and when one is due */

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The one with the lowest number first: all at once would wait for each other's locks. The others
 * follow, should it not act. */
static bool is_our_turn(struct control *self)
{
    int64_t before = 0;
    for (uint16_t n = 0; n < self->view.number; n++)
        before += control_view_lives(&self->view, n);
    if (self->overdue_at == 0)
        self->overdue_at = control_now_ms();
    int64_t turn_at = self->overdue_at + before * TURN_MS;
    self->expiry_at = least(turn_at, control_now_ms() + EXPIRY_MS);
    return control_now_ms() >= turn_at;
}

bool control_bury(struct control *self)
{
    size_t buried = 0;
    int64_t left = INT64_MAX;
    self->expiry_at = control_now_ms() + EXPIRY_MS;
    if (!lease_thread_may_judge())
        return true;
    int rc = membership_expiry_ms(&self->db, &self->registration.member, &left);
    if (!control_went_on(self, "read the leases", rc) || rc != 0)
        return self->db.conn != NULL;
    if (left > 0) {
        self->expiry_at = control_now_ms() + least(left, EXPIRY_MS - 1) + 1;
        self->overdue_at = 0;
        return true;
    }
    if (!is_our_turn(self))
        return true;
    rc = membership_bury(&self->db, &self->registration.member, self->incarnation, planner_place,
                         &buried);
    if (rc == ERR_FENCED)
        lease_end_deposed(self->incarnation, "may not judge others any more");
    if (!control_went_on(self, "declare a node dead", rc))
        return false;
    if (rc == 0)
        log_event(LEVEL_WARNING, "nodes_buried", "text", "%zu nodes whose lease ran out", buried);
    self->poll_at = 0;
    self->expiry_at = control_now_ms() + 100;
    return true;
}

static void take_report(struct control *self, const struct mesh_report *report)
{
    struct suspect *suspect = &self->suspects[report->number];
    bool again = suspect->suspected && suspect->life == report->life;
    if (report->suspected && !again)
        log_event(LEVEL_WARNING, "node_suspected", "text", "node %u does not answer for %ld ms",
                  report->number, (long)report->silent_ms);
    *suspect =
        (struct suspect){.life = report->life,
                         .suspected = report->suspected,
                         .vote_at = again ? suspect->vote_at : control_now_ms() + FIRST_VOTE_MS};
}

void control_take_reports(struct control *self)
{
    zmq_msg_t message;
    struct mesh_report report;
    while (mailbox_take(self->reports, &message)) {
        CHECK(zmq_msg_size(&message) == sizeof report);
        memcpy(&report, zmq_msg_data(&message), sizeof report);
        zmq_msg_close(&message);
        if (report.number < LIMIT_NODES)
            take_report(self, &report);
    }
}

/* No other node answers this one; false where there is no other. */
static bool is_answered_by_none(const struct control *self)
{
    if (!control_view_has_others(&self->view))
        return false;
    for (unsigned n = 0; n < LIMIT_NODES; n++) {
        const struct suspect *suspect = &self->suspects[n];
        if (n != self->view.number && control_view_lives(&self->view, (uint16_t)n) &&
            !(suspect->suspected && suspect->life == (uint16_t)self->view.nodes[n]->incarnation))
            return false;
    }
    return true;
}

/* Where the database alone is away all wait for it, and where another node alone does not answer he
 * is gone. Where nobody answers for a lease it is this node that is cut off: others have what it
 * owned. */
void control_mind_clients(struct control *self)
{
    int64_t now = control_now_ms();
    if (lease_database_up() || !is_answered_by_none(self))
        self->alone_since = 0;
    else if (self->alone_since == 0)
        self->alone_since = now;
    bool alone = self->alone_since != 0 && now - self->alone_since >= LEASE_TTL_MS;
    if (alone == self->sends_away || self->draining)
        return;
    self->sends_away = alone;
    if (alone)
        log_event(LEVEL_WARNING, "clients_sent_away", "reason",
                  "neither the database nor any other node answers: this one is cut off");
    else
        log_event(LEVEL_INFO, "clients_may_stay", "text", "somebody answers again");
    control_view_tell_elsewhere(&self->view, alone);
    control_view_flush(&self->view);
}

/* Where nobody answers, it is this node that does not hear, as after a short cut of all its ways:
 * it does not speak against others until that has lasted a lease. */
static bool hears(struct control *self)
{
    int64_t now = control_now_ms();
    if (!is_answered_by_none(self))
        self->deaf_since = 0;
    else if (self->deaf_since == 0)
        self->deaf_since = now;
    return self->deaf_since == 0 || now - self->deaf_since >= LEASE_TTL_MS;
}

/* Who does not answer may not have read of this node yet, while the database was away. */
bool control_vote(struct control *self)
{
    if (!hears(self) || !lease_thread_may_judge())
        return true;
    for (unsigned n = 0; n < LIMIT_NODES; n++) {
        struct suspect *suspect = &self->suspects[n];
        const struct view_node *node = self->view.nodes[n];
        bool condemned = false;
        if (!suspect->suspected || control_now_ms() < suspect->vote_at ||
            !control_view_lives(&self->view, (uint16_t)n) ||
            (uint16_t)node->incarnation != suspect->life)
            continue;
        suspect->vote_at = control_now_ms() + VOTE_MS;
        int rc = membership_vote(&self->db, &self->registration.member, self->incarnation,
                                 (uint16_t)n, node->incarnation, &condemned);
        if (rc != ERR_FENCED && !control_went_on(self, "vote", rc))
            return false;
        if (rc == 0 && condemned)
            log_event(LEVEL_WARNING, "node_condemned", "text", "%s/%" PRId64, node->node_id,
                      node->incarnation);
    }
    return true;
}
