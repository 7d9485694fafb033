#pragma once
/*
 * timestamp - points in time as text (RFC 3339) and as microseconds since the Unix epoch, UTC.
 *
 * What is parsed lies in TIMESTAMP_MIN..TIMESTAMP_MAX (the years 1970 to 9999). No locale, no time
 * zone and no C library clock is consulted.
 */
#include "proto/err.h"
#include <stddef.h>
#include <stdint.h>

#define TIMESTAMP_MIN INT64_C(0)
#define TIMESTAMP_MAX INT64_C(253402300799999999)
#define TIMESTAMP_TEXT_LEN 32
#define TIMESTAMP_TEXT_SIZE 40

/* RFC 3339 date-time: `T`, `t` or a space between date and time; 0 to 9 digits of fraction, cut to
 * microseconds; `Z`, `z` or ±hh:mm. A leap second (:60) is the last microsecond of its minute.
 * 0, or ERR_MALFORMED also for an instant outside the years 1970 to 9999. */
int timestamp_parse_rfc3339(const char *s, size_t len, int64_t *ret_us) MUST_CHECK;
/* A REST parameter, as the clients' own libraries write it: RFC 3339 with or without the seconds,
 * the offset (then it is UTC) and the colon within it; URL decoding may have turned the offset's
 * `+` into a space. Or a date alone (its midnight, UTC), or decimal digits since the epoch: below
 * 1e11 seconds, from there on milliseconds. 0 or ERR_MALFORMED. */
int timestamp_parse_query(const char *s, size_t len, int64_t *ret_us) MUST_CHECK;
/* Writes `2026-11-23T20:30:26.123456+00:00` and a terminator; returns TIMESTAMP_TEXT_LEN. Instants
 * outside the years 0 to 9999 are written as the nearest within. */
size_t timestamp_format(int64_t us, char out[static TIMESTAMP_TEXT_SIZE]);
