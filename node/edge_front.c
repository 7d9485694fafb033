/* The door of the HTTP port. What libwebsockets would not take as HTTP asks (http_head.h) is told
 * apart before it sees it: connections are accepted here, and the header of their first request is
 * looked at while it still lies in the kernel (MSG_PEEK). Nearly always the connection is given on
 * untouched: nothing was read, so nothing can be lost or reordered. Else the header alone is taken
 * from the kernel, and both the header as it is to be and the socket are given on.
 *
 * A request that follows another on its connection is not looked at: browsers open a connection
 * for each WebSocket.
 *
 * Bound: FRONT_HEAD_BYTES of a header and FRONT_SECONDS until it is whole; visitors are bounded
 * by the limit of open files, at which accepting waits. */
#include "node/edge_inside.h"
#include "node/http_head.h"
#include "node/http_status.h"
#include "node/log.h"
#include "proto/check.h"
#include <errno.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#define FRONT_HEAD_BYTES 16384
#define FRONT_SECONDS 10.0
/* Accepted in one go; the rest is the next turn's. */
#define FRONT_ACCEPTS 64

/* A connection whose first request is not told apart yet. */
struct visitor {
    ev_io readable;
    ev_timer deadline;
    struct edge_front *front;
    struct visitor *next, **at;
    size_t seen;
};

struct edge_front {
    struct ev_loop *loop;
    struct lws_vhost *vhost;
    ev_io accepting;
    ev_timer accept_again;
    struct visitor *visitors;
};

/* ---- a visitor ---- */

/* Ends it; the socket is the caller's. */
static int dismiss(struct visitor *self)
{
    int fd = self->readable.fd;
    ev_io_stop(self->front->loop, &self->readable);
    ev_timer_stop(self->front->loop, &self->deadline);
    *self->at = self->next;
    if (self->next != NULL)
        self->next->at = self->at;
    free(self);
    return fd;
}

static void hand_over(struct visitor *self, const struct buf *head)
{
    struct lws_vhost *vhost = self->front->vhost;
    int fd = dismiss(self);
    const int one = 1;
    setsockopt(fd, SOL_SOCKET, SO_RCVLOWAT, &one, sizeof one);
    /* Either closes the socket where it fails. */
    if (head == NULL)
        lws_adopt_socket_vhost(vhost, fd);
    else
        lws_adopt_socket_vhost_readbuf(vhost, fd, (const char *)head->data, head->len);
}

/* Of `len` bytes, the whole header. */
static void hand_over_head(struct visitor *self, char *head, size_t len)
{
    struct buf rewritten;
    buf_init(&rewritten, 2 * FRONT_HEAD_BYTES);
    if (!http_head_rewrite(head, len, &rewritten))
        hand_over(self, NULL);
    else if (recv(self->readable.fd, head, len, 0) == (ssize_t)len)
        hand_over(self, &rewritten);
    else
        close(dismiss(self)); /* cannot be: they were there */
    buf_free(&rewritten);
}

/* In libwebsockets' place, which would say nothing, or call it forbidden. */
static void refuse(struct visitor *self, int status, const char *detail, const char *code)
{
    const char *title = http_status_phrase(status);
    char head[FRONT_HEAD_BYTES], body[256], answer[512];
    int len = snprintf(body, sizeof body,
                       "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                       "\"detail\":\"%s\",\"code\":\"%s\"}\r\n",
                       title, status, detail, code);
    int n = snprintf(answer, sizeof answer,
                     "HTTP/1.1 %d %s\r\nconnection: close\r\n"
                     "content-type: application/problem+json\r\ncontent-length: %d\r\n\r\n%s",
                     status, title, len, body);
    int fd = dismiss(self);
    /* With bytes unread, closing would be a reset that overtakes the answer. */
    (void)!recv(fd, head, sizeof head, 0);
    if (send(fd, answer, (size_t)n, MSG_NOSIGNAL) > 0)
        shutdown(fd, SHUT_WR);
    close(fd);
}

