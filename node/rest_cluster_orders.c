/* What operators order. Each order is a transaction of its own, with its row in audit_logs; it
 * changes what is wanted, and the nodes do the rest when they see it. */
#include "cluster/planner.h"
#include "node/log.h"
#include "node/rest_cluster.h"
#include "node/rest_handlers.h"
#include "sql/membership.h"
#include <stdlib.h>
#include <string.h>

/* The order opens its own transactions, so that the operator is asked for in one before. False: the
 * failure is answered. */
static bool begin(struct call *call, struct ask *ret_db)
{
    OWNED(rows) PGresult *rows = NULL;
    if (!cluster_ask(call, "SELECT 1", 0, NULL, &rows))
        return false;
    int rc = database_lend(call->context->database, ret_db);
    if (rc != 0)
        call_failed(call, rc);
    return rc == 0;
}

/* Another order, or a node that comes or goes, holds what this one needs: class 55, and what
 * PostgreSQL ends for reasons of its own. */
static bool is_busy(const char *state)
{
    static const char *const classes[] = {"40", "53", "55", "57"};
    for (unsigned i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    return false;
}

/* Without an SQLSTATE it was the cluster that refused, not the database. */
static void reply_refused(struct call *call, const struct ask *db)
{
    if (db->state[0] == '\0') {
        reply_problem(call->request, 409, "refused", "%s", db->reason);
    } else if (is_busy(db->state)) {
        reply_problem(call->request, 503, "busy", "the cluster is changing: %s", db->reason);
        memcpy(call->request->retry_after, "1", sizeof "1");
    } else {
        log_event(LEVEL_ERROR, "order_failed", "reason", "could not answer %s: %s: %s",
                  call->request->method, db->state, db->reason);
        reply_problem(call->request, 500, "internal", "the request failed; the log says why");
    }
}

/* Gives the connection back. False: the failure is answered. */
static bool end(struct call *call, const struct ask *db, int rc)
{
    if (rc == ERR_NOT_FOUND) /* or one that has ended: it takes no orders */
        reply_problem(call->request, 404, "node_not_found", "%s", db->reason);
    else if (rc == ERR_REFUSED)
        reply_refused(call, db);
    else if (rc != 0)
        call_failed(call, rc);
    database_take_back(call->context->database, db);
    return rc == 0;
}

static struct membership_audit audit_of(const struct call *call)
{
    return (struct membership_audit){.tenant_id = call->id_text[0],
                                     .user_id = call->user_text,
                                     .ip_address = call->request->peer};
}

void cluster_drain(struct call *call)
{
    struct membership_audit audit = audit_of(call);
    struct ask db;
    if (begin(call, &db) &&
        end(call, &db, membership_drain(&db, call->id_text[1], planner_place, &audit)))
        cluster_reply_node(call, 202);
}

void cluster_cancel_drain(struct call *call)
{
    struct membership_audit audit = audit_of(call);
    struct ask db;
    if (begin(call, &db) &&
        end(call, &db, membership_cancel_drain(&db, call->id_text[1], planner_place, &audit)))
        cluster_reply_node(call, 202);
}

void cluster_evict(struct call *call)
{
    struct membership_audit audit = audit_of(call);
    struct ask db;
    if (begin(call, &db) && end(call, &db, membership_evict(&db, call->id_text[1], &audit)))
        cluster_reply_node(call, 202);
}

void cluster_rebalance(struct call *call)
{
    struct membership_audit audit = audit_of(call);
    struct ask db;
    size_t moves = 0;
    if (!begin(call, &db) ||
        !end(call, &db, membership_rebalance(&db, planner_place, &audit, &moves)))
        return;
    reply_begin(call, 202);
    buf_printf(&call->request->reply, "{\"moves\":%zu}", moves);
    reply_end(call);
}

/* ---- the plan ---- */

/* Names of what the moves have as numbers. */
struct names {
    char *node[LIMIT_NODES], *region[LIMIT_REGIONS];
};

static void names_free(struct names *self)
{
    for (unsigned i = 0; i < LIMIT_NODES; i++)
        free(self->node[i]);
    for (unsigned i = 0; i < LIMIT_REGIONS; i++)
        free(self->region[i]);
}

static int names_read(struct ask *db, const char *sql, char **names, long limit)
{
    PGresult *rows = ask_rows(db, sql, 0, NULL);
    if (rows == NULL)
        return ask_error(db);
    for (int i = 0; i < PQntuples(rows); i++) {
        long number = strtol(PQgetvalue(rows, i, 0), NULL, 10);
        if (number >= 0 && number < limit && names[number] == NULL)
            names[number] = strdup(PQgetvalue(rows, i, 1));
    }
    PQclear(rows);
    return 0;
}

static int by_way(const void *one, const void *other)
{
    const struct slot_move *a = one, *b = other;
    if (a->region != b->region)
        return a->region < b->region ? -1 : 1;
    if (a->from != b->from)
        return a->from < b->from ? -1 : 1;
    if (a->to != b->to)
        return a->to < b->to ? -1 : 1;
    return a->slot < b->slot ? -1 : a->slot > b->slot;
}

static bool same_way(const struct slot_move *a, const struct slot_move *b)
{
    return a->region == b->region && a->from == b->from && a->to == b->to;
}

/* Nobody, and a node that came since the plan was made, are null. */
static void put_name(struct buf *out, const char *member, char *const *names, unsigned limit,
                     unsigned number)
{
    buf_printf(out, "\"%s\":", member);
    if (number < limit && names[number] != NULL)
        put_json_text(out, names[number]);
    else
        buf_puts(out, "null");
    buf_putc(out, ',');
}

/* Slots that go the same way stand together. */
static void put_moves(struct buf *out, const struct names *names, const struct slot_move *moves,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool first = i == 0 || !same_way(&moves[i - 1], &moves[i]);
        if (first) {
            buf_puts(out, i == 0 ? "{" : "]},{");
            put_name(out, "region", names->region, LIMIT_REGIONS, moves[i].region);
            put_name(out, "from", names->node, LIMIT_NODES, moves[i].from);
            put_name(out, "to", names->node, LIMIT_NODES, moves[i].to);
            buf_puts(out, "\"slots\":[");
        }
        buf_printf(out, "%s%u", first ? "" : ",", moves[i].slot);
    }
    buf_puts(out, count > 0 ? "]}" : "");
}

