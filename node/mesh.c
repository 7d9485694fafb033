#include "node/mesh.h"
#include "node/clock.h"
#include "node/config.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/mesh_inside.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/frame.h"
#include "proto/mesh.h"
#include <string.h>

#define TICK_US 100000
#define TELL_STRANGERS_EACH_US 1000000

enum { POLL_PIPE, POLL_VIEWS, POLL_INBOX, POLL_ZAP, POLL_ROUTER, POLL_FIXED };

static _Atomic unsigned failures;

unsigned mesh_failures(void)
{
    return failures;
}

void mesh_keypair(const struct config *config, char ret_public[MESH_KEY_SIZE],
                  char ret_secret[MESH_KEY_SIZE])
{
    (void)config; /* keys live as long as the incarnation: none is configured */
    CHECK(zmq_curve_keypair(ret_public, ret_secret) == 0);
}

struct mesh_view *mesh_view_new(unsigned count)
{
    struct mesh_view *view =
        xcalloc(1, sizeof(struct mesh_view) + count * sizeof(struct mesh_member));
    view->count = count;
    return view;
}

/* ---- views ---- */

static struct mesh_peer *peer_of_number(const struct mesh *mesh, uint16_t number)
{
    for (unsigned i = 0; i < mesh->count; i++)
        if (mesh->peers[i]->member.number == number)
            return mesh->peers[i];
    return NULL;
}

static void drop_gone(struct mesh *mesh, const struct mesh_view *view)
{
    unsigned left = 0;
    for (unsigned i = 0; i < mesh->count; i++) {
        struct mesh_peer *peer = mesh->peers[i];
        bool stays = false;
        for (unsigned m = 0; m < view->count; m++)
            stays = stays || (view->members[m].number == peer->member.number &&
                              view->members[m].incarnation == peer->member.incarnation);
        if (stays) {
            mesh->peers[left++] = peer;
            continue;
        }
        log_event(LEVEL_INFO, "mesh_peer_gone", "text", "%s, incarnation %ld", peer->member.name,
                  (long)peer->member.incarnation);
        mesh_peer_destroy(&peer);
    }
    mesh->count = left;
}

/* A row may hold anything: of a node that was here before there was a mesh, nothing. */
static bool has_key(const struct mesh_member *member)
{
    uint8_t key[32];
    if (strlen(member->public_key) == MESH_KEY_SIZE - 1 &&
        zmq_z85_decode(key, member->public_key) != NULL)
        return true;
    log_event(LEVEL_WARNING, "mesh_peer_refused", "text", "%s has no key", member->name);
    return false;
}

static void add_new(struct mesh *mesh, const struct mesh_view *view)
{
    for (unsigned m = 0; m < view->count; m++) {
        const struct mesh_member *member = &view->members[m];
        if (member->number == mesh->self.number || peer_of_number(mesh, member->number) != NULL ||
            !has_key(member))
            continue;
        mesh->peers[mesh->count++] = mesh_peer_new(&mesh->self, member, mesh->now_us);
        log_event(LEVEL_INFO, "mesh_peer_new", "text", "%s, incarnation %ld, at %s", member->name,
                  (long)member->incarnation, member->endpoint);
    }
}

static void adopt(struct mesh *mesh, const struct mesh_view *view)
{
    size_t room = mesh->count + view->count;
    drop_gone(mesh, view);
    mesh->peers = realloc(mesh->peers, (room + 1) * sizeof *mesh->peers);
    mesh->polls = realloc(mesh->polls, (POLL_FIXED + 2 * room) * sizeof *mesh->polls);
    CHECK(mesh->peers != NULL && mesh->polls != NULL);
    add_new(mesh, view);
}

static void take_views(struct mesh *mesh)
{
    zmq_msg_t message;
    struct mesh_view *newest = NULL;
    while (mailbox_take(mesh->views, &message)) {
        free(newest);
        newest = mailbox_object(&message);
        zmq_msg_close(&message);
    }
    if (newest != NULL)
        adopt(mesh, newest);
    free(newest);
}

