#include "cluster/probe.h"

void probe_init(struct probe *self, int64_t now_us)
{
    *self = (struct probe){
        .ask_at_us = now_us, .answered_us = now_us + PROBE_GRACE_US, .ticked_us = now_us};
}

bool probe_is_due(struct probe *self, int64_t now_us)
{
    if (now_us < self->ask_at_us)
        return false;
    self->ask_at_us = now_us + PROBE_PERIOD_US;
    return true;
}

void probe_hurry(struct probe *self, int64_t now_us)
{
    self->ask_at_us = now_us;
}

void probe_heard(struct probe *self, int64_t now_us)
{
    self->heard_us = now_us;
}

void probe_answered(struct probe *self, int64_t asked_us, int64_t now_us)
{
    if (asked_us <= now_us && now_us - asked_us < PROBE_SILENCE_US)
        self->answered_us = now_us;
}

int64_t probe_silent_us(const struct probe *self, int64_t now_us)
{
    return now_us > self->answered_us ? now_us - self->answered_us : 0;
}

/* While the peer is suspected its silence stays one: only an answer ends it. */
static void forgive_own_pause(struct probe *self, int64_t now_us)
{
    int64_t late_us = now_us - self->ticked_us - PROBE_TICK_US;
    if (late_us > PROBE_TICK_US && !self->suspected && self->answered_us < now_us)
        self->answered_us +=
            late_us < now_us - self->answered_us ? late_us : now_us - self->answered_us;
    self->ticked_us = now_us;
}

enum probe_news probe_tick(struct probe *self, int64_t now_us)
{
    forgive_own_pause(self, now_us);
    bool silent = probe_silent_us(self, now_us) >= PROBE_SILENCE_US;
    if (silent == self->suspected)
        return PROBE_NOTHING;
    self->suspected = silent;
    return silent ? PROBE_SUSPECTED : PROBE_CLEARED;
}

int64_t probe_next_us(const struct probe *self)
{
    int64_t tick_us = self->ticked_us + PROBE_TICK_US;
    return tick_us < self->ask_at_us ? tick_us : self->ask_at_us;
}
