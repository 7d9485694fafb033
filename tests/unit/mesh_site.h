#pragma once
/*
 * mesh_site - a mesh thread with all that it speaks to: the mailboxes of its shards, its edge and
 * its control, and a way to give it frames and views. Several live in one process.
 */
#include "node/clock.h"
#include "node/config.h"
#include "node/mailbox.h"
#include "node/mesh.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/mesh.h"
#include <string.h>

#define SITE_SHARDS 2
#define SITE_DEADLINE_MS 20000
#define SITES_MAX 64

struct site {
    struct config config;
    struct mesh_member member;
    unsigned index;
    struct mesh_loop loop;
    char secret_key[MESH_KEY_SIZE];
    zactor_t *mesh;
    zsock_t *shard[SITE_SHARDS], *edge, *control, *to_mesh, *to_views;
};

static inline void wait_metric(enum metric_id id, int64_t at_least)
{
    int64_t deadline = zclock_mono() + SITE_DEADLINE_MS;
    while (metrics_get(id) < at_least) {
        CHECK(zclock_mono() < deadline);
        zclock_sleep(5);
    }
}

/* What a node's shards do once a turn; with the time far ahead one stamp is for ever. */
static inline void site_turn(struct site *self, int64_t when_us)
{
    for (unsigned i = 0; i < SITE_SHARDS; i++)
        self->loop.turned_us[i] = when_us;
}

/* `seen_at`: the port that others are told, or 0 for its own. */
static inline struct site *site_start(uint16_t number, int64_t incarnation, int port, int seen_at)
{
    /* None is used again. ZeroMQ gives the name of a mailbox that was closed free later; and the
     * thread sanitizer does not see that a zactor which was destroyed has ended. */
    static struct site sites[SITES_MAX];
    static unsigned started;
    CHECK(started < SITES_MAX);
    unsigned index = started++;
    struct site *self = &sites[index];
    self->config = (struct config){
        .bind_address = "127.0.0.1", .mesh_port = port, .shards = SITE_SHARDS, .edges = 1};
    self->index = index;
    self->member = (struct mesh_member){.number = number, .incarnation = incarnation};
    snprintf(self->member.name, sizeof self->member.name, "eu-%u", number);
    snprintf(self->member.endpoint, sizeof self->member.endpoint, "tcp://127.0.0.1:%d",
             seen_at != 0 ? seen_at : port);
    mesh_keypair(&self->config, self->member.public_key, self->secret_key);
    site_turn(self, INT64_MAX / 2);
    for (unsigned i = 0; i < SITE_SHARDS; i++)
        self->shard[i] = mailbox_open("shard", index * LIMIT_SHARDS + i);
    self->edge = mailbox_open("edge", index * LIMIT_EDGES);
    self->control = mailbox_open("control", index);
    struct mesh_args *args = xcalloc(1, sizeof *args);
    *args = (struct mesh_args){.config = &self->config,
                               .incarnation = incarnation,
                               .number = number,
                               .index = index,
                               .loop = &self->loop};
    memcpy(args->public_key, self->member.public_key, MESH_KEY_SIZE);
    memcpy(args->secret_key, self->secret_key, MESH_KEY_SIZE);
    self->mesh = zactor_new(mesh_actor, args);
    CHECK(self->mesh != NULL);
    self->to_mesh = mailbox_connect("mesh", index, 0);
    self->to_views = mailbox_connect("mesh-view", index, 0);
    return self;
}

static inline void site_stop(struct site *self)
{
    zactor_destroy(&self->mesh);
    zsock_destroy(&self->to_mesh);
    zsock_destroy(&self->to_views);
    zsock_destroy(&self->edge);
    zsock_destroy(&self->control);
    for (unsigned i = 0; i < SITE_SHARDS; i++)
        zsock_destroy(&self->shard[i]);
}

/* Tells it who is there. */
static inline void site_view(struct site *self, const struct mesh_member *const *members,
                             unsigned count)
{
    struct mesh_view *view = mesh_view_new(count);
    for (unsigned i = 0; i < count; i++)
        view->members[i] = *members[i];
    mailbox_give(self->to_views, view);
}

static inline void sites_meet(struct site *a, struct site *b)
{
    const struct mesh_member *both[] = {&a->member, &b->member};
    site_view(a, both, 2);
    site_view(b, both, 2);
}

static inline void site_send_head(struct site *from, struct mesh_head head, const void *bytes,
                                  size_t len)
{
    uint8_t *message = xcalloc(1, sizeof head + len);
    memcpy(message, &head, sizeof head);
    memcpy(message + sizeof head, bytes, len);
    CHECK(mailbox_post(from->to_mesh, message, sizeof head + len));
    free(message);
}

static inline void site_send(struct site *from, const struct mesh_member *to, enum mesh_kind kind,
                             unsigned index, const void *bytes, size_t len)
{
    struct mesh_head head = {.node = to->number,
                             .life = (uint16_t)to->incarnation,
                             .kind = (uint8_t)kind,
                             .index = (uint8_t)index};
    site_send_head(from, head, bytes, len);
}

/* The next message within `wait_ms`; false: none came. */
static inline bool site_take(zsock_t *from, zmq_msg_t *ret_message, int wait_ms)
{
    zmq_pollitem_t item = {zsock_resolve(from), 0, ZMQ_POLLIN, 0};
    zmq_poll(&item, 1, wait_ms);
    return mailbox_take(from, ret_message);
}
