#pragma once
/*
 * edge_inside - what the files of the edge share.
 *
 *   edge.c        the loop, its turn, references, requests
 *   edge_lanes.c  items to the owners of their slots, credit, the cluster as this edge knows it
 *   edge_listen.c the libwebsockets context and its listening sockets
 *   edge_front.c  the HTTP port: connections on their way to libwebsockets
 *   edge_sync.c   what is told once every shard knows of a watcher
 *   edge_mqtt.c   MQTT connections: bytes to sessions and back
 *   edge_kick.c   MQTT connections that are to end: taken over, revoked, drained
 *   edge_route.c  what MQTT clients publish, to the shards
 *   edge_refuse.c what they may not publish, or nowhere: a row of telemetry_rejected
 *   edge_watch.c  what MQTT clients subscribe to; events to them
 *   edge_retained.c what was kept, to new subscriptions
 *   edge_http.c   HTTP: REST to the query threads, probes, metrics, files of the dashboard
 *   edge_live.c   live WebSocket
 *   edge_events.c changes of the cluster's view, as server-sent events
 */
#include "cluster/lanes.h"
#include "node/config.h"
#include "node/edge.h"
#include "node/homes.h"
#include "node/request.h"
#include "node/watchers.h"
#include "proto/frame.h"
#include "proto/limits.h"
#include <ev.h>
#include <libwebsockets.h>

enum peer_kind { PEER_FREE, PEER_MQTT, PEER_HTTP, PEER_LIVE };

/* A place that references name; its generation says which use of the place is meant. */
struct peer {
    void *object;
    uint32_t generation, next_free;
    enum peer_kind kind;
};

struct mqtt_conn;
struct event_stream;
struct retained_wait;

/* Readings remembered as told: those of the seconds before an owner's death. */
#define EDGE_TOLD 32768
/* Revocations remembered: a login may be under way that was checked before one of them. */
#define EDGE_REVOKED 1024

struct edge {
    const struct config *config;
    unsigned index, shards, queries;
    uint16_t number, life; /* of the node, as in references to it */

    struct ev_loop *loop;
    ev_prepare turn;
    ev_idle more;                  /* runs while there is more to take than one turn did */
    ev_timer second, tenth, drain; /* drain: while clients are sent elsewhere */
    ev_io wake[3];                 /* pipe, inbox, replies */
    struct lws_context *lws;
    struct edge_front *front;

    zsock_t *pipe, *inbox, *replies;
    zsock_t *to_shard[LIMIT_SHARDS];
    struct edge_lanes *lanes;
    zsock_t *to_query[LIMIT_QUERIES];
    unsigned asked[LIMIT_QUERIES]; /* requests at each */
    unsigned asked_total;
    struct request *waiting, *waiting_last; /* for a query thread */

    struct peer *peers;
    uint32_t peers_count, peers_cap, peers_free;

    uint64_t items, bytes; /* given away, not answered */
    bool exhausted;        /* a bound was reached; until well below it again */
    uint32_t resume_at;    /* the connection that was read again last */
    bool timeout_set;      /* by edge_close, in this turn */

    struct mqtt_conn *dirty; /* have something to write */
    /* The newest, in a ring of EDGE_REVOKED; how many there were, and how many have been obeyed. */
    struct msg_revoked revoked[EDGE_REVOKED];
    uint64_t revoked_count, revoked_done;
    struct watchers watchers;
    struct retained_wait *retained; /* connections that wait, in a ring; the one that is next */
    unsigned retained_count, retained_asked;
    int64_t retained_after_us; /* nothing is asked for before: the database was away */
    uint64_t *told; /* which readings watchers were told of last, by their keys: EDGE_TOLD */
    struct readings *readings; /* scratch of the parser */
    int64_t last_arrival_us;   /* the next reading's is later: their order is kept */
    struct buf scratch;

    struct event_stream *streams;
    unsigned streams_count;
    int64_t view_version; /* that control told of last; 0: of none yet */

    char elsewhere[LIMIT_ENDPOINT_BYTES]; /* draining: where its clients are sent; "": it is not */
    uint32_t drain_at;                    /* the connection that was looked at last */
    bool stopping, ended;
    int64_t stop_deadline_us;
};

/* edge.c */
/* A reference to `object`; its packet_id is 0. Aborts without memory. */
struct msg_ref edge_ref(struct edge *self, enum peer_kind kind, void *object);
void edge_unref(struct edge *self, const struct msg_ref *ref);
/* NULL: gone, or of another kind. */
void *edge_peer(const struct edge *self, const struct msg_ref *ref, enum peer_kind kind);
/* Closes after so many seconds, or soon and not from within this call: LWS_TO_KILL_ASYNC. */
void edge_close(struct edge *self, struct lws *wsi, int seconds);
/* Gives the request to a query thread. False, and still the caller's: too many are there already.
 * A login and a question about a device wait for their turn instead. */
bool edge_ask(struct edge *self, struct request *request);

/* edge_lanes.c */
void edge_lanes_open(struct edge *self, const struct edge_args *args);
void edge_lanes_close(struct edge *self);
/* The slot of a device; `device` NULL: of what is its tenant's. */
uint16_t edge_slot(const struct edge *self, const struct uuid *tenant, const struct uuid *device);
/* Gives an item (lanes_add) away: its size counts against the edge's credit until it is answered.
 * Its name. */
