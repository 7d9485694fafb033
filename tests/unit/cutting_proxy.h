#pragma once
/*
 * cutting_proxy - a way to a server that can lose its answers: it carries bytes both ways; while
 * `deaf` is set, what the server says is thrown away; `cut` closes the connection once.
 */
#include "proto/check.h"
#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

struct cutting_proxy {
    int listener, port;
    char server[108]; /* path of its Unix socket */
    atomic_bool deaf, cut, stop;
    pthread_t thread;
};

static inline int proxy_reach(const struct cutting_proxy *self)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    strcpy(address.sun_path, self->server);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
        return fd;
    close(fd);
    return -1;
}

/* False: an end has closed. */
static inline bool proxy_carry(int from, int to, bool swallow)
{
    char bytes[65536];
    ssize_t n = recv(from, bytes, sizeof bytes, 0);
    return n > 0 && (swallow || send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n);
}

static inline void proxy_serve(struct cutting_proxy *self, int client, int server)
{
    struct pollfd fds[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    while (!self->stop && !atomic_exchange(&self->cut, false)) {
        poll(fds, 2, 10);
        if (fds[0].revents && !proxy_carry(client, server, false))
            return;
        if (fds[1].revents && !proxy_carry(server, client, self->deaf))
            return;
    }
}

static inline void *proxy_run(void *context)
{
    struct cutting_proxy *self = context;
    while (!self->stop) {
        struct pollfd fd = {.fd = self->listener, .events = POLLIN};
        if (poll(&fd, 1, 10) <= 0)
            continue;
        int client = accept(self->listener, NULL, NULL), server = proxy_reach(self);
        if (server >= 0)
            proxy_serve(self, client, server);
        close(client);
        close(server);
    }
    return NULL;
}

static inline void cutting_proxy_start(struct cutting_proxy *self, const char *server)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof address;
    memset(self, 0, sizeof *self);
    CHECK(strlen(server) < sizeof self->server);
    strcpy(self->server, server);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->listener = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(self->listener, (struct sockaddr *)&address, sizeof address) == 0);
    CHECK(listen(self->listener, 8) == 0);
    CHECK(getsockname(self->listener, (struct sockaddr *)&address, &len) == 0);
    self->port = ntohs(address.sin_port);
    CHECK(pthread_create(&self->thread, NULL, proxy_run, self) == 0);
}

static inline void cutting_proxy_stop(struct cutting_proxy *self)
{
    self->stop = true;
    pthread_join(self->thread, NULL);
    close(self->listener);
}
