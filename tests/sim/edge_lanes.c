/* What node/edge_lanes.c does: an edge's items go to the owners of their slots, in this process or,
 * by the mesh, in another; what concerns a slot is told again to each new owner. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define EDGE_FRAME_BYTES (16UL << 20)

/* ---- items ---- */

static void note_sent(struct sim_edge *edge, const struct msg_ref *ref)
{
    for (uint32_t i = 0; i < edge->sent_count; i++)
        if (edge->sent[i].name == ref->item) {
            edge->sent[i].epoch = ref->epoch;
            return;
        }
    GROW(edge->sent, edge->sent_count, edge->sent_cap);
    edge->sent[edge->sent_count++] = (struct sent){ref->item, ref->epoch};
}

/* In which epoch it was sent last, and forgets it; UINT32_MAX: not known. */
static uint32_t take_sent(struct sim_edge *edge, uint32_t name)
{
    for (uint32_t i = 0; i < edge->sent_count; i++)
        if (edge->sent[i].name == name) {
            uint32_t epoch = edge->sent[i].epoch;
            edge->sent[i] = edge->sent[--edge->sent_count];
            return epoch;
        }
    return UINT32_MAX;
}

static void spoil(struct world *self, struct sim_edge *edge, struct msg_ref *ref)
{
    if (self->mutation == MUTATION_again_stripped)
        ref->again = 0;
    if (self->mutation == MUTATION_items_forgotten && ref->item != 0) {
        GROW(edge->forgotten, edge->forgotten_count, edge->forgotten_cap);
        edge->forgotten[edge->forgotten_count++] = ref->item;
    }
}

static void on_send(void *context, uint16_t number, uint16_t slot, const void *item, size_t size)
{
    struct sim_edge *edge = context;
    uint8_t copy[2048];
    CHECK(number < NUMBERS && edge->far[number].known && size <= sizeof copy);
    memcpy(copy, item, size);
    struct msg_ref *ref = frame_item_fixed(copy);
    if (ref->item != 0)
        note_sent(edge, ref);
    spoil(edge->world, edge, ref);
    struct frame *frame = &edge->far[number].frame[slot % LIMIT_SLOTS % edge->far[number].shards];
    CHECK(frame_add_written(frame, copy, size) == 0);
}

void edge_give(struct sim_edge *edge, uint16_t slot, enum msg_kind kind, const void *fixed,
               const struct span *texts, size_t texts_count)
{
    size_t size = lanes_add(edge->lanes, slot, kind, fixed, texts, texts_count);
    edge->items++;
    edge->bytes += (int64_t)size;
}

/* False: it was answered before. */
bool edge_answered(struct sim_edge *edge, const struct msg_ref *ref)
{
    size_t size = lanes_answered(edge->lanes, ref->item);
    if (size == 0)
        return false;
    if (take_sent(edge, ref->item) != ref->epoch)
        edge->strays++;
    edge->items--;
    edge->bytes -= (int64_t)size;
    return true;
}

void edge_flush(struct world *self, struct sim_edge *edge)
{
    struct process *process = edge->thread.process;
    for (uint32_t n = 0; n < NUMBERS; n++)
        for (uint32_t s = 0; edge->far[n].known && s < edge->far[n].shards; s++) {
            struct frame *frame = &edge->far[n].frame[s];
            const struct mesh_head head = {(uint16_t)n, edge->far[n].life, MESH_SHARD, (uint8_t)s,
                                           0};
            if (frame->count == 0)
                continue;
            if (n == process->number) {
                fifo_put_frame(self, &process->shard[s].inbox[SHARD_FROM_EDGE + edge->thread.index],
                               NULL, frame);
                task_wake(self, &process->shard[s].thread.task);
            } else {
                fifo_put_frame(self, &process->mesh.inbox[MESH_FROM_EDGE + edge->thread.index],
                               &head, frame);
                task_wake(self, &process->mesh.thread.task);
            }
        }
}

/* ---- homes ---- */

uint16_t edge_slot(const struct world *self, const struct sim_edge *edge, uint32_t tenant,
                   uint32_t device)
{
    int region = -1;
    const struct uuid *id =
        device < DEVICES ? &self->db.device[device].id : &self->db.tenant[tenant].id;
    if (device < DEVICES)
        region = edge->device_home[device];
    if (region < 0)
        region = edge->tenant_home[tenant];
    return msg_slot(region < 0 ? 0 : (unsigned)region, slot_of(id));
}

