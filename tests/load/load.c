#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BUFFER = 1 << 20, DESCRIPTORS_BESIDE = 32 };

static void fail(const char *subject, const char *why)
{
    fprintf(stderr, "gito-load: %s %s\n", subject, why);
    exit(2);
}

static struct template *compile(const char *name, const char *text)
{
    const char *why = "";
    if (text == NULL)
        return NULL;
    struct template *template = template_new(text, &why);
    if (template == NULL)
        fail(name, why);
    return template;
}

static void add_target(struct load *self, char *host)
{
    uint64_t port = self->options.port;
    char *colon = strchr(host, ':');
    if (colon != NULL) {
        *colon = '\0';
        port = strtoull(colon + 1, NULL, 10);
    }
    if (port == 0 || port > UINT16_MAX || self->target_count == TARGETS_MAX)
        fail("--host", "names a port that is none, or too many servers");
    struct sockaddr_in *target = &self->targets[self->target_count++];
    *target = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    const char *address = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    if (inet_pton(AF_INET, address, &target->sin_addr) != 1)
        fail(host, "is no IPv4 address");
    if (ntohl(target->sin_addr.s_addr) >> 24 != 127 && !self->options.any_host)
        fail(host, "is not on loopback; --any-host if the server is yours to load");
}

static void add_targets(struct load *self)
{
    char *list = must_calloc(strlen(self->options.host) + 1, 1), *rest = list;
    strcpy(list, self->options.host);
    for (char *host; (host = strsep(&rest, ",")) != NULL;)
        add_target(self, host);
    free(list);
}

static void raise_descriptor_limit(uint64_t connections)
{
    struct rlimit limit;
    rlim_t needed = (rlim_t)connections + DESCRIPTORS_BESIDE;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= needed)
        return;
    if (limit.rlim_max < needed)
        fail("--connections", "needs more open files than the hard limit allows");
    limit.rlim_cur = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("could not raise the limit of open files:", strerror(errno));
}

static void add_connections(struct load *self)
{
    const struct options *options = &self->options;
    uint64_t count = options->connections;
    self->connections = must_calloc(count, sizeof *self->connections);
    self->dirty = must_calloc(count, sizeof(struct connection *));
    for (uint32_t i = 0; i < count; i++) {
        struct connection *connection = &self->connections[i];
        connection->fd = -1;
        connection->number = i;
        connection->target = options->together ? 0 : i % self->target_count;
        connection->next_dev = i % options->devices;
        if (!options->idle)
            window_init(&connection->window, (uint32_t)options->window);
    }
}

static FILE *open_to_write(const char *path)
{
    if (path == NULL)
        return NULL;
    FILE *file = fopen(path, "w");
    if (file == NULL)
        fail(path, strerror(errno));
    setvbuf(file, NULL, _IOFBF, FILE_BUFFER);
    return file;
}

void load_init(struct load *self, const struct options *options)
{
    *self = (struct load){.options = *options};
    self->random = (options->seed + 1) * UINT64_C(0x9e3779b97f4a7c15);
    self->client_id = compile("--client-id", options->client_id);
    self->user = compile("--user", options->user);
    self->pass = compile("--pass", options->pass);
    self->topic = compile("--topic", options->topic);
    self->payload = compile("--payload", options->payload);
    if (template_max(self->topic) > UINT16_MAX || template_max(self->payload) > 256 * 1024)
        fail("--topic or --payload", "is too long");
    add_targets(self);
    raise_descriptor_limit(options->connections);
    add_connections(self);
    self->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (self->epoll < 0)
        fail("could not make an epoll set:", strerror(errno));
    self->ledger = open_to_write(options->ledger);
    self->waits = open_to_write(options->waits);
    load_clock(self);
}

/* In credentials a connection is its first device. */
static bool close_waits(const struct load *self)
{
    if (self->waits == NULL)
        return true;
    for (uint32_t i = 0; i < self->options.connections; i++)
        fprintf(self->waits, "%" PRIu64 " %.3f\n", self->options.first + i % self->options.devices,
                (double)self->connections[i].wait_ns / 1e6);
    return fclose(self->waits) == 0;
}

bool load_close(struct load *self)
{
    bool written = close_waits(self);
    for (uint32_t i = 0; i < self->options.connections; i++) {
        struct connection *connection = &self->connections[i];
        connection_close(connection);
        window_free(&connection->window);
    }
    free(self->connections);
    free(self->dirty);
    template_destroy(&self->client_id);
    template_destroy(&self->user);
    template_destroy(&self->pass);
    template_destroy(&self->topic);
    template_destroy(&self->payload);
    close(self->epoll);
    return (self->ledger == NULL || fclose(self->ledger) == 0) && written;
}

int64_t load_clock(struct load *self)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    self->now_ns = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    return self->now_ns;
}

void load_touch(struct load *self, struct connection *connection)
{
    if (!connection->dirty) {
        connection->dirty = true;
        self->dirty[self->dirty_count++] = connection;
    }
}

void load_error(struct load *self, const char *what, const char *why)
{
    struct counts *counts = &self->counts;
    if (counts->errors++ == 0)
        snprintf(counts->first_error, sizeof counts->first_error, "%s: %s", what, why);
}

void load_gap(struct load *self, const struct connection *connection)
{
    int64_t gap_ns = self->now_ns - connection->acked_ns;
    if (gap_ns > self->counts.connection_gap_ns)
        self->counts.connection_gap_ns = gap_ns;
}

void load_wait(const struct load *self, struct connection *connection, int64_t due_ns)
{
    if (self->now_ns - due_ns > connection->wait_ns)
        connection->wait_ns = self->now_ns - due_ns;
}

uint64_t load_unacked(const struct load *self)
{
    const struct counts *counts = &self->counts;
    return self->options.qos == 0 ? 0 : counts->sent - counts->acked - counts->refused;
}
