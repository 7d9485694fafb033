#include "node/redis.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "node/redis_url.h"
#include "proto/check.h"
#include "proto/frame.h"
#include "proto/timestamp.h"
#include <hiredis/hiredis.h>

#define RETRY_US 1000000
#define TIMEOUT_S 2

struct redis {
    const struct config *config;
    redisContext *context; /* NULL: away */
    zsock_t *inbox;
    struct buf body;
    int64_t next_try_us;
    unsigned expected; /* replies not read yet */
    bool told_away;
};

static void lose(struct redis *self, const char *reason)
{
    if (!self->told_away)
        log_event(LEVEL_WARNING, "redis_away", "reason",
                  "could not publish: %s; its channels are silent until it is back", reason);
    self->told_away = true;
    metrics_add(METRIC_REDIS_DROPPED, self->expected);
    self->expected = 0;
    if (self->context != NULL)
        redisFree(self->context);
    self->context = NULL;
    self->next_try_us = clock_boot_us() + RETRY_US;
}

static bool authenticate(struct redis *self, const struct redis_url *address)
{
    if (address->password[0] == '\0')
        return true;
    /* Servers before version 6 know no users, and one argument only. */
    redisReply *reply =
        address->user[0] == '\0'
            ? redisCommand(self->context, "AUTH %s", address->password)
            : redisCommand(self->context, "AUTH %s %s", address->user, address->password);
    bool ok = reply != NULL && reply->type != REDIS_REPLY_ERROR;
    freeReplyObject(reply);
    return ok;
}

static bool connected(struct redis *self)
{
    struct redis_url address;
    struct timeval timeout = {TIMEOUT_S, 0};
    if (self->context != NULL)
        return true;
    if (clock_boot_us() < self->next_try_us)
        return false;
    CHECK(redis_url_parse(self->config->redis_url, &address)); /* as config_read did */
    self->context = redisConnectWithTimeout(address.host, address.port, timeout);
    /* Connecting has its time apart; so has each answer, from the first one on. */
    if (self->context == NULL || self->context->err != 0 ||
        redisSetTimeout(self->context, timeout) != REDIS_OK || !authenticate(self, &address)) {
        lose(self, self->context != NULL && self->context->err ? self->context->errstr : "refused");
        return false;
    }
    if (self->told_away)
        log_event(LEVEL_INFO, "redis_back", "text", "publishing again");
    self->told_away = false;
    return true;
}

static void publish(struct redis *self, const struct msg_event *event, const uint8_t *text)
{
    char channel[128], stamp[TIMESTAMP_TEXT_SIZE];
    struct uuid tenant = event->tenant, device = event->device;
    bool alert = event->event == EVENT_ALERT;
    size_t len = (size_t)snprintf(channel, sizeof channel, "%s:", alert ? "alerts" : "telemetry");
    len += uuid_format(&tenant, channel + len);
    channel[len++] = ':';
    len += uuid_format(&device, channel + len);
    buf_clear(&self->body);
    if (alert) {
        buf_put(&self->body, text, event->body_len);
    } else {
        buf_puts(&self->body, "{\"device_id\":\"");
        buf_put(&self->body, channel + len - UUID_TEXT_LEN, UUID_TEXT_LEN);
        buf_puts(&self->body, "\",\"payload\":");
        buf_put(&self->body, text, event->body_len);
        buf_puts(&self->body, ",\"timestamp\":\"");
        buf_put(&self->body, stamp, timestamp_format(event->timestamp_us, stamp));
        buf_puts(&self->body, "\"}");
    }
    const char *argv[] = {"PUBLISH", channel, (const char *)self->body.data};
    const size_t lens[] = {7, len, self->body.len};
    if (self->body.failed || redisAppendCommandArgv(self->context, 3, argv, lens) != REDIS_OK)
        metrics_add(METRIC_REDIS_DROPPED, 1);
    else
        self->expected++;
}

static void drop(const struct item *item)
{
    if (item->kind == MSG_EVENT)
        metrics_add(METRIC_REDIS_DROPPED, 1);
}

static void take_frame(struct redis *self, const void *data, size_t len)
{
    struct frame_reader reader;
    struct item item;
    bool up = connected(self);
    CHECK(frame_open(&reader, data, len) == 0); /* made by this process */
    while (frame_next(&reader, &item) == 1) {
        if (up && item.kind == MSG_EVENT)
            publish(self, item.fixed, item.texts);
        else
            drop(&item);
    }
}

/* Sends what was appended and reads every answer: one round trip for all of a turn. */
static void flush(struct redis *self)
{
    while (self->expected > 0) {
        redisReply *reply = NULL;
        if (redisGetReply(self->context, (void **)&reply) != REDIS_OK) {
            lose(self, self->context->errstr);
            return;
        }
        self->expected--;
        metrics_add(
            reply->type == REDIS_REPLY_ERROR ? METRIC_REDIS_DROPPED : METRIC_REDIS_PUBLISHED, 1);
        freeReplyObject(reply);
    }
}

static void run(struct redis *self, zsock_t *pipe)
{
    zmq_pollitem_t items[] = {{zsock_resolve(pipe), 0, ZMQ_POLLIN, 0},
                              {zsock_resolve(self->inbox), 0, ZMQ_POLLIN, 0}};
    for (;;) {
        zmq_msg_t message;
        zmq_poll(items, 2, -1);
        if (items[0].revents)
            break; /* the only word is $TERM */
        /* One frame a turn: what waits meanwhile is bounded by the mailbox, not by hiredis. */
        if (mailbox_take(self->inbox, &message)) {
            take_frame(self, zmq_msg_data(&message), zmq_msg_size(&message));
            zmq_msg_close(&message);
            flush(self);
        }
    }
}

void redis_actor(zsock_t *pipe, void *args)
{
    struct redis self = {.config = args,
                         .inbox = mailbox_open_bounded("redis", 0, LIMIT_REDIS_FRAMES)};
    buf_init(&self.body, LIMIT_PAYLOAD_BYTES + 1024);
    pthread_setname_np(pthread_self(), "gito-redis");
    zsock_signal(pipe, 0);
    run(&self, pipe);
    if (self.context != NULL)
        redisFree(self.context);
    zsock_destroy(&self.inbox);
    buf_free(&self.body);
}
