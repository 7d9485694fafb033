#pragma once
/*
 * connection - one TCP connection: bytes in, bytes out, nothing of MQTT but where a packet ends.
 *
 * In:    socket readiness (run), packets to write (session, into `out`).
 * Out:   packets to the receiver given to connection_receive.
 * Holds: all that a turn wrote leaves in one send.
 */
#include "bytes.h"
#include "packet.h"
#include "window.h"
#include <netinet/in.h>

enum connection_state {
    CONNECTION_DOWN,     /* may be dialled at `retry_ns` */
    CONNECTION_DIALLING, /* TCP handshake */
    CONNECTION_GREETING, /* CONNECT sent, CONNACK awaited */
    CONNECTION_UP,       /* publishes */
    CONNECTION_GIVEN_UP, /* refused or lost, and not to be dialled again */
};

struct connection {
    int fd;
    enum connection_state state;
    uint32_t number, target, attempts;
    bool dirty, wants_write, was_up;
    uint16_t receive_maximum;
    uint64_t next_dev;
    int64_t retry_ns, deadline_ns; /* of DOWN; of DIALLING and GREETING */
    int64_t sent_ns, heard_ns, pinged_ns, acked_ns;
    int64_t wait_ns; /* the longest, from when a message was due to its acknowledgement */
    struct bytes in, out;
    struct window window;
};

typedef bool connection_receiver(void *context, struct connection *self,
                                 const struct packet *packet);

/* These give 0, or an errno value with the connection to be closed by the caller. */
int connection_dial(struct connection *self, const struct sockaddr_in *address, int epoll);
int connection_dialled(struct connection *self);
int connection_flush(struct connection *self, int epoll, uint64_t *bytes_out);
/* ECONNRESET also where the server closed; EPROTO where the receiver said false. */
int connection_receive(struct connection *self, connection_receiver *receiver, void *context);

void connection_close(struct connection *self);
