#pragma once
/*
 * lease - how long this node may believe that it is a member.
 *
 * In:    the time, answers to renewals.
 * Out:   what to do now.
 * Owner: the control thread.
 * Holds: 1. The node's own deadline counts from the moment the renewal was asked for, less a
 *           margin, so it never lies behind the database's.
 *        2. An expired lease is not an end: while the database is away nobody can take over. A
 *           renewal that is granted later makes it whole again, one answered by zero rows is the
 *           end of this incarnation.
 *
 * Times are milliseconds of one clock that also counts while the machine sleeps.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>

#define LEASE_TTL_MS 3000

enum lease_state {
    LEASE_HELD,
    LEASE_ASKING,
    LEASE_EXPIRED,
    LEASE_RETRYING, /* expired, and asking */
    LEASE_DEPOSED,
    LEASE_STATES
};
enum lease_event {
    LEASE_DUE,      /* time for the next renewal */
    LEASE_DEADLINE, /* the own deadline has passed */
    LEASE_GRANTED,  /* answer: renewed */
    LEASE_FAILED,   /* answer: the database could not be asked */
    LEASE_NO_ROW,   /* answer: this incarnation is no member any more */
    LEASE_EVENTS
};
enum lease_order {
    LEASE_NOTHING,
    LEASE_RENEW,       /* ask the database now; one answer is to follow */
    LEASE_SAY_EXPIRED, /* the lease has just run out */
    LEASE_SAY_RENEWED, /* an expired lease is whole again */
    LEASE_EXIT         /* deposed: the process ends */
};

struct lease {
    enum lease_state state;
    int64_t ttl_ms, asked_ms, due_ms, deadline_ms;
    int64_t steady_ms; /* all questions since then were granted; INT64_MAX: the last was not */
};

/* Held, granted by a question (the registration) asked at `asked_ms`. */
void lease_init(struct lease *self, int64_t ttl_ms, int64_t asked_ms);
/* What is to be done at `now_ms`; to be called again until LEASE_NOTHING. */
enum lease_order lease_tick(struct lease *self, int64_t now_ms);
/* The answer to LEASE_RENEW. */
enum lease_order lease_answer(struct lease *self, enum lease_event answer, int64_t now_ms);
/* One step of the table. 0, or ERR_UNEXPECTED with nothing changed. */
int lease_step(struct lease *self, enum lease_event event, int64_t now_ms,
               enum lease_order *ret_order) MUST_CHECK;
/* When lease_tick has something to do next. */
int64_t lease_next_ms(const struct lease *self);
bool lease_is_held(const struct lease *self);
/* Every renewal of a whole TTL was granted: who has not renewed meanwhile is not the database's
 * fault. Only then may this node declare others dead. */
bool lease_may_judge(const struct lease *self, int64_t now_ms);