/* ---- frames of this node ---- */

static struct mesh_peer *peer_of_head(const struct mesh *mesh, const struct mesh_head *head)
{
    struct mesh_peer *peer = peer_of_number(mesh, head->node);
    return peer != NULL && peer->life == head->life ? peer : NULL;
}

/* Its sender has seen a view that names the node; the mesh was given that view before. */
static struct mesh_peer *find_peer(struct mesh *mesh, const struct mesh_head *head)
{
    struct mesh_peer *peer = peer_of_head(mesh, head);
    if (peer != NULL)
        return peer;
    take_views(mesh);
    return peer_of_head(mesh, head);
}

static uint64_t limit_of(const struct mesh_head *head)
{
    switch ((enum mesh_keep)head->keep) {
    case MESH_LIVE:
        return LIMIT_LINK_BYTES;
    case MESH_PROMISED:
        return LIMIT_LINK_PROMISED_BYTES;
    case MESH_KEPT:
        break;
    }
    return UINT64_MAX;
}

static int put_frame(struct mesh *mesh, const void *bytes, size_t len)
{
    struct mesh_head head;
    CHECK(len >= sizeof head);
    memcpy(&head, bytes, sizeof head);
    len -= sizeof head;
    struct mesh_peer *peer = find_peer(mesh, &head);
    if (peer == NULL)
        return ERR_NOT_FOUND;
    if (len > LIMIT_LINK_FRAME_BYTES)
        return ERR_TOO_LARGE;
    struct link_frame frame = {malloc(len + 1), (uint32_t)len, head.kind, head.index};
    CHECK(frame.data != NULL);
    memcpy(frame.data, (const uint8_t *)bytes + sizeof head, len);
    unsigned version = peer->member.msg_version;
    if (version != 0 && version < MSG_VERSION)
        frame_for_version(frame.data, len, version);
    int rc = link_put(&peer->link, &frame, limit_of(&head));
    if (rc != 0)
        free(frame.data);
    return rc;
}

static void take_frames(struct mesh *mesh)
{
    zmq_msg_t message;
    for (unsigned n = 0; n < MESH_TURN_FRAMES && mailbox_take(mesh->inbox, &message); n++) {
        int rc = put_frame(mesh, zmq_msg_data(&message), zmq_msg_size(&message));
        if (rc == ERR_TOO_LARGE)
            log_event(LEVEL_ERROR, "mesh_frame_refused", "reason", "a frame of %zu bytes: %s",
                      zmq_msg_size(&message), err_text(rc));
        metrics_add(METRIC_MESH_DROPPED, rc != 0);
        zmq_msg_close(&message);
    }
}

/* ---- time ---- */

static void tell_strangers(struct mesh *mesh)
{
    unsigned refused = mesh->door.refused;
    if (refused == 0 || mesh->now_us < mesh->tell_strangers_at_us)
        return;
    metrics_add(METRIC_MESH_REFUSED, refused);
    log_event(
        LEVEL_WARNING, "mesh_stranger_refused", "text",
        "%u connections whose key is of no member: of nodes that this one has not read of yet, "
        "or strangers",
        refused);
    mesh->door.refused = 0;
    mesh->tell_strangers_at_us = mesh->now_us + TELL_STRANGERS_EACH_US;
}

static void report(struct mesh *mesh, const struct mesh_peer *peer, bool suspected)
{
    int64_t silent_ms = probe_silent_us(&peer->probe, mesh->now_us) / 1000;
    struct mesh_report report = {peer->member.number, peer->life, suspected, silent_ms};
    mailbox_post(mesh->control, &report, sizeof report);
    if (suspected)
        log_event(LEVEL_WARNING, "mesh_peer_silent", "text", "%s has not answered for %ld ms, %s",
                  peer->member.name, (long)silent_ms,
                  peer->probe.heard_us == 0 ? "and was never heard" : "but was heard before");
    else
        log_event(LEVEL_INFO, "mesh_peer_answers", "text", "%s", peer->member.name);
}

