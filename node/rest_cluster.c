/* What operators, and clients in search of the nearest node, may know of the cluster. Orders are in
 * rest_cluster_orders.c. */
#include "node/rest_cluster.h"
#include "cluster/slots.h"
#include "node/rest_handlers.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Members whose lease has not run out: what they own is served. */
#define SQL_SERVING                                                                                \
    "serving AS (SELECT node_id, region FROM cluster_nodes WHERE number IS NOT NULL"               \
    " AND state IN ('active', 'draining') AND lease_until > clock_timestamp())"
#define SQL_DEVICE_SEEN SQL_TIME_OF(d, last_seen)
#define SQL_VERSION "(SELECT version FROM cluster_version)"
/* "scheme":"scheme://address:port" of a row n, NULL where the port is off. */
/* clang-format off */
#define SQL_URL(name, scheme)                                                                      \
    "'" name "', CASE WHEN (n.endpoints ->> '" name "')::int > 0 THEN '" scheme                    \
    "://' || (n.endpoints ->> 'address') || ':' || (n.endpoints ->> '" name "') END"
#define SQL_URLS SQL_URL("http", "http") ", " SQL_URL("mqtt", "mqtt") ", " SQL_URL("mqtts", "mqtts")
/* Nodes n with what they own and are to own. */
#define SQL_NODE                                                                                   \
    "json_build_object('node_id', n.node_id, 'number', n.number, 'region', n.region, 'state',"     \
    " n.state, 'incarnation', n.incarnation, 'version', n.version, 'weight', n.weight, 'edges',"   \
    " n.edges, 'shards', n.shards, 'mesh_version', n.mesh_version, 'endpoints',"                   \
    " jsonb_strip_nulls(jsonb_build_object(" SQL_URLS ", " SQL_URL("mesh", "tcp") ")),"            \
    " 'lease_left_ms', (extract(epoch FROM n.lease_until - clock_timestamp()) * 1000)::bigint, "   \
    SQL_TIME_OF(n, started_at) ", " SQL_TIME_OF(n, left_at) ", 'slots', COALESCE(o.slots, 0),"     \
    " 'moving_out', COALESCE(o.moving, 0), 'moving_in', COALESCE(t.moving, 0))"
/* clang-format on */
#define SQL_NODES                                                                                  \
    " FROM cluster_nodes n LEFT JOIN (SELECT owner, count(*) AS slots, count(target) AS moving"    \
    " FROM cluster_slots GROUP BY owner) o ON o.owner = n.node_id"                                 \
    " LEFT JOIN (SELECT target, count(*) AS moving FROM cluster_slots GROUP BY target) t"          \
    " ON t.target = n.node_id WHERE n.number IS NOT NULL"

bool cluster_ask(struct call *call, const char *sql, int count, const char *const *values,
                 PGresult **ret_rows)
{
    struct database_scope as_node = {.user = call->scope.user, .roles = call->scope.roles};
    return call_done(
        call, database_once(call->context->database, &as_node, sql, count, values, ret_rows));
}

void cluster_endpoints(struct call *call)
{
    static const char sql[] =
        "SELECT COALESCE(json_agg(json_build_object('node_id', n.node_id, 'region', n.region,"
        " 'endpoints', jsonb_strip_nulls(jsonb_build_object(" SQL_URLS ")))"
        " ORDER BY n.region, n.node_id), '[]') FROM cluster_nodes n WHERE n.number IS NOT NULL"
        " AND n.state = 'active' AND n.lease_until > clock_timestamp()";
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 0, NULL, &rows))
        reply_row(call, 200, rows, "node");
}

/* critical: devices of slots that nobody serves are not served; degraded: all are, though not as
 * it should be (a member is late or condemned, or a region's slots are with another region). */
void cluster_get(struct call *call)
{
    static const char sql[] =
        "WITH " SQL_SERVING ", slots AS (SELECT count(*) AS total, count(n.node_id) AS served,"
        " count(s.target) AS moving, count(*) FILTER (WHERE n.region <> s.region) AS abroad"
        " FROM cluster_slots s LEFT JOIN serving n ON n.node_id = s.owner), nodes AS (SELECT"
        " count(*) FILTER (WHERE state = 'active') AS active,"
        " count(*) FILTER (WHERE state = 'joining') AS joining,"
        " count(*) FILTER (WHERE state = 'draining') AS draining,"
        " count(*) FILTER (WHERE state = 'condemned') AS condemned,"
        " count(*) FILTER (WHERE state IN ('joining', 'active', 'draining')"
        " AND lease_until <= clock_timestamp()) AS late FROM cluster_nodes WHERE number IS NOT"
        " NULL) SELECT json_build_object('version', " SQL_VERSION ", 'health',"
        " CASE WHEN slots.served < slots.total THEN 'critical' WHEN nodes.late > 0"
        " OR nodes.condemned > 0 OR slots.abroad > 0 THEN 'degraded' ELSE 'ok' END,"
        " 'nodes', row_to_json(nodes), 'slots', row_to_json(slots), 'regions',"
        " (SELECT COALESCE(json_agg(region ORDER BY number), '[]') FROM cluster_regions))"
        " FROM slots, nodes";
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 0, NULL, &rows))
        reply_row(call, 200, rows, "cluster");
}

void cluster_nodes(struct call *call)
{
    static const char sql[] =
        "SELECT COALESCE(json_agg(" SQL_NODE " ORDER BY n.region, n.node_id), '[]')" SQL_NODES;
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 0, NULL, &rows))
        reply_row(call, 200, rows, "node");
}

