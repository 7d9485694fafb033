#include "path.h"

/* Evenly 0 .. 1: the upper bits of a linear congruential generator (Knuth's MMIX). */
static double chance(uint64_t *random)
{
    *random = *random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(*random >> 11) * 0x1p-53;
}

/* When the wire has sent it: at once, or behind what it sends already. */
static int64_t transmit(struct path *self, int64_t now_ns, size_t len)
{
    if (self->settings.ns_per_byte <= 0)
        return now_ns;
    int64_t start_ns = self->free_ns > now_ns ? self->free_ns : now_ns;
    if (start_ns - now_ns > PATH_QUEUE_NS)
        return PATH_NEVER;
    self->free_ns = start_ns + (int64_t)((double)len * self->settings.ns_per_byte);
    return self->free_ns;
}

int64_t path_enter(struct path *self, int64_t now_ns, size_t len, uint64_t *random)
{
    const struct path_settings *settings = &self->settings;
    if (self->cut) {
        self->cut_off++;
        return PATH_NEVER;
    }
    if (settings->loss > 0 && chance(random) < settings->loss) {
        self->lost++;
        return PATH_NEVER;
    }
    int64_t due_ns = transmit(self, now_ns, len);
    if (due_ns == PATH_NEVER) {
        self->full++;
        return PATH_NEVER;
    }
    due_ns += settings->delay_ns;
    if (settings->jitter_ns > 0)
        due_ns += (int64_t)((double)settings->jitter_ns * (2 * chance(random) - 1));
    if (due_ns < self->last_due_ns)
        due_ns = self->last_due_ns;
    self->last_due_ns = due_ns;
    return due_ns;
}

bool path_leave(struct path *self)
{
    if (self->cut)
        self->cut_off++;
    else
        self->passed++;
    return !self->cut;
}
