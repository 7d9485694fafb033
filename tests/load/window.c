#include "window.h"
#include "bytes.h"
#include <stdlib.h>
#include <string.h>

enum { IDS = 65535, SIZE_MAX_RING = 32768 };

void window_init(struct window *self, uint32_t limit)
{
    uint32_t size = 2;
    while (size < 2 * limit && size < SIZE_MAX_RING)
        size *= 2;
    *self = (struct window){
        .ring = must_calloc(size, sizeof *self->ring), .size = size, .limit = limit};
}

void window_free(struct window *self)
{
    for (uint32_t i = 0; self->ring != NULL && i < self->size; i++)
        free(self->ring[i].packet);
    free(self->ring);
    *self = (struct window){0};
}

static struct message *at(struct window *self, uint64_t position)
{
    return &self->ring[position & (self->size - 1)];
}

struct message *window_add(struct window *self, uint16_t *ret_id)
{
    if (window_full(self))
        return NULL;
    *ret_id = (uint16_t)(self->next % IDS + 1);
    struct message *message = at(self, self->next++);
    message->acked = false;
    self->unsent = self->next;
    self->unacked++;
    self->in_flight++;
    return message;
}

void window_keep(struct message *message, const uint8_t *packet, size_t len)
{
    if (message->packet_cap < len) {
        free(message->packet);
        message->packet = must_calloc(len + 64, 1);
        message->packet_cap = (uint32_t)len + 64;
    }
    memcpy(message->packet, packet, len);
    message->packet_len = (uint32_t)len;
}

struct message *window_acknowledge(struct window *self, uint16_t id, bool *ret_in_order)
{
    uint64_t ahead = ((uint64_t)id + IDS - 1 - self->first % IDS) % IDS;
    uint64_t position = self->first + ahead;
    if (id == 0 || position >= self->unsent)
        return NULL;
    struct message *message = at(self, position);
    if (message->acked)
        return NULL;
    message->acked = true;
    *ret_in_order = ahead == 0;
    self->unacked--;
    self->in_flight--;
    while (self->first < self->next && at(self, self->first)->acked)
        self->first++;
    return message;
}

void window_rewind(struct window *self)
{
    self->unsent = self->first;
    self->in_flight = 0;
}

struct message *window_resend(struct window *self)
{
    while (self->unsent < self->next) {
        struct message *message = at(self, self->unsent++);
        if (!message->acked) {
            self->in_flight++;
            return message;
        }
    }
    return NULL;
}

int64_t window_due_ns(const struct window *self)
{
    return self->ring[self->first & (self->size - 1)].due_ns;
}
