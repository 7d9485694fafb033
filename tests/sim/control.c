/* The control thread of a simulated node (node/control): one question to the database at a time;
 * the real moves say which slots are given away. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

#define POLL_US SECOND_US
#define EXPIRY_US (SECOND_US / 2)
#define VOTE_US (2 * SECOND_US)
#define BACKOFF_MIN_US 100000
#define BACKOFF_MAX_US (2 * SECOND_US)
#define DRAIN_US (20 * SECOND_US)
#define DRAIN_LOOK_US 50000
#define TURN_US 200000

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static struct process *process_of(const struct call *call)
{
    return call->thread->process;
}

void control_notify(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (process->phase != PROCESS_RUNNING && process->phase != PROCESS_STOPPING)
        return;
    if (!control->connected)
        return;
    control->notified = true;
    task_wake(self, &control->thread.task);
}

void control_suspect(struct world *self, struct process *process, uint16_t number, uint16_t life,
                     bool suspected)
{
    process->control.suspects[number] = (struct suspect){.life = life, .suspected = suspected};
    trace(self, "process %u %s number %u", process->id, suspected ? "suspects" : "hears again",
          number);
    task_wake(self, &process->control.thread.task);
}

/* ---- the connection ---- */

static void disconnect(struct world *self, struct sim_control *control)
{
    control->connected = control->notified = false;
    control->connect_at_us = self->now_us + control->backoff_us;
    control->backoff_us = least(2 * control->backoff_us, BACKOFF_MAX_US);
}

/* True: a success, or a refusal that leaves the connection whole. */
static bool went_on(struct world *self, struct sim_control *control, int rc)
{
    if (rc != ERR_UNAVAILABLE)
        return true;
    disconnect(self, control);
    return false;
}

static void ask(struct world *self, struct process *process,
                int (*execute)(struct world *world, struct call *self),
                void (*answered)(struct world *world, struct process *process))
{
    process->control.answered = answered;
    call_send(self, &process->control.call, execute);
}

static void ask_to_read(struct world *self, struct process *process,
                        int (*execute)(struct world *world, struct call *self),
                        void (*answered)(struct world *world, struct process *process))
{
    ask(self, process, execute, answered);
    process->control.call.reads = true;
}

static int do_connect(struct world *self, struct call *call)
{
    struct sim_control *control = &process_of(call)->control;
    if (!control->changes_begun)
        control->changes = self->db.changes_count;
    control->changes_begun = true;
    return 0;
}

static void connected(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (control->call.rc != 0) {
        disconnect(self, control);
        return;
    }
    control->connected = true;
    control->backoff_us = BACKOFF_MIN_US;
    control->poll_at_us = control->expiry_at_us = 0;
}

/* ---- reading ---- */

static int do_read(struct world *self, struct call *call)
{
    struct sim_control *control = &process_of(call)->control;
    free(control->read.slots);
    member_read(self, control->version, &control->read);
    return 0;
}

static bool is_member(const struct process *process)
{
    const struct view_read *read = &process->control.read;
    for (uint32_t i = 0; i < read->nodes_count; i++)
        if (read->nodes[i].number == process->number &&
            read->nodes[i].incarnation == process->incarnation)
            return read->nodes[i].state == MEMBER_ACTIVE || read->nodes[i].state == MEMBER_DRAINING;
    return read->version == process->control.version;
}

static void have_read(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    bool read = went_on(self, control, control->call.rc) && control->call.rc == 0;
    if (read && !is_member(process)) {
        process_end(self, process, "deposed");
        return;
    }
    if (read)
        control_take_view(self, process);
    free(control->read.slots);
    control->read.slots = NULL;
}

static int do_sweep(struct world *self, struct call *call)
{
    struct sim_control *control = &process_of(call)->control;
    control->awake = 0;
    for (uint32_t d = 0; d < DEVICES; d++)
        if (self->db.device[d].exists && self->db.device[d].status != STATUS_OFFLINE)
            control->awake |= 1U << d;
    return 0;
}

static void swept(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (!went_on(self, control, control->call.rc) || control->call.rc != 0)
        return;
    control->sweeping = false;
    for (uint32_t d = 0; d < DEVICES; d++)
        if (control->awake & 1U << d)
            control_tell_device(self, process, MSG_WAKE, d);
}

/* ---- others' deaths ---- */

