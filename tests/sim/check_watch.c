/* What watchers see: every reading once, and readings of one connection in their order. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

/* ---- the order in which readings are stored ---- */

static uint32_t *last_stored(struct world *self, uint32_t generation, uint32_t device)
{
    uint32_t index = generation * DEVICES + device;
    if (index >= self->last_stored_cap) {
        uint32_t cap = 2 * index + 1024;
        self->last_stored = realloc(self->last_stored, cap * sizeof *self->last_stored);
        CHECK(self->last_stored != NULL);
        memset(self->last_stored + self->last_stored_cap, 0,
               (cap - self->last_stored_cap) * sizeof *self->last_stored);
        self->last_stored_cap = cap;
    }
    return &self->last_stored[index];
}

void check_order(struct world *self, const struct batch_row *row)
{
    uint32_t sample = (uint32_t)((uint64_t)row->seq >> 32);
    uint32_t device = db_find_device(&self->db, &row->device);
    uint32_t *last = last_stored(self, row->ref.generation, device);
    if (sample < *last)
        fail(self, "order: sample %u of device %u was stored after %u of the same connection",
             sample, device, *last - 1);
    *last = sample + 1;
}

/* ---- watchers ---- */

static uint64_t bit_of(const struct process *process, uint32_t edge)
{
    return UINT64_C(1) << (process->id * EDGES + edge);
}

static bool watches(const struct world *self, const struct sim_edge *edge, uint32_t device)
{
    return edge->watches_device[device] || edge->watches_tenant[self->db.device[device].tenant];
}

uint64_t check_must(const struct world *self, uint32_t device)
{
    uint64_t must = 0;
    for (uint32_t i = 0; i < self->processes && self->established != 0; i++) {
        const struct process *process = self->process[i];
        for (uint32_t e = 0; process != NULL && process->phase == PROCESS_RUNNING && e < EDGES; e++)
            if (self->established & bit_of(process, e) && watches(self, &process->edge[e], device))
                must |= bit_of(process, e);
    }
    return must;
}

static bool is_row_of(const struct world *self, const struct db_row *row,
                      const struct msg_event *event, const void *body)
{
    const char *text = self->samples[row->sample].payload;
    return row->sample == event->key && row->timestamp_us == event->timestamp_us &&
           strlen(text) == event->body_len && memcmp(text, body, event->body_len) == 0;
}

/* Nobody is told of what has not committed, nor of a reading twice. */
static void check_reading(struct world *self, const struct sim_edge *edge, uint32_t device,
                          const struct msg_event *event, const void *body)
{
    uint64_t bit = bit_of(edge->thread.process, edge->thread.index);
    bool found = false;
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        struct db_row *row = &self->db.rows[i];
        if (!is_row_of(self, row, event, body))
            continue;
        found = true;
        if (row->told & bit)
            continue;
        row->told |= bit;
        return;
    }
    fail(self, "%ssample %u of device %u was told %s to process %u edge %u%s",
         found ? "" : "P1: ", event->key, device, found ? "twice" : "and is not stored so,",
         edge->thread.process->id, edge->thread.index, event->again ? ", again" : "");
}

static bool event_exists(const struct world *self, uint32_t device, int64_t fired_at_us)
{
    for (uint32_t i = 0; i < self->db.events_count; i++)
        if (self->db.events[i].device == device && self->db.events[i].fired_at_us == fired_at_us)
            return true;
    return false;
}

void check_told(struct world *self, const struct sim_edge *edge, const struct msg_event *event,
                const void *body)
{
    struct uuid id = event->device;
    uint32_t device = db_find_device(&self->db, &id);
    if (event->event == EVENT_TELEMETRY)
        check_reading(self, edge, device, event, body);
    if (event->event == EVENT_ALERT && !event_exists(self, device, event->timestamp_us))
        fail(self, "P1: an alert of device %u was told, and is not stored", device);
}

void check_disturbed(struct world *self)
{
    if (self->established != 0)
        trace(self, "watchers may miss readings");
    self->established = 0;
    self->must_from = self->db.rows_count;
}

void check_establish(struct world *self)
{
    uint64_t now = 0;
    for (uint32_t i = 0; i < self->processes; i++)
        for (uint32_t e = 0; e < EDGES; e++)
            if (self->process[i] != NULL && self->process[i]->phase == PROCESS_RUNNING)
                now |= bit_of(self->process[i], e);
    if (now & ~self->established)
        trace(self, "watchers are known everywhere");
    self->established = now;
}

void check_all_told(struct world *self)
{
    uint64_t alive = 0;
    for (uint32_t i = 0; i < self->processes; i++)
        for (uint32_t e = 0; e < EDGES; e++)
            if (self->process[i] != NULL && self->process[i]->phase == PROCESS_RUNNING)
                alive |= bit_of(self->process[i], e);
    for (uint32_t i = self->must_from; i < self->db.rows_count; i++) {
        const struct db_row *row = &self->db.rows[i];
        uint64_t missed = row->must & alive & ~row->told;
        if (missed != 0)
            fail(self, "sample %u of device %u was not told to a watcher (process %d edge %d)",
                 row->sample, row->device, __builtin_ctzll(missed) / EDGES,
                 __builtin_ctzll(missed) % EDGES);
        self->stats.checked += row->must != 0;
    }
}
