/* The edge of the simulated node: what clients publish becomes items for the shards, as far as
 * its credit goes, and what the shards answer becomes PUBACKs. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define READ_MAX 8 /* publishes of one client in one turn */

void fifo_put(struct fifo *self, const void *bytes, size_t len)
{
    struct packet *packet = malloc(sizeof *packet + len);
    CHECK(packet != NULL);
    packet->next = NULL;
    packet->len = len;
    memcpy(packet->bytes, bytes, len);
    if (self->last != NULL)
        self->last->next = packet;
    else
        self->first = packet;
    self->last = packet;
}

struct packet *fifo_take(struct fifo *self)
{
    struct packet *packet = self->first;
    if (packet != NULL && (self->first = packet->next) == NULL)
        self->last = NULL;
    return packet;
}

void fifo_free(struct fifo *self)
{
    struct packet *packet;
    while ((packet = fifo_take(self)) != NULL)
        free(packet);
}

static struct msg_ref ref_of(const struct world *self, const struct client *client)
{
    return (struct msg_ref){.edge = client->edge,
                            .conn = (uint32_t)(client - self->client),
                            .generation = client->generation};
}

static void add(struct sim_node *node, uint32_t edge, const struct uuid *device, enum msg_kind kind,
                const void *fixed, size_t len, const struct span *texts, size_t texts_count)
{
    struct frame *frame = &node->edge[edge].to[node_shard_of(node, device)];
    CHECK(frame_add(frame, kind, fixed, len, texts, texts_count) == 0);
}

static void charge(struct sim_edge *edge, size_t size)
{
    edge->items++;
    edge->bytes += (int64_t)size;
}

void edge_tell_presence(struct world *self, struct sim_node *node, const struct client *client)
{
    const struct db_device *device = &self->db.device[client->device];
    struct msg_claim claim = {
        .tenant = device->tenant, .ref = ref_of(self, client), .client_id_len = 4};
    char id[5];
    snprintf(id, sizeof id, "%04u", (unsigned)(client - self->client));
    add(node, client->edge, &device->tenant, client->connected ? MSG_CLAIM : MSG_UNCLAIM, &claim,
        sizeof claim, &(struct span){id, 4}, 1);
    struct msg_presence presence = {.tenant = device->tenant,
                                    .device = device->id,
                                    .ref = ref_of(self, client),
                                    .present = client->connected};
    if (client->own)
        add(node, client->edge, &device->id, MSG_PRESENCE, &presence, sizeof presence, NULL, 0);
}

void edge_watch(struct world *self, struct sim_node *node, uint32_t edge)
{
    for (uint32_t i = 0; i < DEVICES; i++) {
        struct msg_interest interest = {.tenant = self->db.device[i].tenant,
                                        .device = self->db.device[i].id,
                                        .edge = (uint16_t)edge,
                                        .bits = (1U << INTEREST_BITS) - 1};
        if ((i + edge) % 2 == 0)
            add(node, edge, &interest.device, MSG_INTEREST, &interest, sizeof interest, NULL, 0);
    }
}

static void send_sample(struct world *self, struct sim_node *node, const struct client *client,
                        const struct publish *publish, uint32_t i)
{
    const struct sample *sample = &self->samples[publish->first + i];
    const struct db_device *device = &self->db.device[sample->device];
    struct msg_reading item = {
        .tenant = device->tenant,
        .device = device->id,
        .ref = ref_of(self, client),
        .flags = (uint8_t)((publish->packet_id ? 1 : 0) | (publish->dup ? MSG_DUP : 0) |
                           (i + 1 == publish->count ? MSG_LAST : 0)),
        .present = (uint8_t)sample->present,
        .message_key = publish->first + i,
        .arrival_us = self->now_us,
        .timestamp_us = sample->own_us != 0 ? sample->own_us : self->now_us,
        .payload_len = (uint32_t)strlen(sample->payload),
        .extra_len = (uint32_t)strlen(sample->extra),
    };
    item.ref.packet_id = publish->packet_id;
    memcpy(item.value, sample->value, sizeof item.value);
    struct span texts[] = {{sample->payload, item.payload_len}, {sample->extra, item.extra_len}};
    charge(&node->edge[client->edge],
           frame_item_size(MSG_READING, item.payload_len + item.extra_len));
    add(node, client->edge, &device->id, MSG_READING, &item, sizeof item, texts, 2);
}

