#include "node/log.h"
#include "node/mailbox.h"
#include "node/mesh_inside.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/mesh.h"
#include <string.h>

struct mesh_peer *mesh_peer_of_key(const struct mesh *mesh, const char *key)
{
    for (unsigned i = 0; i < mesh->count; i++)
        if (strcmp(mesh->peers[i]->member.public_key, key) == 0)
            return mesh->peers[i];
    return NULL;
}

static void deliver(struct mesh *mesh, const struct mesh_peer *peer, const struct envelope *in)
{
    zsock_t *to = NULL;
    if (in->kind == MESH_SHARD && in->index < mesh->shards)
        to = mesh->shard[in->index];
    else if (in->kind == MESH_EDGE && in->index < mesh->edges)
        to = mesh->edge[in->index];
    metrics_add(METRIC_MESH_FRAMES_RECEIVED, 1);
    metrics_add(METRIC_MESH_BYTES_RECEIVED, (int64_t)in->len);
    if (to == NULL)
        log_event(LEVEL_ERROR, "mesh_frame_refused", "reason",
                  "%s sent a frame for thread %u of kind %u, which is not here", peer->member.name,
                  in->index, in->kind);
    if (to == NULL || !mailbox_post(to, in->data, in->len))
        metrics_add(METRIC_MESH_DROPPED, 1);
}

static bool loops_turn(const struct mesh *mesh)
{
    for (unsigned i = 0; mesh->loop != NULL && i < mesh->shards; i++)
        if (mesh->now_us - mesh->loop->turned_us[i] > MESH_LOOP_US)
            return false;
    return true;
}

static void take_link(struct mesh *mesh, struct mesh_peer *peer, const struct envelope *in)
{
    int rc = link_take(&peer->link, in, mesh->now_us);
    if (rc == 1)
        deliver(mesh, peer, in);
    if (rc < 0) {
        metrics_add(METRIC_MESH_REFUSED, 1);
        log_event(LEVEL_ERROR, "mesh_envelope_refused", "reason",
                  "%s says it has frames that were never sent", peer->member.name);
    }
}

static void take_refusal(struct mesh_peer *peer, const struct envelope *in)
{
    metrics_add(METRIC_MESH_REFUSED, 1);
    if (!peer->refusal_told)
        log_event(LEVEL_ERROR, "mesh_version_refused", "reason",
                  "%s speaks mesh versions %lu to %lu, this node %d to %d", peer->member.name,
                  (unsigned long)in->ack, (unsigned long)in->seq, ENVELOPE_VERSION_MIN,
                  ENVELOPE_VERSION);
    peer->refusal_told = true;
}

static void take_envelope(struct mesh *mesh, struct mesh_peer *peer, const struct envelope *in)
{
    switch ((enum envelope_type)in->type) {
    case ENVELOPE_DATA:
    case ENVELOPE_TAIL:
    case ENVELOPE_ACK:
    case ENVELOPE_GAP:
        take_link(mesh, peer, in);
        break;
    case ENVELOPE_PING:
        peer->version = envelope_version_for(in->kind);
        if (loops_turn(mesh))
            mesh_peer_say(
                peer,
                &(struct envelope){.type = ENVELOPE_PONG, .seq = in->seq, .kind = ENVELOPE_VERSION},
                mesh->now_us);
        break;
    case ENVELOPE_PONG:
        peer->version = envelope_version_for(in->kind);
        probe_answered(&peer->probe, (int64_t)in->seq, mesh->now_us);
        break;
    case ENVELOPE_REFUSED:
        take_refusal(peer, in);
        break;
    case ENVELOPE_TYPES:
        break;
    }
}

static void refuse(struct mesh *mesh, struct mesh_peer *peer, int rc)
{
    metrics_add(METRIC_MESH_REFUSED, 1);
    if (rc == ERR_VERSION) {
        mesh_peer_refuse_version(peer, mesh->now_us);
        if (!peer->version_told)
            log_event(LEVEL_ERROR, "mesh_version_unknown", "reason", "%s: %s", peer->member.name,
                      err_text(rc));
        peer->version_told = true;
    } else {
        log_event(LEVEL_WARNING, "mesh_envelope_refused", "reason", "%s: %s", peer->member.name,
                  err_text(rc));
    }
}

/* A peer that has left the view may still be connected: what it says is refused silently. */
static void take_message(struct mesh *mesh, zmq_msg_t *message)
{
    struct envelope in;
    struct mesh_peer *peer = mesh_peer_of_key(mesh, mesh_door_key(message));
    if (peer == NULL) {
        metrics_add(METRIC_MESH_REFUSED, 1);
        return;
    }
    probe_heard(&peer->probe, mesh->now_us);
    int rc = envelope_open(zmq_msg_data(message), zmq_msg_size(message), &in);
    if (rc == 0 && (in.from != peer->member.number || in.from_life != peer->life ||
                    in.to_life != mesh->self.life))
        rc = ERR_REFUSED;
    if (rc == 0)
        take_envelope(mesh, peer, &in);
    else
        refuse(mesh, peer, rc);
}

void mesh_take_messages(struct mesh *mesh)
{
    zmq_msg_t message;
    for (unsigned n = 0; n < MESH_TURN_FRAMES && mesh_door_take(&mesh->door, &message); n++) {
        take_message(mesh, &message);
        zmq_msg_close(&message);
    }
}
