/* The edge's side of the cluster: its items go to the owners of their slots, in this process or,
 * by the mesh, in another; what concerns a slot is told again to each new owner. */
#include "cluster/slots.h"
#include "node/clock.h"
#include "node/edge_inside.h"
#include "node/mailbox.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/mesh.h"

#define FRAME_BYTES_MAX (4UL * LIMIT_EDGE_BYTES)
#define SLOTS_ALL (LIMIT_REGIONS * LIMIT_SLOTS)

/* What goes to the shards of one node. */
struct edge_far {
    uint16_t life;
    unsigned shards;
    struct frame frame[LIMIT_SHARDS];
};

struct edge_lanes {
    lanes_t *lanes;
    zsock_t *mesh; /* NULL: a node alone */
    struct edge_far *far[LIMIT_NODES];
    uint32_t far_end;
    /* Slots with a new owner, in this turn. */
    bool any_to_tell;
    uint8_t to_tell[SLOTS_ALL / 8];
    struct homes homes;
};

/* ---- frames ---- */

static void send_frame(struct edge *self, uint16_t number, unsigned shard)
{
    struct edge_lanes *lanes = self->lanes;
    struct frame *frame = &lanes->far[number]->frame[shard];
    if (frame->count == 0)
        return;
    struct span bytes = frame_finish(frame);
    if (number == (uint16_t)self->number) {
        CHECK(mailbox_post(self->to_shard[shard], bytes.data, bytes.len));
    } else {
        const struct mesh_head head = {.node = number,
                                       .life = lanes->far[number]->life,
                                       .kind = MESH_SHARD,
                                       .index = (uint8_t)shard};
        mailbox_post_two(lanes->mesh, &head, sizeof head, bytes.data, bytes.len);
    }
    frame_clear(frame);
}

void edge_lanes_flush(struct edge *self)
{
    for (uint32_t n = 0; n < self->lanes->far_end; n++)
        for (unsigned s = 0; self->lanes->far[n] != NULL && s < self->lanes->far[n]->shards; s++)
            send_frame(self, (uint16_t)n, s);
}

/* A frame that is long enough goes at once: no credit bounds what a turn has to say, above all of
 * subscriptions, and neither a frame nor the mesh takes any length of it. */
static void send_long(struct edge *self, uint16_t number, unsigned shard)
{
    if (self->lanes->far[number]->frame[shard].count >= LIMIT_FRAME_ITEMS)
        send_frame(self, number, shard);
}

static void on_send(void *context, uint16_t number, uint16_t slot, const void *item, size_t size)
{
    struct edge *self = context;
    struct edge_far *far = self->lanes->far[number];
    CHECK(far != NULL); /* lanes send to nodes that they said are there */
    unsigned shard = slot % LIMIT_SLOTS % far->shards;
    CHECK(frame_add_written(&far->frame[shard], item, size) == 0);
    send_long(self, number, shard);
}

/* ---- what is told again ---- */

static void on_tell(void *context, uint16_t slot)
{
    struct edge *self = context;
    self->lanes->any_to_tell = true;
    self->lanes->to_tell[slot / 8] |= (uint8_t)(1U << slot % 8);
}

bool edge_lanes_tells(const struct edge *self, uint16_t slot)
{
    return self->lanes->to_tell[slot / 8] & 1U << slot % 8;
}

static void say_interest(struct edge *self, uint16_t number, const struct uuid *tenant,
                         unsigned bits)
{
    struct edge_far *far = self->lanes->far[number];
    struct msg_interest item = {
        .ref = lanes_ref(self->lanes->lanes), .tenant = *tenant, .bits = (uint8_t)bits};
    for (unsigned s = 0; s < far->shards; s++) {
        CHECK(frame_add(&far->frame[s], MSG_INTEREST, &item, sizeof item, NULL, 0) == 0);
        send_long(self, number, s);
    }
}

