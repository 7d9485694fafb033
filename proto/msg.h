#pragma once
/*
 * msg - what threads (and nodes) say to each other: the items of frames.
 *
 * An item is a packed little-endian struct, then its texts, one after the other. Items of several
 * kinds share a frame, so that what one sender says keeps its order. MSG_VERSION goes up with any
 * change of a layout.
 */
#include "proto/limits.h"
#include "proto/reading.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stdint.h>

#ifndef MSG_VERSION /* a build for the test of an upgrade says the next */
#define MSG_VERSION 3
#endif
/* The oldest that is still read, and written for a node that knows no later one: nodes of two
 * versions work together while one is upgraded. */
#define MSG_VERSION_MIN 3

/* A slot of the whole cluster: its region's number, then its number there (LIMIT_SLOTS). */
#define MSG_SLOT_BITS 12
static inline uint16_t msg_slot(unsigned region, unsigned slot)
{
    return (uint16_t)(region << MSG_SLOT_BITS | slot);
}
#define MSG_NOBODY UINT16_MAX /* no node */

enum msg_kind {
    MSG_READING = 1, /* edge → shard: one reading; payload, extra */
    MSG_REJECT,      /* edge → shard: a PUBLISH that was refused; topic, reason, payload */
    MSG_PRESENCE,    /* edge → shard: a device's own connection came or went */
    MSG_INTEREST,    /* edge → every shard: this edge has (or has no more) watchers of … */
    MSG_MESSAGE,     /* edge → shard: any other PUBLISH; topic, payload, properties */
    MSG_TOLD,  /* edge → shard: a slot's new owner has heard from it all that it says by itself */
    MSG_CLAIM, /* edge → tenant's shard: this connection now holds a client id; client id */
    MSG_UNCLAIM, /* edge → tenant's shard: it is gone; client id */
    MSG_ADMIT,   /* edge → tenant's shard: may this REST request go on? */
    MSG_ASK,     /* edge → shard: what of this actor? (and, if told so, drop it) */
    MSG_SYNC,    /* edge → shard: say when all that came before it is taken */
    MSG_CHANGED, /* control → shard: device's rules or existence changed */
    MSG_WAKE,    /* control → shard: device is not offline in the database: watch its timers */

    MSG_HOME, /* control → edge, shard → edge: the region of a tenant's or device's slots */

    MSG_DRAIN, /* control → edge: send your MQTT clients elsewhere, gently, or do not; reference */

    /* The cluster, as control reads it: to edges and shards. */
    MSG_NODE,     /* a node is alive (or no more) */
    MSG_SLOT,     /* who owns a slot; from a shard to edges: it is no more (or anew) its owner */
    MSG_RELEASE,  /* control → shard: take no more of the slot, and say when it is at rest */
    MSG_GIVE,     /* control → shard: it is the target's now: send what is known of its devices */
    MSG_RELEASED, /* shard → control: the slot is at rest */
    MSG_SNAPSHOT, /* shard → shard: a device as its former owner knew it; rules, hour, latest */
    MSG_GIVEN,    /* shard → shard: that was all of the slot */

    MSG_ACK,      /* shard → edge: the item is durable (or refused); reason */
    MSG_EVENT,    /* shard → edge, redis: confirmed reading, alert, status, message; body */
    MSG_KICK,     /* shard → edge: close this connection (client id taken over, device deleted) */
    MSG_ADMITTED, /* shard → edge: the answer to ADMIT */
    MSG_ACTOR,    /* shard → edge: the answer to ASK */
    MSG_SYNCED,   /* shard → edge: the answer to SYNC */
    MSG_NEWS,     /* control → edge: what changed in the view, for operators; its text */
    MSG_REVOKED,  /* control → edge: what lets a device or service account in has changed */
};

/* Where an answer goes: node, edge thread, its connection, and which use of that connection's
 * place; and for whom the item is: a slot, and its epoch as the sender knows it. The first member
 * of each item of a lane (cluster/lanes.h), which fills in node to item. */
struct msg_ref {
    uint16_t
        node; /* number of the node, and its incarnation's lower bits: never another's answer */
    uint16_t life;
    uint8_t edge;
    uint8_t again; /* an owner that has died may have stored it; INTEREST: a former one gives it */
    uint16_t slot;
    uint32_t epoch;
    uint32_t item;      /* the lane's name for it; 0: it keeps none */
    uint16_t packet_id; /* 0: QoS 0 */
    uint32_t conn;
    uint32_t generation;
} __attribute__((packed));

