/* Devices and service accounts: they publish, keep what is not acknowledged, and send it again. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <inttypes.h>
#include <stdlib.h>

void clients_init(struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        self->client[i] = (struct client){
            .device = i % DEVICES,
            .own = i < DEVICES && i != 0, /* device 0 has service accounts alone */
            .window = 1 + (uint32_t)random_below(self, 12),
        };
}

void clients_free(struct world *self)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        free(self->client[i].publishes);
    free(self->samples);
}

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
    int64_t ms = self->now_us / 1000;
    switch (random_below(self, 10)) {
    case 0:
        return ms * 1000;
    case 1:
        return (ms - (int64_t)random_below(self, 600000)) * 1000;
    case 2:
        return (ms - (int64_t)random_below(self, 5 * 3600000)) * 1000;
    case 3:
        return self->future ? (ms + (int64_t)random_below(self, 2 * 3600000)) * 1000 : 0;
    default:
        return 0;
    }
}

static struct sample *add_sample(struct world *self, uint32_t client)
{
    GROW(self->samples, self->samples_count, self->samples_cap);
    struct sample *sample = &self->samples[self->samples_count++];
    sample->client = client;
    sample->device = self->client[client].device;
    return sample;
}

static struct publish *add_publish(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    GROW(c->publishes, c->count, c->cap);
    struct publish *publish = &c->publishes[c->count++];
    publish->first = self->samples_count;
    publish->packet_id = (uint16_t)c->count; /* never used twice: see README.md */
    return publish;
}

void client_publish(struct world *self, uint32_t client)
{
    struct publish *publish = add_publish(self, client);
    if (random_percent(self, 8)) {
        publish->kind = (enum publish_kind)(1 + random_below(self, 3));
        return;
    }
    publish->count = random_percent(self, 15) ? 1 + (uint32_t)random_below(self, 5) : 1;
    if (random_percent(self, 10))
        publish->packet_id = 0;
    int64_t own = choose_timestamp(self);
    for (uint32_t i = 0; i < publish->count; i++) {
        struct sample *sample = add_sample(self, client);
        sample->own_us = own == 0 ? 0 : own - (publish->count - 1 - i) * 60000000LL;
        fill(self, sample, (double)random_below(self, 12) * 5.25,
             random_percent(self, 20) ? 400 + (double)random_below(self, 400) : 0);
        if (self->refusing && random_percent(self, 8))
            refuse(sample);
    }
}

void client_probe(struct world *self, uint32_t client)
{
    add_publish(self, client)->count = 1;
    fill(self, add_sample(self, client), 49.75, 799);
}

void client_send(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    uint32_t waiting = 0;
    if (!c->connected)
        return;
    for (uint32_t i = c->open; i < c->sent; i++)
        waiting += !c->publishes[i].answered;
    while (c->sent < c->count && waiting < c->window) {
        struct publish *publish = &c->publishes[c->sent++];
        if (publish->answered)
            continue;
        publish->dup = publish->sent_before;
        publish->sent_before = publish->on_wire = true;
        publish->answered = publish->packet_id == 0;
        waiting += !publish->answered;
    }
}

struct publish *client_next(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    while (c->connected && c->read < c->sent) {
        struct publish *publish = &c->publishes[c->read++];
        if (publish->on_wire) {
            publish->on_wire = false;
            return publish;
        }
    }
    return NULL;
}

void client_connect(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    if (c->connected || (c->own && !self->db.device[c->device].exists))
        return; /* a device that is deleted cannot log in */
    c->connected = true;
    c->edge = (uint16_t)random_below(self, EDGES);
    c->generation = ++self->generations;
    c->sent = c->read = c->open;
    trace(self, "client %u connects to edge %u, generation %u", client, c->edge, c->generation);
    edge_tell_presence(self, self->node, c);
}

void client_disconnect(struct world *self, uint32_t client)
{
    struct client *c = &self->client[client];
    if (!c->connected)
        return;
    trace(self, "client %u disconnected", client);
    for (uint32_t i = c->open; i < c->sent; i++)
        c->publishes[i].on_wire = false; /* on its way: lost */
    c->connected = false;
    if (self->node != NULL)
        edge_tell_presence(self, self->node, c);
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
    struct publish *publish = &c->publishes[i];
    trace(self, "client %u: PUBACK %u, code 0x%02x", client, packet_id, code);
    publish->answered = true;
    publish->code = code;
    check_answer(self, publish);
    while (c->open < c->sent && c->publishes[c->open].answered && !c->publishes[c->open].on_wire)
        c->open++;
}
