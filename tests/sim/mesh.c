/* The mesh thread of a simulated node (node/mesh): the real links and probes, over wires that are
 * slow, are cut, and in rough runs lose, double and reorder. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

/* ---- wires ---- */

static int64_t wire_delay(struct world *self, const struct process *from, const struct process *to)
{
    bool near = self->db.member[from->place].region == self->db.member[to->place].region;
    int64_t delay_us = near ? 200 : 20000;
    delay_us += (int64_t)random_below(self, (uint64_t)delay_us * 2);
    return self->plan.rough && random_percent(self, 20)
               ? delay_us + (int64_t)random_below(self, 300000)
               : delay_us;
}

static void insert(struct sim_mesh *mesh, struct flight *flight)
{
    struct flight **at = &mesh->flights;
    while (*at != NULL && (*at)->arrives_us <= flight->arrives_us)
        at = &(*at)->next;
    flight->next = *at;
    *at = flight;
}

static void fly(struct world *self, const struct process *from, struct process *to,
                const struct envelope *envelope)
{
    const struct cut *cut = &self->cut[from->place][to->place];
    struct flight *flight = malloc(sizeof *flight + envelope->len);
    CHECK(flight != NULL);
    *flight = (struct flight){.from = from->id, .envelope = *envelope};
    if (envelope->len > 0)
        memcpy(flight->bytes, envelope->data, envelope->len);
    flight->arrives_us = self->now_us + wire_delay(self, from, to);
    if (self->now_us < cut->until_us)
        flight->arrives_us += cut->until_us - self->now_us;
    if (!self->plan.rough && flight->arrives_us < to->mesh.free_at_us[from->id])
        flight->arrives_us = to->mesh.free_at_us[from->id];
    to->mesh.free_at_us[from->id] = flight->arrives_us;
    insert(&to->mesh, flight);
    if (flight->arrives_us < to->mesh.thread.task.due_us)
        to->mesh.thread.task.due_us = flight->arrives_us;
}

static void send(struct world *self, const struct process *from, const struct sim_peer *peer,
                 struct envelope *envelope)
{
    struct process *to = peer->process < PROCESSES ? self->process[peer->process] : NULL;
    const struct cut *cut = &self->cut[from->place][peer->place];
    envelope->version = ENVELOPE_VERSION;
    envelope->from = from->number;
    envelope->from_life = from->life;
    envelope->to_life = peer->life;
    if (to == NULL || to->phase == PROCESS_ENDED || to->phase == PROCESS_REGISTERING ||
        (self->now_us < cut->until_us && cut->loses))
        return;
    /* Questions and their answers have connections of their own, which lose nothing. */
    bool rough = self->plan.rough && !self->calm && envelope->type != ENVELOPE_PING &&
                 envelope->type != ENVELOPE_PONG;
    if (rough && random_percent(self, 4))
        return;
    fly(self, from, to, envelope);
    if (rough && random_percent(self, 4))
        fly(self, from, to, envelope);
}

/* ---- peers ---- */

static uint32_t find_process(const struct world *self, const struct view_node *node)
{
    uint32_t id = 0;
    while (id < self->processes &&
           (self->process[id] == NULL || self->process[id]->number != node->number ||
            self->process[id]->incarnation != node->incarnation))
        id++;
    return id;
}

static void drop_peer(struct sim_peer **peer_p)
{
    if (*peer_p == NULL)
        return;
    link_free(&(*peer_p)->link);
    free(*peer_p);
    *peer_p = NULL;
}

static void add_peer(struct world *self, struct process *process, const struct view_node *node)
{
    uint32_t id = find_process(self, node);
    struct sim_peer *peer = xcalloc(1, sizeof *peer);
    *peer = (struct sim_peer){.number = node->number,
                              .life = (uint16_t)node->incarnation,
                              .incarnation = node->incarnation,
                              .process = id < self->processes ? id : PROCESSES};
    for (uint8_t i = 0; i < PLACES; i++)
        if (self->db.member[i].number == node->number)
            peer->place = i;
    link_init(&peer->link);
    probe_init(&peer->probe, self->now_us);
    process->mesh.peer[node->number] = peer;
}

