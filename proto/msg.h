#pragma once
/*
 * msg - what threads (and nodes) say to each other: the items of frames.
 *
 * An item is a packed little-endian struct, then its texts, one after the other. Items of several
 * kinds share a frame, so that what one sender says keeps its order. MSG_VERSION goes up with any
 * change of a layout.
 */
#include "proto/reading.h"
#include "proto/uuid.h"
#include <stdint.h>

#define MSG_VERSION 1

enum msg_kind {
    MSG_READING = 1, /* edge → shard: one reading; payload, extra */
    MSG_REJECT, /* edge → shard: a PUBLISH of telemetry that was refused; topic, reason, payload */
    MSG_PRESENCE, /* edge → shard: a device's own connection came or went */
    MSG_INTEREST, /* edge → every shard: this edge has (or has no more) watchers of … */
    MSG_MESSAGE,  /* edge → shard: any other PUBLISH; topic, payload */
    MSG_CLAIM,    /* edge → tenant's shard: this connection now holds a client id; client id */
    MSG_UNCLAIM,  /* edge → tenant's shard: it is gone; client id */
    MSG_ADMIT,    /* edge → tenant's shard: may this REST request go on? */
    MSG_CHANGED,  /* control → shard: device's rules, credentials or existence changed */
    MSG_WAKE,     /* control → shard: device is not offline in the database: watch its timers */

    MSG_ACK,      /* shard → edge: the item is durable (or refused); reason */
    MSG_EVENT,    /* shard → edge, redis: confirmed reading, alert, status, message; body */
    MSG_KICK,     /* shard → edge: close this connection (client id taken over, device deleted) */
    MSG_ADMITTED, /* shard → edge: the answer to ADMIT */
};

/* Where an answer goes: edge thread, its connection, and which use of that connection's place. */
struct msg_ref {
    uint16_t edge;
    uint16_t packet_id; /* 0: QoS 0 */
    uint32_t conn;
    uint32_t generation;
} __attribute__((packed));

enum msg_flags {
    MSG_QOS_MASK = 3,
    MSG_DUP = 4,
    MSG_RETAIN = 8,
    MSG_LAST = 16,     /* the last reading of its PUBLISH: its commit acknowledges the PUBLISH */
    MSG_REPLAYED = 32, /* found not to be stored: the actor may append it */
};

struct msg_reading {
    struct uuid tenant, device;
    struct msg_ref ref;
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
    struct uuid tenant, device; /* device: nil when the topic names none */
    struct msg_ref ref;
    uint8_t flags;
    uint8_t code; /* MQTT 5 reason code for the acknowledgement */
    uint16_t topic_len, reason_len;
    uint32_t payload_len;
} __attribute__((packed));

struct msg_presence {
    struct uuid tenant, device;
    struct msg_ref ref;
    uint8_t present; /* 1 connected, 0 gone */
} __attribute__((packed));

enum msg_interest_bits {
    INTEREST_TELEMETRY = 1,
    INTEREST_STATUS = 2,
    INTEREST_ALERTS = 4,
    INTEREST_MESSAGES = 8,
    INTEREST_BITS = 4
};

struct msg_interest {
    struct uuid tenant, device; /* device: nil for any */
    uint16_t edge;
    uint8_t bits; /* what the edge wants of it from now on, 0: nothing */
} __attribute__((packed));

struct msg_message {
    struct uuid tenant, device; /* device: nil for topics not below devices/ */
    struct msg_ref ref;
    uint8_t flags;
    uint16_t topic_len;
    uint32_t payload_len;
} __attribute__((packed));

struct msg_claim {
    struct uuid tenant;
    struct msg_ref ref;
    uint16_t client_id_len;
} __attribute__((packed));

struct msg_admit {
    struct uuid tenant;
    struct msg_ref ref;
} __attribute__((packed));

struct msg_admitted {
    struct msg_ref ref;
    uint32_t limit, remaining; /* requests a minute */
    uint32_t reset_s;          /* seconds until the budget is whole again */
    uint8_t admitted;
} __attribute__((packed));

struct msg_device {
    struct uuid tenant, device;
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

/* body: TELEMETRY the payload; ALERT the JSON object of contract.md; MESSAGE topic, then payload.
 */
struct msg_event {
    struct uuid tenant, device;
    uint8_t event;
    uint8_t status; /* STATUS: enum device_status */
    uint8_t flags;  /* MESSAGE: QoS, retain */
    int64_t timestamp_us;
    uint16_t topic_len;
    uint32_t body_len;
} __attribute__((packed));

/* One connection, or (device not nil) all of a device's. */
struct msg_kick {
    struct msg_ref ref;
    struct uuid device;
    uint8_t code; /* MQTT 5 DISCONNECT reason code */
} __attribute__((packed));
