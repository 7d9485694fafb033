#pragma once
/*
 * world - one simulated run: clients, nodes, the database, the wires and the time, from one seed.
 *
 * What happens next is the task that is due first. What is told to the checker stops the run at
 * its first failure. parts.h says what each file does for the others.
 *
 * Owner: one thread. Nothing here reads a clock or any other source of chance than `random`.
 */
#include "tests/sim/process.h"

#define SECOND_US 1000000LL
#define CLIENTS 11
#define PROCESSES 32 /* that may start in a run; two edges each: bits of db_row */
#define TASKS 512
#define TRACE_BYTES 180

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
    uint32_t device;
    uint32_t done;         /* BAD, RETAINED: transactions that held it */
    uint32_t first, count; /* samples */
    uint16_t packet_id;    /* 0: QoS 0 */
    bool sent_before, on_wire, dup, answered;
    uint8_t code;
};

struct client {
    struct task task;
    uint32_t device;
    bool own; /* the device's own connection; else a service account's, of its tenant */
    struct sim_edge *edge; /* NULL: not connected */
    uint32_t generation, window;
    int64_t since_us;
    struct publish *publishes;
    uint32_t count, cap;
    uint32_t open;       /* all before it are answered */
    uint32_t sent, read; /* on this connection: by the client, by the edge */
};

/* What kind of run the seed makes. */
struct plan {
    unsigned places, regions, filler_slots;
    bool storm;     /* nodes crash, pause, are cut off; else all that happens to them is planned */
    bool rough;     /* wires lose, double and reorder */
    bool refusing;  /* the database refuses some readings; then nothing crashes */
    bool future;    /* timestamps of their own may lie ahead of the time */
    bool skewed;    /* wall clocks of nodes differ */
    int64_t lag_us; /* between threads, usually */
    int64_t pace_us, faults_us; /* of a client's actions; of what befalls the cluster */
    int64_t end_us;
};

/* Packets between two places: stopped until then; to be lost, or only late. */
struct cut {
    int64_t until_us;
    bool loses;
};

struct world {
    uint64_t seed, random;
    enum mutation mutation;
    bool tracing;
    struct plan plan;
    int64_t now_us;   /* a clock that no one sets: leases, lanes, wires */
    int64_t epoch_us; /* wall clock less now_us: jumps when hours pass */
    struct device_times times;
    int64_t credit_items;
    bool calm; /* the end of the run: no fault any more */
    struct task *tasks[TASKS];
    uint32_t tasks_count;
    uint32_t under_way; /* frames in mailboxes and on wires */
    uint32_t generations;
    struct sample *samples;
    uint32_t samples_count, samples_cap;
    struct client client[CLIENTS];
    uint32_t *last_stored; /* by generation and device: newest sample + 1 */
    uint32_t last_stored_cap;
    struct process *process[PROCESSES]; /* NULL: not started yet, or gone and freed */
    uint32_t processes;
    int64_t start_at_us[PLACES];      /* INT64_MAX: not to be started */
    struct cut cut[PLACES][PLACES];   /* from, to */
    int64_t trouble_until_us[PLACES]; /* until then the death of that node is no wonder */
    struct task fate, starter;
    struct database db;
    /* watchers: edges that were told of everything since; rows from there on are looked at */
    uint64_t established;
    uint32_t must_from;
    struct sim_stats {
        uint64_t steps, moves, deaths, checked;
    } stats;
    char (*lines)[TRACE_BYTES]; /* the trace; kept after the run */
    uint32_t lines_count, lines_cap;
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

void trace_line(struct world *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
#define trace(self, ...)                                                                           \
    do {                                                                                           \
        if ((self)->tracing)                                                                       \
            trace_line((self), __VA_ARGS__);                                                       \
    } while (0)
/* The last lines of it. */
void trace_print(const struct world *self, uint32_t lines_max);
/* The first failure of a run is kept. */
void fail(struct world *self, const char *format, ...) __attribute__((format(printf, 2, 3)));

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
bool world_run(struct world *self, uint64_t seed, enum mutation mutation, bool tracing);