/* The same connection at the same edge of the same incarnation of its node. */
static inline bool msg_same_connection(const struct msg_ref *a, const struct msg_ref *b)
{
    return a->node == b->node && a->life == b->life && a->edge == b->edge && a->conn == b->conn &&
           a->generation == b->generation;
}

enum msg_flags {
    MSG_QOS_MASK = 3,
    MSG_DUP = 4,
    MSG_RETAIN = 8,
    MSG_AS_PUBLISHED = MSG_QOS_MASK | MSG_RETAIN, /* what of a PUBLISH its subscribers see */
    MSG_LAST = 16, /* the last reading of its PUBLISH: its commit acknowledges the PUBLISH */
};

struct msg_reading {
    struct msg_ref ref;
    struct uuid tenant, device;
    uint8_t flags;
    uint8_t present; /* bit per metric (reading.h) */
    uint32_t
        message_key; /* hash of client id, packet id, payload and index: same in a redelivery */
    int64_t arrival_us;
    int64_t timestamp_us; /* the reading's own, or its arrival */
    double value[METRICS];
    uint32_t payload_len, extra_len;
} __attribute__((packed));

struct msg_reject {
    struct msg_ref ref;
    struct uuid tenant, device; /* whose row it is; device: nil for a tenant's own */
    uint8_t flags;
    uint8_t code; /* MQTT 5 reason code for the acknowledgement */
    uint16_t topic_len, reason_len;
    uint32_t payload_len;
} __attribute__((packed));

enum msg_presence_is {
    PRESENCE_GONE,
    PRESENCE_CAME,
    PRESENCE_AGAIN, /* among all of an edge's that are there, up to its MSG_TOLD */
};

struct msg_presence {
    struct msg_ref ref;
    struct uuid tenant, device;
    uint8_t present;  /* enum msg_presence_is */
    int64_t since_us; /* connected then: told anew it is no new sign of life; 0: now */
} __attribute__((packed));

enum msg_interest_bits {
    INTEREST_TELEMETRY = 1,
    INTEREST_STATUS = 2,
    INTEREST_ALERTS = 4,
    INTEREST_MESSAGES = 8,
    INTEREST_BITS = 4
};

struct msg_interest {
    struct msg_ref ref;         /* the edge; slot and epoch only where a device is named */
    struct uuid tenant, device; /* device: nil for any */
    uint8_t bits;               /* what the edge wants of it from now on, 0: nothing */
} __attribute__((packed));

struct msg_message {
    struct msg_ref ref;
    struct uuid tenant, device; /* device: nil for topics not below devices/ */
    uint8_t flags;
    int64_t expires_us; /* Unix time: it is of no use from then on (3.3.2.3.3); 0: never */
    uint16_t topic_len;
    uint32_t payload_len, properties_len; /* properties: mqtt_put_forwarded() */
} __attribute__((packed));

struct msg_claim {
    struct msg_ref ref;
    struct uuid tenant;
    int64_t since_us; /* when it connected: of two, the later holds the client id */
    uint16_t client_id_len;
} __attribute__((packed));

struct msg_sync {
    struct msg_ref ref; /* packet_id: the asker's name for it */
} __attribute__((packed));

struct msg_admit {
    struct msg_ref ref;
    struct uuid tenant;
} __attribute__((packed));

struct msg_admitted {
    struct msg_ref ref;
    uint32_t limit, remaining; /* requests a minute */
    uint32_t reset_s;          /* seconds until the budget is whole again */
    uint8_t admitted;
} __attribute__((packed));

struct msg_device {
    struct uuid tenant, device;
    uint16_t slot; /* WAKE: of whom it is one */
} __attribute__((packed));

struct msg_node {
    uint16_t node, life;
    uint8_t alive;
    uint8_t edges, shards; /* threads */
} __attribute__((packed));

/* That of a device goes before that of its tenant; without either it is region 0. From a shard: the
 * item `ref.item` is not for the slot that it came to. */
struct msg_home {
    struct msg_ref ref;
    struct uuid id;
    uint8_t region;
} __attribute__((packed));

struct msg_ask {
    struct msg_ref ref;
    struct uuid tenant, device;
    uint8_t passivate;
} __attribute__((packed));

