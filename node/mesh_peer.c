#include "node/mesh_peer.h"
#include "node/metrics.h"
#include "proto/check.h"
#include <string.h>

#define REFUSE_EACH_US 1000000

struct mesh_peer *mesh_peer_new(const struct mesh_self *self, const struct mesh_member *member,
                                int64_t now_us)
{
    struct mesh_peer *peer = xcalloc(1, sizeof *peer);
    *peer = (struct mesh_peer){.self = self,
                               .member = *member,
                               .life = (uint16_t)member->incarnation,
                               .version = ENVELOPE_VERSION_MIN};
    link_init(&peer->link);
    probe_init(&peer->probe, now_us);
    mesh_way_init(&peer->ordered, self, &peer->member, now_us);
    mesh_way_init(&peer->quick, self, &peer->member, now_us);
    return peer;
}

void mesh_peer_destroy(struct mesh_peer **self_p)
{
    struct mesh_peer *peer = *self_p;
    if (peer == NULL)
        return;
    metrics_add(METRIC_MESH_DROPPED, (int64_t)link_waiting(&peer->link));
    mesh_way_close(&peer->ordered);
    mesh_way_close(&peer->quick);
    link_free(&peer->link);
    free(peer);
    *self_p = NULL;
}

static bool send_by(struct mesh_peer *peer, struct mesh_way *way, const struct envelope *envelope,
                    int64_t now_us)
{
    struct envelope out = *envelope;
    uint8_t head[ENVELOPE_HEAD_MAX];
    zmq_msg_t message;
    if (!way->open)
        return false;
    if (out.version == 0)
        out.version = peer->version;
    out.from = peer->self->number;
    out.from_life = peer->self->life;
    out.to_life = peer->life;
    size_t len = envelope_head(&out, head);
    CHECK(zmq_msg_init_size(&message, len + out.len) == 0);
    memcpy(zmq_msg_data(&message), head, len);
    if (out.len > 0)
        memcpy((uint8_t *)zmq_msg_data(&message) + len, out.data, out.len);
    return mesh_way_send(way, &message, now_us);
}

void mesh_peer_say(struct mesh_peer *peer, const struct envelope *envelope, int64_t now_us)
{
    send_by(peer, &peer->quick, envelope, now_us);
}

void mesh_peer_flush(struct mesh_peer *peer, int64_t now_us)
{
    struct envelope envelope;
    while (link_answer(&peer->link, now_us, &envelope) &&
           send_by(peer, &peer->quick, &envelope, now_us))
        link_sent(&peer->link, &envelope, now_us);
    while (link_next(&peer->link, now_us, &envelope) &&
           send_by(peer, &peer->ordered, &envelope, now_us)) {
        bool again = link_sent(&peer->link, &envelope, now_us);
        if (envelope.type != ENVELOPE_DATA)
            continue;
        metrics_add(METRIC_MESH_FRAMES_SENT, 1);
        metrics_add(METRIC_MESH_BYTES_SENT, (int64_t)envelope.len);
        metrics_add(METRIC_MESH_RETRANSMITTED, again);
    }
}

enum probe_news mesh_peer_tick(struct mesh_peer *peer, int64_t now_us)
{
    if (mesh_way_tick(&peer->ordered, now_us))
        link_renewed(&peer->link, now_us);
    if (mesh_way_tick(&peer->quick, now_us))
        probe_hurry(&peer->probe, now_us);
    if (probe_is_due(&peer->probe, now_us)) {
        struct envelope ping = {
            .type = ENVELOPE_PING, .seq = (uint64_t)now_us, .kind = ENVELOPE_VERSION};
        mesh_peer_say(peer, &ping, now_us);
    }
    return probe_tick(&peer->probe, now_us);
}

void mesh_peer_refuse_version(struct mesh_peer *peer, int64_t now_us)
{
    struct envelope refusal = {.version = ENVELOPE_VERSION,
                               .type = ENVELOPE_REFUSED,
                               .seq = ENVELOPE_VERSION,
                               .ack = ENVELOPE_VERSION_MIN};
    if (now_us < peer->refuse_at_us)
        return;
    peer->refuse_at_us = now_us + REFUSE_EACH_US;
    mesh_peer_say(peer, &refusal, now_us);
}

static int64_t least(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

int64_t mesh_peer_next_us(const struct mesh_peer *peer)
{
    int64_t next = peer->ordered.open ? link_next_us(&peer->link) : INT64_MAX;
    return least(next, peer->quick.open ? link_answer_us(&peer->link) : INT64_MAX);
}