uint32_t edge_give(struct edge *self, uint16_t slot, enum msg_kind kind, const void *fixed,
                   const struct span *texts, size_t texts_count);
/* Or nobody waits for its answer any more. False: it was answered before. */
bool edge_answered(struct edge *self, uint32_t item);
/* Says what no answer follows (lanes_say); to be said again when edge_lanes_tells() says so. */
void edge_say(struct edge *self, uint16_t slot, enum msg_kind kind, const void *fixed,
              const struct span *texts, size_t texts_count);
/* Behind the interest: of one device to its owner, of all to every shard. How many were asked. */
uint32_t edge_lanes_sync(struct edge *self, struct msg_sync *item, const struct uuid *tenant,
                         const struct uuid *device);
void edge_lanes_interest(struct edge *self, const struct uuid *tenant, const struct uuid *device,
                         unsigned bits);
/* A tenant or device is at home in that region: before anything is given away for it. */
void edge_lanes_home(struct edge *self, const struct uuid *id, unsigned region);
/* The same, kept only where this edge took it for at home elsewhere. `device` NULL: the tenant. */
void edge_lanes_learn(struct edge *self, const struct uuid *tenant, const struct uuid *device,
                      unsigned region);
/* MSG_NODE, MSG_SLOT or MSG_HOME. */
void edge_lanes_take(struct edge *self, const struct item *item);
/* In this turn the slot came to another owner. */
bool edge_lanes_tells(const struct edge *self, uint16_t slot);
/* At the end of a turn: what new owners are to be told; then all frames. */
void edge_lanes_tell(struct edge *self);
void edge_lanes_flush(struct edge *self);
void edge_lanes_tick(struct edge *self);

/* edge_listen.c */
/* 0, or ERR_CONFIG: a port or certificate cannot be used; it has been logged. */
int edge_listen(struct edge *self) MUST_CHECK;

/* edge_front.c */
/* Listens on the HTTP port for `vhost`. 0, or ERR_CONFIG, and it has been logged. */
int edge_front_open(struct edge *self, struct lws_vhost *vhost) MUST_CHECK;
void edge_front_close(struct edge *self);
/* A token that came as sub-protocol `bearer.<jwt>` arrives as Authorization of this scheme. */
#define EDGE_TOKEN_SCHEME "Subprotocol "

/* edge_mqtt.c */
int edge_mqtt_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len);
size_t edge_mqtt_conn_size(void);
void edge_mqtt_login(struct edge *self, struct request *answered);
void edge_mqtt_ack(struct edge *self, const struct msg_ack *ack, const char *reason);
void edge_mqtt_resume(struct edge *self); /* there is credit again */
void edge_mqtt_flush(struct edge *self);
void edge_mqtt_tell(struct edge *self); /* connections, for edge_lanes_tells() */
void edge_mqtt_second(struct edge *self);

/* edge_kick.c */
void edge_kick_one(struct edge *self, const struct msg_kick *kick);
void edge_kick_part(struct edge *self, const char *elsewhere); /* of the connections: draining */
void edge_kick_all(struct edge *self);                         /* the process ends */
/* Obeyed at the end of the turn. */
void edge_kick_revoked(struct edge *self, const struct msg_revoked *revoked);
void edge_kick_turn(struct edge *self);
/* A login that was asked for when revoked_count was `since` may have been checked against what
 * holds no more. */
bool edge_kick_missed(const struct edge *self, uint64_t since, const struct uuid *holder,
                      int64_t mark);

/* edge_watch.c */
void edge_watch_event(struct edge *self, const struct msg_event *event, const uint8_t *texts);

/* edge_retained.c */
void edge_retained_take(struct edge *self, struct request *answered);
void edge_retained_turn(struct edge *self); /* asks for what clients can take now */

/* edge_http.c */
int edge_http_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len);
size_t edge_http_size(void);
/* Its exchange is over: what it held is given back. */
void edge_http_end(void *exchange);
void edge_http_answer(struct edge *self, struct request *answered);
void edge_http_admitted(struct edge *self, const struct msg_admitted *admitted);
void edge_http_actor(struct edge *self, const struct msg_actor *actor);

/* edge_live.c */
int edge_live_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                       size_t len);
size_t edge_live_size(void);
/* Before its handshake is answered: adds the sub-protocol that brought the token. */
int edge_live_answer_protocol(struct lws *wsi, struct lws_process_html_args *headers);
void edge_live_answer(struct edge *self, struct request *answered);
/* An event for one of its watches. */
void edge_live_event(struct edge *self, void *connection, const struct msg_event *event,
                     const uint8_t *texts);
void edge_http_second(struct edge *self); /* actors that do not answer */
void edge_live_second(struct edge *self); /* tokens expire */
void edge_live_synced(void *live, const struct msg_ref *ref);
void edge_live_goodbye(struct edge *self);

/* edge_events.c */
/* A stream on a connection whose header the caller writes, until its token expires. NULL: there are
 * too many. */
struct event_stream *edge_events_open(struct edge *self, struct lws *wsi, int64_t expires_s,
                                      bool chunked);
/* Idempotent. */
void edge_events_close(struct event_stream **stream_p);
/* The connection takes bytes. -1: it is to be closed. */
int edge_events_write(struct event_stream *stream);
void edge_events_news(struct edge *self, int64_t version, const void *text, size_t len);
void edge_events_second(struct edge *self);
