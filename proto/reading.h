#pragma once
/*
 * reading - a telemetry payload (contract, MQTT) to readings: a JSON object metric -> number or
 * null with an optional `timestamp`, or an array of such objects.
 *
 * In:    the payload of a PUBLISH below …/telemetry, any bytes. Strict RFC 8259.
 * Out:   readings that point into the payload: they live as long as it does, and until the next
 *        parse with the same `struct readings`.
 * Bound: LIMIT_PAYLOAD_BYTES; LIMIT_METRICS a reading; names of 1 to LIMIT_METRIC_NAME_BYTES ASCII
 *        letters, digits and `_`; |value| <= LIMIT_METRIC_VALUE; a number's text as in
 *        proto/number.h. The arrays grow to the largest payload seen and are used again: once
 *        warm, a message allocates nothing.
 * Holds: 1. One bad reading refuses the whole payload, with a reason that names its index (from 0).
 *        2. As jsonb, payload = {the columns that are present} || extra.
 *        3. Names and `timestamp` are written without escapes ("\u0074emp" is refused with its
 *           reason): every permitted character can be written as itself, and so a name in the
 *           payload can be compared byte by byte ever after.
 */
#include "proto/err.h"
#include "proto/metric.h"
#include <stddef.h>
#include <stdint.h>

struct reading {
    int64_t timestamp_us;  /* 0: none given (absent or null) */
    double value[METRICS]; /* 0 where the metric is not present */
    uint32_t present;      /* bit 1 << metric: that metric is a number */
    uint32_t payload_len;
    const char *payload; /* the object's own text, not terminated */
    const char *extra;   /* a JSON object of what the columns do not restore: metrics without a
                            column, nulls, `timestamp` as given, and numbers of a column whose
                            text has more digits than a double keeps. NULL: nothing */
    uint32_t extra_len;
};

struct name_set;

struct readings {
    struct reading *item;
    size_t count;
    char reason[160]; /* after a failure: one English sentence, ASCII; bytes and readings
                         are counted from 0 */
    /* private */
    size_t cap;
    char *extra;
    size_t extra_len, extra_cap;
    struct name_set *names;
};

void readings_init(struct readings *self);
void readings_free(struct readings *self);
/* 0 with `item` and `count` (at least 1) set; or, with `count` 0 and `reason` set, ERR_MALFORMED,
 * ERR_TOO_LARGE (longer than LIMIT_PAYLOAD_BYTES) or ERR_MEMORY. */
int readings_parse(struct readings *self, const char *json, size_t len) MUST_CHECK;

/* The value of any metric, column or not, in the text of a reading that readings_parse accepted:
 * 1 and the number, or 0 where it is absent or null. Safe, and 0, for any other text. */
int reading_metric(const char *payload, size_t len, const char *name, size_t name_len,
                   double *ret_value) MUST_CHECK;
