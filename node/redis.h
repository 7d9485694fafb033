#pragma once
/*
 * redis - publishes what was confirmed to Redis: telemetry:{tenant}:{device},
 * alerts:{tenant}:{device}.
 *
 * In:    mailbox "redis-0": frames of EVENT items from the shards.
 * Out:   PUBLISH, pipelined, over one connection of its own.
 * Owner: its redisContext.
 * Bound: LIMIT_REDIS_FRAMES a shard wait in the mailbox; more are dropped there and counted. While
 *        Redis is away frames are taken, dropped and counted: nobody waits for Redis (P6).
 */
#include <czmq.h>

struct config;

/* A zactor; `args` is the config, which outlives it. */
void redis_actor(zsock_t *pipe, void *args);
