#include "tests/bench/plain_tcp.h"
#include "node/clock.h"
#include "proto/check.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct receiver {
    int fd;
    size_t len, max, count;
    int64_t *samples;
};

static void *receive(void *arg)
{
    struct receiver *self = arg;
    uint8_t *frame = malloc(self->len);
    CHECK(frame != NULL);
    while (recv(self->fd, frame, self->len, MSG_WAITALL) == (ssize_t)self->len) {
        int64_t sent_us;
        memcpy(&sent_us, frame, sizeof sent_us);
        if (self->count < self->max)
            self->samples[self->count++] = clock_boot_us() - sent_us;
    }
    free(frame);
    return NULL;
}

static void connect_pair(int ret_fd[2])
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int on = 1, door = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(door >= 0 && bind(door, (struct sockaddr *)&at, sizeof at) == 0 && listen(door, 1) == 0);
    CHECK(getsockname(door, (struct sockaddr *)&at, &len) == 0);
    ret_fd[0] = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(ret_fd[0] >= 0 && connect(ret_fd[0], (struct sockaddr *)&at, sizeof at) == 0);
    ret_fd[1] = accept(door, NULL, NULL);
    CHECK(ret_fd[1] >= 0);
    CHECK(setsockopt(ret_fd[0], IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) == 0);
    close(door);
}

/* Due frames leave together each millisecond, as those of the mesh do. */
static void send_all(int fd, double frames_per_s, double seconds, size_t len)
{
    uint8_t *frame = calloc(1, len);
    CHECK(frame != NULL);
    int64_t begin = clock_boot_us(), end = begin + (int64_t)(seconds * 1e6), sent = 0;
    for (int64_t now = begin; now < end; now = clock_boot_us()) {
        double due = frames_per_s * (double)(now - begin) / 1e6;
        for (; (double)sent <= due; sent++) {
            int64_t now_us = clock_boot_us();
            memcpy(frame, &now_us, sizeof now_us);
            CHECK(send(fd, frame, len, 0) == (ssize_t)len);
        }
        poll(NULL, 0, 1);
    }
    free(frame);
}

size_t plain_tcp_run(double frames_per_s, double seconds, size_t len, int64_t *samples, size_t max)
{
    pthread_t thread;
    int fd[2];
    connect_pair(fd);
    struct receiver receiver = {.fd = fd[1], .len = len, .max = max, .samples = samples};
    CHECK(pthread_create(&thread, NULL, receive, &receiver) == 0);
    send_all(fd[0], frames_per_s, seconds, len);
    close(fd[0]);
    CHECK(pthread_join(thread, NULL) == 0);
    close(fd[1]);
    return receiver.count;
}
