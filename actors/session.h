#pragma once
/*
 * session - one client's MQTT connection, from its first byte to its last.
 *
 * In:    bytes, the result of authentication, ACK of an inbound PUBLISH, DELIVER, KICK, TICK,
 * CLOSED. Out:   bytes (appended to env->out) and the calls of struct session_events. Owner: the
 * edge thread that made it; never locked, never shared. Bound: LIMIT_RECEIVE_MAXIMUM inbound
 * (3.1.1: and the 65,535 packet ids that may wait for their PUBREL) and LIMIT_SEND_INFLIGHT
 * outbound publishes in flight, LIMIT_CLIENT_QUEUE_BYTES of bytes queued, SESSION_ALIAS_MAXIMUM
 * topic aliases. Holds: 1. A QoS 1/2 PUBLISH is acknowledged after its session_ack() and not
 * before.
 *        2. PUBACKs and PUBRECs leave in the order in which the PUBLISHes came (MQTT-4.6.0-2,
 *           MQTT-4.6.0-3), whatever the order of the session_ack()s.
 *        3. A packet id whose PUBLISH is not completed yet is never routed a second time.
 *        4. `close` is called exactly once, unless session_closed() came first; after either,
 *           nothing is called and nothing written.
 *        5. A will is given out at most once, and never after a DISCONNECT with reason 0x00.
 *
 * The events are called from within the session's functions: they must not call back into the
 * same session. What they are handed lives until they return. Persistent sessions do not exist:
 * session present is always 0 and the session expiry is answered with 0.
 */
#include "actors/principal.h"
#include "proto/buf.h"
#include "proto/err.h"
#include "proto/mqtt.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From opening to a CONNECT; idle sockets cost descriptors. */
#define SESSION_CONNECT_TIMEOUT_US 10000000LL
/* MQTT 5 clients that ask for none or a longer keep-alive are told this one. */
#define SESSION_KEEP_ALIVE_MAX_S 3600
#define SESSION_ALIAS_MAXIMUM 16

typedef struct session session_t;

struct session_login {
    int version;
    struct mqtt_span client_id;      /* empty: to be assigned, session_auth.assigned_id */
    struct mqtt_span user, password; /* data NULL: not given */
};

struct session_message {
    struct mqtt_span topic; /* whole, with the tenant, also of a mounted client */
    struct mqtt_span payload;
    uint8_t qos;
    bool retain, dup, is_will;
    uint16_t packet_id;                       /* inbound alone; 0 with QoS 0 */
    const struct mqtt_properties *properties; /* of the PUBLISH or will */
};

struct session_subscription {
    struct mqtt_span filter; /* whole, with the tenant */
    uint8_t qos, retain_handling;
    bool no_local, retain_as_published;
    uint32_t subscription_id; /* 0: none; goes back with each session_deliver() */
};

struct session_events {
    /* Check the login and call session_auth() later; until then nothing is read. */
    void (*authenticate)(void *context, const struct session_login *login);
    /* Route it; with QoS 1/2 call session_ack() once it is durable. */
    void (*publish)(void *context, const struct session_message *message);
    /* A PUBLISH that is not to be routed: note it; with QoS 1/2 call session_ack() with `reason`,
     * MQTT 5's, once that is durable. */
    void (*refused)(void *context, const struct session_message *message, uint8_t reason);
    /* Add or replace. 0, or ERR_FULL: answered with 0x97. */
    int (*subscribe)(void *context, const struct session_subscription *subscription);
    /* 0, or ERR_NOT_FOUND: there was none. */
    int (*unsubscribe)(void *context, struct mqtt_span filter);
    /* Publish the will now. */
    void (*will)(void *context, const struct session_message *message);
    /* Send what is in `out`, then close the socket. `reason` is MQTT 5's, also for 3.1.1. */
    void (*close)(void *context, uint8_t reason);
};

/* What a call works with; the session keeps none of it. */
struct session_env {
    const struct session_events *events;
    void *context;
    struct buf *out;     /* this client's; its maximum: LIMIT_CLIENT_QUEUE_BYTES and one packet */
    size_t unsent_bytes; /* given to the socket and not taken yet, before this call */
    int64_t now_us;      /* monotonic */
};

