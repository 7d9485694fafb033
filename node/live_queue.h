#pragma once
/*
 * live_queue - frames that wait for one WebSocket.
 *
 * Bound: LIMIT_WS_QUEUE_BYTES in their order. Past it telemetry is conflated: the newest frame of
 *        each of LIMIT_WATCHED_DEVICES devices waits apart until the queue has gone; what is
 *        replaced or has no place is counted (METRIC_WS_CONFLATED). Other frames (status, alerts,
 *        answers) are never dropped: at four times the bound live_queue_add fails, and the
 *        connection is to be closed. What waited apart does not count there, however much it is:
 *        whoever gets to it does read.
 */
#include "actors/table.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stddef.h>

struct live_frame;

struct live_queue {
    struct live_frame *first, *last;
    size_t bytes, conflated;    /* conflated: those of them that waited apart */
    struct live_frame **newest; /* one a device, while conflating */
    struct table index;
    uint32_t newest_count;
};

void live_queue_init(struct live_queue *self);
void live_queue_free(struct live_queue *self);
/* 0 or ERR_FULL. */
int live_queue_add(struct live_queue *self, const char *text, size_t len) MUST_CHECK;
void live_queue_telemetry(struct live_queue *self, const struct uuid *device, const char *text,
                          size_t len);
/* The next frame, with LWS_PRE free bytes before it, or NULL. It stays until it is dropped. */
uint8_t *live_queue_first(struct live_queue *self, size_t *ret_len);
void live_queue_drop_first(struct live_queue *self);
bool live_queue_is_empty(const struct live_queue *self);
