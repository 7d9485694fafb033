#include "node/bench_writer.h"
#include "node/clock.h"
#include "node/config.h"
#include "proto/check.h"
#include "sql/db.h"
#include "sql/store.h"
#include <stdio.h>
#include <unistd.h>

#ifndef BENCH_ROWS
#define BENCH_ROWS 1000
#endif
#define DEVICES 10000
#define NODE "bench-writer"
#define TENANT "00000000-0000-0000-0000-000000000001"

struct bench {
    const struct config *config;
    store_t *store;
    struct batch *batch;
    struct uuid tenant;
    int64_t incarnation, rows;
};

/* Draining: nobody gives it slots, and the fence lets it write. */
#define SQL_REGISTER                                                                               \
    "INSERT INTO cluster_nodes (node_id, incarnation, region, state, lease_until, version, "       \
    "started_at) VALUES ('" NODE "', %lld, 'bench', 'draining', now() + interval '1 day', '', "    \
    "now()) ON CONFLICT (node_id) DO UPDATE SET incarnation = EXCLUDED.incarnation"
#define SQL_REMOVE "DELETE FROM cluster_nodes WHERE node_id = '" NODE "' AND incarnation = %lld"

static int execute(const struct config *config, const char *sql)
{
    char reason[256] = "";
    PGconn *conn = db_connect(config->database_url, NODE, "gito_ingest", reason, sizeof reason);
    PGresult *result = conn != NULL ? PQexec(conn, sql) : NULL;
    int rc = conn != NULL && db_classify(result, conn) == DB_OK ? 0 : ERR_UNAVAILABLE;
    if (rc != 0) {
        if (conn != NULL)
            db_reason(result, conn, reason, sizeof reason);
        fprintf(stderr, "could not reach the database: %s\n", reason);
    }
    PQclear(result);
    PQfinish(conn);
    return rc;
}

static void fill_row(struct bench *self, struct batch_row *row, int64_t at_us)
{
    char text[160];
    int64_t n = self->rows++;
    int64_t device = n % DEVICES;
    snprintf(text, sizeof text, "00000000-0000-4000-8000-%012lld", (long long)device);
    CHECK(uuid_parse(text, UUID_TEXT_LEN, &row->device) == 0);
    row->tenant = self->tenant;
    row->timestamp_us = at_us;
    row->seq = (int64_t)((uint64_t)n * 0x9e3779b97f4a7c15u & ~UINT64_C(0xffffffff)) | n;
    row->present = (1u << METRICS) - 1;
    for (int m = 0; m < METRICS; m++)
        row->value[m] = (double)(n * 7 + m * 13) / 10.0;
    int len =
        snprintf(text, sizeof text, "{\"seq\":%lld,\"t_us\":%lld}", (long long)n, (long long)at_us);
    row->extra = batch_text(self->batch, text, (size_t)len);
}

static void fill(struct bench *self)
{
    int64_t now_us = clock_real_us();
    batch_clear(self->batch);
    for (int i = 0; i < BENCH_ROWS; i++) {
        struct batch_row *row = batch_add_rows(self->batch);
        CHECK(row != NULL);
        fill_row(self, row, now_us + i);
    }
}

/* CPU seconds of a process of this machine; 0: not one. */
static double process_cpu_s(int pid)
{
    char path[64];
    unsigned long user = 0, system = 0;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%*d (%*[^)]) %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
               &system) != 2)
        user = system = 0;
    fclose(file);
    return (double)(user + system) / (double)sysconf(_SC_CLK_TCK);
}

static int measure(struct bench *self, int seconds)
{
    fill(self);
    int rc = store_execute(self->store, self->batch); /* connects; does not count */
    int pid = store_backend_pid(self->store);
    double backend_s = process_cpu_s(pid);
    int64_t counted = self->rows;
    int64_t cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID);
    int64_t start_us = clock_boot_us(), end_us = start_us;
    while (rc == 0 && end_us - start_us < seconds * INT64_C(1000000)) {
        fill(self);
        rc = store_execute(self->store, self->batch);
        end_us = clock_boot_us();
    }
    if (rc != 0) {
        fprintf(stderr, "could not commit a batch: %s\n", err_text(rc));
        return rc;
    }
    double took_s = (double)(end_us - start_us) / 1e6, rows = (double)(self->rows - counted);
    cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - cpu_us;
    printf("{\"rows\":%.0f,\"rows_per_batch\":%d,\"seconds\":%.3f,\"rows_per_s\":%.0f,"
           "\"client_cpu_s\":%.3f,\"backend_cpu_s\":%.3f,\"backend_pid\":%d}\n",
           rows, BENCH_ROWS, took_s, rows / took_s, (double)cpu_us / 1e6,
           process_cpu_s(pid) - backend_s, pid);
    return 0;
}

static int run(struct bench *self, int seconds)
{
    const struct store_config config = {.url = self->config->database_url,
                                        .application_name = NODE,
                                        .node_id = NODE,
                                        .incarnation = self->incarnation};
    int rc = ERR_MEMORY;
    self->store = store_new(&config);
    self->batch = batch_new();
    if (self->store != NULL && self->batch != NULL)
        rc = measure(self, seconds);
    store_destroy(&self->store);
    batch_destroy(&self->batch);
    return rc;
}

int bench_writer_run(const struct config *config, int seconds)
{
    char sql[512];
    struct bench bench = {.config = config, .incarnation = clock_real_us()};
    CHECK(uuid_parse(TENANT, UUID_TEXT_LEN, &bench.tenant) == 0);
    snprintf(sql, sizeof sql, SQL_REGISTER, (long long)bench.incarnation);
    int rc = execute(config, sql);
    if (rc != 0)
        return rc;
    rc = run(&bench, seconds);
    snprintf(sql, sizeof sql, SQL_REMOVE, (long long)bench.incarnation);
    int removed = execute(config, sql);
    return rc != 0 ? rc : removed;
}
