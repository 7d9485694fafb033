#include "connection.h"
#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_SIZE = 64 * 1024 };

static int watch(struct connection *self, int epoll, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = self};
    return epoll_ctl(epoll, operation, self->fd, &event) == 0 ? 0 : errno;
}

int connection_dial(struct connection *self, const struct sockaddr_in *address, int epoll)
{
    int on = 1;
    self->state = CONNECTION_DIALLING;
    self->attempts++;
    self->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (self->fd < 0)
        return errno;
    setsockopt(self->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (connect(self->fd, (const struct sockaddr *)address, sizeof *address) != 0 &&
        errno != EINPROGRESS)
        return errno;
    self->wants_write = true;
    return watch(self, epoll, EPOLL_CTL_ADD, EPOLLIN | EPOLLOUT);
}

int connection_dialled(struct connection *self)
{
    int error = 0;
    socklen_t size = sizeof error;
    if (getsockopt(self->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0)
        return errno;
    return error;
}

int connection_flush(struct connection *self, int epoll, uint64_t *bytes_out)
{
    while (bytes_len(&self->out) > 0) {
        ssize_t n =
            send(self->fd, self->out.data + self->out.start, bytes_len(&self->out), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno != EAGAIN)
            return errno;
        if (n < 0)
            break;
        *bytes_out += (uint64_t)n;
        bytes_take(&self->out, (size_t)n);
    }
    bool wants_write = bytes_len(&self->out) > 0;
    if (wants_write == self->wants_write)
        return 0;
    self->wants_write = wants_write;
    return watch(self, epoll, EPOLL_CTL_MOD, wants_write ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

/* Hands whole packets over; returns the bytes they took, or -1 for what is not MQTT. */
static long deliver(struct connection *self, const uint8_t *data, size_t len,
                    connection_receiver *receiver, void *context)
{
    size_t done = 0;
    struct packet packet;
    for (;;) {
        long n = packet_parse(data + done, len - done, &packet);
        if (n < 0)
            return -1;
        if (n == 0)
            return (long)done;
        if (!receiver(context, self, &packet))
            return -1;
        done += (size_t)n;
    }
}

int connection_receive(struct connection *self, connection_receiver *receiver, void *context)
{
    /* One thread: all connections read into the same place, and keep only a packet's first part. */
    static uint8_t shared[READ_SIZE];
    ssize_t n = recv(self->fd, shared, sizeof shared, 0);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : errno;
    if (n == 0)
        return ECONNRESET;
    if (bytes_len(&self->in) == 0) {
        long done = deliver(self, shared, (size_t)n, receiver, context);
        if (done < 0)
            return EPROTO;
        bytes_put(&self->in, shared + done, (size_t)(n - done));
        return 0;
    }
    bytes_put(&self->in, shared, (size_t)n);
    long done =
        deliver(self, self->in.data + self->in.start, bytes_len(&self->in), receiver, context);
    if (done < 0)
        return EPROTO;
    bytes_take(&self->in, (size_t)done);
    return 0;
}

void connection_close(struct connection *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
    self->state = CONNECTION_DOWN;
    self->wants_write = false;
    bytes_free(&self->in);
    bytes_free(&self->out);
    window_rewind(&self->window);
}
