#include "actors/device.h"
#include "proto/check.h"
#include <stdlib.h>

/* An absent device is asked for again after this: it may have been made meanwhile. */
#define ABSENT_US 1000000

enum device_status device_status_due(const struct device *self, const struct device_times *times,
                                     int64_t now_us)
{
    int64_t silent = now_us - self->last_seen_us;
    bool has_gone = self->presences == NULL && self->disconnected_us != 0 &&
                    self->disconnected_us >= self->last_seen_us;
    if (has_gone && now_us - self->disconnected_us >= times->grace_us)
        return STATUS_OFFLINE;
    /* Within its grace it is as it was, connected. */
    bool connected = self->presences != NULL || has_gone;
    if (!connected && (self->last_seen_us == 0 || silent >= times->offline_us))
        return STATUS_OFFLINE;
    return silent < times->idle_us ? STATUS_ONLINE : STATUS_IDLE;
}

bool device_may_ask_again(const struct device *self, int64_t now_us)
{
    return self->in_flight == 0 && now_us - self->touched_us >= ABSENT_US;
}

bool device_at_rest(const struct device *self)
{
    return self->held == NULL && self->in_flight == 0 && self->presences == NULL && !self->dirty;
}

bool device_may_passivate(const struct device *self, const struct device_times *times,
                          int64_t now_us)
{
    if (self->held != NULL || self->in_flight > 0 || self->presences != NULL)
        return false;
    if (self->state == DEVICE_ABSENT)
        return device_may_ask_again(self, now_us);
    return self->state == DEVICE_LIVE && self->status == STATUS_OFFLINE && !self->dirty &&
           now_us - self->touched_us >= times->passivate_us;
}

int device_keep_latest(struct device *self, const char *payload, uint32_t len)
{
    if (self->latest == NULL || self->latest->cap < len) {
        struct latest *grown = realloc(self->latest, sizeof *grown + len);
        if (grown == NULL)
            return ERR_MEMORY;
        grown->cap = len;
        self->latest = grown;
    }
    self->latest->len = len;
    memcpy(self->latest->payload, payload, len);
    return 0;
}

int device_hold(struct device *self, const struct item *item, int64_t arrival_us)
{
    struct held *held = malloc(sizeof *held + item->texts_len);
    if (held == NULL)
        return ERR_MEMORY;
    held->next = NULL;
    held->asked = false;
    held->arrival_us = arrival_us;
    held->item_bytes = (uint32_t)item->size;
    held->texts_len = (uint32_t)item->texts_len;
    memcpy(&held->reading, item->fixed, sizeof held->reading);
    memcpy(held->texts, item->texts, item->texts_len);
    if (self->held_last != NULL)
        self->held_last->next = held;
    else
        self->held = held;
    self->held_last = held;
    return 0;
}

struct held *device_unhold(struct device *self)
{
    struct held *held = self->held;
    if (held != NULL) {
        self->held = held->next;
        if (self->held == NULL)
            self->held_last = NULL;
    }
    return held;
}

void device_drop_kept(struct device *self)
{
    free(self->hours);
    free(self->latest);
    self->hours = NULL;
    self->latest = NULL;
}

void device_clear(struct device *self)
{
    struct held *held;
    while ((held = device_unhold(self)) != NULL)
        free(held);
    device_drop_presences(self);
    rules_destroy(&self->rules);
    device_drop_kept(self);
}

/* ---- its connections ---- */

void device_disconnected(struct device *self, int64_t now_us)
{
    self->disconnected_us = now_us > self->last_seen_us ? now_us : self->last_seen_us;
}

void device_drop_presences(struct device *self)
{
    while (self->presences != NULL) {
        struct presence *next = self->presences->next;
        free(self->presences);
        self->presences = next;
    }
}

bool device_came(struct device *self, const struct msg_ref *ref, bool again)
{
    for (struct presence *p = self->presences; p != NULL; p = p->next)
        if (msg_same_connection(&p->ref, ref)) {
            p->again |= again;
            return false;
        }
    struct presence *added = malloc(sizeof *added);
    CHECK(added != NULL);
    *added = (struct presence){self->presences, *ref, again};
    self->presences = added;
    return true;
}

static void remove_presence(struct presence **at)
{
    struct presence *gone = *at;
    *at = gone->next;
    free(gone);
}

bool device_went(struct device *self, const struct msg_ref *ref)
{
    for (struct presence **at = &self->presences; *at != NULL; at = &(*at)->next)
        if (msg_same_connection(&(*at)->ref, ref)) {
            remove_presence(at);
            return true;
        }
    return false;
}

bool device_told(struct device *self, const struct msg_ref *ref)
{
    bool any = false;
    for (struct presence **at = &self->presences; *at != NULL;) {
        struct presence *p = *at;
        bool its = p->ref.node == ref->node && p->ref.life == ref->life && p->ref.edge == ref->edge;
        if (its && !p->again) {
            remove_presence(at);
            any = true;
            continue;
        }
        p->again &= !its;
        at = &p->next;
    }
    return any;
}

bool device_lost_node(struct device *self, uint16_t node)
{
    bool any = false;
    for (struct presence **at = &self->presences; *at != NULL;)
        if ((*at)->ref.node == node) {
            remove_presence(at);
            any = true;
        } else {
            at = &(*at)->next;
        }
    return any;
}
