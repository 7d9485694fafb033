#pragma once
/*
 * session_state - the inside of a session, for the session_*.c files alone.
 *
 * What an idle client does not need hangs on pointers and is made when it is first used.
 */
#include "actors/session.h"
#include "proto/limits.h"

/*
 *            CONNECT                 accepted
 *   OPEN ──────────────> AUTHENTICATING ──────> LIVE
 *     │ refused, late         │ refused           │ DISCONNECT, kick, error, late, closed
 *     └───────────────────────┴───────────────────┴──────> ENDED
 */
enum session_state { SESSION_OPEN, SESSION_AUTHENTICATING, SESSION_LIVE, SESSION_ENDED };

/* A PUBLISH with QoS 1/2 that came in and is not acknowledged yet. */
struct session_arrival {
    char *text; /* the acknowledgement's reason string, or NULL */
    uint16_t packet_id;
    uint8_t qos, reason;
    bool done; /* may be acknowledged, once it is the oldest */
};

/* A ring of arrivals, oldest at `head`, and the QoS 2 packet ids that wait for their PUBREL, in
 * ascending order. */
struct session_inbound {
    struct session_arrival *ring;
    uint16_t *unreleased;
    uint16_t head, count, cap; /* cap: 0 or a power of two */
    uint16_t unreleased_count, unreleased_cap;
};

enum session_flight_state { FLIGHT_PUBACK, FLIGHT_PUBREC, FLIGHT_PUBCOMP }; /* what it waits for */

struct session_flight {
    uint16_t packet_id;
    uint8_t state;
};

/* QoS 1/2 to the client. The queue holds encoded packets that wait for the window. */
struct session_outbound {
    struct session_flight flights[LIMIT_SEND_INFLIGHT];
    struct buf queue;
    size_t queue_at; /* bytes of the queue that are sent already */
    size_t queued;   /* packets in it */
    uint16_t flight_count;
};

struct session_alias {
    uint8_t *topic;
    size_t len;
};

struct session {
    char *client_id;
    struct buf *will; /* as an encoded PUBLISH of MQTT 5, topic as the client wrote it */
    struct session_alias *aliases;
    struct session_outbound *outbound;
    struct session_inbound inbound;
    struct principal principal;
    int64_t heard_us; /* the last packet, or when reading began again */
    uint32_t client_packet_max;
    uint16_t keep_alive_s, client_receive_max, client_keep_alive_s;
    uint16_t last_packet_id;
    uint8_t state, version;
    bool paused, problem_info, session_expiry_asked, id_assigned;
};

typedef void session_action_fn(session_t *, const struct session_env *, const struct mqtt_packet *);
#define ROW(state, packet, action) session_action_fn action;
#include "actors/session.def"
#undef ROW

/* Ends with DISCONNECT (or, before CONNACK, a refusing CONNACK) where the version has one. */
void session_end(session_t *self, const struct session_env *env, uint8_t reason, const char *text,
                 const char *server_reference);
/* Ends without a word. */
void session_finish(session_t *self, const struct session_env *env, uint8_t reason);
void session_refuse_connect(session_t *self, const struct session_env *env, uint8_t reason,
                            const char *text);
/* Publishes the will if there still is one. */
void session_give_will(session_t *self, const struct session_env *env);

/* `topic` as it is outside: of a mounted client a copy in *ret_owned, to be freed. */
int session_whole_topic(const session_t *self, struct mqtt_span topic, struct mqtt_span *ret,
                        char **ret_owned) MUST_CHECK;
/* `properties` as the router is given them: a response topic is a topic too. One that is too long
 * with the tenant in front is left out. To be freed as above. */
int session_whole_properties(const session_t *self, const struct mqtt_properties *properties,
                             struct mqtt_properties *ret, char **ret_owned) MUST_CHECK;
/* True: the packet written from `before` on is larger than the client takes (MQTT-3.1.2-24), and
 * has been taken back. For what may be longer than a CONNACK that it took: all without a text or a
 * list is shorter. */
bool session_unwrite(const session_t *self, const struct session_env *env, size_t before);
/* The reason string, where the client wants one and can take it (MQTT-3.1.2-29, MQTT-3.4.2-2). */
const char *session_reason_text(const session_t *self, const char *text);

void session_inbound_free(session_t *self);
void session_outbound_free(session_t *self);