static void on_tell(void *context, uint16_t slot)
{
    struct sim_edge *edge = context;
    if (edge->world->mutation == MUTATION_tell_ignored)
        return;
    edge->any_to_tell = true;
    edge->to_tell[slot / 8] |= (uint8_t)(1U << slot % 8);
}

static bool tells(const struct sim_edge *edge, uint16_t slot)
{
    return edge->to_tell[slot / 8] & 1U << slot % 8;
}

void edge_home(struct world *self, struct sim_edge *edge, const struct uuid *id, unsigned region)
{
    for (uint32_t d = 0; d < DEVICES; d++) {
        const struct db_device *device = &self->db.device[d];
        bool own = uuid_equal(&device->id, id) && edge->device_home[d] < 0;
        bool tenants = uuid_equal(&self->db.tenant[device->tenant].id, id) &&
                       edge->tenant_home[device->tenant] < 0;
        if (own) {
            edge->device_home[d] = (int8_t)region;
            lanes_redirect_device(edge->lanes, id, (uint16_t)slot_of(id), region);
            edge->strays += edge->items; /* the wrong owner may hold what moves */
        }
        if (own || tenants)
            on_tell(edge, msg_slot(region, slot_of(&device->id)));
    }
    for (uint32_t t = 0; t < TENANTS; t++)
        if (uuid_equal(&self->db.tenant[t].id, id) && edge->tenant_home[t] < 0) {
            edge->tenant_home[t] = (int8_t)region;
            on_tell(edge, msg_slot(region, slot_of(id)));
        }
}

/* ---- what is told, and told again ---- */

static struct msg_ref conn_ref(const struct world *self, const struct client *client)
{
    return (struct msg_ref){.conn = (uint32_t)(client - self->client),
                            .generation = client->generation};
}

static void say_claim(struct world *self, struct sim_edge *edge, const struct client *client,
                      bool here)
{
    uint32_t tenant = self->db.device[client->device].tenant;
    struct msg_claim claim = {.tenant = self->db.tenant[tenant].id,
                              .ref = conn_ref(self, client),
                              .since_us = client->since_us,
                              .client_id_len = 4};
    char id[5];
    snprintf(id, sizeof id, "%04u", (unsigned)(client - self->client));
    lanes_say(edge->lanes, edge_slot(self, edge, tenant, DEVICES), here ? MSG_CLAIM : MSG_UNCLAIM,
              &claim, &(struct span){id, 4}, 1);
}

static void say_presence(struct world *self, struct sim_edge *edge, const struct client *client,
                         enum msg_presence_is is)
{
    const struct db_device *device = &self->db.device[client->device];
    struct msg_presence presence = {.tenant = self->db.tenant[device->tenant].id,
                                    .device = device->id,
                                    .ref = conn_ref(self, client),
                                    .present = (uint8_t)is,
                                    .since_us = client->since_us};
    if (client->own)
        lanes_say(edge->lanes, edge_slot(self, edge, device->tenant, client->device), MSG_PRESENCE,
                  &presence, NULL, 0);
}

/* What a login or the answer to a watch tells of, where the edge took it for at home elsewhere; not
 * `own`: its tenant. */
static void learn_home(struct world *self, struct sim_edge *edge, uint32_t number, bool own)
{
    const struct db_device *device = &self->db.device[number];
    const struct db_tenant *tenant = &self->db.tenant[device->tenant];
    unsigned region = own ? device->slot >> MSG_SLOT_BITS : tenant->region;
    uint32_t named = own ? number : DEVICES;
    if (edge_slot(self, edge, device->tenant, named) >> MSG_SLOT_BITS != region)
        edge_home(self, edge, own ? &device->id : &tenant->id, region);
}

void edges_watch_made(struct world *self, uint32_t device)
{
    for (uint32_t i = 0; i < self->processes; i++)
        for (uint32_t e = 0; self->process[i] != NULL && e < EDGES; e++)
            if (self->process[i]->phase == PROCESS_RUNNING &&
                self->process[i]->edge[e].watches_device[device])
                learn_home(self, &self->process[i]->edge[e], device, true);
}

