/* Ends MQTT connections that their clients would keep: a client id was taken over, a device
 * deleted, credentials revoked, the node drains or ends. */
#include "node/edge_mqtt.h"
#include <stdlib.h>

#define DRAIN_PARTS 20

static void kick(struct mqtt_conn *conn, uint8_t reason, const char *elsewhere)
{
    struct session_env env = edge_mqtt_env(conn);
    session_kick(conn->session, &env, reason, NULL, elsewhere);
    edge_mqtt_dirty(conn);
}

void edge_kick_one(struct edge *self, const struct msg_kick *wanted)
{
    struct msg_ref ref = wanted->ref;
    struct mqtt_conn *conn = edge_peer(self, &ref, PEER_MQTT);
    if (conn != NULL)
        kick(conn, wanted->code, NULL);
}

/* All of them within DRAIN_PARTS calls. */
void edge_kick_part(struct edge *self, const char *elsewhere)
{
    uint32_t parts = self->peers_count / DRAIN_PARTS + 1;
    for (; parts > 0 && self->peers_count > 0; parts--) {
        self->drain_at = (self->drain_at + 1) % self->peers_count;
        struct mqtt_conn *conn = edge_mqtt_at(self, self->drain_at);
        if (conn != NULL && session_connected(conn->session))
            kick(conn, 0x9D, *elsewhere != '\0' ? elsewhere : NULL); /* server moved */
    }
}

void edge_kick_all(struct edge *self)
{
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct mqtt_conn *conn = edge_mqtt_at(self, i);
        if (conn != NULL)
            kick(conn, 0x8B, NULL); /* server shutting down */
    }
}

/* ---- revoked credentials ---- */

void edge_kick_revoked(struct edge *self, const struct msg_revoked *revoked)
{
    if (self->revoked_count - self->revoked_done == EDGE_REVOKED)
        edge_kick_turn(self);
    self->revoked[self->revoked_count++ % EDGE_REVOKED] = *revoked;
}

static int by_holder(const void *a, const void *b)
{
    const struct msg_revoked *left = a, *right = b;
    return memcmp(&left->holder, &right->holder, sizeof left->holder);
}

/* One that was revoked twice is there twice, and has to have the mark of both: who is shut out for
 * too much connects again, who is not shut out would stay. */
static bool is_revoked(const struct msg_revoked *sorted, size_t count, const struct mqtt_conn *conn)
{
    const struct uuid *holder = &session_principal(conn->session)->device;
    size_t from = 0, to = count;
    while (from < to) {
        size_t middle = (from + to) / 2;
        if (memcmp(&sorted[middle].holder, holder, sizeof *holder) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    for (; from < count && memcmp(&sorted[from].holder, holder, sizeof *holder) == 0; from++)
        if (sorted[from].mark != conn->mark)
            return true;
    return false;
}

/* One look at all connections for all that a turn brought: a thousand devices may be deleted at
 * once. */
void edge_kick_turn(struct edge *self)
{
    struct msg_revoked sorted[EDGE_REVOKED];
    size_t count = 0;
    while (self->revoked_done < self->revoked_count)
        sorted[count++] = self->revoked[self->revoked_done++ % EDGE_REVOKED];
    if (count == 0)
        return;
    qsort(sorted, count, sizeof *sorted, by_holder);
    for (uint32_t i = 0; i < self->peers_count; i++) {
        struct mqtt_conn *conn = edge_mqtt_at(self, i);
        if (conn != NULL && session_connected(conn->session) && is_revoked(sorted, count, conn))
            kick(conn, 0x98, NULL); /* administrative action */
    }
}

bool edge_kick_missed(const struct edge *self, uint64_t since, const struct uuid *holder,
                      int64_t mark)
{
    if (self->revoked_count - since > EDGE_REVOKED)
        return true; /* not known any more */
    for (; since < self->revoked_count; since++) {
        const struct msg_revoked *revoked = &self->revoked[since % EDGE_REVOKED];
        if (memcmp(&revoked->holder, holder, sizeof *holder) == 0 && revoked->mark != mark)
            return true;
    }
    return false;
}
