#pragma once
/*
 * device - one device's actor: its status, rules, newest reading, and what it holds while it waits.
 *
 * The states and their events are in device.def; what they do, in shard_device.c. Here is what
 * one actor is, and what can be said of it without its shard.
 *
 * Owner: its shard. Bound: at most 256 bytes idle, without rules (LIMIT_EDGE_ITEMS bounds what all
 * actors hold together).
 */
#include "actors/hours.h"
#include "actors/rules.h"
#include "proto/frame.h"

enum device_state { DEVICE_LOADING, DEVICE_LIVE, DEVICE_CHECKING, DEVICE_ABSENT, DEVICE_STATES };
enum device_event {
    DEVICE_READING,
    DEVICE_REDELIVERY,
    DEVICE_LOADED,
    DEVICE_MISSING,
    DEVICE_STORED,
    DEVICE_STORED_OF_SEVERAL,
    DEVICE_NOT_STORED,
    DEVICE_NOT_STORED_OF_SEVERAL,
    DEVICE_CHANGED,
    DEVICE_EXPIRED,
    DEVICE_EVENTS
};

/* A reading that waits for its actor: the item as it came. */
struct held {
    struct held *next;
    int64_t arrival_us;
    uint32_t item_bytes;
    uint32_t texts_len;
    bool asked; /* the database is asked whether it is stored */
    struct msg_reading reading;
    uint8_t texts[];
};

/* A connection of the device's own, at whatever node: its edge said so. */
struct presence {
    struct presence *next;
    struct msg_ref ref;
    bool again; /* its edge has named it since it last said that it has named all */
};

/* The newest payload, kept from a reading to the touch that writes it. */
struct latest {
    uint32_t len, cap;
    char payload[];
};

struct device {
    struct uuid id, tenant;
    struct rules *rules;
    struct hours *hours;
    struct latest *latest; /* NULL: nothing new since the last touch */
    struct held *held, *held_last;
    struct presence *presences;
    int64_t last_seen_us;          /* arrival of its last sign of life; 0: never */
    int64_t newest_us;             /* timestamp of its newest reading; 0: none */
    int64_t touched_us;            /* when last_seen and latest were last given to a batch */
    int64_t redelivered_us;        /* no redelivery that was appended has arrived after this */
    int64_t disconnected_us;       /* when its last connection went; 0: not known, or none since */
    uint32_t touched_batch;        /* number of the batch that holds its last touch */
    uint32_t in_flight;            /* things in batches that will come back to it */
    uint32_t slot_next, slot_prev; /* handles of its slot's other devices */
    uint16_t slot;
    uint8_t state;     /* enum device_state */
    uint8_t status;    /* enum device_status */
    uint8_t elsewhere; /* ABSENT: its slot is in the region of this number less 1 */
    bool dirty;        /* last_seen is newer than the database's */
    bool stale;        /* what was loaded has changed while its slot was not open */
};

struct device_times {
    int64_t idle_us, offline_us, grace_us, touch_us, passivate_us;
};

/* What its status should be at now_us. */
enum device_status device_status_due(const struct device *self, const struct device_times *times,
                                     int64_t now_us);
/* It was absent, long enough ago: a reading is worth another look at the database. */
bool device_may_ask_again(const struct device *self, int64_t now_us);
/* Nothing waits in it, nothing of it is on its way, nothing is unwritten, nobody is connected. */
bool device_at_rest(const struct device *self);
/* It may be dropped: offline (or absent) long enough, and nothing is on its way. */
bool device_may_passivate(const struct device *self, const struct device_times *times,
                          int64_t now_us);
/* Keeps a payload as the newest. 0 or ERR_MEMORY: the older one is kept. */
int device_keep_latest(struct device *self, const char *payload, uint32_t len) MUST_CHECK;
/* 0 or ERR_MEMORY. */
int device_hold(struct device *self, const struct item *item, int64_t arrival_us) MUST_CHECK;
/* The first held item; the caller frees it. NULL: none. */
struct held *device_unhold(struct device *self);
/* Frees the sums of its hour (rebuilt when the hour is closed) and the newest payload. */
void device_drop_kept(struct device *self);
void device_clear(struct device *self);

/* True: something changed. `ref`'s connection is there (`again`: its edge names all that it has),
 * or has gone. Aborts without memory. */
bool device_came(struct device *self, const struct msg_ref *ref, bool again);
bool device_went(struct device *self, const struct msg_ref *ref);
/* The edge of `ref` has named all of its connections: others of it have gone. True: one had. */
bool device_told(struct device *self, const struct msg_ref *ref);
/* Its last connection has gone, at now_us; what was seen of it by a clock that is ahead of this one
 * does not outlast it. */
void device_disconnected(struct device *self, int64_t now_us);
/* Nothing of its connections is known any more. */
void device_drop_presences(struct device *self);
/* All connections at that node have gone with it. */
bool device_lost_node(struct device *self, uint16_t node);
