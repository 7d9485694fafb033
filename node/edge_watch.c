/* What MQTT clients subscribe to, and the events that go to them. */
#include "node/edge_watch.h"
#include "node/clock.h"
#include "node/metrics.h"
#include "proto/check.h"
#include "proto/topic.h"

static const char *const status_names[STATUSES] = {
    [STATUS_OFFLINE] = "offline", [STATUS_ONLINE] = "online", [STATUS_IDLE] = "idle"};

/* What a filter below a device (or `+`) can match, by its last part. */
static unsigned bits_of(const char *rest, size_t len)
{
    static const struct {
        const char *name;
        unsigned bit;
    } kinds[] = {{"telemetry", INTEREST_TELEMETRY},
                 {"status", INTEREST_STATUS},
                 {"alerts", INTEREST_ALERTS}};
    unsigned bits = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (topic_matches(rest, len, kinds[i].name, strlen(kinds[i].name)))
            bits |= kinds[i].bit;
    /* Anything else below a device is a message; a literal name of the above never is. */
    bool literal = memchr(rest, '+', len) == NULL && memchr(rest, '#', len) == NULL;
    return literal && bits != 0 ? bits : bits | INTEREST_MESSAGES;
}

/* The part of `filter` after its n-th '/', or NULL. */
static const char *after_level(const char *filter, size_t len, unsigned n)
{
    const char *end = filter + len;
    for (const char *p = filter; p < end; p++)
        if (*p == '/' && --n == 0)
            return p + 1;
    return NULL;
}

/* Which devices and kinds a filter concerns: {tenant}/devices/{device or +}/{rest}, or more. */
static void describe(const char *filter, size_t len, struct uuid *device, unsigned *bits)
{
    static const unsigned all = (1U << INTEREST_BITS) - 1;
    const char *name = after_level(filter, len, 2), *rest = after_level(filter, len, 3);
    struct uuid nil = {0};
    *device = nil;
    *bits = all;
    if (name == NULL || rest == NULL) {
        /* {tenant}/# and {tenant}/devices/# take all; {tenant}/x is no device's. */
        if (len > 0 && filter[len - 1] != '#')
            *bits = INTEREST_MESSAGES;
        return;
    }
    const char *second = after_level(filter, len, 1);
    bool plus = second[0] == '+' && second[1] == '/';
    if (!plus && strncmp(second, "devices/", 8) != 0) {
        *bits = INTEREST_MESSAGES;
        return;
    }
    *bits = bits_of(rest, (size_t)(filter + len - rest));
    if (!plus && uuid_parse(name, (size_t)(rest - 1 - name), device) != 0)
        *device = nil;
}

static struct subscription **find(struct mqtt_conn *conn, struct mqtt_span filter)
{
    struct subscription **at = &conn->subscriptions;
    while (*at != NULL &&
           ((*at)->filter_len != filter.len || memcmp((*at)->filter, filter.data, filter.len) != 0))
        at = &(*at)->next;
    return at;
}

static void remove_at(struct mqtt_conn *conn, struct subscription **at)
{
    struct subscription *gone = *at;
    *at = gone->next;
    conn->subscriptions_count--;
    edge_retained_forget(gone);
    watchers_remove(&conn->edge->watchers, &gone->watch);
    free(gone);
}

int edge_watch_subscribe(struct mqtt_conn *conn, const struct session_subscription *wanted)
{
    struct subscription **at = find(conn, wanted->filter);
    bool existed = *at != NULL, owes = existed && edge_retained_owes(*at);
    if (!existed && conn->subscriptions_count >= LIMIT_SUBSCRIPTIONS)
        return ERR_FULL;
    struct subscription *added = calloc(1, sizeof *added + wanted->filter.len + 1);
    struct uuid device, tenant = session_principal(conn->session)->tenant;
    if (added == NULL)
        return ERR_FULL;
    added->qos = wanted->qos;
    added->no_local = wanted->no_local;
    added->retain_as_published = wanted->retain_as_published;
    added->subscription_id = wanted->subscription_id;
    added->filter_len = (uint16_t)wanted->filter.len;
    memcpy(added->filter, wanted->filter.data, wanted->filter.len);
    added->watch.connection = conn;
    describe(added->filter, added->filter_len, &device, &added->watch.bits);
    if (watchers_add(&conn->edge->watchers, &added->watch, &tenant, &device) != 0) {
        free(added);
        return ERR_FULL;
    }
    if (existed) /* behind it: the edge is interested all the while (MQTT-3.8.4-4) */
        remove_at(conn, at);
    added->next = conn->subscriptions;
    conn->subscriptions = added;
    conn->subscriptions_count++;
    edge_sync_begin(&conn->sync, conn->edge, &conn->ref, &tenant, &device);
    if (added->watch.bits & (INTEREST_STATUS | INTEREST_MESSAGES) &&
        (wanted->retain_handling == 0 || (wanted->retain_handling == 1 && (!existed || owes))))
        edge_retained_want(added);
    return 0;
}

int edge_watch_unsubscribe(struct mqtt_conn *conn, struct mqtt_span filter)
{
    struct subscription **at = find(conn, filter);
    if (*at == NULL)
        return ERR_NOT_FOUND;
    remove_at(conn, at);
    return 0;
}

void edge_watch_forget(struct mqtt_conn *conn)
{
    while (conn->subscriptions != NULL)
        remove_at(conn, &conn->subscriptions);
    edge_retained_end(conn);
}

struct uuid edge_watch_device(const struct subscription *subscription)
{
    struct uuid device;
    unsigned bits;
    describe(subscription->filter, subscription->filter_len, &device, &bits);
    return device;
}

/* ---- events ---- */

