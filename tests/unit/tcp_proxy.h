#pragma once
/*
 * tcp_proxy - a way to a TCP port of this machine that can be taken away: while `cut` is set every
 * connection is closed, and new ones as soon as they come; while `hole` is set they stay, and what
 * is said waits.
 */
#include "proto/check.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TCP_PROXY_PAIRS 32

struct tcp_proxy {
    int listener, port, target;
    int fds[TCP_PROXY_PAIRS][2]; /* accepted, connected; -1: free */
    atomic_bool cut, hole, stop;
    atomic_uint turns;
    pthread_t thread;
};

static inline struct sockaddr_in tcp_proxy_address(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

/* A port of the loopback that is free now. */
static inline int tcp_free_port(void)
{
    struct sockaddr_in address = tcp_proxy_address(0);
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&address, len) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&address, &len) == 0);
    close(fd);
    return ntohs(address.sin_port);
}

static inline void tcp_proxy_close(int pair[2])
{
    for (int i = 0; i < 2; i++)
        if (pair[i] >= 0)
            close(pair[i]);
    pair[0] = pair[1] = -1;
}

static inline void tcp_proxy_accept(struct tcp_proxy *self)
{
    struct sockaddr_in address = tcp_proxy_address(self->target);
    int pair[2] = {accept(self->listener, NULL, NULL), socket(AF_INET, SOCK_STREAM, 0)};
    if (self->cut || connect(pair[1], (struct sockaddr *)&address, sizeof address) != 0) {
        tcp_proxy_close(pair);
        return;
    }
    for (int i = 0; i < TCP_PROXY_PAIRS; i++)
        if (self->fds[i][0] < 0) {
            memcpy(self->fds[i], pair, sizeof pair);
            return;
        }
    tcp_proxy_close(pair);
}

/* False: an end has closed. */
static inline bool tcp_proxy_carry(int from, int to)
{
    char bytes[65536];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    for (ssize_t sent = 0, more; sent < n; sent += more)
        if ((more = send(to, bytes + sent, (size_t)(n - sent), MSG_NOSIGNAL)) <= 0)
            return false;
    return n > 0;
}

static inline void tcp_proxy_turn(struct tcp_proxy *self)
{
    struct pollfd fds[1 + 2 * TCP_PROXY_PAIRS] = {{.fd = self->listener, .events = POLLIN}};
    for (int i = 0; i < TCP_PROXY_PAIRS; i++)
        for (int k = 0; k < 2; k++)
            fds[1 + 2 * i + k] =
                (struct pollfd){.fd = self->hole ? -1 : self->fds[i][k], .events = POLLIN};
    poll(fds, 1 + 2 * TCP_PROXY_PAIRS, 5);
    for (int i = 0; i < TCP_PROXY_PAIRS; i++)
        for (int k = 0; k < 2; k++)
            if (self->cut || (fds[1 + 2 * i + k].revents != 0 && self->fds[i][k] >= 0 &&
                              !tcp_proxy_carry(self->fds[i][k], self->fds[i][1 - k])))
                tcp_proxy_close(self->fds[i]);
    if (fds[0].revents != 0)
        tcp_proxy_accept(self);
    self->turns++;
}

/* Breaks all connections there are now. */
static inline void tcp_proxy_break(struct tcp_proxy *self)
{
    unsigned turn = self->turns;
    self->cut = true;
    while (self->turns - turn < 2)
        poll(NULL, 0, 1);
    self->cut = false;
}

static inline void *tcp_proxy_run(void *context)
{
    struct tcp_proxy *self = context;
    while (!self->stop)
        tcp_proxy_turn(self);
    return NULL;
}

static inline void tcp_proxy_start(struct tcp_proxy *self, int target)
{
    struct sockaddr_in address = tcp_proxy_address(0);
    socklen_t len = sizeof address;
    memset(self, 0, sizeof *self);
    memset(self->fds, -1, sizeof self->fds);
    self->target = target;
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(self->listener, (struct sockaddr *)&address, len) == 0);
    CHECK(listen(self->listener, 64) == 0);
    CHECK(getsockname(self->listener, (struct sockaddr *)&address, &len) == 0);
    self->port = ntohs(address.sin_port);
    CHECK(pthread_create(&self->thread, NULL, tcp_proxy_run, self) == 0);
}

static inline void tcp_proxy_stop(struct tcp_proxy *self)
{
    self->stop = true;
    pthread_join(self->thread, NULL);
    for (int i = 0; i < TCP_PROXY_PAIRS; i++)
        tcp_proxy_close(self->fds[i]);
    close(self->listener);
}