void edge_tell_presence(struct world *self, struct sim_edge *edge, const struct client *client,
                        bool here)
{
    if (here)
        learn_home(self, edge, client->device, client->own);
    say_claim(self, edge, client, here);
    say_presence(self, edge, client, here ? PRESENCE_CAME : PRESENCE_GONE);
    task_wake(self, &edge->thread.task);
}

static const uint8_t all_bits = (1U << INTEREST_BITS) - 1;

static void say_tenants(struct world *self, struct sim_edge *edge, uint16_t number)
{
    for (uint32_t t = 0; t < TENANTS; t++)
        for (uint32_t s = 0; edge->watches_tenant[t] && s < edge->far[number].shards; s++) {
            struct msg_interest item = {
                .ref = lanes_ref(edge->lanes), .tenant = self->db.tenant[t].id, .bits = all_bits};
            CHECK(frame_add(&edge->far[number].frame[s], MSG_INTEREST, &item, sizeof item, NULL,
                            0) == 0);
        }
}

static void say_device(struct world *self, struct sim_edge *edge, uint32_t device, uint16_t slot)
{
    const struct db_device *d = &self->db.device[device];
    struct msg_interest item = {
        .tenant = self->db.tenant[d->tenant].id, .device = d->id, .bits = all_bits};
    lanes_say(edge->lanes, slot, MSG_INTEREST, &item, NULL, 0);
}

void edge_tell_again(struct world *self, struct sim_edge *edge)
{
    if (!edge->any_to_tell)
        return;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &self->client[i];
        uint32_t tenant = self->db.device[client->device].tenant;
        if (client->edge != edge)
            continue;
        if (tells(edge, edge_slot(self, edge, tenant, DEVICES)))
            say_claim(self, edge, client, true);
        if (tells(edge, edge_slot(self, edge, tenant, client->device)))
            say_presence(self, edge, client, PRESENCE_AGAIN);
    }
    for (uint32_t d = 0; d < DEVICES; d++) {
        uint16_t slot = edge_slot(self, edge, self->db.device[d].tenant, d);
        if (edge->watches_device[d] && tells(edge, slot))
            say_device(self, edge, d, slot);
    }
    for (uint32_t i = 0; i < self->db.slots_count; i++)
        if (tells(edge, self->db.slots[i].slot))
            lanes_say(edge->lanes, self->db.slots[i].slot, MSG_TOLD, &(struct msg_told){0}, NULL,
                      0);
    memset(edge->to_tell, 0, sizeof edge->to_tell);
    edge->any_to_tell = false;
}

static void on_node(void *context, uint16_t number, uint16_t life, unsigned shards)
{
    struct sim_edge *edge = context;
    CHECK(number < NUMBERS);
    struct edge_far *far = &edge->far[number];
    for (uint32_t s = 0; s < SHARDS; s++) {
        if (!far->known)
            frame_init(&far->frame[s], EDGE_FRAME_BYTES);
        frame_clear(&far->frame[s]);
    }
    far->known = true;
    far->life = life;
    far->shards = (uint8_t)shards;
    say_tenants(edge->world, edge, number);
}

/* ---- its life ---- */

void edge_open(struct world *self, struct sim_edge *edge)
{
    struct process *process = edge->thread.process;
    const struct lanes_config config = {
        .node = process->number, .life = process->life, .edge = (uint8_t)edge->thread.index};
    const struct lanes_events events = {
        .send = on_send, .tell = on_tell, .node = on_node, .context = edge};
    edge->world = self;
    edge->lanes = lanes_new(&config, &events);
    memset(edge->device_home, -1, sizeof edge->device_home);
    memset(edge->tenant_home, -1, sizeof edge->tenant_home);
    for (uint32_t d = 0; d < DEVICES; d++)
        edge->watches_device[d] = random_percent(self, 30);
    for (uint32_t t = 0; t < TENANTS; t++)
        edge->watches_tenant[t] = random_percent(self, 30);
}

void edge_close(struct world *self, struct sim_edge *edge)
{
    fifo_free(self, edge->inbox, EDGE_SENDERS);
    for (uint32_t n = 0; n < NUMBERS; n++)
        for (uint32_t s = 0; edge->far[n].known && s < SHARDS; s++)
            frame_free(&edge->far[n].frame[s]);
    lanes_destroy(&edge->lanes);
    free(edge->sent);
    free(edge->forgotten);
    free(edge->told);
}