/* The kernel wakes us again when more has come than we have seen. */
static void await_more(struct visitor *self, size_t len)
{
    const int wanted = (int)len + 1;
    self->seen = len;
    setsockopt(self->readable.fd, SOL_SOCKET, SO_RCVLOWAT, &wanted, sizeof wanted);
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)loop, (void)events;
    struct visitor *self = watcher->data;
    char head[FRONT_HEAD_BYTES];
    ssize_t n = recv(watcher->fd, head, sizeof head, MSG_PEEK);
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0 || (size_t)n == self->seen) { /* it says no more */
        close(dismiss(self));
        return;
    }
    size_t len = (size_t)n;
    const char *end = memmem(head, len, "\r\n\r\n", 4);
    if (!http_head_has_method(head, len))
        refuse(self, 501, "no such method", "not_implemented");
    else if (end == NULL && len == sizeof head)
        refuse(self, 431, "the header is larger than 16 KiB", "header_too_large");
    else if (end == NULL)
        await_more(self, len);
    else if (http_head_has_nul(head, len))
        refuse(self, 400, "the address holds a NUL", "bad_request");
    else
        hand_over_head(self, head, (size_t)(end + 4 - head));
}

static void on_deadline(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)loop, (void)events;
    close(dismiss(watcher->data));
}

static void welcome(struct edge_front *front, int fd)
{
    const int one = 1;
    struct visitor *self = calloc(1, sizeof *self);
    if (self == NULL) {
        close(fd);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    self->front = front;
    self->next = front->visitors;
    self->at = &front->visitors;
    if (self->next != NULL)
        self->next->at = &self->next;
    front->visitors = self;
    ev_io_init(&self->readable, on_readable, fd, EV_READ);
    ev_timer_init(&self->deadline, on_deadline, FRONT_SECONDS, 0.);
    self->readable.data = self->deadline.data = self;
    ev_io_start(front->loop, &self->readable);
    ev_timer_start(front->loop, &self->deadline);
}

/* ---- the listening socket ---- */

static void on_connection(struct ev_loop *loop, ev_io *watcher, int events)
{
    (void)events;
    struct edge_front *self = watcher->data;
    for (unsigned i = 0; i < FRONT_ACCEPTS; i++) {
        int fd = accept4(watcher->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            welcome(self, fd);
        } else if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
            ev_io_stop(loop, watcher); /* who waits is taken when others have gone */
            ev_timer_start(loop, &self->accept_again);
            return;
        } else if (errno != ECONNABORTED && errno != EINTR) {
            return;
        }
    }
}

static void on_accept_again(struct ev_loop *loop, ev_timer *watcher, int events)
{
    (void)events;
    struct edge_front *self = watcher->data;
    ev_timer_set(watcher, 1., 0.);
    ev_io_start(loop, &self->accepting);
}

static int open_socket(const struct config *config)
{
    char port[8];
    const int one = 1;
    struct addrinfo *address = NULL,
                    hints = {.ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    snprintf(port, sizeof port, "%u", (unsigned)config->http_port);
    if (getaddrinfo(config->bind_address, port, &hints, &address) != 0) {
        errno = EADDRNOTAVAIL;
        return -1;
    }
    int fd = socket(address->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
        if (config->edges > 1)
            setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
        if (bind(fd, address->ai_addr, address->ai_addrlen) != 0 || listen(fd, SOMAXCONN) != 0) {
            int reason = errno;
            close(fd);
            fd = -1;
            errno = reason;
        }
    }
    freeaddrinfo(address);
    return fd;
}

int edge_front_open(struct edge *edge, struct lws_vhost *vhost)
{
    int fd = open_socket(edge->config);
    if (fd < 0) {
        log_event(LEVEL_ERROR, "listen_failed", "reason",
                  "could not listen on %s port %d (http): %s", edge->config->bind_address,
                  (int)edge->config->http_port, strerror(errno));
        return ERR_CONFIG;
    }
    struct edge_front *self = calloc(1, sizeof *self);
    CHECK(self != NULL);
    self->loop = edge->loop;
    self->vhost = vhost;
    ev_io_init(&self->accepting, on_connection, fd, EV_READ);
    ev_timer_init(&self->accept_again, on_accept_again, 1., 0.);
    self->accepting.data = self->accept_again.data = self;
    ev_io_start(self->loop, &self->accepting);
    edge->front = self;
    log_event(LEVEL_INFO, "listening", "port", "%d (http)", (int)edge->config->http_port);
    return 0;
}

void edge_front_close(struct edge *edge)
{
    struct edge_front *self = edge->front;
    if (self == NULL)
        return;
    while (self->visitors != NULL)
        close(dismiss(self->visitors));
    ev_io_stop(self->loop, &self->accepting);
    ev_timer_stop(self->loop, &self->accept_again);
    close(self->accepting.fd);
    free(self);
    edge->front = NULL;
}
