#pragma once
/*
 * smtp - hands messages to the mail server of SMTP_*, one after the other.
 *
 * Owner: the thread that made it; it blocks in smtp_send.
 * Bound: 10 s to connect, 30 s for all of a message. When `should_stop` says so, a transfer ends
 *        within about a second; once the whole message has been sent, its answer is waited for
 *        three seconds more.
 * Holds: 1. With SMTP_USE_TLS nothing is said before TLS but EHLO and STARTTLS; the server's
 *           certificate and its name are always checked.
 *        2. Not an address, not the password, not the server's text is in a reason.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stddef.h>

struct config;
struct smtp;

#define SMTP_SEND_S_MAX 30

/* Connects to nothing yet. NULL: out of memory. */
struct smtp *smtp_new(const struct config *config, bool (*should_stop)(void *context),
                      void *context);
void smtp_destroy(struct smtp **self_p);

struct smtp_letter {
    const char *from;
    const char *const *recipients;
    size_t recipients_count;
    const void *bytes;
    size_t len;
    bool *ret_later; /* of each recipient: the server asked to be tried later for him (4xx) */
};

/* 0: the server took the message for at least one recipient, and `ret_later` is set. With
 * `ret_reason`: ERR_REFUSED: it refused this one (or lost it); ERR_UNAVAILABLE: it would have been
 * the same with any other message; ERR_UNEXPECTED: ended by should_stop. Leaves the connection open
 * for the next one. */
int smtp_send(struct smtp *self, const struct smtp_letter *letter, char *ret_reason,
              size_t reason_size) MUST_CHECK;
/* Says good-bye, and does not wait for the answer. */
void smtp_close(struct smtp *self);