void cluster_plan(struct call *call)
{
    struct names names = {0};
    struct slot_move *moves = NULL;
    struct ask db;
    size_t count = 0;
    if (!begin(call, &db))
        return;
    int rc = membership_dry_run(&db, planner_place, &moves, &count);
    if (rc == 0)
        rc = names_read(&db, "SELECT number, node_id FROM cluster_nodes WHERE number IS NOT NULL",
                        names.node, LIMIT_NODES);
    if (rc == 0)
        rc = names_read(&db, "SELECT number, region FROM cluster_regions", names.region,
                        LIMIT_REGIONS);
    if (end(call, &db, rc)) {
        if (count > 0)
            qsort(moves, count, sizeof *moves, by_way);
        reply_begin(call, 200);
        buf_printf(&call->request->reply, "{\"count\":%zu,\"moves\":[", count);
        put_moves(&call->request->reply, &names, moves, count);
        buf_puts(&call->request->reply, "]}");
        reply_end(call);
    }
    names_free(&names);
    free(moves);
}

/* Its owner was asked before (edge_http.c), and has done it or not. */
void cluster_passivate(struct call *call)
{
    const struct msg_actor *actor = &call->request->actor;
    if (actor->state == ACTOR_NONE) {
        reply_problem(call->request, 404, "no_actor", "this device has no actor in memory");
        return;
    }
    if (!actor->passivated) {
        reply_problem(call->request, 409, "actor_busy",
                      "the actor is at work, has yet to write, or its device is connected");
        return;
    }
    const char *values[] = {call->id_text[0], call->user_text, call->id_text[2],
                            call->request->peer};
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call,
                    "INSERT INTO audit_logs (tenant_id, user_id, action, resource_type,"
                    " resource_id, ip_address) VALUES ($1, $2, 'cluster.actor.passivate',"
                    " 'device', $3, $4) RETURNING json_build_object('device_id',"
                    " resource_id, 'passivated', true)",
                    4, values, &rows))
        reply_row(call, 200, rows, "device");
}
