#include "proto/frame.h"
#include "proto/check.h"
#include "proto/unpack.h"
#include <msgpack.h>

/* Bytes kept free in front of the items for the msgpack header, which is written last. */
#define HEADER_ROOM 16

struct item_header {
    uint32_t size; /* of the whole item, this header included */
    uint8_t kind;
} __attribute__((packed));

static const size_t fixed_sizes[] = {
    [MSG_READING] = sizeof(struct msg_reading),   [MSG_REJECT] = sizeof(struct msg_reject),
    [MSG_PRESENCE] = sizeof(struct msg_presence), [MSG_INTEREST] = sizeof(struct msg_interest),
    [MSG_MESSAGE] = sizeof(struct msg_message),   [MSG_CLAIM] = sizeof(struct msg_claim),
    [MSG_UNCLAIM] = sizeof(struct msg_claim),     [MSG_ADMIT] = sizeof(struct msg_admit),
    [MSG_CHANGED] = sizeof(struct msg_device),    [MSG_WAKE] = sizeof(struct msg_device),
    [MSG_HOME] = sizeof(struct msg_home),         [MSG_ASK] = sizeof(struct msg_ask),
    [MSG_ACTOR] = sizeof(struct msg_actor),       [MSG_DRAIN] = sizeof(struct msg_drain),
    [MSG_TOLD] = sizeof(struct msg_told),         [MSG_NODE] = sizeof(struct msg_node),
    [MSG_SLOT] = sizeof(struct msg_slot),         [MSG_RELEASE] = sizeof(struct msg_slot),
    [MSG_GIVE] = sizeof(struct msg_slot),         [MSG_RELEASED] = sizeof(struct msg_slot),
    [MSG_SNAPSHOT] = sizeof(struct msg_snapshot), [MSG_GIVEN] = sizeof(struct msg_slot),
    [MSG_ACK] = sizeof(struct msg_ack),           [MSG_EVENT] = sizeof(struct msg_event),
    [MSG_KICK] = sizeof(struct msg_kick),         [MSG_ADMITTED] = sizeof(struct msg_admitted),
    [MSG_SYNC] = sizeof(struct msg_sync),         [MSG_SYNCED] = sizeof(struct msg_sync),
    [MSG_NEWS] = sizeof(struct msg_news),         [MSG_REVOKED] = sizeof(struct msg_revoked),
};
#define KINDS (sizeof fixed_sizes / sizeof *fixed_sizes)

/* What the lengths inside the fixed part say that the texts are together. */
static size_t texts_expected(enum msg_kind kind, const void *fixed)
{
    const struct msg_reading *reading = fixed;
    const struct msg_reject *reject = fixed;
    const struct msg_message *message = fixed;
    const struct msg_claim *claim = fixed;
    const struct msg_ack *ack = fixed;
    const struct msg_event *event = fixed;
    const struct msg_snapshot *snapshot = fixed;
    const struct msg_news *news = fixed;
    const struct msg_drain *drain = fixed;
    switch (kind) {
    case MSG_READING:
        return (size_t)reading->payload_len + reading->extra_len;
    case MSG_REJECT:
        return (size_t)reject->topic_len + reject->reason_len + reject->payload_len;
    case MSG_MESSAGE:
        return (size_t)message->topic_len + message->payload_len + message->properties_len;
    case MSG_CLAIM:
    case MSG_UNCLAIM:
        return claim->client_id_len;
    case MSG_ACK:
        return ack->reason_len;
    case MSG_EVENT:
        return (size_t)event->topic_len + event->body_len + event->properties_len;
    case MSG_DRAIN:
        return drain->reference_len;
    case MSG_SNAPSHOT:
        return (size_t)snapshot->rules_len + snapshot->hours_len + snapshot->latest_len;
    case MSG_NEWS:
        return news->text_len;
    case MSG_PRESENCE:
    case MSG_INTEREST:
    case MSG_TOLD:
    case MSG_ASK:
    case MSG_ACTOR:
    case MSG_ADMIT:
    case MSG_SYNC:
    case MSG_SYNCED:
    case MSG_CHANGED:
    case MSG_WAKE:
    case MSG_HOME:
    case MSG_NODE:
    case MSG_SLOT:
    case MSG_RELEASE:
    case MSG_GIVE:
    case MSG_RELEASED:
    case MSG_GIVEN:
    case MSG_KICK:
    case MSG_ADMITTED:
    case MSG_REVOKED:
        break;
    }
    return 0;
}

void frame_init(struct frame *self, size_t max)
{
    buf_init(&self->bytes, max);
    self->count = 0;
}

void frame_free(struct frame *self)
{
    buf_free(&self->bytes);
    self->count = 0;
}

void frame_clear(struct frame *self)
{
    buf_clear(&self->bytes);
    self->count = 0;
}

/* Room for an item of `size` bytes at the end; NULL: full, and nothing is changed. */
static uint8_t *make_room(struct frame *self, size_t size)
{
    uint8_t *out = buf_reserve(&self->bytes, size + (self->bytes.len == 0 ? HEADER_ROOM : 0));
    if (out == NULL) {
        self->bytes.failed = false;
        return NULL;
    }
    if (self->bytes.len == 0) {
        out += HEADER_ROOM;
        self->bytes.len = HEADER_ROOM;
    }
    self->bytes.len += size;
    self->count++;
    return out;
}

