#include "cluster/lanes.h"
#include "proto/check.h"
#include <stdlib.h>

#define PLACE_BITS 20 /* of an item's name: its place; the rest counts the uses of the place */
#define PLACES_MAX (1U << PLACE_BITS)
/* As many are used in turn, so that a name comes again after hundreds of millions of others: an
 * owner that was not waited for may answer seconds later. */
#define PLACES_MIN 65536
#define NONE UINT32_MAX

/* An item that is not answered yet. */
struct parcel {
    struct parcel *next, **at; /* in its lane */
    uint16_t slot;
    uint8_t kind; /* enum msg_kind */
    bool begins;  /* READING: the first of its PUBLISH */
    bool sent;    /* in the lane's epoch */
    uint32_t name;
    size_t size;
    uint8_t item[];
};

struct lane {
    uint32_t epoch, later_epoch; /* later: known from control, waiting for the owner's own word */
    uint16_t owner, later_owner;
    uint16_t life; /* of the owner, when `met` */
    bool met;      /* the owner was alive since he is the owner */
    bool waits;    /* for that word */
    bool amid;     /* a PUBLISH: its last reading is to come */
    int64_t wait_until_us;
    struct parcel *first, **end; /* in the order in which they came; end NULL: not used yet */
};

struct place {
    struct parcel *parcel; /* NULL: free */
    uint32_t uses, next_free;
};

struct peer {
    bool alive;
    uint16_t life;
};

struct lanes {
    struct lanes_config config;
    struct lanes_events events;
    struct lane *lane[LIMIT_REGIONS]; /* LIMIT_SLOTS each */
    struct peer peer[LIMIT_NODES];
    struct place *places;
    uint32_t places_count, places_cap;
    uint32_t places_free, places_free_last; /* the one that has been free for longest first */
    size_t unanswered;
    uint32_t waits; /* lanes that wait */
    uint32_t last;  /* name of the item that was added last */
    struct buf scratch;
};

lanes_t *lanes_new(const struct lanes_config *config, const struct lanes_events *events)
{
    struct lanes *self = xcalloc(1, sizeof *self);
    self->config = *config;
    self->events = *events;
    self->places_free = NONE;
    buf_init(&self->scratch, 2UL * LIMIT_PACKET_BYTES);
    return self;
}

void lanes_destroy(lanes_t **self_p)
{
    struct lanes *self = *self_p;
    if (self == NULL)
        return;
    for (uint32_t i = 0; i < self->places_count; i++)
        free(self->places[i].parcel);
    for (unsigned region = 0; region < LIMIT_REGIONS; region++)
        free(self->lane[region]);
    free(self->places);
    buf_free(&self->scratch);
    free(self);
    *self_p = NULL;
}

static struct lane *lane_of(struct lanes *self, uint16_t slot)
{
    unsigned region = slot >> MSG_SLOT_BITS;
    if (self->lane[region] == NULL) {
        self->lane[region] = xcalloc(LIMIT_SLOTS, sizeof **self->lane);
        for (unsigned i = 0; i < LIMIT_SLOTS; i++) {
            self->lane[region][i].owner = MSG_NOBODY;
            self->lane[region][i].end = &self->lane[region][i].first;
        }
    }
    return &self->lane[region][slot % LIMIT_SLOTS];
}

bool lanes_alive(const lanes_t *self, uint16_t number)
{
    return number < LIMIT_NODES && self->peer[number].alive;
}

/* ---- names ---- */

static uint32_t take_place(struct lanes *self)
{
    uint32_t at = self->places_free;
    if (at != NONE && self->places_count >= PLACES_MIN) {
        self->places_free = self->places[at].next_free;
        return at;
    }
    if (self->places_count == self->places_cap) {
        self->places_cap = self->places_cap ? 2 * self->places_cap : 256;
        CHECK(self->places_cap <= PLACES_MAX);
        self->places = realloc(self->places, self->places_cap * sizeof *self->places);
        CHECK(self->places != NULL);
    }
    self->places[self->places_count].uses = 0;
    return self->places_count++;
}

static void free_place(struct lanes *self, uint32_t at)
{
    self->places[at].parcel = NULL;
    self->places[at].next_free = NONE;
    if (self->places_free != NONE)
        self->places[self->places_free_last].next_free = at;
    else
        self->places_free = at;
    self->places_free_last = at;
}