session_t *session_new(int64_t now_us); /* NULL: out of memory */
void session_destroy(session_t **self_p);

/* Takes whole packets from `data` for as long as the session wants input. *ret_used says how many
 * bytes are done with; the caller keeps the rest and calls again with more bytes, or when
 * session_wants_input() is true again. *ret_need, when not 0, is the length of the packet at the
 * rest: reading less is of no use. 0, or ERR_* after the session has ended (`close` was called). */
int session_input(session_t *self, const struct session_env *env, const uint8_t *data, size_t len,
                  size_t *ret_used, size_t *ret_need) MUST_CHECK;
/* False while authentication is pending, while paused, and for a 3.1.1 client while
 * LIMIT_RECEIVE_MAXIMUM publishes wait for their acknowledgement. */
bool session_wants_input(const session_t *self);

struct session_auth {
    bool accepted;
    uint8_t reason;              /* when refused: 0x86, 0x87, 0x88, 0x89, 0x97 … */
    const char *reason_text;     /* or NULL */
    struct principal *principal; /* when accepted: moved into the session */
    const char *assigned_id;     /* used when the client gave none; unique */
};
/* ERR_UNEXPECTED when no authentication is pending (the client has gone). Accepted, but the session
 * ended all the same: ERR_REFUSED, its will is not its own; ERR_TOO_LARGE, it takes no packet of
 * the size of its CONNACK. The principal is taken with 0. */
int session_auth(session_t *self, const struct session_env *env,
                 const struct session_auth *result) MUST_CHECK;

/* The PUBLISH is durable, or refused for good (reason >= 0x80). Acknowledgements that wait for an
 * earlier one wait. ERR_NOT_FOUND: no such PUBLISH is waiting. `text` (or NULL) is copied. */
int session_ack(session_t *self, const struct session_env *env, uint16_t packet_id, uint8_t reason,
                const char *text) MUST_CHECK;

struct session_delivery {
    struct mqtt_span topic, payload;
    uint8_t qos;
    bool retain;
    uint32_t subscription_id;                 /* 0: none */
    int64_t expires_us;                       /* on env->now_us's clock; 0: never (3.3.2.3.3) */
    const struct mqtt_properties *properties; /* MQTT_FORWARDED of them are; NULL: none */
};
/* 0: written or queued. Dropped, for the caller to count: ERR_TOO_LARGE: more than the client
 * takes; ERR_FULL: QoS 0 and the queue full, or QoS 1/2 and the session ended with 0x97.
 * ERR_UNEXPECTED: the session is not connected. */
int session_deliver(session_t *self, const struct session_env *env,
                    const struct session_delivery *delivery) MUST_CHECK;

/* The shell stopped or began reading by itself: time that passes while paused is not the client's.
 */
void session_pause(session_t *self, int64_t now_us);
void session_resume(session_t *self, int64_t now_us);
/* Ends the session when CONNECT or a keep-alive (1.5 times, MQTT-3.1.2-22) is overdue. */
void session_tick(session_t *self, const struct session_env *env);
/* When session_tick() is of use next; INT64_MAX: not by itself. May move later, looked at again
 * then. */
int64_t session_deadline_us(const session_t *self);

/* Ends it from our side: take-over 0x8E, drain 0x9D with a server reference (or NULL), … */
void session_kick(session_t *self, const struct session_env *env, uint8_t reason, const char *text,
                  const char *server_reference);
/* The socket is gone. */
void session_closed(session_t *self, const struct session_env *env);

bool session_connected(const session_t *self);
bool session_ended(const session_t *self);
int session_version(const session_t *self);           /* 0 before CONNECT */
const char *session_client_id(const session_t *self); /* "" before CONNECT */
/* PRINCIPAL_NONE before it is accepted. */
const struct principal *session_principal(const session_t *self);
/* Inbound publishes that wait for session_ack(), and outbound ones for the client. */
size_t session_waiting(const session_t *self);
size_t session_sending(const session_t *self);
/* Bytes of outbound publishes that wait for the client's acknowledgements. */
size_t session_queued_bytes(const session_t *self);
/* Bytes of memory it holds, itself included. */
size_t session_memory(const session_t *self);
