#include "proto/batch.h"
#include <stdlib.h>

/* A list that once grew past this many elements gives its memory back when the batch is cleared. */
#define KEEP_ELEMENTS (2 * LIMIT_BATCH_ROWS)

struct batch *batch_new(void)
{
    struct batch *self = calloc(1, sizeof *self);
    if (self != NULL)
        buf_init(&self->bytes, UINT32_MAX);
    return self;
}

void batch_destroy(struct batch **self_p)
{
    struct batch *self = *self_p;
    if (self == NULL)
        return;
#define LIST(type, name) free(self->name);
    BATCH_LISTS
#undef LIST
    buf_free(&self->bytes);
    free(self);
    *self_p = NULL;
}

void batch_clear(struct batch *self)
{
#define LIST(type, name)                                                                           \
    self->name##_count = 0;                                                                        \
    if (self->name##_cap > KEEP_ELEMENTS) {                                                        \
        free(self->name);                                                                          \
        self->name = NULL;                                                                         \
        self->name##_cap = 0;                                                                      \
    }
    BATCH_LISTS
#undef LIST
    if (self->bytes.cap > 2 * LIMIT_BATCH_BYTES)
        buf_free(&self->bytes);
    buf_clear(&self->bytes);
    self->rebuilds = 0;
    self->error = 0;
}

bool batch_is_empty(const struct batch *self)
{
#define LIST(type, name)                                                                           \
    if (self->name##_count > 0)                                                                    \
        return false;
    BATCH_LISTS
#undef LIST
    return true;
}

bool batch_is_full(const struct batch *self, size_t bytes)
{
    return self->rows_count + self->rejects_count + self->retains_count >= LIMIT_BATCH_ROWS ||
           self->rebuilds >= LIMIT_BATCH_REBUILDS ||
           (self->bytes.len > 0 && self->bytes.len + bytes > LIMIT_BATCH_BYTES);
}

#define LIST(type, name)                                                                           \
    struct type *batch_add_##name(struct batch *self)                                              \
    {                                                                                              \
        if (self->name##_count == self->name##_cap) {                                              \
            uint32_t cap = self->name##_cap ? 2 * self->name##_cap : 16;                           \
            struct type *grown = realloc(self->name, cap * sizeof *grown);                         \
            if (grown == NULL)                                                                     \
                return NULL;                                                                       \
            self->name = grown;                                                                    \
            self->name##_cap = cap;                                                                \
        }                                                                                          \
        struct type *added = &self->name[self->name##_count++];                                    \
        memset(added, 0, sizeof *added);                                                           \
        return added;                                                                              \
    }
BATCH_LISTS
#undef LIST

struct text batch_text(struct batch *self, const void *data, size_t len)
{
    struct text text = {.at = (uint32_t)self->bytes.len};
    buf_put(&self->bytes, data, len);
    if (!self->bytes.failed)
        text.len = (uint32_t)len;
    return text;
}