static void tick(struct mesh *mesh)
{
    int64_t kept = 0;
    for (unsigned i = 0; i < mesh->count; i++) {
        struct mesh_peer *peer = mesh->peers[i];
        enum probe_news news = mesh_peer_tick(peer, mesh->now_us);
        if (news != PROBE_NOTHING)
            report(mesh, peer, news == PROBE_SUSPECTED);
        kept += (int64_t)peer->link.kept;
    }
    metrics_add(METRIC_MESH_KEPT, kept - mesh->kept);
    mesh->kept = kept;
    tell_strangers(mesh);
    mesh->tick_at_us = mesh->now_us + TICK_US;
}

/* ---- the thread ---- */

static unsigned poll_closed(const struct mesh_way *way, zmq_pollitem_t *polls, unsigned count)
{
    if (!way->open)
        polls[count++] = (zmq_pollitem_t){way->socket, 0, ZMQ_POLLOUT, 0};
    return count;
}

/* Waits until there is something to do. True: a connection has opened. */
static bool wait_for_work(struct mesh *mesh)
{
    unsigned count = POLL_FIXED;
    int64_t next = mesh->tick_at_us;
    for (unsigned i = 0; i < mesh->count; i++) {
        const struct mesh_peer *peer = mesh->peers[i];
        count = poll_closed(&peer->ordered, mesh->polls, count);
        count = poll_closed(&peer->quick, mesh->polls, count);
        if (mesh_peer_next_us(peer) < next)
            next = mesh_peer_next_us(peer);
    }
    int64_t wait_us = next - clock_boot_us();
    zmq_poll(mesh->polls, (int)count, wait_us > 0 ? (long)(wait_us / 1000 + 1) : 0);
    mesh->now_us = clock_boot_us();
    for (unsigned i = POLL_FIXED; i < count; i++)
        if (mesh->polls[i].revents != 0)
            return true;
    return false;
}

/* True: $TERM. */
static bool take_pipe(struct mesh *mesh, zsock_t *pipe)
{
    char *command = zstr_recv(pipe);
    bool end = command == NULL || streq(command, "$TERM");
    if (!end)
        mesh->flush_until_us = mesh->now_us + MESH_FLUSH_MS * 1000LL;
    zstr_free(&command);
    return end;
}

static bool has_waiting(const struct mesh *mesh)
{
    for (unsigned i = 0; i < mesh->count; i++)
        if (link_waiting(&mesh->peers[i]->link) > 0)
            return true;
    return (zsock_events(mesh->inbox) & ZMQ_POLLIN) != 0;
}

static void tell_flushed(struct mesh *mesh, zsock_t *pipe)
{
    if (mesh->flush_until_us == 0 || (mesh->now_us < mesh->flush_until_us && has_waiting(mesh)))
        return;
    mesh->flush_until_us = 0;
    zsock_signal(pipe, 0);
}

static bool is_peer(const void *context, const char key[MESH_KEY_SIZE])
{
    return mesh_peer_of_key(context, key) != NULL;
}

/* To look into an empty socket costs two system calls. */
static bool has(const struct mesh *mesh, unsigned poll)
{
    return mesh->polls[poll].revents != 0;
}

static void run(struct mesh *mesh, zsock_t *pipe)
{
    for (;;) {
        bool opened = wait_for_work(mesh);
        if (has(mesh, POLL_PIPE) && take_pipe(mesh, pipe))
            return;
        if (has(mesh, POLL_VIEWS) || has(mesh, POLL_ZAP))
            take_views(mesh); /* who asks to be let in may be in the newest alone */
        if (has(mesh, POLL_ZAP))
            mesh_door_answer(&mesh->door, is_peer, mesh);
        if (has(mesh, POLL_ROUTER))
            mesh_take_messages(mesh);
        if (has(mesh, POLL_INBOX))
            take_frames(mesh);
        if (opened || mesh->now_us >= mesh->tick_at_us)
            tick(mesh);
        for (unsigned i = 0; i < mesh->count; i++)
            mesh_peer_flush(mesh->peers[i], mesh->now_us);
        tell_flushed(mesh, pipe);
    }
}