static void take_view(struct world *self, struct process *process)
{
    struct sim_mesh *mesh = &process->mesh;
    if (!mesh->view_changed)
        return;
    mesh->view_changed = false;
    for (uint16_t n = 0; n < NUMBERS; n++) {
        const struct view_node *node = &mesh->view[n];
        if (mesh->peer[n] != NULL &&
            (!node->alive || node->incarnation != mesh->peer[n]->incarnation))
            drop_peer(&mesh->peer[n]);
        if (node->alive && n != process->number && mesh->peer[n] == NULL)
            add_peer(self, process, node);
    }
}

void mesh_give_view(struct world *self, struct process *process, const struct view_node *nodes)
{
    memcpy(process->mesh.view, nodes, sizeof process->mesh.view);
    process->mesh.view_changed = true;
    task_wake(self, &process->mesh.thread.task);
}

/* ---- frames of this node ---- */

static struct sim_peer *find_peer(struct process *process, const struct mesh_head *head)
{
    struct sim_peer *peer = head->node < NUMBERS ? process->mesh.peer[head->node] : NULL;
    return peer != NULL && peer->life == head->life ? peer : NULL;
}

static void put_frame(struct world *self, struct process *process, const struct packet *packet)
{
    struct sim_peer *peer = find_peer(process, &packet->head);
    if (peer == NULL) {
        take_view(self, process);
        peer = find_peer(process, &packet->head);
    }
    if (peer == NULL)
        return;
    struct link_frame frame = {malloc(packet->len + 1), (uint32_t)packet->len, packet->head.kind,
                               packet->head.index};
    CHECK(frame.data != NULL);
    memcpy(frame.data, packet->bytes, packet->len);
    CHECK(link_put(&peer->link, &frame, UINT64_MAX) == 0);
}

/* ---- envelopes of others ---- */

static void deliver(struct world *self, struct process *process, const struct envelope *in)
{
    struct span bytes = {in->data, in->len};
    if (in->kind == MESH_SHARD && in->index < process->shards) {
        fifo_put(self, &process->shard[in->index].inbox[SHARD_FROM_MESH], NULL, &bytes);
        task_wake(self, &process->shard[in->index].thread.task);
    } else if (in->kind == MESH_EDGE && in->index < EDGES) {
        fifo_put(self, &process->edge[in->index].inbox[EDGE_FROM_MESH], NULL, &bytes);
        task_wake(self, &process->edge[in->index].thread.task);
    } else {
        fail(self, "a frame came for thread %u of kind %u, which is not here", in->index, in->kind);
    }
}

static void take_frame(struct world *self, struct process *process, const struct envelope *in)
{
    if (self->mutation == MUTATION_link_loses && random_percent(self, 2))
        return;
    deliver(self, process, in);
    if (self->mutation == MUTATION_link_doubles && random_percent(self, 2))
        deliver(self, process, in);
}

static void take_envelope(struct world *self, struct process *process, struct sim_peer *peer,
                          const struct envelope *in)
{
    struct envelope pong = {.type = ENVELOPE_PONG, .seq = in->seq};
    int rc;
    switch (in->type) {
    case ENVELOPE_PING:
        send(self, process, peer, &pong);
        break;
    case ENVELOPE_PONG:
        probe_answered(&peer->probe, (int64_t)in->seq, self->now_us);
        break;
    default:
        rc = link_take(&peer->link, in, self->now_us);
        if (rc == 1)
            take_frame(self, process, in);
        else if (rc < 0)
            fail(self, "a link says it has frames that were never sent");
    }
}

