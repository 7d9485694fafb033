#include "cluster/link.h"
#include "proto/check.h"
#include <string.h>

/* While no more than this is at the transport, an acknowledgement that a frame takes along arrives
 * as soon as one by itself. */
#define PROMPT_BYTES (64 * 1024)

/* Places for frames: at least, and what an empty link keeps at most. */
#define SIZE_MIN 16
#define SIZE_KEPT 1024

/* What a frame costs, with what is kept of it besides its bytes. */
static size_t cost(const struct link_frame *frame)
{
    return frame->len + sizeof *frame + ENVELOPE_HEAD_MAX;
}

static struct link_frame *at(const struct link *self, uint64_t number)
{
    return &self->frames[number & (self->size - 1)];
}

void link_init(struct link *self)
{
    *self = (struct link){
        .next = 1, .size = SIZE_MIN, .retry_us = LINK_RETRY_US, .gap_got = UINT64_MAX};
    self->frames = xcalloc(self->size, sizeof *self->frames);
}

void link_free(struct link *self)
{
    for (uint64_t number = self->acked + 1; number < self->next; number++)
        free(at(self, number)->data);
    free(self->frames);
    *self = (struct link){0};
}

uint64_t link_waiting(const struct link *self)
{
    return self->next - 1 - self->acked;
}

static void resize(struct link *self, uint64_t size)
{
    struct link old = *self;
    self->size = size;
    self->frames = xcalloc(self->size, sizeof *self->frames);
    for (uint64_t number = old.acked + 1; number < old.next; number++)
        *at(self, number) = *at(&old, number);
    free(old.frames);
}

int link_put(struct link *self, const struct link_frame *frame, uint64_t limit)
{
    if (frame->len > LIMIT_LINK_FRAME_BYTES)
        return ERR_TOO_LARGE;
    if (self->kept + cost(frame) > limit)
        return ERR_FULL;
    if (link_waiting(self) == self->size)
        resize(self, 2 * self->size);
    *at(self, self->next++) = *frame;
    self->kept += cost(frame);
    return 0;
}

/* ---- to the other side ---- */

static bool is_under_way(const struct link *self)
{
    return self->sent > self->acked;
}

static void be_patient(struct link *self, int64_t now_us)
{
    self->retry_us = LINK_RETRY_US;
    self->ask_at_us = now_us + self->retry_us;
}

bool link_next(struct link *self, int64_t now_us, struct envelope *ret_envelope)
{
    if (is_under_way(self) && (self->asking || now_us >= self->ask_at_us)) {
        *ret_envelope = (struct envelope){.type = ENVELOPE_TAIL, .seq = self->sent};
    } else if (self->sent + 1 < self->next) {
        const struct link_frame *frame = at(self, self->sent + 1);
        if (is_under_way(self) && self->under_way + cost(frame) > LINK_WINDOW_BYTES)
            return false;
        *ret_envelope = (struct envelope){.type = ENVELOPE_DATA,
                                          .seq = self->sent + 1,
                                          .kind = frame->kind,
                                          .index = frame->index,
                                          .data = frame->data,
                                          .len = frame->len};
    } else {
        return false;
    }
    ret_envelope->round = self->round;
    ret_envelope->ack = self->got;
    return true;
}

static void asked(struct link *self, int64_t now_us)
{
    self->asking = false;
    self->retry_us *= 2;
    if (self->retry_us > LINK_RETRY_MAX_US)
        self->retry_us = LINK_RETRY_MAX_US;
    self->ask_at_us = now_us + self->retry_us;
}

static void owe_nothing(struct link *self)
{
    self->owed = LINK_OWES_NOTHING;
    self->owed_bytes = 0;
}

static bool sent_frame(struct link *self, int64_t now_us)
{
    if (!is_under_way(self))
        be_patient(self, now_us);
    if (self->owed == LINK_OWES_ACK && self->under_way < PROMPT_BYTES)
        owe_nothing(self);
    self->sent++;
    self->under_way += cost(at(self, self->sent));
    if (self->sent <= self->highest)
        return true;
    self->highest = self->sent;
    return false;
}

