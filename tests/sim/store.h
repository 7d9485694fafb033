#pragma once
/*
 * store - what the simulated PostgreSQL holds: devices, rules, readings; members and slots.
 */
#include "cluster/planner.h"
#include "proto/batch.h"

#define DEVICES 8
#define TENANTS 3
#define RULES 12
#define REGIONS 3
#define PLACES 5 /* names that a node may have: rows of cluster_nodes */
#define TEXT_BYTES 160
#define NOBODY UINT8_MAX /* no place */

struct db_device {
    struct uuid id;
    uint32_t tenant; /* index */
    uint16_t slot;   /* where it belongs: of its home region */
    bool own_home;   /* it has a home region of its own */
    bool exists, connected;
    uint8_t status;
    int64_t last_seen_us, latest_us;
    char latest[TEXT_BYTES];
};
struct db_tenant {
    struct uuid id;
    uint8_t region; /* home; 0: none of its own */
};
struct db_rule {
    struct uuid id;
    uint32_t device;
    bool exists, active, changed; /* changed: since it was made */
    struct batch_rule rule;
};
struct db_row {
    uint32_t device, sample;
    int64_t timestamp_us, seq;
    uint32_t next;       /* an older one of the same device, or UINT32_MAX */
    uint64_t must, told; /* edges (world.h) that are to be told of it, and were */
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

/* ---- the cluster ---- */

enum member_state { MEMBER_NONE, MEMBER_ACTIVE, MEMBER_DRAINING, MEMBER_CONDEMNED, MEMBER_ENDED };

/* A row of cluster_nodes. */
struct db_member {
    enum member_state state;
    int64_t incarnation;
    uint16_t number; /* MSG_NOBODY: never registered */
    uint8_t region, edges, shards;
    uint32_t weight;
    int64_t lease_until_us, started_us, left_us;
    char name[16];
};
struct db_slot {
    uint16_t slot; /* msg_slot() */
    uint8_t owner, target;
    uint32_t epoch;
    int64_t changed;
};
struct db_vote {
    uint8_t voter, suspect;
    int64_t voter_incarnation, suspect_incarnation, voted_us;
};

struct database {
    /* It cannot be reached; cannot write; answers late. */
    int64_t away_until_us, full_until_us, slow_until_us;
    struct db_device device[DEVICES];
    struct db_tenant tenant[TENANTS];
    struct db_rule rule[RULES];
    uint32_t rules_made;
    struct db_row *rows;
    uint32_t newest_row[DEVICES]; /* stored last; UINT32_MAX: none */
    int64_t newest_us[DEVICES];   /* timestamps of the newest readings; 0: none */
    struct db_event *events;
    struct db_hour *hours;
    uint32_t rows_count, rows_cap, events_count, events_cap, hours_count, hours_cap;
    /* Devices whose rules or existence changed, in order. */
    uint8_t *changes;
    uint32_t changes_count, changes_cap;
    /* the cluster */
    struct db_member member[PLACES];
    struct db_slot *slots; /* by region and slot */
    uint32_t slots_count;
    uint32_t *slot_index; /* by msg_slot(); UINT32_MAX: no such row */
    struct db_vote votes[PLACES * PLACES];
    uint32_t votes_count;
    int64_t version, made_us, hold_down_us;
    struct db_member old_member[PLACES]; /* an old view, of a mutation; old_slots NULL: none */
    struct db_slot *old_slots;
};
