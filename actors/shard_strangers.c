/* Items of nodes that this shard has not heard of yet. The mesh may hear of a node before the shard
 * does, and what comes by two ways comes in any order. */
#include "actors/shard_inside.h"
#include <stdlib.h>

static bool is_of_edge(const struct item *item)
{
    switch ((int)item->kind) {
    case MSG_READING:
    case MSG_REJECT:
    case MSG_PRESENCE:
    case MSG_INTEREST:
    case MSG_MESSAGE:
    case MSG_TOLD:
    case MSG_CLAIM:
    case MSG_UNCLAIM:
    case MSG_ADMIT:
    case MSG_ASK:
        return true;
    default:
        return false;
    }
}

/* Incarnations of a number only go up. */
static bool is_to_come(const struct shard *self, const struct msg_ref *ref)
{
    if (ref->node >= LIMIT_NODES || ref->node == self->config.node)
        return false;
    const struct known_node *known = &self->known[ref->node];
    return !known->told || (int16_t)(uint16_t)(ref->life - known->life) > 0;
}

bool shard_keeps_stranger(struct shard *self, const struct item *item)
{
    if (!is_of_edge(item) || !is_to_come(self, item->fixed))
        return false;
    size_t fixed_len = frame_fixed_size(item->kind);
    struct early *early = malloc(sizeof *early + fixed_len + item->texts_len);
    CHECK(early != NULL);
    *early = (struct early){.kind = item->kind, .size = item->size, .texts_len = item->texts_len};
    memcpy(early->item, item->fixed, fixed_len);
    memcpy(early->item + fixed_len, item->texts, item->texts_len);
    if (self->strangers_last != NULL)
        self->strangers_last->next = early;
    else
        self->strangers = early;
    self->strangers_last = early;
    return true;
}

/* Those of others that are yet to come are kept again. */
static void take_strangers(struct shard *self)
{
    struct early *early = self->strangers;
    self->strangers = self->strangers_last = NULL;
    while (early != NULL) {
        struct early *next = early->next;
        struct item item = {.kind = early->kind,
                            .fixed = early->item,
                            .texts = early->item + frame_fixed_size(early->kind),
                            .texts_len = early->texts_len,
                            .size = early->size};
        shard_take(self, &item);
        free(early);
        early = next;
    }
}

void shard_meets(struct shard *self, const struct msg_node *node)
{
    if (node->node >= LIMIT_NODES)
        return;
    self->known[node->node] = (struct known_node){.life = node->life, .told = true};
    take_strangers(self);
}

void shard_strangers_free(struct shard *self)
{
    while (self->strangers != NULL) {
        struct early *next = self->strangers->next;
        free(self->strangers);
        self->strangers = next;
    }
}
