#include "node/control_register.h"
#include "cluster/lease.h"
#include "cluster/planner.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/control.h"
#include "node/log.h"
#include "proto/check.h"
#include "proto/msg.h"
#include "sql/db.h"
#include "sql/migrate.h"
#include "sql/upkeep.h"
#include <inttypes.h>
#include <jansson.h>

#define NODE_VERSION "0.1.0"
#define RETRY_MS 500
#define SAY_EVERY_US (5 * INT64_C(1000000))

void registration_init(struct registration *self, const struct config *config, const char *mesh_key)
{
    int64_t mqtts_port = config->tls_cert_file[0] != '\0' ? config->mqtts_port : 0;
    json_t *json =
        json_pack("{s:s, s:I, s:I, s:I, s:I}", "address", config->advertise_address, "mqtt",
                  (json_int_t)config->mqtt_port, "mqtts", (json_int_t)mqtts_port, "http",
                  (json_int_t)config->http_port, "mesh", (json_int_t)config->mesh_port);
    size_t len = json_dumpb(json, self->endpoints, sizeof self->endpoints - 1, JSON_COMPACT);
    json_decref(json);
    CHECK(len > 0 && len < sizeof self->endpoints);
    self->endpoints[len] = '\0';
    self->member = (struct member){.node_id = config->node_id,
                                   .region = config->node_region,
                                   .version = NODE_VERSION,
                                   .endpoints = self->endpoints,
                                   .ttl_ms = LEASE_TTL_MS,
                                   .mesh_key = mesh_key,
                                   .regions = config->cluster_regions,
                                   .hold_down_ms = config->hold_down_seconds * 1000,
                                   .weight = (uint32_t)config->node_weight,
                                   .edges = (uint32_t)config->edges,
                                   .shards = (uint32_t)config->shards,
                                   .mesh_version = MSG_VERSION};
}

void registration_session(const struct config *config, int64_t incarnation, char *ret_name,
                          size_t name_size)
{
    snprintf(ret_name, name_size, "%s/%" PRId64, config->node_id, incarnation);
}

/* One attempt. ERR_UNAVAILABLE and ERR_REFUSED: worth another. */
static int attempt(const struct config *config, const char *mesh_key, int64_t *ret_incarnation,
                   uint16_t *ret_number, char *ret_reason, size_t reason_size)
{
    struct registration registration;
    struct ask db = {0};
    char name[96];
    int rc = 0;
    registration_init(&registration, config, mesh_key);
    registration_session(config, 0, name, sizeof name);
    if (*config->database_admin_url != '\0')
        rc = migrate_run(config->database_admin_url, config->database_url, ret_reason, reason_size);
    if (rc != 0)
        return rc;
    db.conn = db_connect(config->database_url, name, "gito_ingest", ret_reason, reason_size);
    if (db.conn == NULL)
        return ERR_UNAVAILABLE;
    rc = migrate_check(db.conn, ret_reason, reason_size);
    if (rc == 0) {
        rc = upkeep_partitions(&db, config->retention_days);
        if (rc == 0)
            rc = membership_register(&db, &registration.member, planner_place, ret_incarnation,
                                     ret_number);
        if (rc != 0)
            snprintf(ret_reason, reason_size, "%s", db.reason);
    }
    PQfinish(db.conn);
    return rc;
}

static void pause_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&ts, NULL); /* a signal ends it early: the caller looks at its flag */
}

int control_register(const struct config *config, const char *mesh_key,
                     const volatile sig_atomic_t *stop, int64_t *ret_incarnation,
                     uint16_t *ret_number, char *ret_reason, size_t reason_size)
{
    int64_t say_at = 0;
    while (*stop == 0) {
        int rc = attempt(config, mesh_key, ret_incarnation, ret_number, ret_reason, reason_size);
        if (rc != ERR_UNAVAILABLE && rc != ERR_REFUSED)
            return rc;
        if (clock_boot_us() >= say_at) {
            log_event(LEVEL_WARNING, "waiting_for_database", "reason", "%s", ret_reason);
            say_at = clock_boot_us() + SAY_EVERY_US;
        }
        pause_ms(RETRY_MS);
    }
    return ERR_UNAVAILABLE;
}
