#include "node/mesh_door.h"
#include "node/config.h"
#include "node/mesh_way.h"
#include "proto/check.h"
#include "proto/envelope.h"
#include <string.h>

#define HANDSHAKE_MS 5000
#define SOCKETS_MAX 10000
/* A connection whose other end vanished is forgotten after half a minute. */
#define KEEPALIVE_IDLE_S 15
#define KEEPALIVE_EACH_S 5
#define KEEPALIVE_COUNT 3

static void *make_router(const struct mesh_door *door, const struct mesh_args *args, bool ipv6)
{
    int64_t most = LIMIT_LINK_FRAME_BYTES + ENVELOPE_HEAD_MAX;
    void *router = zmq_socket(door->context, ZMQ_ROUTER);
    CHECK(router != NULL);
    mesh_set(router, ZMQ_LINGER, 0);
    mesh_set(router, ZMQ_RCVHWM, 0);
    mesh_set(router, ZMQ_IPV6, ipv6);
    mesh_set(router, ZMQ_HANDSHAKE_IVL, HANDSHAKE_MS);
    mesh_set(router, ZMQ_TCP_KEEPALIVE, 1);
    mesh_set(router, ZMQ_TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S);
    mesh_set(router, ZMQ_TCP_KEEPALIVE_INTVL, KEEPALIVE_EACH_S);
    mesh_set(router, ZMQ_TCP_KEEPALIVE_CNT, KEEPALIVE_COUNT);
    mesh_set(router, ZMQ_CURVE_SERVER, 1);
    CHECK(zmq_setsockopt(router, ZMQ_MAXMSGSIZE, &most, sizeof most) == 0);
    CHECK(zmq_setsockopt(router, ZMQ_CURVE_SECRETKEY, args->secret_key, MESH_KEY_SIZE) == 0);
    CHECK(zmq_setsockopt(router, ZMQ_ZAP_DOMAIN, "gito", 4) == 0);
    return router;
}

int mesh_door_open(struct mesh_door *door, const struct mesh_args *args, bool ipv6)
{
    char endpoint[300];
    const char *address = args->config->bind_address;
    *door = (struct mesh_door){.context = zmq_ctx_new()};
    CHECK(door->context != NULL);
    CHECK(zmq_ctx_set(door->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX) == 0);
    door->zap = zmq_socket(door->context, ZMQ_REP); /* before the ROUTER: or all were let in */
    CHECK(door->zap != NULL);
    mesh_set(door->zap, ZMQ_LINGER, 0);
    CHECK(zmq_bind(door->zap, "inproc://zeromq.zap.01") == 0);
    door->router = make_router(door, args, ipv6);
    snprintf(endpoint, sizeof endpoint, ipv6 ? "tcp://[%s]:%d" : "tcp://%s:%d", address,
             (int)args->config->mesh_port);
    return zmq_bind(door->router, endpoint) == 0 ? 0 : ERR_UNAVAILABLE;
}

void mesh_door_close(struct mesh_door *door)
{
    zmq_close(door->router);
    zmq_close(door->zap);
    zmq_ctx_term(door->context);
}

/* ---- ZAP (rfc.zeromq.org/spec/27): one message of several parts each way ---- */

enum {
    ZAP_VERSION,
    ZAP_ID,
    ZAP_DOMAIN,
    ZAP_ADDRESS,
    ZAP_IDENTITY,
    ZAP_MECHANISM,
    ZAP_KEY,
    ZAP_PARTS
};

struct question {
    char id[64], key[MESH_KEY_SIZE];
    size_t id_len;
    unsigned parts;
    bool curve;
};

static void read_part(struct question *self, const void *data, size_t len)
{
    if (self->parts == ZAP_ID && len <= sizeof self->id) {
        memcpy(self->id, data, len);
        self->id_len = len;
    } else if (self->parts == ZAP_MECHANISM) {
        self->curve = len == 5 && memcmp(data, "CURVE", 5) == 0;
    } else if (self->parts == ZAP_KEY && len == 32) {
        zmq_z85_encode(self->key, data, len);
    }
    self->parts++;
}

/* The next part of a message; `*ret_more` when others follow it. */
static bool take_part(void *socket, zmq_msg_t *ret_part, bool *ret_more)
{
    zmq_msg_init(ret_part);
    if (zmq_msg_recv(ret_part, socket, ZMQ_DONTWAIT) < 0) {
        zmq_msg_close(ret_part);
        return false;
    }
    *ret_more = zmq_msg_more(ret_part);
    return true;
}

static bool take_question(struct mesh_door *door, struct question *ret_question)
{
    struct question question = {.parts = 0};
    zmq_msg_t part;
    bool more = true;
    while (more) {
        if (!take_part(door->zap, &part, &more))
            return false;
        read_part(&question, zmq_msg_data(&part), zmq_msg_size(&part));
        zmq_msg_close(&part);
    }
    *ret_question = question;
    return true;
}

static void answer(struct mesh_door *door, const struct question *question, bool let_in)
{
    const char *status = let_in ? "200" : "400", *text = let_in ? "" : "not a member";
    CHECK(zmq_send(door->zap, "1.0", 3, ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(door->zap, question->id, question->id_len, ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(door->zap, status, 3, ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(door->zap, text, strlen(text), ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(door->zap, question->key, strlen(question->key), ZMQ_SNDMORE) >= 0);
    CHECK(zmq_send(door->zap, "", 0, 0) >= 0);
}

void mesh_door_answer(struct mesh_door *door,
                      bool is_peer(const void *context, const char key[MESH_KEY_SIZE]),
                      const void *context)
{
    struct question question;
    while (take_question(door, &question)) {
        bool let_in = question.parts == ZAP_PARTS && question.curve && question.key[0] != '\0' &&
                      is_peer(context, question.key);
        answer(door, &question, let_in);
        door->refused += !let_in;
    }
}

/* ---- messages ---- */

/* A routing id, which ROUTER puts in front, then the message. Anything else was not sent by a
 * mesh, and only its last part is seen. */
bool mesh_door_take(struct mesh_door *door, zmq_msg_t *ret_message)
{
    bool more;
    if (!take_part(door->router, ret_message, &more))
        return false;
    while (more) {
        zmq_msg_close(ret_message);
        CHECK(take_part(door->router, ret_message, &more));
    }
    return true;
}

const char *mesh_door_key(zmq_msg_t *message)
{
    const char *key = zmq_msg_gets(message, "User-Id");
    return key != NULL ? key : "";
}
