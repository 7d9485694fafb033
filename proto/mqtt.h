#pragma once
/*
 * mqtt - MQTT 3.1.1 and 5.0 packets: bytes to a struct, a struct to bytes.
 *
 * Pure: no I/O and no memory of its own. A decoded packet points into the bytes it was read from
 * and lives as long as they do. Both directions are decoded and encoded; what depends on the
 * direction or on what went before (an alias, an unexpected packet) is the session's business.
 * Every rule of the two specifications that makes a packet malformed is refused here, with the
 * MQTT 5 reason code to answer; the clauses stand beside the checks.
 */
#include "proto/buf.h"
#include "proto/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Levels of CONNECT (MQTT 3.1.1: 4). 0 stands for "no CONNECT yet": nothing else is decoded. */
enum { MQTT_NO_VERSION = 0, MQTT_3_1_1 = 4, MQTT_5 = 5 };

enum mqtt_type {
    MQTT_CONNECT = 1,
    MQTT_CONNACK,
    MQTT_PUBLISH,
    MQTT_PUBACK,
    MQTT_PUBREC,
    MQTT_PUBREL,
    MQTT_PUBCOMP,
    MQTT_SUBSCRIBE,
    MQTT_SUBACK,
    MQTT_UNSUBSCRIBE,
    MQTT_UNSUBACK,
    MQTT_PINGREQ,
    MQTT_PINGRESP,
    MQTT_DISCONNECT,
    MQTT_AUTH,
};

/* Reason codes (MQTT 5, 2.4) that the platform sends or tells apart. */
enum mqtt_reason {
    MQTT_SUCCESS = 0x00,
    MQTT_DISCONNECT_WITH_WILL = 0x04,
    MQTT_NO_SUBSCRIPTION = 0x11,
    MQTT_UNSPECIFIED = 0x80,
    MQTT_MALFORMED = 0x81,
    MQTT_PROTOCOL_ERROR = 0x82,
    MQTT_IMPLEMENTATION_ERROR = 0x83,
    MQTT_BAD_VERSION = 0x84,
    MQTT_BAD_CLIENT_ID = 0x85,
    MQTT_BAD_CREDENTIALS = 0x86,
    MQTT_NOT_AUTHORIZED = 0x87,
    MQTT_SERVER_UNAVAILABLE = 0x88,
    MQTT_SERVER_BUSY = 0x89,
    MQTT_SHUTTING_DOWN = 0x8B,
    MQTT_BAD_AUTH_METHOD = 0x8C,
    MQTT_KEEP_ALIVE_TIMEOUT = 0x8D,
    MQTT_TAKEN_OVER = 0x8E,
    MQTT_FILTER_INVALID = 0x8F,
    MQTT_TOPIC_INVALID = 0x90,
    MQTT_ID_NOT_FOUND = 0x92,
    MQTT_RECEIVE_MAXIMUM_EXCEEDED = 0x93,
    MQTT_ALIAS_INVALID = 0x94,
    MQTT_PACKET_TOO_LARGE = 0x95,
    MQTT_RATE_TOO_HIGH = 0x96,
    MQTT_QUOTA_EXCEEDED = 0x97,
    MQTT_ADMINISTRATIVE = 0x98,
    MQTT_PAYLOAD_INVALID = 0x99,
    MQTT_USE_ANOTHER_SERVER = 0x9C,
    MQTT_SERVER_MOVED = 0x9D,
    MQTT_NO_SHARED = 0x9E,
};

/* Bytes of somebody else. data NULL: not there; len 0 with data: there and empty. */
struct mqtt_span {
    const uint8_t *data;
    size_t len;
};

/* Identifiers of properties (MQTT 5, 2.2.2.2) that code outside proto/ asks for by name; the whole
 * table is mqtt_property.def. */