static void open_mailboxes(struct mesh *mesh, const struct mesh_args *args)
{
    mesh->shards = (unsigned)args->config->shards;
    mesh->edges = (unsigned)args->config->edges;
    mesh->inbox = mailbox_open("mesh", args->index);
    mesh->views = mailbox_open("mesh-view", args->index);
    mesh->control = mailbox_connect("control", args->index, 0);
    for (unsigned i = 0; i < mesh->shards; i++)
        mesh->shard[i] = mailbox_connect("shard", args->index * LIMIT_SHARDS + i, 0);
    for (unsigned i = 0; i < mesh->edges; i++)
        mesh->edge[i] = mailbox_connect("edge", args->index * LIMIT_EDGES + i, 0);
}

static int open_all(struct mesh *mesh, zsock_t *pipe, const struct mesh_args *args)
{
    bool ipv6 = strchr(args->config->bind_address, ':') != NULL;
    open_mailboxes(mesh, args);
    int rc = mesh_door_open(&mesh->door, args, ipv6);
    if (rc != 0)
        log_event(LEVEL_ERROR, "mesh_failed", "reason", "could not listen on %s port %d (mesh): %s",
                  args->config->bind_address, (int)args->config->mesh_port, zmq_strerror(errno));
    mesh->loop = args->loop;
    mesh->self = (struct mesh_self){.context = mesh->door.context,
                                    .number = args->number,
                                    .life = (uint16_t)args->incarnation,
                                    .ipv6 = ipv6};
    memcpy(mesh->self.public_key, args->public_key, MESH_KEY_SIZE);
    memcpy(mesh->self.secret_key, args->secret_key, MESH_KEY_SIZE);
    zmq_pollitem_t fixed[POLL_FIXED] = {
        [POLL_PIPE] = {zsock_resolve(pipe), 0, ZMQ_POLLIN, 0},
        [POLL_VIEWS] = {zsock_resolve(mesh->views), 0, ZMQ_POLLIN, 0},
        [POLL_INBOX] = {zsock_resolve(mesh->inbox), 0, ZMQ_POLLIN, 0},
        [POLL_ZAP] = {mesh->door.zap, 0, ZMQ_POLLIN, 0},
        [POLL_ROUTER] = {mesh->door.router, 0, ZMQ_POLLIN, 0},
    };
    mesh->polls = xcalloc(POLL_FIXED, sizeof *mesh->polls);
    memcpy(mesh->polls, fixed, sizeof fixed);
    return rc;
}

static void close_all(struct mesh *mesh)
{
    take_views(mesh); /* they are ours to free */
    for (unsigned i = 0; i < mesh->count; i++)
        mesh_peer_destroy(&mesh->peers[i]);
    free(mesh->peers);
    free(mesh->polls);
    mesh_door_close(&mesh->door);
    metrics_add(METRIC_MESH_KEPT, -mesh->kept);
    zsock_destroy(&mesh->inbox);
    zsock_destroy(&mesh->views);
    zsock_destroy(&mesh->control);
    for (unsigned i = 0; i < mesh->shards; i++)
        zsock_destroy(&mesh->shard[i]);
    for (unsigned i = 0; i < mesh->edges; i++)
        zsock_destroy(&mesh->edge[i]);
    explicit_bzero(&mesh->self, sizeof mesh->self);
}

void mesh_actor(zsock_t *pipe, void *args)
{
    struct mesh_args *given = args;
    struct mesh mesh = {0};
    int rc = open_all(&mesh, pipe, given);
    failures += rc != 0;
    explicit_bzero(given, sizeof *given);
    free(given);
    pthread_setname_np(pthread_self(), "gito-mesh");
    zsock_signal(pipe, 0);
    if (rc == 0)
        run(&mesh, pipe);
    else
        while (!take_pipe(&mesh, pipe))
            zsock_signal(pipe, 0); /* MESH_FLUSH: nobody ever got anything */
    close_all(&mesh);
}