static struct parcel *parcel_new(struct lanes *self, uint16_t slot, size_t size)
{
    uint32_t at = take_place(self);
    struct parcel *parcel = malloc(sizeof *parcel + size);
    CHECK(parcel != NULL);
    uint32_t uses = ++self->places[at].uses % (UINT32_MAX >> PLACE_BITS);
    *parcel = (struct parcel){.slot = slot, .size = size, .name = (uses + 1) << PLACE_BITS | at};
    self->places[at].parcel = parcel;
    self->last = parcel->name;
    self->unanswered++;
    return parcel;
}

static struct parcel *find(const struct lanes *self, uint32_t name)
{
    uint32_t at = name % PLACES_MAX;
    struct parcel *parcel = at < self->places_count ? self->places[at].parcel : NULL;
    return parcel != NULL && parcel->name == name ? parcel : NULL;
}

static void put_last(struct lane *lane, struct parcel *parcel)
{
    parcel->next = NULL;
    parcel->at = lane->end;
    *lane->end = parcel;
    lane->end = &parcel->next;
}

static void take_out(struct lanes *self, struct parcel *parcel)
{
    *parcel->at = parcel->next;
    if (parcel->next != NULL)
        parcel->next->at = parcel->at;
    else
        lane_of(self, parcel->slot)->end = parcel->at;
}

size_t lanes_answered(lanes_t *self, uint32_t item)
{
    struct parcel *parcel = find(self, item);
    if (parcel == NULL)
        return 0;
    size_t size = parcel->size;
    take_out(self, parcel);
    free_place(self, item % PLACES_MAX);
    self->unanswered--;
    free(parcel);
    return size;
}

/* ---- items ---- */

/* The very incarnation that became the owner. */
static bool owner_lives(const struct lanes *self, const struct lane *lane)
{
    return lane->met && lanes_alive(self, lane->owner) &&
           self->peer[lane->owner].life == lane->life;
}

static bool may_send(const struct lanes *self, const struct lane *lane)
{
    return !lane->waits && owner_lives(self, lane);
}

static void put_ref(const struct lanes *self, void *item, uint16_t slot, uint32_t epoch,
                    uint32_t name)
{
    struct msg_ref *ref = frame_item_fixed(item);
    ref->node = self->config.node;
    ref->life = self->config.life;
    ref->edge = self->config.edge;
    ref->slot = slot;
    ref->epoch = epoch;
    ref->item = name;
}

static void send_parcel(struct lanes *self, struct lane *lane, struct parcel *parcel)
{
    put_ref(self, parcel->item, parcel->slot, lane->epoch, parcel->name);
    parcel->sent = true;
    self->events.send(self->events.context, lane->owner, parcel->slot, parcel->item, parcel->size);
}

static void redirect(struct lanes *self, struct parcel *parcel, unsigned region)
{
    if (region >= LIMIT_REGIONS || region == parcel->slot >> MSG_SLOT_BITS)
        return;
    take_out(self, parcel);
    parcel->slot = msg_slot(region, parcel->slot % LIMIT_SLOTS);
    parcel->sent = false;
    struct lane *lane = lane_of(self, parcel->slot);
    put_last(lane, parcel);
    if (may_send(self, lane))
        send_parcel(self, lane, parcel);
}

void lanes_redirect(lanes_t *self, uint32_t item, unsigned region)
{
    struct parcel *parcel = find(self, item);
    if (parcel != NULL)
        redirect(self, parcel, region);
}

static const struct msg_reading *reading_of(const struct parcel *parcel)
{
    return parcel->kind == MSG_READING ? frame_item_fixed((void *)(uintptr_t)parcel->item) : NULL;
}

/* Of a PUBLISH that was answered in part the rest stays: it was refused, so is its end to be. */
static void redirect_readings(struct lanes *self, struct parcel *parcel, const struct uuid *device,
                              unsigned region)
{
    bool whole = false;
    for (struct parcel *next; parcel != NULL; parcel = next) {
        const struct msg_reading *reading = reading_of(parcel);
        next = parcel->next;
        if (reading == NULL)
            continue;
        struct uuid named = reading->device;
        bool last = reading->flags & MSG_LAST;
        whole |= parcel->begins;
        if (whole && uuid_equal(&named, device))
            redirect(self, parcel, region);
        whole &= !last;
    }
}

