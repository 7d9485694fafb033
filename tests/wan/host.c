#include "host.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { QUEUE_PACKETS = 10000, NETWORK = 198 << 24 | 18 << 16 }; /* 198.18.0.0 */

static char reason[160];

static const char *why(const char *what)
{
    snprintf(reason, sizeof reason, "%s: %s", what, strerror(errno));
    return reason;
}

static struct sockaddr ipv4(uint32_t address)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(address)};
    struct sockaddr any;
    memcpy(&any, &in, sizeof any);
    return any;
}

static bool bring_up(int control, struct ifreq *request)
{
    if (ioctl(control, SIOCGIFFLAGS, request) != 0)
        return false;
    request->ifr_flags = (short)(request->ifr_flags | IFF_UP);
    return ioctl(control, SIOCSIFFLAGS, request) == 0;
}

/* Address, a queue that drops nothing by itself, and up; the loopback device as well. */
static bool configure(int control, uint8_t number)
{
    struct ifreq tun = {.ifr_name = "wan"}, loopback = {.ifr_name = "lo"};
    tun.ifr_addr = ipv4((uint32_t)NETWORK | number);
    if (ioctl(control, SIOCSIFADDR, &tun) != 0)
        return false;
    tun.ifr_netmask = ipv4(0xffffff00);
    if (ioctl(control, SIOCSIFNETMASK, &tun) != 0)
        return false;
    tun.ifr_mtu = HOST_MTU;
    if (ioctl(control, SIOCSIFMTU, &tun) != 0)
        return false;
    tun.ifr_qlen = QUEUE_PACKETS;
    if (ioctl(control, SIOCSIFTXQLEN, &tun) != 0)
        return false;
    return bring_up(control, &tun) && bring_up(control, &loopback);
}

/* In the namespace that the process is in. */
static const char *make_device(struct host *self)
{
    struct ifreq request = {.ifr_name = "wan", .ifr_flags = IFF_TUN | IFF_NO_PI};
    self->tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (self->tun < 0)
        return why("could not open /dev/net/tun");
    if (ioctl(self->tun, TUNSETIFF, &request) != 0)
        return why("could not make a TUN device");
    int control = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (control < 0)
        return why("could not make a socket");
    bool done = configure(control, self->number);
    const char *reason_or_null = done ? NULL : why("could not configure the TUN device");
    close(control);
    return reason_or_null;
}

static int open_netns(const char *name)
{
    char path[256];
    if (strchr(name, '/') == NULL)
        snprintf(path, sizeof path, "/run/netns/%s", name);
    else
        snprintf(path, sizeof path, "%s", name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

/* Goes into the named namespace, or a new one. */
static const char *enter(struct host *self, const char *netns)
{
    if (netns == NULL) {
        if (unshare(CLONE_NEWNET) != 0)
            return why("could not make a network namespace");
        self->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
        return self->netns < 0 ? why("could not open the new namespace") : NULL;
    }
    self->netns = open_netns(netns);
    if (self->netns < 0)
        return why("could not open the namespace");
    return setns(self->netns, CLONE_NEWNET) == 0 ? NULL : why("could not enter the namespace");
}

static const char *identify(struct host *self, const char *name, const char *address)
{
    struct in_addr in;
    if (strlen(name) >= sizeof self->name)
        return "the name is too long";
    if (inet_pton(AF_INET, address, &in) != 1 ||
        (ntohl(in.s_addr) & 0xffffff00) != (uint32_t)NETWORK)
        return "the address is not one of 198.18.0.0/24";
    *self = (struct host){.number = (uint8_t)ntohl(in.s_addr), .tun = -1, .netns = -1};
    strcpy(self->name, name);
    return NULL;
}

const char *host_open(struct host *self, const char *name, const char *address, const char *netns)
{
    const char *failed = identify(self, name, address);
    if (failed != NULL)
        return failed;
    int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
    if (home < 0)
        return why("could not open the own namespace");
    failed = enter(self, netns);
    if (failed == NULL)
        failed = make_device(self);
    if (setns(home, CLONE_NEWNET) != 0 && failed == NULL)
        failed = why("could not return to the own namespace");
    close(home);
    if (failed != NULL)
        host_close(self);
    return failed;
}

void host_close(struct host *self)
{
    if (self->tun >= 0)
        close(self->tun);
    if (self->netns >= 0)
        close(self->netns);
    self->tun = self->netns = -1;
}

size_t host_read(struct host *self, uint8_t *ret_packet)
{
    ssize_t n = read(self->tun, ret_packet, HOST_MTU);
    return n > 0 ? (size_t)n : 0;
}

bool host_write(struct host *self, const uint8_t *packet, size_t len)
{
    return write(self->tun, packet, len) == (ssize_t)len;
}