static void take_flight(struct world *self, struct process *process, struct flight *flight)
{
    struct envelope *in = &flight->envelope;
    struct sim_peer *peer = in->from < NUMBERS ? process->mesh.peer[in->from] : NULL;
    if (peer == NULL || peer->life != in->from_life || in->to_life != process->life)
        return;
    probe_heard(&peer->probe, self->now_us);
    in->data = flight->bytes;
    take_envelope(self, process, peer, in);
}

static void take_flights(struct world *self, struct process *process)
{
    struct sim_mesh *mesh = &process->mesh;
    while (mesh->flights != NULL && mesh->flights->arrives_us <= self->now_us) {
        struct flight *flight = mesh->flights;
        mesh->flights = flight->next;
        take_flight(self, process, flight);
        free(flight);
    }
}

/* ---- time ---- */

static void flush_peer(struct world *self, struct process *process, struct sim_peer *peer)
{
    struct envelope envelope;
    while (link_answer(&peer->link, self->now_us, &envelope)) {
        send(self, process, peer, &envelope);
        link_sent(&peer->link, &envelope, self->now_us);
    }
    while (link_next(&peer->link, self->now_us, &envelope)) {
        send(self, process, peer, &envelope);
        link_sent(&peer->link, &envelope, self->now_us);
    }
}

static void tick_peer(struct world *self, struct process *process, struct sim_peer *peer)
{
    const struct cut *cut = &self->cut[process->place][peer->place];
    bool is_cut = self->now_us < cut->until_us;
    if (peer->cut && !is_cut)
        link_renewed(&peer->link, self->now_us);
    peer->cut = is_cut;
    if (probe_is_due(&peer->probe, self->now_us)) {
        struct envelope ping = {.type = ENVELOPE_PING, .seq = (uint64_t)self->now_us};
        send(self, process, peer, &ping);
    }
    enum probe_news news = probe_tick(&peer->probe, self->now_us);
    if (news != PROBE_NOTHING)
        control_suspect(self, process, peer->number, peer->life, news == PROBE_SUSPECTED);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

static int64_t next_us(const struct sim_mesh *mesh)
{
    int64_t due_us = mesh->flights != NULL ? mesh->flights->arrives_us : INT64_MAX;
    for (uint16_t n = 0; n < NUMBERS; n++)
        if (mesh->peer[n] != NULL)
            due_us = least(
                least(due_us, probe_next_us(&mesh->peer[n]->probe)),
                least(link_next_us(&mesh->peer[n]->link), link_answer_us(&mesh->peer[n]->link)));
    return due_us;
}

void mesh_turn(struct world *self, struct process *process)
{
    struct sim_mesh *mesh = &process->mesh;
    struct packet *packet;
    take_view(self, process);
    take_flights(self, process);
    while ((packet = fifo_take_any(self, mesh->inbox, MESH_SENDERS)) != NULL) {
        put_frame(self, process, packet);
        free(packet);
    }
    for (uint16_t n = 0; n < NUMBERS; n++)
        if (mesh->peer[n] != NULL) {
            tick_peer(self, process, mesh->peer[n]);
            flush_peer(self, process, mesh->peer[n]);
        }
    int64_t due_us = next_us(mesh);
    if (due_us <= self->now_us)
        due_us = self->now_us + 1000;
    mesh->thread.task.due_us = least(mesh->thread.task.due_us, due_us);
}

bool mesh_has_waiting(const struct process *process)
{
    for (uint16_t n = 0; n < NUMBERS; n++)
        if (process->mesh.peer[n] != NULL && link_waiting(&process->mesh.peer[n]->link) > 0)
            return true;
    return false;
}

void mesh_close(struct world *self, struct process *process)
{
    struct sim_mesh *mesh = &process->mesh;
    fifo_free(self, mesh->inbox, MESH_SENDERS);
    for (uint16_t n = 0; n < NUMBERS; n++)
        drop_peer(&mesh->peer[n]);
    while (mesh->flights != NULL) {
        struct flight *next = mesh->flights->next;
        free(mesh->flights);
        mesh->flights = next;
    }
}
