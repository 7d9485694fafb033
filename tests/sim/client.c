/* Devices and service accounts: they publish at whatever node, keep what is not acknowledged, and
 * send it again. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <inttypes.h>
#include <stdlib.h>

static void act(struct world *self, struct task *task);

void clients_init(struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++) {
        self->client[i] = (struct client){
            .task = {.run = act},
            .device = i % DEVICES,
            .own = i < DEVICES && i != 0, /* device 0 has service accounts alone */
            .window = 1 + (uint32_t)random_below(self, 12),
        };
        self->client[i].task.due_us =
            self->now_us + (int64_t)random_below(self, 2 * (uint64_t)self->plan.pace_us);
        task_add(self, &self->client[i].task);
    }
}

void clients_free(struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        free(self->client[i].publishes);
    free(self->samples);
    free(self->last_stored);
}

/* ---- what they publish ---- */

/* Values are multiples of a quarter: their sums are exact in any order. */
static void fill(struct world *self, struct sample *sample, double temperature, double co2)
{
    int n = snprintf(sample->payload, TEXT_BYTES, "{\"temperature\":%.2f", temperature);
    sample->present = 1U << METRIC_TEMPERATURE;
    sample->value[METRIC_TEMPERATURE] = temperature;
    if (random_percent(self, 30)) {
        double humidity = (double)random_below(self, 8) / 4;
        n += snprintf(sample->payload + n, TEXT_BYTES - (size_t)n, ",\"humidity\":%.2f", humidity);
        sample->present |= 1U << METRIC_HUMIDITY;
        sample->value[METRIC_HUMIDITY] = humidity;
    }
    if (co2 > 0) {
        n += snprintf(sample->payload + n, TEXT_BYTES - (size_t)n, ",\"co2\":%.2f", co2);
        snprintf(sample->extra, TEXT_BYTES, "{\"co2\":%.2f}", co2);
    }
    if (sample->own_us != 0)
        n += snprintf(sample->payload + n, TEXT_BYTES - (size_t)n, ",\"timestamp\":%" PRId64,
                      sample->own_us / 1000);
    snprintf(sample->payload + n, TEXT_BYTES - (size_t)n, "}");
}

/* Without what a rule looks at. */
static void refuse(struct sample *sample)
{
    sample->refused = true;
    sample->present = 1U << METRIC_RSSI;
    sample->value[METRIC_RSSI] = -1000;
    strcpy(sample->payload, "{\"rssi\":-1000}");
    sample->extra[0] = '\0';
}

/* None, of now, late by minutes or hours, or (in some runs) ahead. */
static int64_t choose_timestamp(struct world *self)
{
    int64_t ms = wall_clock(self, NULL) / 1000;
    switch (random_below(self, 10)) {
    case 0:
        return ms * 1000;
    case 1:
        return (ms - (int64_t)random_below(self, 600000)) * 1000;
    case 2:
        return (ms - (int64_t)random_below(self, 5 * 3600000)) * 1000;
    case 3:
        return self->plan.future ? (ms + (int64_t)random_below(self, 2 * 3600000)) * 1000 : 0;
    default:
        return 0;
    }
}

static struct sample *add_sample(struct world *self, uint32_t client, uint32_t device)
{
    GROW(self->samples, self->samples_count, self->samples_cap);
    struct sample *sample = &self->samples[self->samples_count++];
    sample->client = client;
    sample->device = device;
    return sample;
}

static struct publish *add_publish(struct world *self, uint32_t client, uint32_t device)
{
    struct client *c = &self->client[client];
    GROW(c->publishes, c->count, c->cap);
    struct publish *publish = &c->publishes[c->count++];
    publish->first = self->samples_count;
    publish->device = device;
    publish->packet_id = (uint16_t)c->count; /* never used twice: see README.md */
    return publish;
}

/* A service account's devices are all those of its tenant. */
static uint32_t choose_device(struct world *self, const struct client *client)
{
    if (client->own)
        return client->device;
    uint32_t tenant = self->db.device[client->device].tenant, device;
    do
        device = (uint32_t)random_below(self, DEVICES);
    while (self->db.device[device].tenant != tenant);
    return device;
}

