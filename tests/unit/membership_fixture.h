#pragma once
/*
 * membership_fixture - nodes of a cluster as rows of a PostgreSQL of the test's own: each with a
 * connection as its control thread has one.
 */
#include "cluster/planner.h"
#include "sql/db.h"
#include "sql/membership.h"
#include "sql/migrate.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TTL_MS 60000
#define WAIT_MS 10000
#define NOBODY PLACEMENT_NOBODY

struct peer {
    struct member member;
    struct ask db;
    int64_t incarnation;
    uint16_t number;
    char region[16];
};

static struct private_pg pg;
static struct ask admin; /* gito_admin: looks at rows, and makes time pass */

static inline struct ask connect_as(const char *url, const char *name, const char *role)
{
    char reason[300];
    struct ask db = {.conn = db_connect(url, name, role, reason, sizeof reason)};
    if (db.conn == NULL)
        fail_msg("%s", reason);
    return db;
}

static inline void run_in(struct ask *db, const char *sql)
{
    if (ask_do(db, sql, 0, NULL) != 0)
        fail_msg("%s: %s", sql, db->reason);
}

static inline void run(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline void run(const char *format, ...)
{
    char sql[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    run_in(&admin, sql);
}

static inline long number(const char *format, ...) __attribute__((format(printf, 1, 2)));
static inline long number(const char *format, ...)
{
    char sql[1000];
    va_list args;
    va_start(args, format);
    vsnprintf(sql, sizeof sql, format, args);
    va_end(args);
    PGresult *row = ask_rows(&admin, sql, 0, NULL);
    if (row == NULL)
        fail_msg("%s: %s", sql, admin.reason);
    long value = strtol(PQgetvalue(row, 0, 0), NULL, 10);
    PQclear(row);
    return value;
}

static inline long slots_where(const char *condition)
{
    return number("SELECT count(*) FROM cluster_slots WHERE %s", condition);
}

static inline long version_now(void)
{
    return number("SELECT version FROM cluster_version");
}

/* The region is the name up to its '-'. Not yet registered. */
static inline void peer_init(struct peer *self, const char *node_id)
{
    *self = (struct peer){.db = connect_as(pg.app_url, "joining", "gito_ingest")};
    snprintf(self->region, sizeof self->region, "%.*s", (int)strcspn(node_id, "-"), node_id);
    self->member = (struct member){.node_id = node_id,
                                   .region = self->region,
                                   .version = "1",
                                   .endpoints = "{\"mesh\": 7400}",
                                   .mesh_key = "key",
                                   .ttl_ms = TTL_MS,
                                   .hold_down_ms = 30000,
                                   .weight = 100,
                                   .edges = 1,
                                   .shards = 2,
                                   .mesh_version = 5};
}

static inline int peer_register(struct peer *self)
{
    return membership_register(&self->db, &self->member, planner_place, &self->incarnation,
                               &self->number);
}

static inline void join(struct peer *self, const char *node_id)
{
    peer_init(self, node_id);
    if (peer_register(self) != 0)
        fail_msg("%s", self->db.reason);
}

static inline void must(const struct peer *self, int rc)
{
    if (rc != 0)
        fail_msg("%s: %d, %s", self->member.node_id, rc, self->db.reason);
}

static inline void expire(const char *node_id)
{
    run("UPDATE cluster_nodes SET lease_until = clock_timestamp() - interval '1 s' "
        "WHERE node_id = '%s'",
        node_id);
}

static inline size_t bury(struct peer *self)
{
    size_t buried = 0;
    must(self,
         membership_bury(&self->db, &self->member, self->incarnation, planner_place, &buried));
    return buried;
}

/* All slots of region `region` that move from one peer to the other are handed over. */
static inline size_t hand_over_all(struct peer *from, const struct peer *to, uint16_t region)
{
    static uint16_t slots[LIMIT_SLOTS];
    static uint64_t epochs[LIMIT_SLOTS];
    size_t moved = 0;
    for (uint16_t i = 0; i < LIMIT_SLOTS; i++)
        slots[i] = i;
    must(from, membership_hand_over(&from->db, from->member.node_id, from->incarnation, region,
                                    slots, LIMIT_SLOTS, to->number, epochs));
    for (size_t i = 0; i < LIMIT_SLOTS; i++)
        moved += epochs[i] != 0;
    return moved;
}

/* The first `count` slots of region 0 that fit the condition. */
static inline void find_slots(const char *condition, uint16_t *slots, size_t count)
{
    for (size_t i = 0; i < count; i++)
        slots[i] = (uint16_t)number("SELECT slot FROM cluster_slots WHERE region = 'eu' AND %s "
                                    "ORDER BY slot OFFSET %zu LIMIT 1",
                                    condition, i);
}

static inline int hand_over(struct peer *from, const struct peer *to, const uint16_t *slots,
                            size_t count, uint64_t *ret_epochs)
{
    return membership_hand_over(&from->db, from->member.node_id, from->incarnation, 0, slots, count,
                                to->number, ret_epochs);
}

static inline void part(struct peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++)
        PQfinish(peers[i].db.conn);
}

static inline void wait_until_somebody_waits(void)
{
    for (int i = 0; number("SELECT count(*) FROM pg_locks WHERE NOT granted") == 0; i++) {
        assert_true(i < WAIT_MS);
        usleep(1000);
    }
}

/* Each test begins with a cluster without nodes. */
static inline int no_nodes(void **state)
{
    (void)state;
    run("DELETE FROM cluster_slots");
    run("DELETE FROM cluster_regions");
    run("DELETE FROM cluster_nodes");
    run("DELETE FROM cluster_suspicions");
    return 0;
}

static inline int start_pg(void **state)
{
    char reason[300];
    (void)state;
    private_pg_start(&pg);
    if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0)
        fail_msg("%s", reason);
    admin = connect_as(pg.admin_url, "test", NULL);
    return 0;
}

static inline int stop_pg(void **state)
{
    (void)state;
    PQfinish(admin.conn);
    private_pg_stop(&pg);
    return 0;
}
