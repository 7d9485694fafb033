#include "node/edge_sync.h"
#include "node/clock.h"
#include "node/edge_mqtt.h"

void edge_sync_begin(struct edge_sync *self, struct edge *edge, const struct msg_ref *ref,
                     const struct uuid *tenant, const struct uuid *device)
{
    struct msg_sync item = {.ref = *ref};
    if (self->left == 0)
        self->name++;
    item.ref.packet_id = self->name;
    self->left += edge_lanes_sync(edge, &item, tenant, device);
    self->until_us = clock_boot_us() + EDGE_SYNC_US;
}

bool edge_sync_answered(struct edge_sync *self, const struct msg_ref *ref)
{
    return self->left > 0 && ref->packet_id == self->name && --self->left == 0;
}

bool edge_sync_expire(struct edge_sync *self, int64_t now_us)
{
    bool expired = self->left > 0 && now_us >= self->until_us;
    if (expired)
        self->left = 0;
    return expired;
}

void edge_sync_take(struct edge *edge, const struct msg_sync *answered)
{
    struct msg_ref ref = answered->ref;
    struct mqtt_conn *conn = edge_peer(edge, &ref, PEER_MQTT);
    void *live = edge_peer(edge, &ref, PEER_LIVE);
    if (conn != NULL && edge_sync_answered(&conn->sync, &ref))
        edge_mqtt_dirty(conn);
    if (live != NULL)
        edge_live_synced(live, &ref);
}
