#pragma once
/*
 * wan - hosts, the paths between them, and the packets on their way.
 *
 * In:    packets of the hosts; commands (command.h) that change hosts and paths.
 * Out:   each packet to the host that has its destination's address, when its path says so.
 * Owner: the one thread of the program.
 * Bound: HOSTS_MAX; AGENDA_PACKETS.
 */
#include "agenda.h"
#include "host.h"
#include "path.h"

enum { HOSTS_MAX = 16, HOST_NONE = 255 };

struct wan {
    struct host hosts[HOSTS_MAX];
    uint8_t count;
    uint8_t by_number[256]; /* host of an address's last byte, HOST_NONE */
    struct path paths[HOSTS_MAX][HOSTS_MAX];
    struct agenda agenda;
    uint64_t random;
    int epoll; /* of the hosts' devices, each with its place as data */
};

void wan_init(struct wan *self, uint64_t seed, int epoll);
void wan_free(struct wan *self);

/* NULL, or why not; see host_open. */
const char *wan_add_host(struct wan *self, const char *name, const char *address,
                         const char *netns);
/* Its place, HOST_NONE. */
uint8_t wan_find(const struct wan *self, const char *name);

int64_t wan_clock(void);
/* Takes a number of packets that the host sends. */
void wan_take(struct wan *self, uint8_t from);
/* Hands over all that has arrived by now. */
void wan_deliver(struct wan *self);
