#pragma once
/*
 * window - the messages of one connection that are not yet acknowledged, in order.
 *
 * 1. Packet ids count up from 1 to 65535 and around, as most clients' do; the id is a function of
 *    the message's position, and the ring is shorter than 65535, so no id is in use twice.
 * 2. An acknowledgement out of order is taken; its place is free when all before it are.
 * 3. `unsent` is the first message that the present network connection has not carried: behind
 *    `first` only after a reconnect, when what is in between goes out again with DUP=1.
 * Bound: `limit` unacknowledged messages.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct message {
    int64_t due_ns;
    uint64_t dev, seq;
    uint8_t *packet; /* copy for a resend; kept and reused by the ring's place */
    uint32_t packet_len, packet_cap;
    bool acked;
};

struct window {
    struct message *ring;
    uint64_t first, unsent, next; /* positions, never wrap */
    uint32_t size, limit;
    uint32_t unacked;   /* of first .. next */
    uint32_t in_flight; /* of first .. unsent: what this network connection owes us */
};

void window_init(struct window *self, uint32_t limit);
void window_free(struct window *self);
/* NULL: full. The message is counted as sent by the present connection. */
struct message *window_add(struct window *self, uint16_t *ret_id);
/* Keeps a copy of the message's packet. */
void window_keep(struct message *message, const uint8_t *packet, size_t len);
/* The message that `id` acknowledges, NULL for none; valid until the next window_add. */
struct message *window_acknowledge(struct window *self, uint16_t id, bool *ret_in_order);
/* The connection is lost: everything unacknowledged is to be sent again. */
void window_rewind(struct window *self);
/* The next message to send again, NULL for none. */
struct message *window_resend(struct window *self);

/* When the first one was due that is not acknowledged; there is one. */
int64_t window_due_ns(const struct window *self);

static inline bool window_full(const struct window *self)
{
    return self->unacked >= self->limit || self->next - self->first >= self->size;
}
