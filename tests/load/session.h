#pragma once
/*
 * session - the MQTT side of a connection: greeting, publishing, acknowledgements, resending.
 *
 * In:    whole packets (connection), "publish one" (run).
 * Out:   bytes into the connection's `out`, counts, latencies, ledger lines.
 * Holds: a message counts as acknowledged at its PUBACK with a reason below 0x80, once.
 */
#include "load.h"

/* Writes CONNECT; the connection is GREETING from now on. */
void session_greet(struct load *load, struct connection *connection);
/* A connection_receiver with the load as context. */
bool session_receive(void *load, struct connection *connection, const struct packet *packet);
/* Whether the connection takes a new message now. */
bool session_has_room(const struct load *load, const struct connection *connection);
/* One new message; `due_ns` is where its latency counts from. Call only with room. */
void session_publish(struct load *load, struct connection *connection, int64_t due_ns,
                     uint64_t clock_us);
/* What a lost connection left unacknowledged goes out again, as far as the server's bound allows.
 */
void session_resend(struct load *load, struct connection *connection);
void session_ping(struct load *load, struct connection *connection);
uint64_t session_clock_us(void);