/* Of one device's watchers: whoever owns it. Of all of a tenant's: every shard there is. */
void edge_lanes_interest(struct edge *self, const struct uuid *tenant, const struct uuid *device,
                         unsigned bits)
{
    if (!uuid_is_nil(device)) {
        struct msg_interest item = {.tenant = *tenant, .device = *device, .bits = (uint8_t)bits};
        edge_say(self, edge_slot(self, tenant, device), MSG_INTEREST, &item, NULL, 0);
        return;
    }
    for (uint32_t n = 0; n < self->lanes->far_end; n++)
        if (self->lanes->far[n] != NULL)
            say_interest(self, (uint16_t)n, tenant, bits);
}

static uint32_t say_sync(struct edge *self, uint16_t number, unsigned first, unsigned end,
                         const struct msg_sync *item)
{
    for (unsigned s = first; s < end; s++) {
        CHECK(frame_add(&self->lanes->far[number]->frame[s], MSG_SYNC, item, sizeof *item, NULL,
                        0) == 0);
        send_long(self, number, s);
    }
    return end - first;
}

uint32_t edge_lanes_sync(struct edge *self, struct msg_sync *item, const struct uuid *tenant,
                         const struct uuid *device)
{
    const struct edge_lanes *lanes = self->lanes;
    const struct msg_ref own = lanes_ref(lanes->lanes);
    uint32_t asked = 0;
    item->ref.node = own.node;
    item->ref.life = own.life;
    item->ref.edge = own.edge;
    if (!uuid_is_nil(device)) {
        uint16_t slot = edge_slot(self, tenant, device), owner = lanes_owner(lanes->lanes, slot);
        if (owner == MSG_NOBODY || lanes->far[owner] == NULL)
            return 0; /* it is told when there is one */
        unsigned shard = slot % LIMIT_SLOTS % lanes->far[owner]->shards;
        return say_sync(self, owner, shard, shard + 1, item);
    }
    for (uint32_t n = 0; n < lanes->far_end; n++)
        if (lanes->far[n] != NULL && lanes_alive(lanes->lanes, (uint16_t)n))
            asked += say_sync(self, (uint16_t)n, 0, lanes->far[n]->shards, item);
    return asked;
}

static void interest_again(void *context, const struct uuid *tenant, const struct uuid *device,
                           unsigned bits)
{
    struct edge *self = context;
    if (!uuid_is_nil(device) && edge_lanes_tells(self, edge_slot(self, tenant, device)))
        edge_lanes_interest(self, tenant, device, bits);
}

void edge_lanes_tell(struct edge *self)
{
    if (!self->lanes->any_to_tell)
        return;
    edge_mqtt_tell(self);
    watchers_keys(&self->watchers, interest_again, self);
    for (uint32_t slot = 0; slot < SLOTS_ALL; slot++)
        if (edge_lanes_tells(self, (uint16_t)slot))
            edge_say(self, (uint16_t)slot, MSG_TOLD, &(struct msg_told){0}, NULL, 0);
    memset(self->lanes->to_tell, 0, sizeof self->lanes->to_tell);
    self->lanes->any_to_tell = false;
}

/* ---- nodes ---- */

struct to_node {
    struct edge *edge;
    uint16_t number;
};

static void interest_to_node(void *context, const struct uuid *tenant, const struct uuid *device,
                             unsigned bits)
{
    const struct to_node *to = context;
    if (uuid_is_nil(device))
        say_interest(to->edge, to->number, tenant, bits);
}

static void on_node(void *context, uint16_t number, uint16_t life, unsigned shards)
{
    struct edge *self = context;
    struct edge_far *far = self->lanes->far[number];
    if (far == NULL) {
        far = self->lanes->far[number] = xcalloc(1, sizeof *far);
        for (unsigned s = 0; s < LIMIT_SHARDS; s++)
            frame_init(&far->frame[s], FRAME_BYTES_MAX);
    }
    for (unsigned s = 0; s < LIMIT_SHARDS; s++)
        frame_clear(&far->frame[s]); /* for its former life: its lanes keep what was in it */
    far->life = life;
    far->shards = shards >= 1 && shards <= LIMIT_SHARDS ? shards : 1;
    if (self->lanes->far_end <= number)
        self->lanes->far_end = number + 1U;
    watchers_keys(&self->watchers, interest_to_node, &(struct to_node){self, number});
}

