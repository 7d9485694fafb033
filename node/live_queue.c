#include "node/live_queue.h"
#include "node/metrics.h"
#include "proto/limits.h"
#include <libwebsockets.h>
#include <stdlib.h>

struct live_frame {
    struct live_frame *next;
    struct uuid device;
    size_t len;
    bool conflated;
    uint8_t bytes[]; /* LWS_PRE, then the text */
};

void live_queue_init(struct live_queue *self)
{
    *self = (struct live_queue){0};
}

void live_queue_free(struct live_queue *self)
{
    while (self->first != NULL)
        live_queue_drop_first(self);
    for (uint32_t i = 0; i < self->newest_count; i++)
        free(self->newest[i]);
    free(self->newest);
    table_free(&self->index);
    live_queue_init(self);
}

static struct live_frame *make(const char *text, size_t len)
{
    struct live_frame *frame = malloc(sizeof *frame + LWS_PRE + len);
    if (frame == NULL)
        return NULL;
    frame->next = NULL;
    frame->len = len;
    frame->conflated = false;
    memcpy(frame->bytes + LWS_PRE, text, len);
    return frame;
}

static void append(struct live_queue *self, struct live_frame *frame)
{
    if (self->last != NULL)
        self->last->next = frame;
    else
        self->first = frame;
    self->last = frame;
    self->bytes += frame->len;
}

int live_queue_add(struct live_queue *self, const char *text, size_t len)
{
    size_t ahead = self->bytes - self->conflated;
    struct live_frame *frame = ahead + len <= 4 * LIMIT_WS_QUEUE_BYTES ? make(text, len) : NULL;
    if (frame == NULL)
        return ERR_FULL;
    append(self, frame);
    return 0;
}

static bool equal(const void *context, uint32_t handle, const void *key)
{
    const struct live_queue *self = context;
    return uuid_equal(&self->newest[handle]->device, key);
}

/* Keeps `frame` as its device's newest, in place of an older one. */
static void conflate(struct live_queue *self, struct live_frame *frame)
{
    uint64_t hash = uuid_hash(&frame->device);
    uint32_t at = table_find(&self->index, hash, equal, self, &frame->device);
    if (at != TABLE_NONE) {
        free(self->newest[at]);
        self->newest[at] = frame;
        metrics_add(METRIC_WS_CONFLATED, 1);
        return;
    }
    if (self->newest == NULL)
        self->newest = calloc(LIMIT_WATCHED_DEVICES, sizeof(struct live_frame *));
    if (self->newest == NULL || self->newest_count == LIMIT_WATCHED_DEVICES ||
        table_insert(&self->index, hash, self->newest_count) != 0) {
        metrics_add(METRIC_WS_CONFLATED, 1);
        free(frame);
        return;
    }
    self->newest[self->newest_count++] = frame;
}

void live_queue_telemetry(struct live_queue *self, const struct uuid *device, const char *text,
                          size_t len)
{
    struct live_frame *frame = make(text, len);
    if (frame == NULL) {
        metrics_add(METRIC_WS_CONFLATED, 1);
        return;
    }
    frame->device = *device;
    if (self->newest_count > 0 || self->bytes + len > LIMIT_WS_QUEUE_BYTES)
        conflate(self, frame);
    else
        append(self, frame);
}

uint8_t *live_queue_first(struct live_queue *self, size_t *ret_len)
{
    if (self->first == NULL && self->newest_count > 0) {
        for (uint32_t i = 0; i < self->newest_count; i++) {
            self->newest[i]->conflated = true;
            append(self, self->newest[i]);
            self->conflated += self->newest[i]->len;
        }
        self->newest_count = 0;
        table_free(&self->index);
        free(self->newest);
        self->newest = NULL;
    }
    if (self->first == NULL)
        return NULL;
    *ret_len = self->first->len;
    return self->first->bytes + LWS_PRE;
}

void live_queue_drop_first(struct live_queue *self)
{
    struct live_frame *first = self->first;
    self->first = first->next;
    if (self->first == NULL)
        self->last = NULL;
    self->bytes -= first->len;
    self->conflated -= first->conflated ? first->len : 0;
    free(first);
}

bool live_queue_is_empty(const struct live_queue *self)
{
    return self->first == NULL && self->newest_count == 0;
}
