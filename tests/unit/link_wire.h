#pragma once
/*
 * link_wire - one direction of a simulated transport: envelopes on their way, each with the time at
 * which it arrives.
 */
#include "proto/check.h"
#include "proto/envelope.h"
#include <string.h>

struct weather {
    bool fifo;            /* keeps the order */
    int64_t delay_us;     /* one way */
    uint64_t jitter_us;   /* and up to so much more, where order is not kept */
    uint64_t bytes_per_s; /* 0: no limit */
    /* of 1000 envelopes, or turns: */
    unsigned puts, loss, doubles, stalls, cuts;
};

struct packet {
    struct envelope envelope; /* its data not to be read: the number is below */
    uint64_t number;
    int64_t arrives_us;
};

struct wire {
    struct packet *packets; /* by arrival */
    size_t first, count, room;
    int64_t free_at_us; /* the last one has left by then */
    uint64_t *random;
};

static inline uint64_t wire_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state * UINT64_C(2685821657736338717) >> 11;
}

static inline void wire_init(struct wire *self, uint64_t *random)
{
    *self = (struct wire){.room = 64, .random = random};
    self->packets = xcalloc(self->room, sizeof *self->packets);
}

static inline void wire_free(struct wire *self)
{
    free(self->packets);
}

static inline void wire_cut(struct wire *self)
{
    self->first = self->count = 0;
    self->free_at_us = 0;
}

static inline void wire_heal(struct weather *weather)
{
    weather->loss = weather->doubles = weather->cuts = 0;
}

static inline bool wire_happens(struct wire *self, unsigned of_1000)
{
    return wire_random(self->random) % 1000 < of_1000;
}

static inline void wire_insert(struct wire *self, const struct packet *packet)
{
    if (self->count == self->room) {
        memmove(self->packets, self->packets + self->first,
                (self->count - self->first) * sizeof *packet);
        self->count -= self->first;
        self->first = 0;
        if (self->count > self->room / 2) {
            self->room *= 2;
            self->packets = realloc(self->packets, self->room * sizeof *packet);
            CHECK(self->packets != NULL);
        }
    }
    size_t i = self->count++;
    for (; i > self->first && self->packets[i - 1].arrives_us > packet->arrives_us; i--)
        self->packets[i] = self->packets[i - 1];
    self->packets[i] = *packet;
}

static inline void wire_send(struct wire *self, const struct envelope *envelope,
                             const struct weather *weather, int64_t now_us)
{
    struct packet packet = {.envelope = *envelope};
    if (envelope->type == ENVELOPE_DATA)
        memcpy(&packet.number, envelope->data, sizeof packet.number);
    if (wire_happens(self, weather->loss))
        return;
    if (self->free_at_us < now_us)
        self->free_at_us = now_us;
    if (weather->bytes_per_s > 0)
        self->free_at_us += (int64_t)(envelope->len * 1000000 / weather->bytes_per_s);
    if (wire_happens(self, weather->stalls))
        self->free_at_us += (int64_t)(wire_random(self->random) % 2000000);
    packet.arrives_us = self->free_at_us + weather->delay_us;
    if (!weather->fifo)
        packet.arrives_us += (int64_t)(wire_random(self->random) % (weather->jitter_us + 1));
    wire_insert(self, &packet);
    if (wire_happens(self, weather->doubles)) {
        packet.arrives_us += (int64_t)(wire_random(self->random) % 1000000);
        wire_insert(self, &packet);
    }
}

/* The next one that has arrived. */
static inline bool wire_take(struct wire *self, int64_t now_us, struct packet *ret_packet)
{
    if (self->first == self->count || self->packets[self->first].arrives_us > now_us)
        return false;
    *ret_packet = self->packets[self->first++];
    return true;
}
