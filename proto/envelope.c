#include "proto/envelope.h"
#include "proto/buf.h"
#include "proto/check.h"
#include "proto/unpack.h"
#include <msgpack.h>

#define ELEMENTS 11

static int write_bytes(void *to, const char *bytes, size_t len)
{
    struct buf *out = to;
    buf_put(out, bytes, len);
    return out->failed ? -1 : 0;
}

size_t envelope_head(const struct envelope *self, uint8_t out[ENVELOPE_HEAD_MAX])
{
    struct buf head = {.data = out, .cap = ENVELOPE_HEAD_MAX, .max = ENVELOPE_HEAD_MAX};
    msgpack_packer packer;
    msgpack_packer_init(&packer, &head, write_bytes);
    msgpack_pack_array(&packer, ELEMENTS);
    msgpack_pack_uint8(&packer, self->version);
    msgpack_pack_uint8(&packer, self->type);
    msgpack_pack_uint16(&packer, self->from);
    msgpack_pack_uint16(&packer, self->from_life);
    msgpack_pack_uint16(&packer, self->to_life);
    msgpack_pack_uint32(&packer, self->round);
    msgpack_pack_uint64(&packer, self->seq);
    msgpack_pack_uint64(&packer, self->ack);
    msgpack_pack_uint8(&packer, self->kind);
    msgpack_pack_uint8(&packer, self->index);
    CHECK(self->len <= UINT32_MAX);
    msgpack_pack_bin(&packer, self->len);
    CHECK(!head.failed);
    return head.len;
}

/* Numbers whose greatest values are `most`. */
static bool read_numbers(const uint8_t **at, const uint8_t *end, const uint64_t *most,
                         uint64_t *values, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        if (!unpack_uint(at, end, &values[i]) || values[i] > most[i])
            return false;
    return true;
}

int envelope_open(const void *bytes, size_t len, struct envelope *ret_envelope)
{
    static const uint64_t most[8] = {UINT16_MAX, UINT16_MAX, UINT16_MAX, UINT32_MAX,
                                     UINT64_MAX, UINT64_MAX, UINT8_MAX,  UINT8_MAX};
    const uint8_t *at = bytes, *end = at + len;
    uint64_t version, type, v[8];
    unsigned elements;
    if (!unpack_array(&at, end, &elements) || !unpack_uint(&at, end, &version) ||
        !unpack_uint(&at, end, &type))
        return ERR_MALFORMED;
    bool spoken = version >= ENVELOPE_VERSION_MIN && version <= ENVELOPE_VERSION;
    if (!spoken && (type != ENVELOPE_REFUSED || version > UINT8_MAX))
        return ERR_VERSION;
    if (elements != ELEMENTS || type == 0 || type >= ENVELOPE_TYPES ||
        !read_numbers(&at, end, most, v, 8) || !unpack_bin(&at, end))
        return ERR_MALFORMED;
    *ret_envelope = (struct envelope){
        .version = (uint8_t)version,
        .type = (uint8_t)type,
        .from = (uint16_t)v[0],
        .from_life = (uint16_t)v[1],
        .to_life = (uint16_t)v[2],
        .round = (uint32_t)v[3],
        .seq = v[4],
        .ack = v[5],
        .kind = (uint8_t)v[6],
        .index = (uint8_t)v[7],
        .data = at,
        .len = (size_t)(end - at),
    };
    return 0;
}

uint8_t envelope_version_for(uint64_t told)
{
    if (told < ENVELOPE_VERSION_MIN)
        return ENVELOPE_VERSION_MIN;
    return told < ENVELOPE_VERSION ? (uint8_t)told : ENVELOPE_VERSION;
}
