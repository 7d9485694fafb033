#pragma once
/*
 * mail - an alert as a message (RFC 5322, MIME): text and HTML of the same content.
 *
 * Pure: no clock, no socket.
 * Holds: 1. Nothing in an alert adds a header or ends the message, whatever a device is named:
 *           control characters become spaces, what is not plain ASCII becomes encoded words, bodies
 *           are quoted-printable, the HTML is escaped.
 *        2. The Message-ID comes from the alert's id alone: every attempt to send it has the same.
 */
#include "proto/buf.h"
#include <stdbool.h>
#include <stdint.h>

struct mail_alert {
    const char *event_id, *device_id, *device_name, *metric;
    const char *value;     /* "35.5" */
    const char *condition; /* "> 30" */
    int64_t fired_at_us;   /* Unix time */
};

struct mail {
    const char *from; /* an address, or: Name <address> */
    const char *to;   /* NULL: several, who do not learn each other's addresses */
    int64_t date_us;  /* Unix time of this attempt */
    struct mail_alert alert;
};

/* Room that every alert's mail fits into. */
#define MAIL_BYTES_MAX 65536

/* Appends the message, its lines ended by CRLF. 0; ERR_MALFORMED: `from` holds no
 * address; ERR_TOO_LARGE (also: out of memory). */
int mail_compose(const struct mail *self, struct buf *out) MUST_CHECK;
/* Whether `address` may stand in an SMTP command: one mailbox without spaces, control characters,
 * brackets or quotes. */
bool mail_address_valid(const char *address);
/* The address in `from`, as mail's. 0, or ERR_MALFORMED. */
int mail_address_of(const char *from, char *ret_address, size_t size) MUST_CHECK;
