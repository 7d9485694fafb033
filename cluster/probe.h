#pragma once
/*
 * probe - asks one peer again and again whether it works, and tells when it stops to answer.
 *
 * In:    the time, often; answers; signs of life.
 * Out:   when to ask; that the peer is suspected, or is no more.
 * Owner: the mesh thread, one for each peer's incarnation.
 * Holds: 1. Only an answer to a question asked within PROBE_SILENCE_US counts: an answer that was
 *           long on its way tells of a peer that worked long ago.
 *        2. Time in which this node itself stood still (stopped, or its machine asleep) is not the
 *           peer's silence: it is not counted.
 *
 * Times are microseconds of one clock that also counts while the machine sleeps.
 */
#include <stdbool.h>
#include <stdint.h>

#define PROBE_PERIOD_US 500000
#define PROBE_SILENCE_US 1500000
/* More for a new peer, which is to be connected first. */
#define PROBE_GRACE_US 1500000
/* probe_tick is called at least this often, but when this node stands still. */
#define PROBE_TICK_US 250000

enum probe_news { PROBE_NOTHING, PROBE_SUSPECTED, PROBE_CLEARED };

struct probe {
    int64_t ask_at_us;
    int64_t answered_us; /* or the end of its grace; later by what is not counted as silence */
    int64_t heard_us;    /* anything at all of it was heard; 0: never */
    int64_t ticked_us;
    bool suspected;
};

void probe_init(struct probe *self, int64_t now_us);
/* True: ask now; it is asked again a period later. */
bool probe_is_due(struct probe *self, int64_t now_us);
/* There is a new way to the peer: ask at once. */
void probe_hurry(struct probe *self, int64_t now_us);
/* The peer is there, whether it works or not. */
void probe_heard(struct probe *self, int64_t now_us);
/* The answer to what was asked at `asked_us`. */
void probe_answered(struct probe *self, int64_t asked_us, int64_t now_us);
enum probe_news probe_tick(struct probe *self, int64_t now_us);
/* How long it has not answered; a new one's grace is not counted. */
int64_t probe_silent_us(const struct probe *self, int64_t now_us);
/* When to call probe_is_due or probe_tick next. */
int64_t probe_next_us(const struct probe *self);
