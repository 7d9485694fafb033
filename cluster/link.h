#pragma once
/*
 * link - frames from one node's incarnation to another's and back: reliable, in order, bounded,
 * above a transport that may lose, cut, double and reorder.
 *
 * In:    frames to send; envelopes of the other side; the time; that the transport is a new one.
 * Out:   the next envelope to send; whether an envelope's frame is to be delivered.
 * Owner: the mesh thread; it sends what link_next gives on one connection, which keeps the order,
 *        and what link_answer gives on whichever it likes.
 * Bound: LIMIT_LINK_BYTES kept for the other side (see link_put), LINK_WINDOW_BYTES of them at the
 *        transport, which so has little to forget when it is cut.
 * Holds: 1. Frames are numbered from 1 and kept until the other side says it has them; it delivers
 *           number n only after n - 1, and once. So between two living processes nothing is lost,
 *           doubled or reordered, whatever the transport does.
 *        2. Silence alone never sends a frame again. After LINK_RETRY_US without progress a TAIL
 *           asks "I have sent up to here": where the transport keeps the order, the answer tells
 *           slow (ACK) from lost (GAP). Only a GAP makes the sender go back.
 *        3. Each going back begins a round; a GAP counts only in the round it tells of. So what
 *           was still on its way when the sender went back does not make it go back once more.
 *        4. A side that has lost its memory has another incarnation, and so another link. An
 *           incarnation that has left never comes back.
 *
 * Times are microseconds of one clock that also counts while the machine sleeps.
 */
#include "proto/envelope.h"
#include "proto/limits.h"

/* At the transport and not acknowledged. 80 ms to another continent: 50 MB/s. */
#define LINK_WINDOW_BYTES (4 * 1024 * 1024)
/* Without an acknowledgement of anything new, ask; then each time after twice as long. */
#define LINK_RETRY_US 500000
#define LINK_RETRY_MAX_US 4000000
/* An acknowledgement waits so long for a frame that takes it along, or for so much to be said. */
#define LINK_ACK_US 25000
#define LINK_ACK_BYTES (LINK_WINDOW_BYTES / 8)

/* What is kept of a frame: its bytes are on the heap, and the link's. */
struct link_frame {
    uint8_t *data;
    uint32_t len;
    uint8_t kind, index;
};

enum link_owed { LINK_OWES_NOTHING, LINK_OWES_ACK, LINK_OWES_ACK_NOW, LINK_OWES_GAP };

struct link {
    /* to the other side */
    struct link_frame *frames; /* numbers acked + 1 to next - 1, each at its number mod size */
    uint64_t size;             /* a power of two */
    uint64_t acked;            /* the other side has all up to this */
    uint64_t sent;             /* given to the transport in this round: acked <= sent < next */
    uint64_t highest;          /* given to the transport ever */
    uint64_t next;             /* number of the next frame */
    uint32_t round;
    bool asking;            /* a TAIL is due at once */
    size_t kept, under_way; /* bytes: of all frames; of those up to `sent` */
    int64_t retry_us, ask_at_us;
    /* from the other side */
    uint64_t got; /* all up to this was delivered */
    enum link_owed owed;
    uint32_t gap_round; /* a GAP was told in this round, */
    uint64_t gap_got;   /* after this number */
    size_t owed_bytes;
    int64_t owed_at_us;
};

void link_init(struct link *self);
void link_free(struct link *self);

/* Takes the frame's bytes over. 0; ERR_FULL if the link would keep more than `limit` bytes then;
 * ERR_TOO_LARGE past LIMIT_LINK_FRAME_BYTES: the caller keeps them. */
int link_put(struct link *self, const struct link_frame *frame, uint64_t limit) MUST_CHECK;

/* The next envelope for the connection that keeps the order (DATA, TAIL), its data the link's until
 * the next call; false: none now. The same again until link_sent. Who sends fills in version,
 * from, from_life, to_life. */
bool link_next(struct link *self, int64_t now_us, struct envelope *ret_envelope);
/* The next ACK or GAP, likewise. */
bool link_answer(struct link *self, int64_t now_us, struct envelope *ret_envelope);
/* That envelope was given to the transport. True: it was a frame, sent before. */
bool link_sent(struct link *self, const struct envelope *envelope, int64_t now_us);
/* The connection that keeps the order is a new one: what was on its way may be lost. */
void link_renewed(struct link *self, int64_t now_us);

/* DATA, TAIL, ACK or GAP of the other side. 1: its frame is to be delivered now; 0: nothing is;
 * ERR_UNEXPECTED: it says it has what was never sent, and was not believed. */
int link_take(struct link *self, const struct envelope *in, int64_t now_us) MUST_CHECK;

/* When link_next, or link_answer, may have something though nothing else happens; INT64_MAX: not.
 */
int64_t link_next_us(const struct link *self);
int64_t link_answer_us(const struct link *self);
/* Frames that the other side has not said it has. */
uint64_t link_waiting(const struct link *self);
