#pragma once
/*
 * edge_mqtt - one MQTT connection as the edge keeps it, around its pure session (actors/session).
 *
 * Owner: the edge thread; the memory is libwebsockets' per-session data.
 */
#include "actors/session.h"
#include "node/edge_inside.h"
#include "node/edge_sync.h"

struct subscription;  /* edge_watch.h */
struct retained_wait; /* edge_retained.c */

struct mqtt_conn {
    struct edge *edge;
    struct lws *wsi;
    session_t *session;
    struct msg_ref ref;
    struct buf in;  /* bytes of a packet that is not whole, or not wanted yet */
    struct buf out; /* LWS_PRE free bytes, then what is to be written */
    struct subscription *subscriptions;
    struct retained_wait *retained; /* NULL: no subscription waits for retained messages */
    struct mqtt_conn *dirty_next;
    struct edge_sync sync;   /* of its subscriptions: what is to be written waits for it */
    int64_t since_us;        /* accepted, Unix time */
    int64_t mark;            /* of the credentials that let it in */
    uint64_t revoked_before; /* edge->revoked_count when its login was asked for */
    uint32_t subscriptions_count;
    bool websocket, dirty, stopped, closing, present, claimed;
};

/* Before and after calling its session: the environment, and the note that there may be output. */
struct session_env edge_mqtt_env(struct mqtt_conn *conn);
void edge_mqtt_dirty(struct mqtt_conn *conn);
/* NULL: none of MQTT. */
struct mqtt_conn *edge_mqtt_at(struct edge *self, uint32_t index);

/* edge_route.c: a PUBLISH (or will) that its sender may send. */
void edge_route_publish(struct mqtt_conn *conn, const struct session_message *message);

/* edge_refuse.c: the row of a PUBLISH that is refused: `item` as the caller has filled it but for
 * the lengths; by its slot's owner. */
void edge_reject(struct edge *edge, uint16_t slot, struct msg_reject item,
                 const struct session_message *message, const char *reason);
/* A PUBLISH that is refused for its topic, with MQTT 5's reason code. */
void edge_refuse(struct mqtt_conn *conn, const struct session_message *message, uint8_t code,
                 const char *reason);
/* Telemetry, below the sender's own tenant, of what can be no device. */
bool edge_refuse_names_no_device(const struct session_message *message);

/* edge_watch.c */
int edge_watch_subscribe(struct mqtt_conn *conn, const struct session_subscription *wanted);
int edge_watch_unsubscribe(struct mqtt_conn *conn, struct mqtt_span filter);
void edge_watch_forget(struct mqtt_conn *conn);
