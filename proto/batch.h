#pragma once
/*
 * batch - what one transaction of the writer is to do, and its answers.
 *
 * A shard fills it, the writer executes it whole (fence first) and fills in the answers, the
 * shard takes it back. It moves by pointer: one owner at a time.
 *
 * Bound: LIMIT_BATCH_ROWS rows, rejects and retained messages together, LIMIT_BATCH_BYTES of text,
 *        LIMIT_BATCH_REBUILDS hours that are rebuilt.
 *
 * The order of execution: readings, rollups, alerts (each with its event and outbox row), touches,
 * rejects, retained messages, then - after these, so that they see them - checks and loads; COMMIT.
 */
#include "proto/buf.h"
#include "proto/limits.h"
#include "proto/msg.h"
#include <stdbool.h>

/* A text in batch->bytes. */
struct text {
    uint32_t at, len;
};

struct batch_row {
    struct uuid tenant, device;
    int64_t timestamp_us, seq;
    double value[METRICS];
    uint32_t present;
    struct text payload, extra; /* extra.len 0: NULL */
    struct msg_ref ref;
    uint32_t item_bytes; /* credit to give back */
    uint32_t actor;      /* the shard's own */
    uint8_t flags;
    bool bad; /* answer: the database refused this row alone; it is in telemetry_rejected */
};

struct batch_alert {
    struct uuid event, rule, tenant, device;
    struct text metric, message;
    double value;
    int64_t fired_at_us;
    uint32_t actor;        /* the shard's own */
    uint32_t row;          /* the reading that caused it: without it there is no alert */
    bool fired;            /* answer: committed by this event (also when a retry finds it done) */
    int64_t last_fired_us; /* answer: the rule's last_fired_at now; 0: never, or the rule is gone */
};

struct batch_touch {
    struct uuid device;
    int64_t last_seen_us; /* 0: leave */
    int64_t latest_us;    /* 0: leave */
    struct text latest;   /* payload */
    uint32_t actor;       /* the shard's own */
    uint8_t status;       /* enum device_status */
    bool connected;       /* it has a connection of its own */
    bool status_changed;  /* the shard's own */
};

struct hour_stats {
    uint64_t samples;
    struct {
        uint64_t count;
        double min, max, sum, last;
    } metric[METRICS];
};

/* A row of telemetry_hourly: replaced by `stats`, or rebuilt from the readings. */
struct batch_rollup {
    struct uuid tenant, device;
    int64_t hour_us;
    bool rebuild;
    struct hour_stats stats;
};

struct batch_reject {
    struct uuid tenant, device; /* device nil: NULL */
    struct text topic, reason, payload;
    struct msg_ref ref;
    uint32_t item_bytes;
    uint8_t flags, code;
};

/* A message with RETAIN: kept as its topic's, or, without a payload, the topic's is dropped. */
struct batch_retain {
    struct uuid tenant, device;             /* device: nil for topics not below devices/ */
    struct text topic, payload, properties; /* properties: mqtt_put_forwarded() */
    struct msg_ref ref;
    int64_t expires_us; /* 0: never */
    uint32_t item_bytes;
    uint8_t flags;
};

/* Was this redelivered reading stored? By key and payload among the device's readings of that
 * timestamp, or (timestamp_us 0: it had none of its own) among its newest 4096 that are not older
 * than since_us. */
struct batch_check {
    struct uuid device;
    int64_t timestamp_us;
    int64_t since_us; /* 0: however old */
    uint32_t message_key;
    struct text payload;
    uint32_t actor;    /* the shard's own */
    bool stored;       /* answer */
    int64_t stored_us; /* answer: the timestamp of its row */
};

struct batch_load {
    struct uuid device;
    uint32_t actor; /* the shard's own */
    /* answers */
    bool found;
    uint8_t status;
    bool connected; /* as it was last written */
    uint8_t region; /* number of that in which its slot lies */
    struct uuid tenant;
    int64_t last_seen_us; /* 0: never */
    int64_t newest_us;    /* timestamp of its newest reading; 0: none */
    uint32_t rules_at, rules_count;
};

enum rule_operator { RULE_GT, RULE_GTE, RULE_LT, RULE_LTE, RULE_EQ, RULE_NEQ, RULE_OPERATORS };

/* An active rule, as loaded. */
struct batch_rule {
    struct uuid id;
    double threshold;
    int64_t cooldown_us, last_fired_us; /* 0: never */
    uint8_t operator;                   /* enum rule_operator */
    char metric[LIMIT_METRIC_NAME_BYTES + 1];
};

#define BATCH_LISTS                                                                                \
    LIST(batch_row, rows)                                                                          \
    LIST(batch_alert, alerts)                                                                      \
    LIST(batch_touch, touches)                                                                     \
    LIST(batch_rollup, rollups)                                                                    \
    LIST(batch_reject, rejects)                                                                    \
    LIST(batch_retain, retains)                                                                    \
    LIST(batch_check, checks)                                                                      \
    LIST(batch_load, loads)                                                                        \
    LIST(batch_rule, rules)

struct batch {
    uint64_t number; /* the shard's count of batches */
    uint32_t shard;
    struct buf bytes;
    uint32_t rebuilds; /* of the rollups, those that are */
    int error; /* answer: 0, or ERR_FENCED: the node must end. Other failures are retried inside */
#define LIST(type, name)                                                                           \
    struct type *name;                                                                             \
    uint32_t name##_count, name##_cap;
    BATCH_LISTS
#undef LIST
};

struct batch *batch_new(void); /* NULL: out of memory */
void batch_destroy(struct batch **self_p);
/* Empty again, memory kept up to a modest size. */
void batch_clear(struct batch *self);
bool batch_is_empty(const struct batch *self);
/* No further row of `bytes` of text fits. */
bool batch_is_full(const struct batch *self, size_t bytes);

/* A new zeroed element at the end of its list; NULL: out of memory. */
#define LIST(type, name) struct type *batch_add_##name(struct batch *self);
BATCH_LISTS
#undef LIST

/* Copies a text in; .len is 0 when it did not fit and bytes.failed is set. */
struct text batch_text(struct batch *self, const void *data, size_t len);

static inline const char *batch_text_of(const struct batch *self, struct text text)
{
    return (const char *)self->bytes.data + text.at;
}
