/* The turn of a simulated edge: what clients publish becomes items, as far as its credit goes, and
 * what the shards answer becomes PUBACKs. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define READ_MAX 8 /* publishes of one client in one turn */
#define TICK_US 250000

/* No two readings of an edge arrive in the same microsecond. */
static int64_t next_arrival(struct world *self, struct sim_edge *edge)
{
    int64_t now_us = wall_clock(self, edge->thread.process);
    if (now_us <= edge->last_arrival_us)
        now_us = edge->last_arrival_us + 1;
    return edge->last_arrival_us = now_us;
}

static void give_sample(struct world *self, struct sim_edge *edge, const struct client *client,
                        const struct publish *publish, uint32_t i)
{
    const struct sample *sample = &self->samples[publish->first + i];
    const struct db_device *device = &self->db.device[sample->device];
    int64_t arrival_us = next_arrival(self, edge);
    struct msg_reading item = {
        .tenant = self->db.tenant[device->tenant].id,
        .device = device->id,
        .ref = {.conn = (uint32_t)(client - self->client),
                .generation = client->generation,
                .packet_id = publish->packet_id},
        .flags = (uint8_t)((publish->packet_id ? 1 : 0) | (publish->dup ? MSG_DUP : 0) |
                           (i + 1 == publish->count ? MSG_LAST : 0)),
        .present = (uint8_t)sample->present,
        .message_key = publish->first + i,
        .arrival_us = arrival_us,
        .timestamp_us = sample->own_us != 0 ? sample->own_us : arrival_us,
        .payload_len = (uint32_t)strlen(sample->payload),
        .extra_len = (uint32_t)strlen(sample->extra),
    };
    memcpy(item.value, sample->value, sizeof item.value);
    struct span texts[] = {{sample->payload, item.payload_len}, {sample->extra, item.extra_len}};
    edge_give(edge, edge_slot(self, edge, device->tenant, sample->device), MSG_READING, &item,
              texts, 2);
}

static void give_other(struct world *self, struct sim_edge *edge, const struct client *client,
                       const struct publish *publish)
{
    static const char text[] = "topic/what payload";
    const struct db_device *device = &self->db.device[publish->device];
    uint16_t slot = edge_slot(self, edge, device->tenant, publish->device);
    struct msg_reject reject = {.tenant = self->db.tenant[device->tenant].id,
                                .device = device->id,
                                .ref = {.conn = (uint32_t)(client - self->client),
                                        .generation = client->generation,
                                        .packet_id = publish->packet_id},
                                .flags = MSG_LAST | 1,
                                .code = 0x99,
                                .topic_len = 6,
                                .reason_len = 4,
                                .payload_len = sizeof text - 11};
    struct msg_message message = {
        .tenant = reject.tenant,
        .device = device->id,
        .ref = reject.ref,
        .flags = (uint8_t)(publish->kind == PUBLISH_RETAINED ? 1 | MSG_RETAIN : 1),
        .topic_len = 10,
        .payload_len = sizeof text - 11};
    struct span span = {text, sizeof text - 1};
    if (publish->kind == PUBLISH_BAD)
        edge_give(edge, slot, MSG_REJECT, &reject, &span, 1);
    else
        edge_give(edge, slot, MSG_MESSAGE, &message, &span, 1);
}

/* A request by HTTP asks its tenant whether it may go on. */
static void give_admit(struct world *self, struct sim_edge *edge)
{
    uint32_t tenant = (uint32_t)random_below(self, TENANTS);
    struct msg_admit admit = {.tenant = self->db.tenant[tenant].id};
    edge_give(edge, edge_slot(self, edge, tenant, DEVICES), MSG_ADMIT, &admit, NULL, 0);
    edge->admits++;
}

static bool may_read(const struct world *self, const struct sim_edge *edge)
{
    return edge->items < self->credit_items || self->mutation == MUTATION_credit_unbounded;
}

static void read_client(struct world *self, struct sim_edge *edge, uint32_t index)
{
    struct client *client = &self->client[index];
    for (uint32_t n = 0; n < READ_MAX && may_read(self, edge); n++) {
        struct publish *publish = client_next(self, index);
        if (publish == NULL)
            return;
        trace(self, "process %u edge %u reads client %u: packet %u%s, samples from %u to before %u",
              edge->thread.process->id, edge->thread.index, index, publish->packet_id,
              publish->dup ? " DUP" : "", publish->first, publish->first + publish->count);
        for (uint32_t i = 0; i < publish->count; i++)
            give_sample(self, edge, client, publish, i);
        if (publish->kind != PUBLISH_TELEMETRY)
            give_other(self, edge, client, publish);
        if (self->mutation == MUTATION_ack_early && publish->packet_id != 0)
            client_answered(self, index, publish->packet_id, 0);
    }
}

/* ---- answers ---- */

static void take_ack(struct world *self, struct sim_edge *edge, const struct msg_ack *ack)
{
    struct msg_ref ref = ack->ref;
    if (ref.node != edge->thread.process->number || ref.life != edge->thread.process->life)
        fail(self, "an answer came to another incarnation");
    if (!edge_answered(edge, &ref) || !(ack->flags & MSG_LAST) || ref.packet_id == 0)
        return;
    CHECK(ref.conn < CLIENTS);
    const struct client *client = &self->client[ref.conn];
    if (client->edge == edge && client->generation == ref.generation &&
        self->mutation != MUTATION_ack_early)
        client_answered(self, ref.conn, ref.packet_id, ack->code);
}