bool link_sent(struct link *self, const struct envelope *envelope, int64_t now_us)
{
    if (envelope->type == ENVELOPE_DATA)
        return sent_frame(self, now_us);
    if (envelope->type == ENVELOPE_TAIL)
        asked(self, now_us);
    else
        owe_nothing(self);
    return false;
}

void link_renewed(struct link *self, int64_t now_us)
{
    self->asking = is_under_way(self);
    be_patient(self, now_us);
}

/* False: the number was never sent. */
static bool take_ack(struct link *self, uint64_t ack, int64_t now_us)
{
    if (ack > self->highest)
        return false;
    if (ack <= self->acked)
        return true;
    while (self->acked < ack) {
        struct link_frame *frame = at(self, ++self->acked);
        self->kept -= cost(frame);
        if (self->acked <= self->sent)
            self->under_way -= cost(frame);
        free(frame->data);
        frame->data = NULL;
    }
    if (self->sent < self->acked)
        self->sent = self->acked;
    if (link_waiting(self) == 0 && self->size > SIZE_KEPT)
        resize(self, SIZE_MIN);
    be_patient(self, now_us);
    return true;
}

static void go_back(struct link *self, const struct envelope *gap)
{
    if (gap->round != self->round || gap->ack != self->acked || !is_under_way(self))
        return;
    self->round++;
    self->sent = self->acked;
    self->under_way = 0;
    self->asking = false;
}

/* ---- from the other side ---- */

static void owe(struct link *self, enum link_owed owed)
{
    if (owed > self->owed)
        self->owed = owed;
}

static void tell_gap(struct link *self, uint32_t round)
{
    self->gap_round = round;
    self->gap_got = self->got;
    owe(self, LINK_OWES_GAP);
}

static bool gap_is_told(const struct link *self, uint32_t round)
{
    return self->gap_round == round && self->gap_got == self->got;
}

static int take_frame(struct link *self, const struct envelope *in, int64_t now_us)
{
    if (in->seq > self->got + 1) {
        if (!gap_is_told(self, in->round))
            tell_gap(self, in->round);
        return 0;
    }
    if (self->owed == LINK_OWES_NOTHING)
        self->owed_at_us = now_us + LINK_ACK_US;
    self->owed_bytes += in->len + ENVELOPE_HEAD_MAX;
    owe(self, self->owed_bytes >= LINK_ACK_BYTES ? LINK_OWES_ACK_NOW : LINK_OWES_ACK);
    if (in->seq <= self->got)
        return 0;
    self->got = in->seq;
    return 1;
}

int link_take(struct link *self, const struct envelope *in, int64_t now_us)
{
    if (!take_ack(self, in->ack, now_us))
        return ERR_UNEXPECTED;
    switch ((enum envelope_type)in->type) {
    case ENVELOPE_DATA:
        return take_frame(self, in, now_us);
    case ENVELOPE_TAIL:
        if (in->seq > self->got)
            tell_gap(self, in->round);
        else
            owe(self, LINK_OWES_ACK_NOW);
        return 0;
    case ENVELOPE_GAP:
        go_back(self, in);
        return 0;
    case ENVELOPE_ACK:
    case ENVELOPE_PING:
    case ENVELOPE_PONG:
    case ENVELOPE_REFUSED:
    case ENVELOPE_TYPES:
        break;
    }
    return 0;
}

bool link_answer(struct link *self, int64_t now_us, struct envelope *ret_envelope)
{
    if (self->owed == LINK_OWES_NOTHING ||
        (self->owed == LINK_OWES_ACK && now_us < self->owed_at_us))
        return false;
    *ret_envelope = (struct envelope){.type = ENVELOPE_ACK, .ack = self->got};
    if (self->owed == LINK_OWES_GAP && self->gap_got == self->got) {
        ret_envelope->type = ENVELOPE_GAP;
        ret_envelope->round = self->gap_round;
    }
    return true;
}

/* ---- time ---- */

int64_t link_next_us(const struct link *self)
{
    return is_under_way(self) ? self->ask_at_us : INT64_MAX;
}

int64_t link_answer_us(const struct link *self)
{
    return self->owed == LINK_OWES_ACK ? self->owed_at_us : INT64_MAX;
}
