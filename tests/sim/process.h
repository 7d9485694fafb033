#pragma once
/*
 * process - one simulated node, from its registration to its end: an incarnation of its place.
 *
 * Its threads are tasks of their own. They share nothing: each has a mailbox for each other one
 * that sends to it, and takes from them in whatever order.
 */
#include "actors/shard.h"
#include "cluster/lanes.h"
#include "cluster/lease.h"
#include "cluster/link.h"
#include "cluster/moves.h"
#include "cluster/probe.h"
#include "cluster/slots.h"
#include "proto/envelope.h"
#include "proto/mesh.h"
#include "tests/sim/store.h"

#define EDGES 2
#define SHARDS 3
#define NUMBERS PLACES /* of nodes */

struct world;

/* Something that happens at its time; not before it is woken: INT64_MAX. */
struct task {
    int64_t due_us;
    void (*run)(struct world *world, struct task *self);
};

struct packet {
    struct packet *next;
    struct mesh_head head; /* to the mesh: for whom */
    size_t len;
    uint8_t bytes[];
};
struct fifo {
    struct packet *first, *last;
};

struct process;

enum thread_kind {
    THREAD_CONTROL,
    THREAD_LEASE,
    THREAD_SHARD,
    THREAD_WRITER,
    THREAD_EDGE,
    THREAD_MESH
};
struct thread {
    struct task task;
    struct process *process;
    enum thread_kind kind;
    uint32_t index;
};

/* ---- the database, as a thread asks it ---- */

enum call_state { CALL_IDLE, CALL_SENT, CALL_ANSWERED };
struct call {
    struct task task; /* its arrival at the database */
    struct thread *thread;
    enum call_state state;
    bool reads; /* and writes nothing: a full disk is none of its */
    int rc;
    /* What the database does; the answer stays with the thread. */
    int (*execute)(struct world *world, struct call *self);
};

/* ---- edges ---- */

struct edge_far {
    bool known;
    uint16_t life;
    uint8_t shards;
    struct frame frame[SHARDS];
};

/* An item that is not answered: in which epoch it was sent last. */
struct sent {
    uint32_t name, epoch;
};

/* A reading that its watchers were told of. */
struct told {
    uint64_t device;
    int64_t timestamp_us;
    uint32_t key;
    bool again, fresh;
};

enum {
    EDGE_FROM_CONTROL,
    EDGE_FROM_MESH,
    EDGE_FROM_SHARD,
    EDGE_SENDERS = EDGE_FROM_SHARD + SHARDS
};

struct sim_edge {
    struct thread thread;
    struct world *world;
    lanes_t *lanes;
    struct edge_far far[NUMBERS];
    struct fifo inbox[EDGE_SENDERS];
    int64_t items, bytes; /* given to the lanes and not answered */
    int64_t strays;       /* answered by an owner before, or after, the present one */
    struct sent *sent;
    uint32_t sent_count, sent_cap;
    uint32_t *forgotten; /* of a mutation: items that are not kept */
    uint32_t forgotten_count, forgotten_cap;
    bool any_to_tell;
    bool draining, stopping, ended; /* sends its clients elsewhere; reads no more; is no more */
    uint8_t to_tell[LIMIT_REGIONS * LIMIT_SLOTS / 8];
    int8_t device_home[DEVICES], tenant_home[TENANTS]; /* -1: not known */
    bool watches_device[DEVICES], watches_tenant[TENANTS];
    int64_t last_arrival_us, tick_at_us;
    struct told *told;
    uint32_t told_count, told_cap;
    uint32_t admits;
};

/* ---- shards and writers ---- */

enum {
    SHARD_FROM_CONTROL,
    SHARD_FROM_MESH,
    SHARD_FROM_EDGE,
    SHARD_SENDERS = SHARD_FROM_EDGE + EDGES
};

struct sim_shard {
    struct thread thread;
    shard_t *shard;
    struct fifo inbox[SHARD_SENDERS];
    struct batch *done[LIMIT_BATCHES_IN_FLIGHT]; /* committed, on their way back */
    uint32_t done_count;
    int64_t tick_at_us;
};