void cluster_reply_node(struct call *call, int status)
{
    static const char sql[] = "SELECT " SQL_NODE SQL_NODES " AND n.node_id = $1";
    const char *values[] = {call->id_text[1]};
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 1, values, &rows))
        reply_row(call, status, rows, "node");
}

void cluster_node(struct call *call)
{
    cluster_reply_node(call, 200);
}

void cluster_ring(struct call *call)
{
    static const char sql[] =
        "WITH held AS (SELECT region, node_id, sum(owned) AS slots, sum(moving_out) AS moving_out,"
        " sum(moving_in) AS moving_in FROM (SELECT region, owner AS node_id, 1 AS owned,"
        " (target IS NOT NULL)::int AS moving_out, 0 AS moving_in FROM cluster_slots UNION ALL"
        " SELECT region, target, 0, 0, 1 FROM cluster_slots WHERE target IS NOT NULL) each"
        " GROUP BY region, node_id), " SQL_SERVING
        " SELECT json_build_object('version', " SQL_VERSION
        ", 'regions', COALESCE(json_agg(json_build_object('region', r.region, 'number', r.number,"
        " 'slots', s.total, 'served', s.served, 'moving', s.moving, 'epoch_max', s.epoch_max,"
        " 'nodes', (SELECT COALESCE(json_agg(json_build_object('node_id', h.node_id, 'slots',"
        " h.slots, 'moving_out', h.moving_out, 'moving_in', h.moving_in) ORDER BY h.node_id), '[]')"
        " FROM held h WHERE h.region = r.region AND h.node_id IS NOT NULL)) ORDER BY r.number),"
        " '[]')) FROM cluster_regions r JOIN (SELECT s.region, count(*) AS total, count(n.node_id)"
        " AS served, count(s.target) AS moving, max(s.epoch) AS epoch_max FROM cluster_slots s"
        " LEFT JOIN serving n ON n.node_id = s.owner GROUP BY s.region) s USING (region)";
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 0, NULL, &rows))
        reply_row(call, 200, rows, "ring");
}

void cluster_slot(struct call *call)
{
    static const char sql[] =
        "WITH " SQL_SERVING " SELECT json_agg(json_build_object('region', s.region, 'slot', s.slot,"
        " 'owner', s.owner, 'serves', n.node_id IS NOT NULL, 'state', s.state, 'target', s.target,"
        " 'epoch', s.epoch, 'changed', s.changed) ORDER BY r.number) FROM cluster_slots s"
        " JOIN cluster_regions r USING (region) LEFT JOIN serving n ON n.node_id = s.owner"
        " WHERE s.slot = $1::int AND ($2::text IS NULL OR s.region = $2) HAVING count(*) > 0";
    const char *values[] = {call->id_text[1], param_text(call, "region")};
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 2, values, &rows))
        reply_row(call, 200, rows, "slot");
}

/* What the database knows, and what the owner said (edge_http.c asked him first). */
void cluster_actor(struct call *call)
{
    static const char sql[] =
        "WITH " SQL_SERVING " SELECT json_build_object('tenant_id', d.tenant_id, 'device_id', d.id,"
        " 'region', r.region, 'slot', $3::int, 'owner', s.owner, 'serves', n.node_id IS NOT NULL,"
        " 'epoch', s.epoch, 'slot_state', s.state, 'target', s.target, 'state', $4::text,"
        " 'mailbox', $5::int, 'in_flight', $6::int, 'connections', $7::int, 'rules', $8::int,"
        " 'status', d.status, " SQL_DEVICE_SEEN ") FROM devices d JOIN cluster_regions r"
        " ON r.number = region_of(d.tenant_id, d.id) LEFT JOIN cluster_slots s"
        " ON s.region = r.region AND s.slot = $3::int LEFT JOIN serving n ON n.node_id = s.owner"
        " WHERE d.tenant_id = $1 AND d.id = $2";
    static const char *const states[] = {[ACTOR_NONE] = "none",
                                         [ACTOR_LOADING] = "loading",
                                         [ACTOR_LIVE] = "live",
                                         [ACTOR_CHECKING] = "checking",
                                         [ACTOR_ABSENT] = "absent"};
    const struct msg_actor *actor = &call->request->actor;
    const char *values[] = {call->id_text[1],
                            call->id_text[2],
                            call_keep(call, "%u", slot_of(&call->id[2])),
                            states[actor->state <= ACTOR_ABSENT ? actor->state : ACTOR_NONE],
                            call_keep(call, "%u", actor->held),
                            call_keep(call, "%u", actor->in_flight),
                            call_keep(call, "%u", actor->connections),
                            call_keep(call, "%u", actor->rules)};
    OWNED(rows) PGresult *rows = NULL;
    if (cluster_ask(call, sql, 8, values, &rows))
        reply_row(call, 200, rows, "device");
}

/* The edge goes on from here: edge_events.c. Nothing is asked of the database but whether this
 * operator still is one. */
void cluster_events(struct call *call)
{
    OWNED(rows) PGresult *rows = NULL;
    if (!cluster_ask(call, "SELECT 1", 0, NULL, &rows))
        return;
    call->request->status = 200;
    call->request->reply_type = "text/event-stream";
    call->request->reply_streams = true;
    buf_clear(&call->request->reply);
}
