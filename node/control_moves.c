/* This node's slots that are to be others': released by their shards, committed, given. */
#include "node/control_inside.h"
#include "node/lease_thread.h"
#include "node/mailbox.h"
#include "proto/check.h"

static void tell_slot(struct control *self, enum msg_kind kind, uint16_t slot, uint16_t owner,
                      uint32_t epoch)
{
    struct msg_slot item = {
        .slot = slot, .from = self->view.number, .owner = owner, .epoch = epoch};
    control_view_tell_shard(&self->view, slot % LIMIT_SLOTS % (unsigned)self->config->shards, kind,
                            &item, sizeof item);
}

/* Committed: the shards go on, without waiting for the view that says the same. */
static void tell_moved(struct control *self, const struct moves_order *order,
                       const uint64_t *epochs)
{
    bool given = order->kind == MOVES_HAND_OVER;
    for (uint32_t i = 0; i < order->count; i++)
        if (epochs[i] != 0)
            tell_slot(self, given ? MSG_GIVE : MSG_SLOT, order->slot[i],
                      given ? order->target : self->view.number, (uint32_t)epochs[i]);
}

static bool commit(struct control *self, const struct moves_order *order)
{
    uint16_t slots[MOVES_GROUP], region = order->slot[0] >> MSG_SLOT_BITS;
    uint64_t epochs[MOVES_GROUP];
    const char *id = self->config->node_id;
    for (uint32_t i = 0; i < order->count; i++)
        slots[i] = order->slot[i] % LIMIT_SLOTS;
    int rc = order->kind == MOVES_HAND_OVER
                 ? membership_hand_over(&self->db, id, self->incarnation, region, slots,
                                        order->count, order->target, epochs)
                 : membership_keep(&self->db, id, self->incarnation, region, slots, order->count,
                                   order->target, epochs);
    moves_answered(self->view.moves, order, rc == 0 ? epochs : NULL);
    if (rc == 0) {
        tell_moved(self, order, epochs);
        control_view_flush(&self->view); /* who gets them waits; the next question may take long */
        return true;
    }
    if (rc == ERR_FENCED)
        lease_end_deposed(self->incarnation, "owns nothing any more");
    return control_went_on(self, "give slots away", rc) && rc != ERR_REFUSED;
}

bool control_give_slots(struct control *self)
{
    struct moves_order order;
    bool up = true;
    for (;;) {
        moves_next_rested(self->view.moves, &order);
        if (order.kind == MOVES_NONE)
            return up;
        up = commit(self, &order);
        control_view_flush(&self->view);
        if (!up)
            return self->db.conn != NULL;
    }
}

bool control_move_slots(struct control *self)
{
    struct moves_order order;
    for (;;) {
        moves_next(self->view.moves, &order);
        if (order.kind == MOVES_NONE)
            return true;
        if (order.kind == MOVES_RELEASE)
            tell_slot(self, MSG_RELEASE, order.slot[0], order.target, order.epoch);
        else if (!commit(self, &order))
            return self->db.conn != NULL;
    }
}

void control_take_released(struct control *self)
{
    zmq_msg_t message;
    while (mailbox_take(self->released, &message)) {
        struct frame_reader reader;
        struct item item;
        CHECK(frame_open(&reader, zmq_msg_data(&message), zmq_msg_size(&message)) == 0);
        while (frame_next(&reader, &item) == 1) {
            const struct msg_slot *slot = item.fixed;
            if (item.kind == MSG_RELEASED)
                moves_released(self->view.moves, slot->slot, slot->epoch);
        }
        zmq_msg_close(&message);
    }
}