enum mqtt_property {
    MQTT_P_PAYLOAD_FORMAT = 0x01,
    MQTT_P_MESSAGE_EXPIRY = 0x02,
    MQTT_P_CONTENT_TYPE = 0x03,
    MQTT_P_RESPONSE_TOPIC = 0x08,
    MQTT_P_CORRELATION_DATA = 0x09,
    MQTT_P_SUBSCRIPTION_ID = 0x0B,
    MQTT_P_SESSION_EXPIRY = 0x11,
    MQTT_P_ASSIGNED_CLIENT_ID = 0x12,
    MQTT_P_SERVER_KEEP_ALIVE = 0x13,
    MQTT_P_AUTH_METHOD = 0x15,
    MQTT_P_AUTH_DATA = 0x16,
    MQTT_P_REQUEST_PROBLEM_INFO = 0x17,
    MQTT_P_WILL_DELAY = 0x18,
    MQTT_P_REQUEST_RESPONSE_INFO = 0x19,
    MQTT_P_RESPONSE_INFO = 0x1A,
    MQTT_P_SERVER_REFERENCE = 0x1C,
    MQTT_P_REASON_STRING = 0x1F,
    MQTT_P_RECEIVE_MAXIMUM = 0x21,
    MQTT_P_TOPIC_ALIAS_MAXIMUM = 0x22,
    MQTT_P_TOPIC_ALIAS = 0x23,
    MQTT_P_MAXIMUM_QOS = 0x24,
    MQTT_P_RETAIN_AVAILABLE = 0x25,
    MQTT_P_USER = 0x26,
    MQTT_P_MAXIMUM_PACKET_SIZE = 0x27,
    MQTT_P_WILDCARD_AVAILABLE = 0x28,
    MQTT_P_SUBSCRIPTION_ID_AVAILABLE = 0x29,
    MQTT_P_SHARED_AVAILABLE = 0x2A,
};

/*
 * All properties of a packet. `present` has bit 1 << identifier for each that is there; the field
 * of one that is not there is 0 and does not carry the specification's default.
 *
 * `user` spans from the first user property to the end of the last one, unchanged, and may have
 * other properties between them: read it with mqtt_next_user_property(). The encoder writes the
 * user properties in it and leaves the others out, so it can be forwarded as it is.
 * `subscription_id` is the first one where a PUBLISH to a client has several.
 */
struct mqtt_properties {
    uint64_t present;
    uint32_t message_expiry_s, session_expiry_s, will_delay_s, maximum_packet_size, subscription_id;
    uint16_t server_keep_alive_s, receive_maximum, topic_alias_maximum, topic_alias;
    uint8_t payload_format, request_problem_info, request_response_info, maximum_qos;
    uint8_t retain_available, wildcard_available, subscription_id_available, shared_available;
    struct mqtt_span content_type, response_topic, correlation_data, assigned_client_id;
    struct mqtt_span auth_method, auth_data, response_info, server_reference, reason_string;
    struct mqtt_span user;
};

static inline bool mqtt_has(const struct mqtt_properties *properties, enum mqtt_property id)
{
    return (properties->present >> id & 1) != 0;
}
static inline void mqtt_mark(struct mqtt_properties *properties, enum mqtt_property id)
{
    properties->present |= (uint64_t)1 << id;
}
static inline void mqtt_unmark(struct mqtt_properties *properties, enum mqtt_property id)
{
    properties->present &= ~((uint64_t)1 << id);
}

/* Of a PUBLISH, what goes on to its subscribers unchanged (3.3.2.3); its expiry does too, as what
 * is left of it. */
#define MQTT_FORWARDED                                                                             \
    ((uint64_t)1 << MQTT_P_PAYLOAD_FORMAT | (uint64_t)1 << MQTT_P_CONTENT_TYPE |                   \
     (uint64_t)1 << MQTT_P_RESPONSE_TOPIC | (uint64_t)1 << MQTT_P_CORRELATION_DATA |               \
     (uint64_t)1 << MQTT_P_USER)

struct mqtt_will {
    bool present, retain;
    uint8_t qos;
    struct mqtt_span topic, payload;
    struct mqtt_properties properties;
};

struct mqtt_connect {
    uint8_t level; /* MQTT_3_1_1 or MQTT_5 */
    bool clean_start;
    uint16_t keep_alive_s;
    struct mqtt_span client_id, user, password;
    struct mqtt_will will;
};

struct mqtt_connack {
    bool session_present;
    uint8_t reason; /* 3.1.1: its own return code, 0..5 */
};

struct mqtt_publish {
    bool dup, retain;
    uint8_t qos;
    uint16_t packet_id; /* 0 with QoS 0 */
    struct mqtt_span topic, payload;
};

/* PUBACK, PUBREC, PUBREL, PUBCOMP; DISCONNECT and AUTH without the packet id. */
struct mqtt_ack {
    uint16_t packet_id;
    uint8_t reason; /* 0 in 3.1.1 */
};

/* SUBSCRIBE, UNSUBSCRIBE: read the list with mqtt_next_filter(), write it with mqtt_put_filter().
 */
struct mqtt_subscribe {
    uint16_t packet_id;
    struct mqtt_span filters;
};