/* The states of actors/device.h plus 1; NONE: there is no actor. */
enum msg_actor_state { ACTOR_NONE, ACTOR_LOADING, ACTOR_LIVE, ACTOR_CHECKING, ACTOR_ABSENT };
struct msg_actor {
    struct msg_ref ref;
    uint8_t state, status;
    uint8_t passivated;
    uint32_t held, in_flight; /* readings that wait in it; what it has in transactions */
    uint32_t connections, rules;
} __attribute__((packed));

struct msg_told {
    struct msg_ref ref;
} __attribute__((packed));

struct msg_drain {
    uint16_t reference_len;
    uint8_t on; /* 0: they may stay */
} __attribute__((packed));

enum msg_slot_flags {
    SLOT_CLEAN =
        1, /* from its owner: of what it did not acknowledge, nothing is or will be stored */
    SLOT_AWAITS = 2, /* from control: its former owner lives and will send MSG_GIVEN */
};

/* SLOT, RELEASE (owner: whom it will be given to), RELEASED, GIVE, GIVEN. */
struct msg_slot {
    uint16_t slot;
    uint16_t from, from_life; /* SLOT from a shard: its node */
    uint16_t owner;
    uint8_t flags;
    uint32_t epoch;
} __attribute__((packed));

/* One rule of a snapshot. */
struct msg_rule {
    struct uuid id;
    double threshold;
    int64_t cooldown_us, last_fired_us;
    uint8_t operator;
    char metric[LIMIT_METRIC_NAME_BYTES + 1];
} __attribute__((packed));

enum msg_snapshot_flags {
    SNAPSHOT_DIRTY = 1,    /* last_seen or latest is not written */
    SNAPSHOT_STALE = 2,    /* its rules have changed: they are to be read anew */
    SNAPSHOT_LEFT_OUT = 4, /* nothing is said of it, but that its timers are to be watched */
};

/* What a device's actor knows and the database does not, or not yet. */
struct msg_snapshot {
    struct uuid tenant, device;
    uint16_t slot;
    uint32_t epoch;
    uint8_t status; /* enum device_status */
    uint8_t flags;  /* enum msg_snapshot_flags */
    int64_t last_seen_us, newest_us, touched_us;
    int64_t disconnected_us; /* INT64_MAX: not yet; who is connected still is told anew */
    int64_t redelivered_us;
    uint16_t rules_count;
    uint32_t rules_len, hours_len, latest_len; /* texts: rules, sums of its hour, newest payload */
} __attribute__((packed));

struct msg_ack {
    struct msg_ref ref;
    uint8_t code;   /* MQTT 5 reason code: 0 stored */
    uint8_t flags;  /* MSG_LAST: answer the PUBLISH; without it only the credit comes back */
    uint32_t bytes; /* of the item as it was sent: the edge's credit */
    uint16_t reason_len;
} __attribute__((packed));

enum event_kind { EVENT_TELEMETRY = 1, EVENT_STATUS, EVENT_ALERT, EVENT_MESSAGE };
enum device_status { STATUS_OFFLINE, STATUS_ONLINE, STATUS_IDLE, STATUSES };

/* Texts: TELEMETRY the payload; ALERT the JSON object of contract.md; MESSAGE topic, payload,
 * properties. */
struct msg_event {
    struct msg_ref from; /* TELEMETRY, MESSAGE: the connection that published it; else zero */
    struct uuid tenant, device;
    uint8_t event;
    uint8_t status; /* STATUS: enum device_status */
    uint8_t flags;  /* TELEMETRY, MESSAGE: QoS, retain, as they were published */
    uint8_t again;  /* TELEMETRY: an owner that has died may have told it before */
    uint32_t key;   /* TELEMETRY: message_key */
    int64_t timestamp_us;
    int64_t expires_us; /* MESSAGE: as in msg_message */
    uint16_t topic_len;
    uint32_t body_len, properties_len;
} __attribute__((packed));

struct msg_news {
    int64_t version; /* of the view that it leads to */
    uint32_t text_len;
} __attribute__((packed));

struct msg_revoked {
    struct uuid holder;
    int64_t mark; /* of what lets it in now; 0: nothing does */
} __attribute__((packed));

struct msg_kick {
    struct msg_ref ref;
    uint8_t code; /* MQTT 5 DISCONNECT reason code */
} __attribute__((packed));