struct delivery {
    struct edge *edge;
    const struct msg_event *event;
    const uint8_t *texts;
    const char *topic;
    size_t topic_len;
    struct mqtt_span payload;
    struct mqtt_properties properties; /* of a client's message */
    bool retained;                     /* sent because it was kept, not as it happens */
};

/* The connection published it itself. Of a zero reference, the platform's, there is none. */
static bool is_from(const struct msg_event *event, const struct mqtt_conn *conn)
{
    struct msg_ref from = event->from, own = conn->ref;
    own.node = conn->edge->number;
    own.life = conn->edge->life;
    return msg_same_connection(&from, &own);
}

static void deliver(const struct delivery *d, const struct subscription *s)
{
    struct mqtt_conn *conn = s->watch.connection;
    if (!topic_matches(s->filter, s->filter_len, d->topic, d->topic_len))
        return;
    if (s->no_local && !d->retained && is_from(d->event, conn))
        return; /* MQTT-3.8.3-3 */
    bool clients = d->event->event == EVENT_TELEMETRY || d->event->event == EVENT_MESSAGE;
    unsigned qos = clients ? d->event->flags & MSG_QOS_MASK : 1; /* the platform's own: 1 */
    bool retain = d->event->event == EVENT_STATUS || d->event->flags & MSG_RETAIN;
    struct session_delivery delivery = {
        .topic = {(const uint8_t *)d->topic, d->topic_len},
        .payload = d->payload,
        .qos = (uint8_t)(qos < s->qos ? qos : s->qos),
        .retain = d->retained || (s->retain_as_published && retain),
        .subscription_id = s->subscription_id,
        .properties = d->properties.present != 0 ? &d->properties : NULL,
    };
    struct session_env env = edge_mqtt_env(conn);
    if (d->event->expires_us != 0)
        delivery.expires_us = env.now_us + d->event->expires_us - clock_real_us();
    if (session_deliver(conn->session, &env, &delivery) != 0)
        metrics_add(METRIC_MQTT_DROPPED, 1);
    edge_mqtt_dirty(conn);
}

static void on_watch(void *context, struct watch *watch)
{
    const struct delivery *d = context;
    if (watch->live)
        edge_live_event(d->edge, watch->connection, d->event, d->texts);
    else
        deliver(d, (const struct subscription *)watch);
}

/* The topic of a platform's event; 128 bytes are enough. */
static size_t event_topic(const struct msg_event *event, char topic[static 128])
{
    static const char *const rests[] = {
        [EVENT_TELEMETRY] = "telemetry", [EVENT_STATUS] = "status", [EVENT_ALERT] = "alerts"};
    struct uuid tenant = event->tenant, device = event->device;
    return (size_t)snprintf(topic, 128, "%s/devices/%s/%s", uuid_text(&tenant).s,
                            uuid_text(&device).s, rests[event->event]);
}

static void fill(struct delivery *d, char topic[static 128])
{
    const struct msg_event *event = d->event;
    d->topic = topic;
    d->payload = (struct mqtt_span){d->texts, event->body_len};
    if (event->event == EVENT_MESSAGE) {
        d->topic = (const char *)d->texts;
        d->topic_len = event->topic_len;
        d->payload.data = d->texts + event->topic_len;
        if (event->properties_len > 0 &&
            mqtt_take_forwarded(
                (struct mqtt_span){d->payload.data + event->body_len, event->properties_len},
                &d->properties) != 0)
            d->properties.present = 0; /* of no client's making */
        return;
    }
    d->topic_len = event_topic(event, topic);
    if (event->event == EVENT_STATUS)
        d->payload = mqtt_text(status_names[event->status < STATUSES ? event->status : 0]);
}

/* Remembers what was told here. What comes `again` may have been; and what came again may yet come
 * from the owner that died: one of the two is told. The lowest bit of a place says that it came
 * again. */
static bool is_news(struct edge *self, const struct msg_event *event)
{
    struct uuid device = event->device;
    uint64_t key = uuid_hash(&device) ^ (uint64_t)event->timestamp_us * 0x9E3779B97F4A7C15ULL ^
                   (uint64_t)event->key << 32;
    uint64_t *place = &self->told[(key >> 1) % EDGE_TOLD];
    bool known = *place >> 1 == key >> 1;
    if (known && event->again)
        return false;
    bool came_again = known && *place & 1;
    *place = (key & ~UINT64_C(1)) | event->again;
    return !came_again;
}

void edge_watch_event(struct edge *self, const struct msg_event *event, const uint8_t *texts)
{
    static const enum msg_interest_bits bits[] = {[EVENT_TELEMETRY] = INTEREST_TELEMETRY,
                                                  [EVENT_STATUS] = INTEREST_STATUS,
                                                  [EVENT_ALERT] = INTEREST_ALERTS,
                                                  [EVENT_MESSAGE] = INTEREST_MESSAGES};
    char topic[128];
    struct delivery d = {.edge = self, .event = event, .texts = texts};
    struct uuid tenant = event->tenant, device = event->device;
    if (event->event < EVENT_TELEMETRY || event->event > EVENT_MESSAGE)
        return; /* of a peer's making */
    if (event->event == EVENT_TELEMETRY && !is_news(self, event))
        return;
    fill(&d, topic);
    watchers_each(&self->watchers, &tenant, &device, bits[event->event], on_watch, &d);
}

void edge_watch_give_retained(const struct subscription *subscription, const struct item *item)
{
    struct mqtt_conn *conn = subscription->watch.connection;
    char topic[128];
    struct delivery d = {
        .edge = conn->edge, .event = item->fixed, .texts = item->texts, .retained = true};
    fill(&d, topic);
    deliver(&d, subscription);
}
