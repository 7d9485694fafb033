#pragma once
/*
 * clock - the shell's two clocks; the state machines have none.
 */
#include <stdint.h>
#include <time.h>

static inline int64_t clock_us(clockid_t id)
{
    struct timespec ts;
    clock_gettime(id, &ts);
    return ts.tv_sec * 1000000L + ts.tv_nsec / 1000;
}

/* Microseconds since the Unix epoch: timestamps, cooldowns. */
static inline int64_t clock_real_us(void)
{
    return clock_us(CLOCK_REALTIME);
}

/* Goes on while the machine sleeps and is never set: keep-alive, leases. */
static inline int64_t clock_boot_us(void)
{
    return clock_us(CLOCK_BOOTTIME);
}