void lanes_redirect_device(lanes_t *self, const struct uuid *device, uint16_t slot, unsigned region)
{
    for (unsigned r = 0; r < LIMIT_REGIONS; r++)
        if (r != region && self->lane[r] != NULL)
            redirect_readings(self, self->lane[r][slot % LIMIT_SLOTS].first, device, region);
}

static size_t size_of(enum msg_kind kind, const struct span *texts, size_t count)
{
    size_t len = 0;
    for (size_t i = 0; i < count; i++)
        len += texts[i].len;
    return frame_item_size(kind, len);
}

size_t lanes_add(lanes_t *self, uint16_t slot, enum msg_kind kind, const void *fixed,
                 const struct span *texts, size_t texts_count)
{
    struct lane *lane = lane_of(self, slot);
    struct parcel *parcel = parcel_new(self, slot, size_of(kind, texts, texts_count));
    parcel->kind = (uint8_t)kind;
    frame_item_write(parcel->item, kind, fixed, texts, texts_count);
    if (kind == MSG_READING) {
        parcel->begins = !lane->amid;
        lane->amid = !(reading_of(parcel)->flags & MSG_LAST);
    }
    ((struct msg_ref *)frame_item_fixed(parcel->item))->again = 0;
    put_last(lane, parcel);
    if (may_send(self, lane))
        send_parcel(self, lane, parcel);
    return parcel->size;
}

void lanes_say(lanes_t *self, uint16_t slot, enum msg_kind kind, const void *fixed,
               const struct span *texts, size_t texts_count)
{
    struct lane *lane = lane_of(self, slot);
    size_t size = size_of(kind, texts, texts_count);
    if (!may_send(self, lane))
        return;
    buf_clear(&self->scratch);
    uint8_t *item = buf_reserve(&self->scratch, size);
    CHECK(item != NULL);
    frame_item_write(item, kind, fixed, texts, texts_count);
    put_ref(self, item, slot, lane->epoch, 0);
    self->events.send(self->events.context, lane->owner, slot, item, size);
}

struct msg_ref lanes_ref(const lanes_t *self)
{
    return (struct msg_ref){
        .node = self->config.node, .life = self->config.life, .edge = self->config.edge};
}

/* ---- owners ---- */

static void stop_waiting(struct lanes *self, struct lane *lane)
{
    self->waits -= lane->waits;
    lane->waits = false;
}

static void send_all(struct lanes *self, uint16_t slot, struct lane *lane)
{
    if (!may_send(self, lane))
        return;
    self->events.tell(self->events.context, slot);
    for (struct parcel *p = lane->first; p != NULL; p = p->next)
        if (!p->sent)
            send_parcel(self, lane, p);
}

static void meet_owner(const struct lanes *self, struct lane *lane)
{
    if (lane->met || !lanes_alive(self, lane->owner))
        return;
    lane->met = true;
    lane->life = self->peer[lane->owner].life;
}

static void change_owner(struct lanes *self, uint16_t slot, const struct msg_slot *news, bool clean)
{
    struct lane *lane = lane_of(self, slot);
    stop_waiting(self, lane);
    for (struct parcel *p = lane->first; p != NULL; p = p->next) {
        if (p->sent && !clean)
            ((struct msg_ref *)frame_item_fixed(p->item))->again = 1;
        p->sent = false;
    }
    lane->epoch = news->epoch;
    lane->owner = news->owner;
    lane->met = false;
    meet_owner(self, lane);
    send_all(self, slot, lane);
}

static bool has_sent(const struct lane *lane)
{
    for (const struct parcel *p = lane->first; p != NULL; p = p->next)
        if (p->sent)
            return true;
    return false;
}

/* He says himself that he is it no more: all that he took he has answered before. */
static bool says_owner(const struct lane *lane, const struct msg_slot *news)
{
    return news->flags & SLOT_CLEAN && lane->met && news->from == lane->owner &&
           news->from_life == lane->life;
}

static void wait_for_owner(struct lanes *self, struct lane *lane, const struct msg_slot *news,
                           int64_t now_us)
{
    if (!lane->waits) {
        lane->waits = true;
        lane->wait_until_us = now_us + LANES_WAIT_US;
        lane->later_epoch = 0;
        self->waits++;
    }
    if (news->epoch > lane->later_epoch) {
        lane->later_epoch = news->epoch;
        lane->later_owner = news->owner;
    }
}

/* The same as known, but the life in which the owner was met has ended since: it is news of his
 * next one that a shard knew first. What was sent in this epoch went to a life that never owned it.
 */
