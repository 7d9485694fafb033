#pragma once
/*
 * store - executes batches: each one transaction, sent in one flush, answered in one round trip.
 *
 * In:    a batch (proto/batch.h), the fence's node and incarnation.
 * Out:   its answers, filled in after the COMMIT.
 * Owner: the writer thread that made it.
 * Holds: 1. It returns 0 only after COMMIT has answered. Whatever the connection or the server
 *           do meanwhile is retried inside, for as long as the caller does not stop it.
 *        2. A retry stores nothing twice: readings by their key, alerts by their event's id,
 *           rejects by an id drawn once a batch; touches and rollups set, they do not add.
 *        3. A row that the database refuses is set aside with its reason; the others are stored.
 */
#include "proto/batch.h"
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>

struct store_config {
    const char *url, *application_name; /* the strings outlive the store */
    const char *node_id;
    int64_t incarnation;
    /* Asked while waiting (each 100 ms): true gives up. NULL: never. */
    bool (*should_stop)(void *context);
    /* The database went away (once an outage) or is back. NULL: not told. */
    void (*on_state)(void *context, bool up, const char *reason);
    void *context;
};

struct store_stats {
    uint64_t batches, retries, slow_batches, refused;
};

typedef struct store store_t;

store_t *store_new(const struct store_config *config); /* NULL: out of memory; connects later */
void store_destroy(store_t **self_p);

/* 0: committed, answers are filled in. ERR_FENCED: nothing was done and never will be.
 * ERR_UNAVAILABLE: told to stop; the batch may be stored or not. batch->error is the same. */
int store_execute(store_t *self, struct batch *batch) MUST_CHECK;

const struct store_stats *store_stats(const store_t *self);
/* Process id of the connection's backend; 0: not connected. */
int store_backend_pid(const store_t *self);