/* The one with the lowest number first; the others follow, should it not act. */
static bool is_our_turn(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    int64_t before = 0;
    for (uint16_t n = 0; n < process->number; n++)
        before += control->nodes[n].alive;
    if (control->overdue_at_us == 0)
        control->overdue_at_us = self->now_us;
    int64_t turn_at_us = control->overdue_at_us + before * TURN_US;
    control->expiry_at_us = least(turn_at_us, self->now_us + EXPIRY_US);
    return self->now_us >= turn_at_us;
}

static int do_bury(struct world *self, struct call *call)
{
    struct process *process = process_of(call);
    struct sim_control *control = &process->control;
    int64_t left_us = member_expiry_us(self, process->place);
    control->expiry_at_us = self->now_us + least(EXPIRY_US, left_us) + 1000;
    if (left_us > 0 && self->mutation != MUTATION_lease_ignored) {
        control->overdue_at_us = 0;
        return 0;
    }
    if (!is_our_turn(self, process))
        return 0;
    control->expiry_at_us = self->now_us + 100000;
    control->poll_at_us = 0;
    return member_bury(self, process);
}

static void have_buried(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (control->call.rc == ERR_FENCED)
        process_end(self, process, "deposed");
    else
        went_on(self, control, control->call.rc);
}

static bool bury(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (self->now_us < control->expiry_at_us)
        return false;
    control->expiry_at_us = self->now_us + EXPIRY_US;
    if (!lease_thread_may_judge(self, process) && self->mutation != MUTATION_judges_at_once)
        return false;
    ask(self, process, do_bury, have_buried);
    return true;
}

static int do_vote(struct world *self, struct call *call)
{
    const struct process *process = process_of(call);
    uint16_t number = process->control.voted;
    return member_vote(self, process, number, process->control.nodes[number].incarnation);
}

static void have_voted(struct world *self, struct process *process)
{
    if (process->control.call.rc != ERR_FENCED)
        went_on(self, &process->control, process->control.call.rc);
}

static bool vote(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (!lease_thread_may_judge(self, process))
        return false;
    for (uint16_t n = 0; n < NUMBERS; n++) {
        struct suspect *suspect = &control->suspects[n];
        const struct view_node *node = &control->nodes[n];
        if (!suspect->suspected || self->now_us < suspect->vote_at_us || !node->alive ||
            (uint16_t)node->incarnation != suspect->life)
            continue;
        suspect->vote_at_us = self->now_us + VOTE_US;
        control->voted = n;
        ask(self, process, do_vote, have_voted);
        return true;
    }
    return false;
}

/* ---- giving slots away ---- */

static int do_move(struct world *self, struct call *call)
{
    struct sim_control *control = &process_of(call)->control;
    return member_move(self, process_of(call), &control->order, control->epochs);
}

static void have_moved(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    int rc = control->call.rc;
    moves_answered(control->moves, &control->order, rc == 0 ? control->epochs : NULL);
    if (rc == 0) {
        control_tell_moved(self, process);
        control_flush(self, process);
    } else if (rc == ERR_FENCED) {
        process_end(self, process, "deposed");
    } else if (went_on(self, control, rc)) {
        control->expiry_at_us = 0; /* something else comes first */
    }
}

/* True: the database is asked. */
static bool move_slots(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    for (;;) {
        moves_next(control->moves, &control->order);
        if (control->order.kind == MOVES_NONE)
            return false;
        if (control->order.kind != MOVES_RELEASE) {
            if (self->mutation == MUTATION_given_before)
                control_give_before(self, process);
            ask(self, process, do_move, have_moved);
            return true;
        }
        control_tell_slot(self, process, MSG_RELEASE, control->order.slot[0], control->order.target,
                          control->order.epoch);
        if (self->mutation == MUTATION_release_not_awaited)
            moves_released(control->moves, control->order.slot[0], control->order.epoch);
        if (self->mutation == MUTATION_clean_early)
            control_tell_clean(self, process);
    }
}

static void take_released(struct world *self, struct process *process)
{
    struct packet *packet;
    while ((packet = fifo_take(self, &process->control.released)) != NULL) {
        struct frame_reader reader;
        struct item item;
        CHECK(frame_open(&reader, packet->bytes, packet->len) == 0);
        while (frame_next(&reader, &item) == 1) {
            const struct msg_slot *slot = item.fixed;
            if (item.kind == MSG_RELEASED)
                moves_released(process->control.moves, slot->slot, slot->epoch);
        }
        free(packet);
    }
}

/* ---- going ---- */

static int do_drain(struct world *self, struct call *call)
{
    member_drain(self, process_of(call)->place);
    return 0;
}

static void have_drained(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (control->call.rc != 0) {
        went_on(self, control, control->call.rc);
        control->drain_until_us = 0;
    }
    control->poll_at_us = 0;
}

