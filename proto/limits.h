#pragma once
/*
 * limits - every bound of the system in one place, and what happens when it is reached.
 */

/* A PUBLISH payload (contract): larger is refused with a reason. */
#define LIMIT_PAYLOAD_BYTES (256 * 1024)
/* An MQTT packet: payload plus topic and properties; larger closes the connection (0x95). */
#define LIMIT_PACKET_BYTES (LIMIT_PAYLOAD_BYTES + 68 * 1024)
/* Un-acknowledged QoS 1/2 publishes of one connection; past it the connection is not read.
 * MQTT 5 clients see it as Receive Maximum; it counts what waits for its PUBREL there. */
#define LIMIT_RECEIVE_MAXIMUM 1024
/* Outgoing QoS 1/2 messages in flight to one client, less where it asks for less. */
#define LIMIT_SEND_INFLIGHT 64
/* Bytes queued to one MQTT client; when full, QoS 0 is dropped and counted, and a client that
 * does not read QoS 1/2 is disconnected (0x97). */
#define LIMIT_CLIENT_QUEUE_BYTES (1024 * 1024)
/* Topics of retained messages: each is an entry of a btree, which takes no longer ones than about
 * 2,700 bytes. A longer one is refused (0x90), for its message cannot be kept. */
#define LIMIT_RETAINED_TOPIC_BYTES 2048
/* Retained messages come to a client in pages: the next one is asked for when no more than this is
 * queued to it, and one connection has one. An edge asks for so many at a time; others wait. */
#define LIMIT_RETAINED_BACKLOG_BYTES (64 * 1024)
#define LIMIT_RETAINED_REQUESTS 16
/* Subscriptions of one connection; more is answered 0x97. */
#define LIMIT_SUBSCRIPTIONS 1024
/* What one edge has given to the shards and not had back; past either, sockets that publish
 * are not read. */
#define LIMIT_EDGE_ITEMS 131072
#define LIMIT_EDGE_BYTES (64 * 1024 * 1024)
/* Readings of one will while its edge is past these bounds; more is refused with a reason. Wills
 * wait for no credit, and those of all connections may come at once: lanes name a million items. */
#define LIMIT_WILL_READINGS 8
/* What one node keeps for another until it says that it has it. Past it live events are dropped and
 * counted; messages of QoS 1 and 2 for its subscribers are past twice as much. Others are taken all
 * the same, for the edges' credit bounds them. */
#define LIMIT_LINK_BYTES (64 * 1024 * 1024)
#define LIMIT_LINK_PROMISED_BYTES (2 * LIMIT_LINK_BYTES)
/* One frame for another node: more is our own bug. Twice what an edge may have given away. */
#define LIMIT_LINK_FRAME_BYTES (2 * LIMIT_EDGE_BYTES)
/* Rows of one transaction; a fuller batch waits as the next. */
#define LIMIT_BATCH_ROWS 5000
#define LIMIT_BATCH_BYTES (8 * 1024 * 1024)
/* Coalesced touches (last_seen, latest) of one transaction: devices that began together are due
 * together, and their readings shall not wait for all of them. The rest are for the next. */
#define LIMIT_BATCH_TOUCHES 256
/* Hours of one transaction that are rebuilt from their readings, each a millisecond or two of it:
 * at the turn of an hour after a crash all devices have one, and nobody shall wait for all of them.
 */
#define LIMIT_BATCH_REBUILDS 64
/* Batches of one shard at its writer: one in its transaction, one ready behind it. */
#define LIMIT_BATCHES_IN_FLIGHT 2
/* From so many rows a millisecond on, a shard's batches leave at most every LIMIT_PACE_US. */
#define LIMIT_PACE_ROWS_PER_MS 20
#define LIMIT_PACE_US 4000
/* Items of one frame between threads. */
#define LIMIT_FRAME_ITEMS 1024
/* REST: requests of one edge at the query threads; more get 503 with Retry-After. */
#define LIMIT_REQUESTS_IN_FLIGHT 256
#define LIMIT_REQUEST_BYTES (1024 * 1024)
/* Frames waiting for the Redis bridge; more are dropped and counted. */
#define LIMIT_REDIS_FRAMES 32
/* Devices that one WebSocket watches; more gets an error frame. */
#define LIMIT_WATCHED_DEVICES 1024
/* Bytes waiting for one WebSocket; past it telemetry is conflated to the newest value a device. */
#define LIMIT_WS_QUEUE_BYTES (256 * 1024)
/* Metrics of one reading; more is refused with a reason. */
#define LIMIT_METRICS 256
#define LIMIT_METRIC_NAME_BYTES 64
/* |value| of a metric (contract). */
#define LIMIT_METRIC_VALUE 1e10
/* A reading's own timestamp may lie this far from the node's clock: partitions exist for it. */
#define LIMIT_READING_PAST_DAYS 31
#define LIMIT_READING_FUTURE_DAYS 1
/* Slots of a region (design, Ownership). */
#define LIMIT_SLOTS 4096
/* Regions of a cluster, and nodes; a node or region past them is refused. */
#define LIMIT_REGIONS 16
#define LIMIT_NODES 256
/* A node's address, a host's name of up to 253 characters, with its port. */
#define LIMIT_ENDPOINT_BYTES 288
/* Threads of one kind in a node. */
#define LIMIT_EDGES 8
#define LIMIT_SHARDS 16
#define LIMIT_WRITERS 8
#define LIMIT_QUERIES 16
