#include "node/control_view.h"
#include "node/config.h"
#include "node/log.h"
#include "node/mailbox.h"
#include "node/mesh.h"
#include "proto/check.h"
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>

#define FRAME_BYTES_MAX (64UL * 1024 * 1024)

static void open_outlet(struct outlet *self, const char *name, unsigned index)
{
    self->to = mailbox_connect(name, index, 0);
    frame_init(&self->frame, FRAME_BYTES_MAX);
}

static void close_outlet(struct outlet *self)
{
    zsock_destroy(&self->to);
    frame_free(&self->frame);
}

void control_view_open(struct control_view *self, const struct config *config, uint16_t number)
{
    *self = (struct control_view){.config = config, .number = number};
    for (unsigned i = 0; i < (unsigned)config->edges; i++)
        open_outlet(&self->edges[i], "edge", i);
    for (unsigned i = 0; i < (unsigned)config->shards; i++)
        open_outlet(&self->shards[i], "shard", i);
    self->mesh = mailbox_connect("mesh-view", 0, 0);
    self->moves = moves_new(number);
    news_init(&self->news);
    CHECK(self->moves != NULL);
}

static void free_node(struct view_node **node_p)
{
    if (*node_p != NULL)
        free((*node_p)->endpoints);
    free(*node_p);
    *node_p = NULL;
}

void control_view_close(struct control_view *self)
{
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        close_outlet(&self->edges[i]);
    for (unsigned i = 0; i < (unsigned)self->config->shards; i++)
        close_outlet(&self->shards[i]);
    zsock_destroy(&self->mesh);
    for (unsigned i = 0; i < LIMIT_NODES; i++)
        free_node(&self->nodes[i]);
    slots_free(&self->slots);
    news_free(&self->news);
    moves_destroy(&self->moves);
}

/* ---- telling ---- */

static void flush(struct outlet *self)
{
    if (self->frame.count == 0)
        return;
    struct span bytes = frame_finish(&self->frame);
    mailbox_post(self->to, bytes.data, bytes.len); /* refused only at the end of the process */
    frame_clear(&self->frame);
}

static void add_text(struct outlet *self, enum msg_kind kind, const void *fixed, size_t len,
                     const struct span *text)
{
    CHECK(frame_add(&self->frame, kind, fixed, len, text, text != NULL) == 0);
    if (self->frame.count >= LIMIT_FRAME_ITEMS)
        flush(self);
}

static void add(struct outlet *self, enum msg_kind kind, const void *fixed, size_t len)
{
    add_text(self, kind, fixed, len, NULL);
}

void control_view_tell_shard(struct control_view *self, unsigned shard, enum msg_kind kind,
                             const void *fixed, size_t len)
{
    add(&self->shards[shard], kind, fixed, len);
}

void control_view_tell_edges(struct control_view *self, enum msg_kind kind, const void *fixed,
                             size_t len)
{
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        add(&self->edges[i], kind, fixed, len);
}

void control_view_flush(struct control_view *self)
{
    for (unsigned i = 0; i < (unsigned)self->config->shards; i++)
        flush(&self->shards[i]);
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        flush(&self->edges[i]);
}

/* ---- nodes ---- */

static bool lives(const struct view_node *node)
{
    switch (node->state) {
    case MEMBER_JOINING:
    case MEMBER_ACTIVE:
    case MEMBER_DRAINING:
    case MEMBER_CONDEMNED:
        return true;
    case MEMBER_DEAD:
    case MEMBER_LEFT:
    case MEMBER_STATES:
        break;
    }
    return false;
}

bool control_view_lives(const struct control_view *self, uint16_t number)
{
    return number < LIMIT_NODES && self->nodes[number] != NULL && lives(self->nodes[number]);
}

enum member_state control_view_own_state(const struct control_view *self)
{
    const struct view_node *own = self->nodes[self->number];
    return own != NULL ? own->state : MEMBER_ACTIVE;
}

static void tell_node(struct control_view *self, const struct view_node *node)
{
    struct msg_node item = {.node = node->number,
                            .life = (uint16_t)node->incarnation,
                            .alive = lives(node),
                            .edges = (uint8_t)node->edges,
                            .shards = (uint8_t)node->shards};
    for (unsigned i = 0; i < (unsigned)self->config->shards; i++)
        add(&self->shards[i], MSG_NODE, &item, sizeof item);
    control_view_tell_edges(self, MSG_NODE, &item, sizeof item);
}

static bool same(const struct view_node *a, const struct view_node *b)
{
    return a != NULL && lives(a) == lives(b) && a->incarnation == b->incarnation &&
           a->state == b->state;
}

/* A number that is another node's now: what was known of it is over. */
static bool take_node(struct control_view *self, struct view_node *row)
{
    static const char *const names[MEMBER_STATES] = {"joining",   "active", "draining",
                                                     "condemned", "dead",   "left"};
    struct view_node **at = &self->nodes[row->number];
    if (row->number >= LIMIT_NODES || same(*at, row))
        return false;
    log_event(LEVEL_INFO, "node_seen", "text", "%s/%" PRId64 " is %s", row->node_id,
              row->incarnation, names[row->state]);
    if (*at != NULL && lives(*at))
        self->any_ended |= !lives(row) || row->incarnation != (*at)->incarnation;
    struct view_node *copy = xcalloc(1, sizeof *copy);
    *copy = *row;
    row->endpoints = NULL; /* the copy's now */
    free_node(at);
    *at = copy;
    tell_node(self, copy);
    news_node(&self->news, copy->number);
    return true;
}