static bool has_others(const struct process *process)
{
    for (uint16_t n = 0; n < NUMBERS; n++)
        if (n != process->number && process->control.nodes[n].state == MEMBER_ACTIVE)
            return true;
    return false;
}

/* True: the database is asked. */
static bool begin_drain(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    control->draining = true;
    control->drain_until_us = self->now_us + DRAIN_US;
    if (!has_others(process) || !control->connected) {
        control->drain_until_us = 0;
        return false;
    }
    ask(self, process, do_drain, have_drained);
    return true;
}

static int do_leave(struct world *self, struct call *call)
{
    return member_leave(self, process_of(call));
}

static void have_left(struct world *self, struct process *process)
{
    process_end(self, process, "left");
}

static bool has_clients(const struct world *self, const struct process *process)
{
    for (uint32_t i = 0; i < CLIENTS; i++)
        if (self->client[i].edge != NULL && self->client[i].edge->thread.process == process)
            return true;
    return false;
}

/* First its slots go, then its clients. */
static bool is_drained(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    bool ordered = control->nodes[process->number].state == MEMBER_DRAINING;
    if (ordered && moves_count(control->moves) == 0 && !control->moving_clients) {
        control->moving_clients = true;
        control_tell_drain(process);
    }
    return (control->moving_clients && !has_clients(self, process)) ||
           self->now_us >= control->drain_until_us;
}

/* The process ends in its order, control last. True: the database is asked. */
static bool stop(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    process_stop(self, process);
    if (!control->leaving)
        return false;
    if (!control->connected) {
        process_end(self, process, "left without a word");
        return true;
    }
    ask(self, process, do_leave, have_left);
    return true;
}

/* An operator's order, or SIGTERM: the process ends when its slots are gone. */
static bool drain(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    bool ordered = control->nodes[process->number].state == MEMBER_DRAINING;
    if (process->phase == PROCESS_STOPPING)
        return stop(self, process);
    if (control->draining)
        return is_drained(self, process) && stop(self, process);
    bool empty =
        moves_count(control->moves) == 0 && slots_count(&control->slots, process->number) == 0;
    if (control->told_to_stop || (ordered && empty))
        return begin_drain(self, process);
    return false;
}

/* ---- the turn ---- */

static bool read_view(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (self->now_us < control->poll_at_us)
        return false;
    control->poll_at_us = self->now_us + POLL_US;
    moves_retry(control->moves);
    ask_to_read(self, process, do_read, have_read);
    return true;
}

/* Asks the next question that is due. */
static void work(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    if (!control->connected && self->now_us >= control->connect_at_us) {
        ask_to_read(self, process, do_connect, connected);
        return;
    }
    if (drain(self, process) || !control->connected)
        return;
    if (control->notified)
        control->poll_at_us = 0;
    control->notified = false;
    if (read_view(self, process))
        return;
    if (control->sweeping) {
        ask_to_read(self, process, do_sweep, swept);
        return;
    }
    if (bury(self, process) || vote(self, process) || move_slots(self, process))
        return;
    control->thread.task.due_us =
        least(control->thread.task.due_us, least(control->poll_at_us, control->expiry_at_us));
}

void control_turn(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    int rc;
    if (!process_registers(self, process))
        return;
    take_released(self, process);
    if (call_took_answer(&control->call, &rc))
        control->answered(self, process);
    if (process->phase == PROCESS_ENDED || control->call.state != CALL_IDLE)
        return;
    work(self, process);
    if (process->phase == PROCESS_ENDED)
        return;
    if (control->call.state != CALL_IDLE)
        return; /* it goes on before it tells anybody */
    control_flush(self, process);
    if (!control->connected)
        control->thread.task.due_us = least(control->thread.task.due_us, control->connect_at_us);
    if (control->draining)
        control->thread.task.due_us =
            least(control->thread.task.due_us, self->now_us + DRAIN_LOOK_US);
    if (control->thread.task.due_us <= self->now_us)
        control->thread.task.due_us = self->now_us + 1000;
}

void control_open(struct process *process)
{
    struct sim_control *control = &process->control;
    control->moves = moves_new(process->number);
    CHECK(control->moves != NULL);
    control->backoff_us = BACKOFF_MIN_US;
    control->sweeping = true;
    control_view_open(process);
}

void control_close(struct world *self, struct process *process)
{
    struct sim_control *control = &process->control;
    fifo_free(self, &control->released, 1);
    control_view_close(process);
    moves_destroy(&control->moves);
    slots_free(&control->slots);
    free(control->read.slots);
    control->read.slots = NULL;
}
