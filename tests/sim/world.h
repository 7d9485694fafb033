#pragma once
/*
 * world - one simulated run: devices' clients, a node, PostgreSQL and the time, from one seed.
 *
 * The files: client.c (publish and redeliver), edge.c (credit, frames to and from shards), node.c
 * (shards, writers, crashes), database.c (executes batches, fails), check.c (the promises), run.c
 * (what happens when). What is told to the checker stops the run at its first failure.
 *
 * Owner: one thread. Nothing here reads a clock or any other source of chance than `random`.
 */
#include "actors/shard.h"

#define DEVICES 5
#define CLIENTS 7
#define RULES 10
#define EDGES 2
#define SHARDS 3
#define TEXT_BYTES 160
#define TRACE_LINES 48
#define TRACE_BYTES 160

enum mutation {
    MUTATION_NONE,
#define MUTATION(name, text) MUTATION_##name,
#include "tests/sim/mutation.def"
#undef MUTATION
    MUTATIONS
};

/* A reading as its client made it: what the database holds is compared with this. */
struct sample {
    uint32_t device, client;
    int64_t own_us; /* 0: it has no timestamp of its own */
    double value[METRICS];
    uint32_t present;
    uint32_t stored; /* rows of it */
    bool refused;    /* the database will not have it */
    char payload[TEXT_BYTES], extra[TEXT_BYTES];
};

enum publish_kind { PUBLISH_TELEMETRY, PUBLISH_BAD, PUBLISH_MESSAGE, PUBLISH_RETAINED };

struct publish {
    enum publish_kind kind; /* all but telemetry have no samples */
    uint32_t done;          /* BAD, RETAINED: transactions that held it */
    uint32_t first, count;  /* samples */
    uint16_t packet_id;     /* 0: QoS 0 */
    bool sent_before, on_wire, dup, answered;
    uint8_t code;
};

struct client {
    uint32_t device;
    bool own; /* the device's own connection; else a service account's */
    bool connected;
    uint16_t edge;
    uint32_t generation, window;
    struct publish *publishes;
    uint32_t count, cap;
    uint32_t open;       /* all before it are answered */
    uint32_t sent, read; /* on this connection: by the client, by the edge */
};

struct packet {
    struct packet *next;
    size_t len;
    uint8_t bytes[];
};
struct fifo {
    struct packet *first, *last;
};

struct sim_edge {
    struct frame to[SHARDS];
    struct fifo inbox;
    int64_t items, bytes; /* given to the shards and not had back */
};

struct sim_writer {
    struct batch *queue[LIMIT_BATCHES_IN_FLIGHT];
    uint32_t count;
    int64_t due_us; /* nothing happens before */
    bool done;      /* the first one has committed, and is on its way back */
    bool again;     /* the first one was tried */
};

struct sim_node {
    uint64_t incarnation;
    uint32_t shards;
    int64_t paused_until_us;
    shard_t *shard[SHARDS];
    struct fifo inbox[SHARDS];
    struct sim_writer writer[SHARDS];
    struct sim_edge edge[EDGES];
};

struct db_device {
    struct uuid id, tenant;
    bool exists;
    uint8_t status;
    int64_t last_seen_us, latest_us;
    char latest[TEXT_BYTES];
};
struct db_rule {
    struct uuid id;
    uint32_t device;
    bool exists, active;
    struct batch_rule rule;
};
struct db_row {
    uint32_t device, sample;
    int64_t timestamp_us, seq;
};
struct db_event {
    struct uuid id, rule;
    uint32_t device;
    int64_t fired_at_us;
};
struct db_hour {
    uint32_t device;
    int64_t hour_us;
    struct hour_stats stats;
};
struct database {
    uint64_t incarnation;
    int64_t away_until_us, full_until_us; /* not to be reached; disk full */
    struct db_device device[DEVICES];
    struct db_rule rule[RULES];
    uint32_t rules_made;
    struct db_row *rows;
    struct db_event *events;
    struct db_hour *hours;
    uint32_t rows_count, rows_cap, events_count, events_cap, hours_count, hours_cap;
};

struct world {
    uint64_t seed, random;
    enum mutation mutation;
    int64_t now_us;
    struct device_times times;
    int64_t credit_items;
    bool calm;     /* the end of the run: no fault any more */
    bool refusing; /* the database refuses some readings; then nothing crashes */
    bool future;   /* timestamps of their own may lie ahead of the time */
    uint32_t generations;
    struct sample *samples;
    uint32_t samples_count, samples_cap;
    struct client client[CLIENTS];
    struct sim_node *node, *former; /* former: declared dead, and does not know it yet */
    struct database db;
    uint64_t lines;
    char line[TRACE_LINES][TRACE_BYTES];
    char failure[256]; /* "": none */
};

/* [0, n) */
static inline uint64_t random_below(struct world *self, uint64_t n)
{
    uint64_t z = self->random += 0x9E3779B97F4A7C15ULL; /* splitmix64 */
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9ULL;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBULL;
    return (z ^ (z >> 31)) % n;
}
static inline bool random_percent(struct world *self, unsigned percent)
{
    return random_below(self, 100) < percent;
}

void trace(struct world *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The first failure of a run is kept. */
void fail(struct world *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
void trace_print(const struct world *self);

/* Room for one more element of a list; aborts without memory. */
#define GROW(list, count, cap)                                                                     \
    do {                                                                                           \
        if ((count) == (cap)) {                                                                    \
            (cap) = (cap) ? 2 * (cap) : 64;                                                        \
            (list) = realloc((list), (cap) * sizeof *(list));                                      \
            CHECK((list) != NULL);                                                                 \
        }                                                                                          \
        memset(&(list)[count], 0, sizeof *(list));                                                 \
    } while (0)

/* run.c: a whole run; frees all but the trace and the failure. False: a promise was broken. */
bool world_run(struct world *self, uint64_t seed, enum mutation mutation);