/* Nodes that live no more and own nothing are not in the rows. */
static bool lose_absent(struct control_view *self, const struct view_rows *rows)
{
    bool present[LIMIT_NODES] = {false}, any = false;
    for (size_t i = 0; i < rows->nodes_count; i++)
        if (rows->nodes[i].number < LIMIT_NODES)
            present[rows->nodes[i].number] = true;
    for (unsigned n = 0; n < LIMIT_NODES; n++) {
        if (present[n] || !control_view_lives(self, (uint16_t)n))
            continue;
        self->nodes[n]->state = MEMBER_DEAD;
        tell_node(self, self->nodes[n]);
        news_node(&self->news, (uint16_t)n);
        any = true;
    }
    self->any_ended |= any;
    return any;
}

static void fill_member(struct mesh_member *member, const struct view_node *node)
{
    json_t *json = json_loads(node->endpoints, 0, NULL);
    const char *address = json_string_value(json_object_get(json, "address"));
    long long port = json_integer_value(json_object_get(json, "mesh"));
    member->number = node->number;
    member->incarnation = node->incarnation;
    snprintf(member->endpoint, sizeof member->endpoint, "tcp://%s:%lld",
             address != NULL ? address : "", port);
    snprintf(member->public_key, sizeof member->public_key, "%.40s", node->mesh_key);
    snprintf(member->name, sizeof member->name, "%s", node->node_id);
    member->msg_version = node->mesh_version;
    json_decref(json);
}

static void tell_mesh(struct control_view *self)
{
    struct mesh_view *view = mesh_view_new(LIMIT_NODES);
    CHECK(view != NULL);
    view->count = 0;
    for (unsigned n = 0; n < LIMIT_NODES; n++)
        if (n != self->number && control_view_lives(self, (uint16_t)n))
            fill_member(&view->members[view->count++], self->nodes[n]);
    mailbox_give(self->mesh, view);
}

static const struct view_node *elsewhere(const struct control_view *self)
{
    const struct view_node *best = NULL, *own = self->nodes[self->number];
    for (unsigned n = 0; n < LIMIT_NODES; n++) {
        const struct view_node *node = self->nodes[n];
        if (node == NULL || n == self->number || node->state != MEMBER_ACTIVE)
            continue;
        if (best == NULL ||
            (own != NULL && node->region == own->region && best->region != own->region))
            best = node;
    }
    return best;
}

bool control_view_has_others(const struct control_view *self)
{
    return elsewhere(self) != NULL;
}

void control_view_tell_elsewhere(struct control_view *self, bool on)
{
    char text[LIMIT_ENDPOINT_BYTES] = "";
    const struct view_node *node = elsewhere(self);
    json_t *json = node != NULL ? json_loads(node->endpoints, 0, NULL) : NULL;
    if (json != NULL)
        snprintf(text, sizeof text, "%s:%lld", json_string_value(json_object_get(json, "address")),
                 (long long)json_integer_value(json_object_get(json, "mqtt")));
    json_decref(json);
    struct msg_drain item = {.reference_len = (uint16_t)strlen(text), .on = on};
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        add_text(&self->edges[i], MSG_DRAIN, &item, sizeof item,
                 &(struct span){text, item.reference_len});
}

/* ---- slots ---- */

/* True: it is inherited. */
static bool take_slot(struct control_view *self, const struct view_slot *row)
{
    uint16_t slot = msg_slot(row->region, row->slot);
    struct slot former = slots_get(&self->slots, slot);
    const struct slot now = {
        .epoch = (uint32_t)row->epoch, .owner = row->owner, .target = row->target};
    int rc = slots_set(&self->slots, slot, &now);
    if (rc < 0)
        log_event(LEVEL_WARNING, "slot_refused", "reason", "slot %u of region %u: %s", row->slot,
                  row->region, err_text(rc));
    if (rc <= 0)
        return false;
    if (now.owner != former.owner)
        news_slot(&self->news, row->region, former.owner, now.owner);
    moves_row(self->moves, slot, now.epoch, now.owner, now.target);
    if (now.epoch == former.epoch)
        return false;
    bool awaits = now.owner == self->number && former.owner != self->number &&
                  now.epoch == former.epoch + 1 && control_view_lives(self, former.owner);
    struct msg_slot item = {.slot = slot,
                            .from = self->number,
                            .owner = now.owner,
                            .flags = awaits ? SLOT_AWAITS : 0,
                            .epoch = now.epoch};
    add(&self->shards[row->slot % (unsigned)self->config->shards], MSG_SLOT, &item, sizeof item);
    control_view_tell_edges(self, MSG_SLOT, &item, sizeof item);
    return now.owner == self->number && !awaits;
}

/* What was there when this node came is no news. */
static void tell_news(struct control_view *self, const struct view_rows *rows)
{
    if (self->version == 0)
        news_clear(&self->news);
    const struct buf *text = news_finish(&self->news, self->nodes, rows);
    struct msg_news item = {.version = rows->version, .text_len = (uint32_t)text->len};
    struct span span = {text->data, text->len};
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        CHECK(frame_add(&self->edges[i].frame, MSG_NEWS, &item, sizeof item, &span, 1) == 0);
    news_clear(&self->news);
}

bool control_view_take(struct control_view *self, struct view_rows *rows)
{
    bool members = false, inherited = false;
    if (rows->version == self->version)
        return false;
    self->any_ended = false;
    for (size_t i = 0; i < rows->nodes_count; i++)
        members |= take_node(self, &rows->nodes[i]);
    members |= lose_absent(self, rows);
    if (members) {
        tell_mesh(self);
        control_view_flush(self); /* at once: whom the mesh lets in then, shards are to know */
    }
    for (size_t i = 0; i < rows->slots_count; i++)
        inherited |= take_slot(self, &rows->slots[i]);
    tell_news(self, rows);
    self->version = rows->version;
    return inherited || self->any_ended;
}