static void send_other(struct world *self, struct sim_node *node, const struct client *client,
                       const struct publish *publish)
{
    static const char text[] = "topic/what payload";
    const struct db_device *device = &self->db.device[client->device];
    struct msg_reject reject = {.tenant = device->tenant,
                                .device = device->id,
                                .ref = ref_of(self, client),
                                .flags = MSG_LAST | 1,
                                .code = 0x99,
                                .topic_len = 6,
                                .reason_len = 4,
                                .payload_len = sizeof text - 11};
    struct msg_message message = {
        .tenant = device->tenant,
        .device = device->id,
        .ref = reject.ref,
        .flags = (uint8_t)(publish->kind == PUBLISH_RETAINED ? 1 | MSG_RETAIN : 1),
        .topic_len = 10,
        .payload_len = sizeof text - 11};
    struct span span = {text, sizeof text - 1};
    reject.ref.packet_id = message.ref.packet_id = publish->packet_id;
    bool bad = publish->kind == PUBLISH_BAD;
    charge(&node->edge[client->edge], frame_item_size(bad ? MSG_REJECT : MSG_MESSAGE, span.len));
    if (bad)
        add(node, client->edge, &device->id, MSG_REJECT, &reject, sizeof reject, &span, 1);
    else
        add(node, client->edge, &device->id, MSG_MESSAGE, &message, sizeof message, &span, 1);
}

static void read_client(struct world *self, struct sim_node *node, uint32_t edge, uint32_t index)
{
    struct client *client = &self->client[index];
    for (uint32_t n = 0; n < READ_MAX; n++) {
        bool exhausted = node->edge[edge].items >= self->credit_items;
        if (exhausted && self->mutation != MUTATION_credit_unbounded)
            return;
        struct publish *publish = client_next(self, index);
        if (publish == NULL)
            return;
        trace(self, "edge %u reads client %u: packet %u%s, samples from %u to before %u", edge,
              index, publish->packet_id, publish->dup ? " DUP" : "", publish->first,
              publish->first + publish->count);
        for (uint32_t i = 0; i < publish->count; i++)
            send_sample(self, node, client, publish, i);
        if (publish->kind != PUBLISH_TELEMETRY)
            send_other(self, node, client, publish);
        if (self->mutation == MUTATION_ack_early && publish->packet_id != 0)
            client_answered(self, index, publish->packet_id, 0);
    }
}

static void take_ack(struct world *self, struct sim_edge *edge, const struct msg_ack *ack)
{
    edge->items--;
    edge->bytes -= ack->bytes;
    if (edge->items < 0 || edge->bytes < 0)
        fail(self, "P5: more credit came back than was given");
    if (!(ack->flags & MSG_LAST) || ack->ref.packet_id == 0)
        return;
    CHECK(ack->ref.conn < CLIENTS);
    const struct client *client = &self->client[ack->ref.conn];
    if (client->connected && client->generation == ack->ref.generation &&
        self->mutation != MUTATION_ack_early)
        client_answered(self, ack->ref.conn, ack->ref.packet_id, ack->code);
}

static void take_kick(struct world *self, const struct msg_kick *kick, uint32_t edge)
{
    struct uuid device = kick->device;
    for (uint32_t i = 0; i < CLIENTS; i++) {
        const struct client *client = &self->client[i];
        bool meant = uuid_is_nil(&device)
                         ? kick->ref.conn == i && kick->ref.generation == client->generation
                         : client->own && uuid_equal(&self->db.device[client->device].id, &device);
        if (meant && client->edge == edge)
            client_disconnect(self, i);
    }
}

static void take_frame(struct world *self, struct sim_node *node, uint32_t edge,
                       const struct packet *packet)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, packet->bytes, packet->len);
    CHECK(rc == 0);
    while ((rc = frame_next(&reader, &item)) == 1) {
        if (item.kind == MSG_ACK)
            take_ack(self, &node->edge[edge], item.fixed);
        else if (item.kind == MSG_EVENT)
            check_told(self, item.fixed, item.texts);
        else if (item.kind == MSG_KICK && node == self->node)
            take_kick(self, item.fixed, edge);
    }
    CHECK(rc == 0);
}

void edge_step(struct world *self, struct sim_node *node, uint32_t edge)
{
    struct sim_edge *e = &node->edge[edge];
    struct packet *packet;
    while ((packet = fifo_take(&e->inbox)) != NULL) {
        take_frame(self, node, edge, packet);
        free(packet);
    }
    for (uint32_t i = 0; i < CLIENTS && node == self->node; i++)
        if (self->client[i].connected && self->client[i].edge == edge)
            read_client(self, node, edge, i);
    for (uint32_t i = 0; i < node->shards; i++) {
        if (e->to[i].count == 0)
            continue;
        struct span bytes = frame_finish(&e->to[i]);
        fifo_put(&node->inbox[i], bytes.data, bytes.len);
        frame_clear(&e->to[i]);
    }
}
