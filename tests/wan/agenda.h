#pragma once
/*
 * agenda - the packets on their way, the next to arrive first; a heap, and the memory of packets.
 *
 * Owner: the one thread of the program.
 * Bound: AGENDA_PACKETS; packets that have arrived are used again.
 * Holds: packets that arrive at the same time come in the order in which they were added.
 */
#include "host.h"

enum { AGENDA_PACKETS = 65536 };

struct packet {
    int64_t due_ns;
    uint64_t order;
    struct packet *next_free;
    size_t len;
    uint8_t from, to; /* hosts, by their places */
    uint8_t data[HOST_MTU];
};

struct agenda {
    struct packet *heap[AGENDA_PACKETS];
    size_t count, made;
    uint64_t order;
    struct packet *free;
};

/* An unused packet, NULL when all are on their way. */
struct packet *agenda_packet(struct agenda *self);
/* Gives it back unused, or after its arrival. */
void agenda_forget(struct agenda *self, struct packet *packet);
void agenda_add(struct agenda *self, struct packet *packet);
/* INT64_MAX: nothing is on its way. */
int64_t agenda_due_ns(const struct agenda *self);
/* The packet that arrives next; there must be one. */
struct packet *agenda_take(struct agenda *self);
void agenda_free(struct agenda *self);
