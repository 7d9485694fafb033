#pragma once
/*
 * plain_tcp - the limit that the mesh is seen with: the same frames by one TCP connection on
 * loopback to another thread, with no cipher, no numbers and no mailboxes.
 */
#include <stddef.h>
#include <stdint.h>

/* Sends frames of `len` bytes at the rate for `seconds`; microseconds on their way to `samples`,
 * `max` at most. Returns how many. */
size_t plain_tcp_run(double frames_per_s, double seconds, size_t len, int64_t *samples, size_t max);
