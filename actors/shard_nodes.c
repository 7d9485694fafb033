/* Which nodes live, as control says; and what edges say of whose node it has not spoken yet. */
#include "actors/shard_inside.h"
#include <stdlib.h>

static void free_far(struct shard_far **far_p)
{
    struct shard_far *far = *far_p;
    if (far == NULL)
        return;
    for (unsigned i = 0; i < LIMIT_EDGES; i++) {
        frame_free(&far->edge[i]);
        frame_free(&far->watchers[i]);
        frame_free(&far->promised[i]);
    }
    for (unsigned i = 0; i < LIMIT_SHARDS; i++)
        frame_free(&far->shard[i]);
    free(far);
    *far_p = NULL;
}

static void lose_node(struct shard *self, uint16_t number)
{
    free_far(&self->out.far[number]);
    interest_lost_node(&self->interest, number);
    tenants_lost_node(&self->tenants, number);
    shard_slots_lost_node(self, number);
    for (uint32_t h = 0; h < self->handles; h++) {
        struct device *device = shard_device(self, h);
        if (device->state == DEVICE_STATES || !device_lost_node(device, number))
            continue;
        if (device->presences == NULL)
            device_disconnected(device, self->now_us);
    }
}

static void add_node(struct shard *self, const struct msg_node *node)
{
    struct shard_far *far = xcalloc(1, sizeof *far);
    far->node = node->node;
    far->life = node->life;
    far->edges = node->edges <= LIMIT_EDGES ? node->edges : LIMIT_EDGES;
    far->shards = node->shards <= LIMIT_SHARDS ? node->shards : LIMIT_SHARDS;
    if (node->shards == 0)
        far->shards = 1; /* there is always one to name */
    for (unsigned i = 0; i < LIMIT_EDGES; i++) {
        frame_init(&far->edge[i], FRAME_BYTES_MAX);
        frame_init(&far->watchers[i], FRAME_BYTES_MAX);
        frame_init(&far->promised[i], FRAME_BYTES_MAX);
    }
    for (unsigned i = 0; i < LIMIT_SHARDS; i++)
        frame_init(&far->shard[i], FRAME_BYTES_MAX);
    self->out.far[node->node] = far;
    if (self->out.far_end <= node->node)
        self->out.far_end = node->node + 1U;
}

/* ---- strangers ---- */

/* Of one node, numbers of lives go up, in 16 bits. */
static bool is_later(uint16_t life, uint16_t than)
{
    return (int16_t)(uint16_t)(life - than) > 0;
}

static bool is_over(const struct shard *self, uint16_t node, uint16_t life)
{
    const struct shard_far *far = self->out.far[node];
    const struct stranger *stranger = &self->strangers[node];
    bool waits = stranger->early.first != NULL;
    return (far != NULL && !is_later(life, far->life)) ||
           (stranger->ended && !is_later(life, stranger->life)) ||
           (waits && is_later(stranger->life, life));
}

bool shard_knows(struct shard *self, const struct item *item, const struct msg_ref *ref)
{
    if (ref->node >= LIMIT_NODES || ref->node == self->config.node)
        return ref->node == self->config.node && ref->life == self->config.life;
    if (self->out.far[ref->node] != NULL && self->out.far[ref->node]->life == ref->life)
        return true;
    if (is_over(self, ref->node, ref->life))
        return false;
    struct stranger *stranger = &self->strangers[ref->node];
    if (stranger->life != ref->life)
        early_free(&stranger->early);
    stranger->life = ref->life;
    stranger->ended = false;
    early_keep(&stranger->early, item);
    return false;
}

static void take_one(void *context, const struct item *item)
{
    shard_take(context, item);
}

/* What has waited for the word that this life has begun, or ended. */
static void meet_stranger(struct shard *self, const struct msg_node *node)
{
    struct stranger *stranger = &self->strangers[node->node];
    bool waits = stranger->early.first != NULL;
    if (waits && is_later(stranger->life, node->life))
        return;
    if (node->alive && waits && stranger->life == node->life)
        early_take(&stranger->early, take_one, self);
    early_free(&stranger->early);
    stranger->life = node->life;
    stranger->ended = !node->alive;
}

void shard_take_node(struct shard *self, const struct msg_node *node)
{
    uint16_t number = node->node;
    if (number >= LIMIT_NODES || number == self->config.node)
        return;
    const struct shard_far *far = self->out.far[number];
    if (far != NULL && (!node->alive || far->life != node->life))
        lose_node(self, number);
    if (node->alive && self->out.far[number] == NULL)
        add_node(self, node);
    meet_stranger(self, node);
}

void shard_nodes_free(struct shard *self)
{
    for (uint16_t n = 0; n < LIMIT_NODES; n++) {
        free_far(&self->out.far[n]);
        early_free(&self->strangers[n].early);
    }
}