/* SUBACK, UNSUBACK: a byte for each filter; UNSUBACK of 3.1.1 has none. */
struct mqtt_suback {
    uint16_t packet_id;
    struct mqtt_span codes;
};

struct mqtt_packet {
    enum mqtt_type type;
    union {
        struct mqtt_connect connect;
        struct mqtt_connack connack;
        struct mqtt_publish publish;
        struct mqtt_ack ack;
        struct mqtt_subscribe subscribe;
        struct mqtt_suback suback;
    };
    struct mqtt_properties properties; /* none in 3.1.1 */
};

struct mqtt_filter {
    struct mqtt_span filter;
    uint8_t qos, retain_handling; /* the options are 0 in UNSUBSCRIBE */
    bool no_local, retain_as_published;
};

/* 1: a whole packet stands at `data`, of *ret_total bytes; 0: more bytes are needed;
 * ERR_MALFORMED: a remaining length of more than four bytes; ERR_TOO_LARGE: more than `max` bytes,
 * known as soon as its length is. *ret_total is set with 1 only. */
int mqtt_frame_length(const uint8_t *data, size_t len, size_t max, size_t *ret_total) MUST_CHECK;

/* Reads the one whole packet of `len` bytes. `version` is MQTT_NO_VERSION before CONNECT, then the
 * level of the CONNECT. 0, or ERR_MALFORMED / ERR_VERSION with the MQTT 5 reason code of the
 * refusal in *ret_reason (set with an error only). */
int mqtt_decode(const uint8_t *packet, size_t len, int version, struct mqtt_packet *ret,
                uint8_t *ret_reason) MUST_CHECK;

/* The level byte of a CONNECT that could not be decoded, for the form of its refusal; -1: none. */
int mqtt_connect_level(const uint8_t *packet, size_t len);

/* The next of a SUBSCRIBE's (or UNSUBSCRIBE's) filters: *at starts at 0. False after the last. */
bool mqtt_next_filter(const struct mqtt_packet *packet, size_t *at, struct mqtt_filter *ret);
/* The next user property of `user`: *at starts at 0. False after the last. */
bool mqtt_next_user_property(struct mqtt_span user, size_t *at, struct mqtt_span *ret_name,
                             struct mqtt_span *ret_value);

/* Appends the packet in the form of `version`. 0; ERR_TOO_LARGE: longer than MQTT can say, or than
 * `out` may become (then `out` is failed); ERR_MALFORMED: not a packet of that version. Fields are
 * not validated beyond that. */
int mqtt_encode(struct buf *out, int version, const struct mqtt_packet *packet) MUST_CHECK;
/* The bytes mqtt_encode() would append, or ERR_*. */
long mqtt_encoded_length(int version, const struct mqtt_packet *packet);

/* MQTT_FORWARDED of these properties as bytes, none where there are none; a failure shows in
 * buf_failed(). And what such bytes say, with spans into them: 0, or ERR_MALFORMED. */
void mqtt_put_forwarded(struct buf *out, const struct mqtt_properties *properties);
int mqtt_take_forwarded(struct mqtt_span bytes, struct mqtt_properties *ret) MUST_CHECK;

/* Writes another message expiry into these encoded properties of a PUBLISH, which have one. */
void mqtt_set_expiry(uint8_t *properties, uint32_t seconds);

/* Shorthands for the common answers; a failure shows in buf_failed(). `text` may be NULL. */
void mqtt_put_ack(struct buf *out, int version, enum mqtt_type type, uint16_t packet_id,
                  uint8_t reason, const char *text);
void mqtt_put_suback(struct buf *out, int version, enum mqtt_type type, uint16_t packet_id,
                     const uint8_t *codes, size_t count);
void mqtt_put_pingresp(struct buf *out);
/* MQTT 5 alone: a 3.1.1 server has no DISCONNECT and appends nothing. */
void mqtt_put_disconnect(struct buf *out, int version, uint8_t reason, const char *text,
                         const char *server_reference);
/* Appends one filter to the payload of a SUBSCRIBE, or (options < 0) of an UNSUBSCRIBE. */
void mqtt_put_filter(struct buf *payload, const char *filter, int options);

/* RFC 3629 without U+0000 (MQTT-1.5.4-1, MQTT-1.5.4-2; 3.1.1: MQTT-1.5.3-1, MQTT-1.5.3-2). */
bool mqtt_utf8_valid(const uint8_t *data, size_t len);

static inline struct mqtt_span mqtt_text(const char *text)
{
    return (struct mqtt_span){(const uint8_t *)text, text ? strlen(text) : 0};
}
