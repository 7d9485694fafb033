#include "agenda.h"
#include <stdlib.h>

struct packet *agenda_packet(struct agenda *self)
{
    struct packet *packet = self->free;
    if (packet != NULL) {
        self->free = packet->next_free;
        return packet;
    }
    if (self->made == AGENDA_PACKETS)
        return NULL;
    packet = malloc(sizeof *packet);
    if (packet != NULL)
        self->made++;
    return packet;
}

void agenda_forget(struct agenda *self, struct packet *packet)
{
    packet->next_free = self->free;
    self->free = packet;
}

static bool before(const struct packet *a, const struct packet *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->order < b->order;
}

void agenda_add(struct agenda *self, struct packet *packet)
{
    packet->order = self->order++;
    size_t place = self->count++;
    while (place > 0 && before(packet, self->heap[(place - 1) / 2])) {
        self->heap[place] = self->heap[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    self->heap[place] = packet;
}

int64_t agenda_due_ns(const struct agenda *self)
{
    return self->count > 0 ? self->heap[0]->due_ns : INT64_MAX;
}

struct packet *agenda_take(struct agenda *self)
{
    struct packet *first = self->heap[0], *last = self->heap[--self->count];
    size_t place = 0, child;
    while ((child = 2 * place + 1) < self->count) {
        if (child + 1 < self->count && before(self->heap[child + 1], self->heap[child]))
            child++;
        if (!before(self->heap[child], last))
            break;
        self->heap[place] = self->heap[child];
        place = child;
    }
    self->heap[place] = last;
    return first;
}

void agenda_free(struct agenda *self)
{
    while (self->count > 0)
        agenda_forget(self, agenda_take(self));
    for (struct packet *packet; (packet = self->free) != NULL;) {
        self->free = packet->next_free;
        free(packet);
    }
}