static bool met_a_former_life(const struct lanes *self, const struct lane *lane,
                              const struct msg_slot *news)
{
    return news->epoch == lane->epoch && news->owner == lane->owner && lane->met &&
           lanes_alive(self, lane->owner) && self->peer[lane->owner].life != lane->life;
}

static void take_slot(struct lanes *self, const struct msg_slot *news, int64_t now_us)
{
    struct lane *lane = lane_of(self, news->slot);
    if (met_a_former_life(self, lane, news))
        change_owner(self, news->slot, news, false);
    if (news->epoch <= lane->epoch)
        return;
    bool clean = says_owner(lane, news) || !has_sent(lane);
    if (!clean && owner_lives(self, lane) && !says_owner(lane, news)) {
        wait_for_owner(self, lane, news, now_us);
        return;
    }
    struct msg_slot later = {
        .slot = news->slot, .owner = lane->later_owner, .epoch = lane->later_epoch};
    bool more = lane->waits && lane->later_epoch > news->epoch;
    change_owner(self, news->slot, news, clean);
    if (more)
        take_slot(self, &later, now_us);
}

static void wait_no_more(struct lanes *self, uint16_t slot)
{
    const struct lane *lane = lane_of(self, slot);
    const struct msg_slot news = {.owner = lane->later_owner, .epoch = lane->later_epoch};
    change_owner(self, slot, &news, false);
}

/* Of lanes that wait for an owner who is dead, or for longer than they may. */
static void end_waits(struct lanes *self, int64_t now_us)
{
    for (unsigned region = 0; region < LIMIT_REGIONS && self->waits > 0; region++)
        for (unsigned i = 0; self->lane[region] != NULL && i < LIMIT_SLOTS; i++) {
            const struct lane *lane = &self->lane[region][i];
            if (lane->waits && (!owner_lives(self, lane) || now_us >= lane->wait_until_us))
                wait_no_more(self, msg_slot(region, i));
        }
}

static void send_waiting(struct lanes *self, uint16_t owner)
{
    for (unsigned region = 0; region < LIMIT_REGIONS; region++)
        for (unsigned i = 0; self->lane[region] != NULL && i < LIMIT_SLOTS; i++)
            if (self->lane[region][i].owner == owner && !self->lane[region][i].met) {
                meet_owner(self, &self->lane[region][i]);
                send_all(self, msg_slot(region, i), &self->lane[region][i]);
            }
}

static void take_node(struct lanes *self, const struct msg_node *news, int64_t now_us)
{
    if (news->node >= LIMIT_NODES)
        return;
    struct peer *peer = &self->peer[news->node];
    bool is_new = news->alive && (!peer->alive || peer->life != news->life);
    bool lost = peer->alive && (!news->alive || peer->life != news->life);
    /* What was sent to a former life stays so until the slot's next epoch. */
    *peer = (struct peer){news->alive, news->life};
    if (is_new) /* before anything is sent there */
        self->events.node(self->events.context, news->node, news->life, news->shards);
    if (lost)
        end_waits(self, now_us);
    if (is_new)
        send_waiting(self, news->node);
}

void lanes_take(lanes_t *self, const struct item *item, int64_t now_us)
{
    if (item->kind == MSG_NODE) {
        struct msg_node news = *(const struct msg_node *)item->fixed;
        take_node(self, &news, now_us);
    } else {
        struct msg_slot news = *(const struct msg_slot *)item->fixed;
        take_slot(self, &news, now_us);
    }
}

void lanes_tick(lanes_t *self, int64_t now_us)
{
    if (self->waits > 0)
        end_waits(self, now_us);
}

uint32_t lanes_last(const lanes_t *self)
{
    return self->last;
}

size_t lanes_unanswered(const lanes_t *self)
{
    return self->unanswered;
}

size_t lanes_waiting(const lanes_t *self)
{
    size_t count = 0;
    for (uint32_t i = 0; i < self->places_count; i++)
        count += self->places[i].parcel != NULL && !self->places[i].parcel->sent;
    return count;
}

uint16_t lanes_owner(const lanes_t *self, uint16_t slot)
{
    const struct lane *region = self->lane[slot >> MSG_SLOT_BITS];
    uint16_t owner = region != NULL ? region[slot % LIMIT_SLOTS].owner : MSG_NOBODY;
    return lanes_alive(self, owner) ? owner : MSG_NOBODY;
}