struct sim_writer {
    struct thread thread;
    struct call call;
    struct batch *queue[LIMIT_BATCHES_IN_FLIGHT];
    uint32_t count;
    bool again; /* the first one was tried */
};

/* ---- control ---- */

struct view_node {
    bool known, alive;
    enum member_state state;
    int64_t incarnation;
    uint16_t number;
    uint8_t edges, shards;
};

/* What control has read in one go, and has not taken yet. */
struct view_read {
    int64_t version;
    struct view_node nodes[PLACES];
    uint32_t nodes_count;
    struct db_slot *slots;
    uint32_t slots_count;
    uint32_t changes; /* count of the database's */
};

struct suspect {
    uint16_t life;
    bool suspected;
    int64_t vote_at_us;
};

struct sim_lease {
    struct thread thread;
    struct call call;
    struct lease lease; /* milliseconds of now_us */
    bool connected, connecting;
    int64_t connect_at_us, backoff_us;
};

struct sim_control {
    struct thread thread;
    struct call call;
    void (*answered)(struct world *world, struct process *process);
    bool connected, changes_begun, notified, sweeping;
    int64_t connect_at_us, backoff_us, poll_at_us, expiry_at_us;
    int64_t version;
    struct view_node nodes[NUMBERS];
    struct slots slots;
    moves_t *moves;
    struct frame to_shard[SHARDS], to_edge[EDGES];
    struct fifo released; /* from the shards */
    struct suspect suspects[NUMBERS];
    uint32_t changes; /* told, of the database's */
    struct view_read read;
    struct moves_order order;
    uint64_t epochs[MOVES_GROUP];
    uint16_t voted;
    uint64_t awake; /* devices to watch */
    uint32_t homes_told;
    bool told_to_stop, draining, moving_clients, drained, leaving;
    int64_t drain_until_us, overdue_at_us;
};

/* ---- the mesh ---- */

enum {
    MESH_FROM_EDGE,
    MESH_FROM_SHARD = MESH_FROM_EDGE + EDGES,
    MESH_SENDERS = MESH_FROM_SHARD + SHARDS
};

struct sim_peer {
    uint16_t number, life;
    int64_t incarnation;
    uint32_t process; /* PROCESSES: none in this run */
    uint8_t place;
    bool cut; /* its connection is down */
    struct link link;
    struct probe probe;
};

/* On a wire to this process. */
struct flight {
    struct flight *next;
    int64_t arrives_us;
    uint32_t from; /* process */
    struct envelope envelope;
    uint8_t bytes[];
};

struct sim_mesh {
    struct thread thread;
    struct fifo inbox[MESH_SENDERS];
    struct sim_peer *peer[NUMBERS]; /* by number */
    bool view_changed;
    struct view_node view[NUMBERS]; /* given by control, not taken yet */
    struct flight *flights;         /* by arrival */
    int64_t free_at_us[32]; /* when the last one of each process arrives: wires keep the order */
};

enum process_phase { PROCESS_REGISTERING, PROCESS_RUNNING, PROCESS_STOPPING, PROCESS_ENDED };

struct process {
    uint32_t id; /* in this run */
    uint8_t place;
    enum process_phase phase;
    int64_t incarnation;
    uint16_t number, life;
    uint32_t shards;
    int64_t paused_until_us;
    int64_t cut_until_us; /* from the database; its questions wait, or fail at once */
    bool cut_hangs;
    int64_t clock_us;      /* its wall clock is ahead by that */
    int64_t stop_at_us;    /* the end of what its threads may take to finish */
    bool closed, finished; /* its edges are gone, its shards take nothing more; are gone too */
    struct sim_control control;
    struct sim_lease lease;
    struct sim_mesh mesh;
    struct sim_shard shard[SHARDS];
    struct sim_writer writer[SHARDS];
    struct sim_edge edge[EDGES];
};