void edge_lanes_home(struct edge *self, const struct uuid *id, unsigned region)
{
    if (region >= LIMIT_REGIONS || !homes_set(&self->lanes->homes, id, region))
        return;
    on_tell(self, msg_slot(region, slot_of(id)));
    lanes_redirect_device(self->lanes->lanes, id, (uint16_t)slot_of(id), region);
}

void edge_lanes_learn(struct edge *self, const struct uuid *tenant, const struct uuid *device,
                      unsigned region)
{
    if (edge_slot(self, tenant, device) >> MSG_SLOT_BITS != region)
        edge_lanes_home(self, device != NULL ? device : tenant, region);
}

void edge_lanes_take(struct edge *self, const struct item *item)
{
    if (item->kind == MSG_HOME) {
        struct msg_home home = *(const struct msg_home *)item->fixed;
        edge_lanes_home(self, &home.id, home.region);
        if (home.ref.item != 0)
            lanes_redirect(self->lanes->lanes, home.ref.item, home.region);
        return;
    }
    lanes_take(self->lanes->lanes, item, clock_boot_us());
}

/* ---- for the rest of the edge ---- */

uint16_t edge_slot(const struct edge *self, const struct uuid *tenant, const struct uuid *device)
{
    unsigned region = homes_region(&self->lanes->homes, tenant, device);
    return msg_slot(region, slot_of(device != NULL ? device : tenant));
}

uint32_t edge_give(struct edge *self, uint16_t slot, enum msg_kind kind, const void *fixed,
                   const struct span *texts, size_t texts_count)
{
    size_t size = lanes_add(self->lanes->lanes, slot, kind, fixed, texts, texts_count);
    self->items++;
    self->bytes += size;
    metrics_add(METRIC_EDGE_ITEMS, 1);
    metrics_add(METRIC_EDGE_BYTES, (int64_t)size);
    if (self->items >= LIMIT_EDGE_ITEMS || self->bytes >= LIMIT_EDGE_BYTES)
        self->exhausted = true;
    return lanes_last(self->lanes->lanes);
}

void edge_say(struct edge *self, uint16_t slot, enum msg_kind kind, const void *fixed,
              const struct span *texts, size_t texts_count)
{
    lanes_say(self->lanes->lanes, slot, kind, fixed, texts, texts_count);
}

bool edge_answered(struct edge *self, uint32_t item)
{
    size_t size = lanes_answered(self->lanes->lanes, item);
    if (size == 0)
        return false;
    CHECK(self->items > 0 && self->bytes >= size);
    self->items--;
    self->bytes -= size;
    metrics_add(METRIC_EDGE_ITEMS, -1);
    metrics_add(METRIC_EDGE_BYTES, -(int64_t)size);
    return true;
}

void edge_lanes_tick(struct edge *self)
{
    lanes_tick(self->lanes->lanes, clock_boot_us());
}

/* ---- its life ---- */

void edge_lanes_open(struct edge *self, const struct edge_args *args)
{
    struct edge_lanes *lanes = self->lanes = xcalloc(1, sizeof *lanes);
    const struct lanes_config config = {
        .node = args->number, .life = (uint16_t)args->incarnation, .edge = (uint8_t)args->index};
    const struct lanes_events events = {
        .send = on_send, .tell = on_tell, .node = on_node, .context = self};
    self->number = args->number;
    lanes->lanes = lanes_new(&config, &events);
    lanes->mesh = mailbox_connect("mesh", 0, 0);
}

void edge_lanes_close(struct edge *self)
{
    struct edge_lanes *lanes = self->lanes;
    edge_lanes_flush(self); /* who has gone */
    for (uint32_t n = 0; n < lanes->far_end; n++) {
        for (unsigned s = 0; lanes->far[n] != NULL && s < LIMIT_SHARDS; s++)
            frame_free(&lanes->far[n]->frame[s]);
        free(lanes->far[n]);
    }
    zsock_destroy(&lanes->mesh);
    homes_free(&lanes->homes);
    lanes_destroy(&lanes->lanes);
    free(lanes);
    self->lanes = NULL;
}
