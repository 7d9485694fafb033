#include "node/mesh_way.h"
#include "proto/check.h"
#include <string.h>

/* To be let in takes four round trips, so this is for 100 ms each; then twice as long each time:
 * who is farther gets in as well, and who is away costs little. */
#define PATIENCE_MIN_US 400000
#define PATIENCE_MAX_US 8000000
#define RECONNECT_MS 100
#define RECONNECT_MAX_MS 1000
#define CONNECT_MS 3000
#define HANDSHAKE_MS 5000
/* What the peer's kernel does not acknowledge for so long is lost with its connection. */
#define UNACKNOWLEDGED_MS 5000

void mesh_set(void *socket, int option, int value)
{
    CHECK(zmq_setsockopt(socket, option, &value, sizeof value) == 0);
}

static void set_text(void *socket, int option, const char *text)
{
    CHECK(zmq_setsockopt(socket, option, text, strlen(text)) == 0);
}

/* IMMEDIATE: it is writable only once the peer has let it in, so nothing waits in a connection
 * that never comes. No routing id: ROUTER makes a new one for each connection, where one of ours
 * would be ignored as long as an older connection that is half dead has it. */
static void make(struct mesh_way *way, int64_t now_us)
{
    way->socket = zmq_socket(way->self->context, ZMQ_DEALER);
    CHECK(way->socket != NULL);
    mesh_set(way->socket, ZMQ_LINGER, 0);
    mesh_set(way->socket, ZMQ_SNDHWM, 0);
    mesh_set(way->socket, ZMQ_IMMEDIATE, 1);
    mesh_set(way->socket, ZMQ_IPV6, way->self->ipv6);
    mesh_set(way->socket, ZMQ_RECONNECT_IVL, RECONNECT_MS);
    mesh_set(way->socket, ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS);
    mesh_set(way->socket, ZMQ_CONNECT_TIMEOUT, CONNECT_MS);
    mesh_set(way->socket, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    mesh_set(way->socket, ZMQ_TCP_MAXRT, UNACKNOWLEDGED_MS);
    set_text(way->socket, ZMQ_CURVE_SERVERKEY, way->peer->public_key);
    set_text(way->socket, ZMQ_CURVE_PUBLICKEY, way->self->public_key);
    set_text(way->socket, ZMQ_CURVE_SECRETKEY, way->self->secret_key);
    /* An endpoint that cannot be, or a name that is not known now, comes again with patience. */
    zmq_connect(way->socket, way->peer->endpoint);
    way->open = false;
    way->renew_at_us = now_us + way->patience_us;
}

void mesh_way_init(struct mesh_way *way, const struct mesh_self *self,
                   const struct mesh_member *peer, int64_t now_us)
{
    *way = (struct mesh_way){.self = self, .peer = peer, .patience_us = PATIENCE_MIN_US};
    make(way, now_us);
}

void mesh_way_close(struct mesh_way *way)
{
    zmq_close(way->socket);
    way->socket = NULL;
}

static void is_closed(struct mesh_way *way, int64_t now_us)
{
    if (way->open)
        way->renew_at_us = now_us + way->patience_us;
    way->open = false;
}

bool mesh_way_send(struct mesh_way *way, zmq_msg_t *message, int64_t now_us)
{
    if (way->open && zmq_msg_send(message, way->socket, ZMQ_DONTWAIT) >= 0)
        return true;
    is_closed(way, now_us);
    zmq_msg_close(message);
    return false;
}

static bool is_writable(const struct mesh_way *way)
{
    int events = 0;
    size_t size = sizeof events;
    CHECK(zmq_getsockopt(way->socket, ZMQ_EVENTS, &events, &size) == 0);
    return (events & ZMQ_POLLOUT) != 0;
}

bool mesh_way_tick(struct mesh_way *way, int64_t now_us)
{
    if (is_writable(way)) {
        bool renewed = !way->open;
        way->open = true;
        way->patience_us = PATIENCE_MIN_US;
        return renewed;
    }
    is_closed(way, now_us);
    if (now_us < way->renew_at_us)
        return false;
    if (way->patience_us < PATIENCE_MAX_US)
        way->patience_us *= 2;
    mesh_way_close(way);
    make(way, now_us);
    return false;
}