void frame_item_write(void *to, enum msg_kind kind, const void *fixed, const struct span *texts,
                      size_t texts_count)
{
    struct item_header header = {.size = sizeof header, .kind = (uint8_t)kind};
    uint8_t *out = to;
    header.size += (uint32_t)fixed_sizes[kind];
    for (size_t i = 0; i < texts_count; i++)
        header.size += (uint32_t)texts[i].len;
    memcpy(out, &header, sizeof header);
    memcpy(out + sizeof header, fixed, fixed_sizes[kind]);
    out += sizeof header + fixed_sizes[kind];
    for (size_t i = 0; i < texts_count; i++) {
        if (texts[i].len > 0)
            memcpy(out, texts[i].data, texts[i].len);
        out += texts[i].len;
    }
}

int frame_add(struct frame *self, enum msg_kind kind, const void *fixed, size_t fixed_len,
              const struct span *texts, size_t texts_count)
{
    size_t size = sizeof(struct item_header) + fixed_len;
    CHECK(kind > 0 && kind < KINDS && fixed_len == fixed_sizes[kind]);
    for (size_t i = 0; i < texts_count; i++)
        size += texts[i].len;
    uint8_t *out = make_room(self, size);
    if (out == NULL)
        return ERR_FULL;
    frame_item_write(out, kind, fixed, texts, texts_count);
    return 0;
}

int frame_add_written(struct frame *self, const void *item, size_t size)
{
    uint8_t *out = make_room(self, size);
    if (out == NULL)
        return ERR_FULL;
    memcpy(out, item, size);
    return 0;
}

void *frame_item_fixed(void *item)
{
    return (uint8_t *)item + sizeof(struct item_header);
}

size_t frame_fixed_size(enum msg_kind kind)
{
    return fixed_sizes[kind];
}

size_t frame_item_size(enum msg_kind kind, size_t texts_len)
{
    return sizeof(struct item_header) + fixed_sizes[kind] + texts_len;
}

static int write_bytes(void *to, const char *bytes, size_t len)
{
    struct buf *out = to;
    buf_put(out, bytes, len);
    return out->failed ? -1 : 0;
}

struct span frame_finish(struct frame *self)
{
    uint8_t room[HEADER_ROOM];
    struct buf header = {.data = room, .cap = sizeof room, .max = sizeof room};
    msgpack_packer packer;
    CHECK(self->bytes.len >= HEADER_ROOM);
    msgpack_packer_init(&packer, &header, write_bytes);
    msgpack_pack_array(&packer, 3);
    msgpack_pack_int(&packer, MSG_VERSION);
    msgpack_pack_uint32(&packer, self->count);
    msgpack_pack_bin(&packer, self->bytes.len - HEADER_ROOM);
    CHECK(!header.failed);
    uint8_t *start = self->bytes.data + HEADER_ROOM - header.len;
    memcpy(start, room, header.len);
    return (struct span){start, self->bytes.len - HEADER_ROOM + header.len};
}

void frame_for_version(void *frame, size_t len, unsigned version)
{
    uint8_t *bytes = frame;
    CHECK(len >= 2 && bytes[1] == MSG_VERSION); /* after the array's head, one byte each */
    if (version >= MSG_VERSION_MIN)
        bytes[1] = (uint8_t)version;
}

int frame_open(struct frame_reader *self, const void *data, size_t len)
{
    const uint8_t *at = data, *end = at + len;
    uint64_t version, count;
    unsigned elements;
    if (!unpack_array(&at, end, &elements) || !unpack_uint(&at, end, &version))
        return ERR_MALFORMED;
    if (version < MSG_VERSION_MIN || version > MSG_VERSION)
        return ERR_VERSION;
    if (elements != 3 || !unpack_uint(&at, end, &count) || count > UINT32_MAX ||
        !unpack_bin(&at, end))
        return ERR_MALFORMED;
    *self = (struct frame_reader){.at = at, .end = end, .left = (uint32_t)count};
    return 0;
}

int frame_next(struct frame_reader *self, struct item *ret_item)
{
    struct item_header header;
    if (self->left == 0)
        return self->at == self->end ? 0 : ERR_MALFORMED;
    if ((size_t)(self->end - self->at) < sizeof header)
        return ERR_MALFORMED;
    memcpy(&header, self->at, sizeof header);
    if (header.kind == 0 || header.kind >= KINDS || header.size > self->end - self->at ||
        header.size < sizeof header + fixed_sizes[header.kind])
        return ERR_MALFORMED;
    const uint8_t *fixed = self->at + sizeof header;
    const uint8_t *texts = fixed + fixed_sizes[header.kind];
    size_t texts_len = header.size - sizeof header - fixed_sizes[header.kind];
    if (texts_len != texts_expected((enum msg_kind)header.kind, fixed))
        return ERR_MALFORMED;
    *ret_item = (struct item){(enum msg_kind)header.kind, fixed, texts, texts_len, header.size};
    self->at += header.size;
    self->left--;
    return 1;
}
