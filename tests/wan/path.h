#pragma once
/*
 * path - the way from one host to another, one direction: what becomes of a packet, and when.
 *
 * In:    a packet's length and the time; settings; cuts.
 * Out:   when it arrives, or that it never does.
 * Bound: what waits for a slow wire is PATH_QUEUE_NS of it; more is dropped, as by a full router.
 * Holds: packets leave in the order in which they entered, whatever the jitter.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATH_QUEUE_NS INT64_C(250000000)
#define PATH_NEVER INT64_MAX

struct path_settings {
    int64_t delay_ns, jitter_ns; /* a packet takes delay - jitter .. delay + jitter */
    double loss;                 /* share of packets, 0 .. 1 */
    double ns_per_byte;          /* of the wire; 0: as fast as it comes */
};

struct path {
    struct path_settings settings;
    bool cut;
    int64_t last_due_ns; /* when the packet before arrives */
    int64_t free_ns;     /* when the wire has sent the packet before */
    uint64_t passed, lost, cut_off, full;
};

/* When the packet arrives; PATH_NEVER: it is counted and dropped. */
int64_t path_enter(struct path *self, int64_t now_ns, size_t len, uint64_t *random);
/* At its arrival: false, the path was cut meanwhile. */
bool path_leave(struct path *self);