static void take_kick(struct world *self, struct sim_edge *edge, const struct msg_kick *kick)
{
    struct client *client = &self->client[kick->ref.conn];
    if (client->edge == edge && kick->ref.generation == client->generation) {
        trace(self, "client %u is closed, 0x%02x", kick->ref.conn, kick->code);
        client_disconnect(self, kick->ref.conn);
    }
}

static void take_home(struct world *self, struct sim_edge *edge, const struct msg_home *home)
{
    struct uuid id = home->id;
    edge_home(self, edge, &id, home->region);
    if (home->ref.item != 0)
        lanes_redirect(edge->lanes, home->ref.item, home->region);
}

static struct told *find_told(struct sim_edge *edge, const struct told *wanted)
{
    for (uint32_t i = edge->told_count; i-- > 0;)
        if (edge->told[i].device == wanted->device && edge->told[i].key == wanted->key &&
            edge->told[i].timestamp_us == wanted->timestamp_us)
            return &edge->told[i];
    GROW(edge->told, edge->told_count, edge->told_cap);
    edge->told[edge->told_count] = *wanted;
    edge->told[edge->told_count].fresh = true;
    return &edge->told[edge->told_count++];
}

/* Remembers what was told here. What comes `again` may have been; and what came again may yet come
 * from the owner that died: one of the two is told. */
static bool is_news(struct sim_edge *edge, const struct msg_event *event)
{
    struct uuid device = event->device;
    struct told wanted = {
        .device = uuid_hash(&device), .timestamp_us = event->timestamp_us, .key = event->key};
    struct told *told = find_told(edge, &wanted);
    bool known = !told->fresh;
    told->fresh = false;
    if (known && event->again)
        return false;
    bool came_again = known && told->again;
    told->again = event->again;
    return !came_again;
}

static void take_event(struct world *self, struct sim_edge *edge, const struct item *item)
{
    const struct msg_event *event = item->fixed;
    if (event->event != EVENT_TELEMETRY || is_news(edge, event))
        check_told(self, edge, event, item->texts);
}

/* Its clients are sent elsewhere, a part each time. */
static void send_elsewhere(struct world *self, struct sim_edge *edge)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (self->client[i].edge == edge && random_percent(self, 20))
            client_disconnect(self, i);
}

static void take_item(struct world *self, struct sim_edge *edge, const struct item *item)
{
    const struct msg_admitted *admitted = item->fixed;
    struct msg_ref ref;
    switch ((int)item->kind) {
    case MSG_ACK:
        take_ack(self, edge, item->fixed);
        break;
    case MSG_EVENT:
        take_event(self, edge, item);
        break;
    case MSG_DRAIN:
        edge->draining = true;
        break;
    case MSG_KICK:
        take_kick(self, edge, item->fixed);
        break;
    case MSG_ADMITTED:
        ref = admitted->ref;
        edge->admits -= edge_answered(edge, &ref);
        break;
    case MSG_HOME:
        take_home(self, edge, item->fixed);
        break;
    case MSG_NODE:
    case MSG_SLOT:
        lanes_take(edge->lanes, item, self->now_us);
        break;
    default:
        fail(self, "an edge was sent an item of kind %d", (int)item->kind);
    }
}

static void take_frame(struct world *self, struct sim_edge *edge, const struct packet *packet)
{
    struct frame_reader reader;
    struct item item;
    int rc = frame_open(&reader, packet->bytes, packet->len);
    CHECK(rc == 0);
    while ((rc = frame_next(&reader, &item)) == 1)
        take_item(self, edge, &item);
    CHECK(rc == 0);
}

/* ---- the turn ---- */

static void forget_items(struct sim_edge *edge)
{
    while (edge->forgotten_count > 0) {
        size_t size = lanes_answered(edge->lanes, edge->forgotten[--edge->forgotten_count]);
        edge->items -= size > 0;
        edge->bytes -= (int64_t)size;
    }
}

static void read_clients(struct world *self, struct sim_edge *edge)
{
    uint32_t from = (uint32_t)random_below(self, CLIENTS);
    for (uint32_t i = 0; i < CLIENTS && !edge->stopping; i++)
        if (self->client[(from + i) % CLIENTS].edge == edge)
            read_client(self, edge, (from + i) % CLIENTS);
    if (!self->calm && !edge->stopping && random_below(self, 60) == 0 && may_read(self, edge))
        give_admit(self, edge);
}

void edge_turn(struct world *self, struct sim_edge *edge)
{
    struct packet *packet;
    uint32_t frames = self->calm ? 1000 : 1 + (uint32_t)random_below(self, 6);
    if (edge->ended) {
        fifo_free(self, edge->inbox, EDGE_SENDERS);
        return;
    }
    while (frames-- > 0 && (packet = fifo_take_any(self, edge->inbox, EDGE_SENDERS)) != NULL) {
        take_frame(self, edge, packet);
        free(packet);
    }
    if (self->now_us >= edge->tick_at_us) {
        edge->tick_at_us = self->now_us + TICK_US;
        lanes_tick(edge->lanes, self->now_us);
        if (edge->draining)
            send_elsewhere(self, edge);
    }
    read_clients(self, edge);
    edge_tell_again(self, edge);
    edge_flush(self, edge);
    if (self->mutation == MUTATION_items_forgotten)
        forget_items(edge);
    edge->thread.task.due_us = edge->tick_at_us;
    if (!fifo_is_empty(edge->inbox, EDGE_SENDERS))
        task_wake(self, &edge->thread.task);
}
