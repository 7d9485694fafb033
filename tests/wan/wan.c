#include "wan.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { TAKEN_IN_A_ROW = 64, IP_HEADER = 20, IP_DESTINATION = 16 };

void wan_init(struct wan *self, uint64_t seed, int epoll)
{
    *self = (struct wan){.random = seed, .epoll = epoll};
    memset(self->by_number, HOST_NONE, sizeof self->by_number);
}

void wan_free(struct wan *self)
{
    agenda_free(&self->agenda);
    for (uint8_t i = 0; i < self->count; i++)
        host_close(&self->hosts[i]);
}

const char *wan_add_host(struct wan *self, const char *name, const char *address, const char *netns)
{
    if (self->count == HOSTS_MAX)
        return "there are too many hosts";
    if (wan_find(self, name) != HOST_NONE)
        return "there is a host of that name";
    struct host *host = &self->hosts[self->count];
    const char *failed = host_open(host, name, address, netns);
    if (failed != NULL)
        return failed;
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = self->count};
    bool is_free = self->by_number[host->number] == HOST_NONE;
    if (!is_free || epoll_ctl(self->epoll, EPOLL_CTL_ADD, host->tun, &event) != 0) {
        failed = is_free ? strerror(errno) : "there is a host of that address";
        host_close(host);
        return failed;
    }
    self->by_number[host->number] = self->count++;
    return NULL;
}

uint8_t wan_find(const struct wan *self, const char *name)
{
    for (uint8_t i = 0; i < self->count; i++) {
        if (strcmp(self->hosts[i].name, name) == 0)
            return i;
    }
    return HOST_NONE;
}

int64_t wan_clock(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Where an IPv4 packet goes; HOST_NONE: nowhere, as IPv6's own, multicast, or an address unknown.
 */
static uint8_t destination(const struct wan *self, const struct packet *packet)
{
    const uint8_t *to = packet->data + IP_DESTINATION;
    if (packet->len < IP_HEADER || packet->data[0] >> 4 != 4)
        return HOST_NONE;
    return to[0] == 198 && to[1] == 18 && to[2] == 0 ? self->by_number[to[3]] : HOST_NONE;
}

/* False: it goes nowhere, and its memory is free. */
static bool send_on(struct wan *self, struct packet *packet, int64_t now_ns)
{
    packet->to = destination(self, packet);
    if (packet->to == HOST_NONE)
        return false;
    struct path *path = &self->paths[packet->from][packet->to];
    packet->due_ns = path_enter(path, now_ns, packet->len, &self->random);
    if (packet->due_ns == PATH_NEVER)
        return false;
    agenda_add(&self->agenda, packet);
    return true;
}

void wan_take(struct wan *self, uint8_t from)
{
    int64_t now_ns = wan_clock();
    for (int i = 0; i < TAKEN_IN_A_ROW; i++) {
        struct packet *packet = agenda_packet(&self->agenda);
        if (packet == NULL)
            return; /* stays in the device's queue until one has arrived */
        packet->from = from;
        packet->len = host_read(&self->hosts[from], packet->data);
        bool any = packet->len > 0;
        if (!any || !send_on(self, packet, now_ns))
            agenda_forget(&self->agenda, packet);
        if (!any)
            return;
    }
}

void wan_deliver(struct wan *self)
{
    int64_t now_ns = wan_clock();
    while (agenda_due_ns(&self->agenda) <= now_ns) {
        struct packet *packet = agenda_take(&self->agenda);
        if (path_leave(&self->paths[packet->from][packet->to]))
            (void)host_write(&self->hosts[packet->to], packet->data, packet->len);
        agenda_forget(&self->agenda, packet);
    }
}
