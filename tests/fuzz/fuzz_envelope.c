/*
 * Any bytes: what an envelope is read as lies within them, and written and read again is the same.
 */
#include "proto/check.h"
#include "proto/envelope.h"
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_same(const struct envelope *a, const struct envelope *b)
{
    CHECK(a->version == b->version && a->type == b->type);
    CHECK(a->from == b->from && a->from_life == b->from_life && a->to_life == b->to_life);
    CHECK(a->round == b->round && a->seq == b->seq && a->ack == b->ack);
    CHECK(a->kind == b->kind && a->index == b->index && a->len == b->len);
    CHECK(a->len == 0 || memcmp(a->data, b->data, a->len) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct envelope envelope, again;
    int rc = envelope_open(data, size, &envelope);
    CHECK(rc == 0 || rc == ERR_VERSION || rc == ERR_MALFORMED);
    if (rc != 0)
        return 0;
    CHECK((const uint8_t *)envelope.data + envelope.len == data + size);
    CHECK(envelope.type > 0 && envelope.type < ENVELOPE_TYPES);
    uint8_t *copy = xcalloc(1, ENVELOPE_HEAD_MAX + envelope.len);
    size_t head = envelope_head(&envelope, copy);
    if (envelope.len > 0)
        memcpy(copy + head, envelope.data, envelope.len);
    CHECK(envelope_open(copy, head + envelope.len, &again) == 0);
    check_same(&envelope, &again);
    free(copy);
    return 0;
}
