#pragma once
/*
 * host - a network namespace, joined to this process by a TUN device: its only way out.
 *
 * In:    packets for the namespace's kernel.
 * Out:   packets that the namespace's kernel sends.
 * Owner: the one thread of the program.
 * Holds: the device lives as long as this; a namespace made here also as long as a process is in
 * it.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum { HOST_NAME_SIZE = 32, HOST_MTU = 1500 };

struct host {
    char name[HOST_NAME_SIZE];
    uint8_t
        number; /* its address is 198.18.0.number, of a network kept for such tests (RFC 2544) */
    int tun, netns;
};

/* NULL, or why not (valid until the next call), with nothing left open. `netns` is a name that
 * `ip netns add` was given, a path, or NULL: a new one is made. */
const char *host_open(struct host *self, const char *name, const char *address, const char *netns);
void host_close(struct host *self);

/* Bytes of one packet, 0 when there is none. */
size_t host_read(struct host *self, uint8_t *ret_packet);
/* False: the namespace's kernel did not take it. */
bool host_write(struct host *self, const uint8_t *packet, size_t len);