static void publish(struct world *self, uint32_t client)
{
    uint32_t device = choose_device(self, &self->client[client]);
    struct publish *added = add_publish(self, client, device);
    if (random_percent(self, 8)) {
        added->kind = (enum publish_kind)(1 + random_below(self, 3));
        return;
    }
    added->count = random_percent(self, 15) ? 1 + (uint32_t)random_below(self, 5) : 1;
    if (random_percent(self, 10))
        added->packet_id = 0;
    int64_t own = choose_timestamp(self);
    for (uint32_t i = 0; i < added->count; i++) {
        struct sample *sample = add_sample(self, client, device);
        sample->own_us = own == 0 ? 0 : own - (added->count - 1 - i) * 60000000LL;
        fill(self, sample, (double)random_below(self, 12) * 5.25,
             random_percent(self, 20) ? 400 + (double)random_below(self, 400) : 0);
        if (self->plan.refusing && random_percent(self, 8))
            refuse(sample);
    }
}

void client_probe(struct world *self, uint32_t client)
{
    uint32_t device = self->client[client].device;
    add_publish(self, client, device)->count = 1;
    fill(self, add_sample(self, client, device), 49.75, 799);
}

/* ---- sending ---- */

void client_send(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    uint32_t waiting = 0;
    if (c->edge == NULL)
        return;
    for (uint32_t i = c->open; i < c->sent; i++)
        waiting += !c->publishes[i].answered;
    while (c->sent < c->count && waiting < c->window) {
        struct publish *next = &c->publishes[c->sent++];
        if (next->answered)
            continue;
        next->dup = next->sent_before;
        next->sent_before = next->on_wire = true;
        next->answered = next->packet_id == 0;
        waiting += !next->answered;
        task_wake(self, &c->edge->thread.task);
    }
}

struct publish *client_next(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    (void)self;
    while (c->edge != NULL && c->read < c->sent) {
        struct publish *next = &c->publishes[c->read++];
        if (next->on_wire) {
            next->on_wire = false;
            return next;
        }
    }
    return NULL;
}

void client_answered(struct world *self, uint32_t client, uint16_t packet_id, uint8_t code)
{
    struct client *c = &self->client[client];
    uint32_t i = c->open;
    while (i < c->count && (c->publishes[i].packet_id != packet_id || c->publishes[i].answered))
        i++;
    if (i == c->count) {
        fail(self, "client %u: packet id %u was acknowledged, and is not waiting", client,
             packet_id);
        return;
    }
    struct publish *found = &c->publishes[i];
    trace(self, "client %u: PUBACK %u, code 0x%02x", client, packet_id, code);
    found->answered = true;
    found->code = code;
    check_answer(self, found);
    while (c->open < c->sent && c->publishes[c->open].answered && !c->publishes[c->open].on_wire)
        c->open++;
}

/* ---- connections ---- */

static struct sim_edge *choose_edge(struct world *self)
{
    uint32_t from = (uint32_t)random_below(self, PROCESSES);
    for (uint32_t n = 0; n < PROCESSES; n++) {
        struct process *process = self->process[(from + n) % PROCESSES];
        if (process != NULL && process->phase == PROCESS_RUNNING &&
            self->now_us >= process->paused_until_us && self->now_us >= process->cut_until_us)
            return &process->edge[random_below(self, EDGES)];
    }
    return NULL;
}

/* The login asks the database. A device that is deleted cannot log in. */
void client_connect(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    struct sim_edge *edge = choose_edge(self);
    if (c->edge != NULL || edge == NULL || self->now_us < self->db.away_until_us ||
        (c->own && !self->db.device[c->device].exists))
        return;
    c->edge = edge;
    c->generation = ++self->generations;
    c->since_us = wall_clock(self, edge->thread.process);
    c->sent = c->read = c->open;
    trace(self, "client %u connects to process %u edge %u, generation %u", client,
          edge->thread.process->id, edge->thread.index, c->generation);
    edge_tell_presence(self, edge, c, true);
}

void client_lost(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    for (uint32_t i = c->open; i < c->sent; i++)
        c->publishes[i].on_wire = false; /* on its way: lost */
    c->edge = NULL;
}

void client_disconnect(struct world *self, uint32_t client)
{
    struct sim_edge *edge = self->client[client].edge;
    if (edge == NULL)
        return;
    trace(self, "client %u disconnected", client);
    client_lost(self, client);
    edge_tell_presence(self, edge, &self->client[client], false);
}

static void act(struct world *self, struct task *task)
{
    uint32_t client = (uint32_t)((struct client *)task - self->client);
    if (self->calm) {
        client_send(self, client);
        task->due_us = self->now_us + 50000;
        return;
    }
    if (random_percent(self, 60))
        publish(self, client);
    client_send(self, client);
    if (random_percent(self, 4))
        client_disconnect(self, client);
    else if (random_percent(self, 40))
        client_connect(self, client);
    task->due_us = self->now_us + (int64_t)random_below(self, 2 * (uint64_t)self->plan.pace_us);
}
