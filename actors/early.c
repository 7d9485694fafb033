#include "actors/early.h"
#include "proto/check.h"
#include <stdlib.h>

struct early_item {
    struct early_item *next;
    enum msg_kind kind;
    size_t size, texts_len;
    uint8_t bytes[]; /* fixed part, texts */
};

void early_keep(struct early *self, const struct item *item)
{
    size_t fixed_len = (size_t)(item->texts - (const uint8_t *)item->fixed);
    struct early_item *kept = malloc(sizeof *kept + fixed_len + item->texts_len);
    CHECK(kept != NULL);
    *kept =
        (struct early_item){.kind = item->kind, .size = item->size, .texts_len = item->texts_len};
    memcpy(kept->bytes, item->fixed, fixed_len + item->texts_len);
    if (self->last != NULL)
        self->last->next = kept;
    else
        self->first = kept;
    self->last = kept;
}

static struct item item_of(const struct early_item *kept)
{
    return (struct item){.kind = kept->kind,
                         .fixed = kept->bytes,
                         .texts = kept->bytes + frame_fixed_size(kept->kind),
                         .texts_len = kept->texts_len,
                         .size = kept->size};
}

void early_each(const struct early *self, void (*fn)(void *context, const struct item *item),
                void *context)
{
    for (const struct early_item *kept = self->first; kept != NULL; kept = kept->next) {
        struct item item = item_of(kept);
        fn(context, &item);
    }
}

void early_take(struct early *self, void (*fn)(void *context, const struct item *item),
                void *context)
{
    struct early_item *kept = self->first;
    *self = (struct early){0};
    while (kept != NULL) {
        struct early_item *next = kept->next;
        struct item item = item_of(kept);
        fn(context, &item);
        free(kept);
        kept = next;
    }
}

void early_free(struct early *self)
{
    while (self->first != NULL) {
        struct early_item *next = self->first->next;
        free(self->first);
        self->first = next;
    }
    self->last = NULL;
}
