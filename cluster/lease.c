#include "cluster/lease.h"
#include "proto/check.h"

typedef enum lease_order action(struct lease *self, int64_t now_ms);

static int64_t margin(const struct lease *self)
{
    return self->ttl_ms / 10;
}

static enum lease_order ask(struct lease *self, int64_t now_ms)
{
    self->asked_ms = now_ms;
    return LEASE_RENEW;
}

static enum lease_order ask_soon(struct lease *self, int64_t now_ms)
{
    self->due_ms = now_ms + self->ttl_ms / 8;
    self->steady_ms = INT64_MAX;
    return LEASE_NOTHING;
}

static enum lease_order extend(struct lease *self, int64_t now_ms)
{
    bool was_expired = self->state == LEASE_RETRYING;
    self->deadline_ms = self->asked_ms + self->ttl_ms - margin(self);
    self->due_ms = self->asked_ms + self->ttl_ms / 4;
    if (self->due_ms < now_ms)
        self->due_ms = now_ms;
    if (self->steady_ms > now_ms)
        self->steady_ms = now_ms;
    return was_expired ? LEASE_SAY_RENEWED : LEASE_NOTHING;
}

static enum lease_order tell_expired(struct lease *self, int64_t now_ms)
{
    (void)now_ms;
    self->steady_ms = INT64_MAX;
    return LEASE_SAY_EXPIRED;
}

static enum lease_order tell_deposed(struct lease *self, int64_t now_ms)
{
    (void)self;
    (void)now_ms;
    return LEASE_EXIT;
}

static const struct {
    enum lease_state next;
    action *action;
} table[LEASE_STATES][LEASE_EVENTS] = {
#define ROW(state, event, next, action) [LEASE_##state][LEASE_##event] = {LEASE_##next, action},
#include "cluster/lease.def"
#undef ROW
};

void lease_init(struct lease *self, int64_t ttl_ms, int64_t asked_ms)
{
    *self = (struct lease){
        .state = LEASE_ASKING, .ttl_ms = ttl_ms, .asked_ms = asked_ms, .steady_ms = INT64_MAX};
    lease_answer(self, LEASE_GRANTED, asked_ms);
}

int lease_step(struct lease *self, enum lease_event event, int64_t now_ms,
               enum lease_order *ret_order)
{
    action *act = table[self->state][event].action;
    if (act == NULL)
        return ERR_UNEXPECTED;
    *ret_order = act(self, now_ms);
    self->state = table[self->state][event].next;
    return 0;
}

static bool is_asking(const struct lease *self)
{
    return self->state == LEASE_ASKING || self->state == LEASE_RETRYING;
}

enum lease_order lease_tick(struct lease *self, int64_t now_ms)
{
    enum lease_order order = LEASE_NOTHING;
    if (self->state == LEASE_DEPOSED)
        return LEASE_EXIT;
    if (lease_is_held(self) && now_ms >= self->deadline_ms)
        CHECK(lease_step(self, LEASE_DEADLINE, now_ms, &order) == 0);
    else if (!is_asking(self) && now_ms >= self->due_ms)
        CHECK(lease_step(self, LEASE_DUE, now_ms, &order) == 0);
    return order;
}

enum lease_order lease_answer(struct lease *self, enum lease_event answer, int64_t now_ms)
{
    enum lease_order order = LEASE_NOTHING;
    CHECK(lease_step(self, answer, now_ms, &order) == 0);
    return order;
}

int64_t lease_next_ms(const struct lease *self)
{
    if (!lease_is_held(self))
        return is_asking(self) ? INT64_MAX : self->due_ms;
    if (is_asking(self) || self->deadline_ms < self->due_ms)
        return self->deadline_ms;
    return self->due_ms;
}

bool lease_is_held(const struct lease *self)
{
    return self->state == LEASE_HELD || self->state == LEASE_ASKING;
}

bool lease_may_judge(const struct lease *self, int64_t now_ms)
{
    return lease_is_held(self) && now_ms < self->deadline_ms && self->steady_ms <= now_ms &&
           now_ms - self->steady_ms >= self->ttl_ms;
}
