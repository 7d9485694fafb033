#include "node/retained.h"
#include "node/log.h"
#include "proto/check.h"
#include "proto/topic.h"

/* Its kind, a topic, and the end of a string. */
#define PLACE_BYTES (UINT16_MAX + 2)
#define REPLY_BYTES (16 * 1024 * 1024)

/* In the order of their making: one range of an index, and new ones come at its end. */
#define STATUS_COLUMNS                                                                             \
    "SELECT id, status, (extract(epoch FROM created_at) * 1000000)::bigint FROM devices "
static const char statuses_sql[] =
    STATUS_COLUMNS "WHERE (created_at, id) > "
                   "('epoch'::timestamptz + $1::bigint * interval '1 microsecond', $2::uuid) "
                   "ORDER BY created_at, id LIMIT 256";
static const char status_sql[] = STATUS_COLUMNS "WHERE id = $1";

/* Topics are compared byte by byte. LIKE's % takes several levels for one +, which with as many
 * slashes as the filter has cannot be; below # it can, and topic_matches() has the last word. */
static const char messages_sql[] =
    "SELECT topic, payload, qos, found, properties, expires_us FROM ("
    " SELECT *, count(*) OVER () AS found, sum(bytes) OVER (ORDER BY topic) - bytes AS ahead FROM ("
    "  SELECT topic, payload, qos, properties,"
    "  octet_length(topic) + octet_length(payload) + octet_length(properties) AS bytes,"
    "  coalesce((extract(epoch FROM expires_at) * 1000000)::bigint, 0) AS expires_us"
    "  FROM retained_messages"
    "  WHERE topic > $1 AND topic >= $2 AND topic <= $3 AND (topic LIKE $4 OR topic LIKE $5)"
    "  AND length(topic) - length(replace(topic, '/', '')) BETWEEN $6::int AND $7::int"
    "  ORDER BY topic LIMIT 256) page) page WHERE ahead < 262144 ORDER BY topic";
_Static_assert(RETAINED_PAGE == 256 && RETAINED_PAGE_BYTES == 262144, "as in the statements");

struct request *retained_request(const char *filter, size_t len, const struct uuid *device,
                                 unsigned bits, const struct buf *place)
{
    struct request *request = request_new(REQUEST_RETAINED);
    CHECK(request != NULL);
    buf_init(&request->path, UINT16_MAX);
    buf_init(&request->query, PLACE_BYTES);
    buf_put(&request->path, filter, len);
    buf_put(&request->query, place->data, place->len);
    CHECK(!request->path.failed && !request->query.failed);
    request->device = *device;
    request->interest = bits;
    return request;
}

/* ---- places: "" at first, "s" and a device's, "m" and a topic or, before the first, nothing ----
 */

void retained_place(const struct item *item, struct buf *place)
{
    const struct msg_event *event = item->fixed;
    struct uuid device = event->device;
    buf_clear(place);
    if (event->event == EVENT_STATUS) {
        buf_printf(place, "s%s %lld", uuid_text(&device).s, (long long)event->timestamp_us);
    } else {
        buf_putc(place, 'm');
        buf_put(place, item->texts, event->topic_len);
    }
}

static void place_at(struct buf *place, char kind, const char *rest)
{
    buf_clear(place);
    buf_putc(place, kind);
    buf_puts(place, rest);
    CHECK(!place->failed);
}

/* As a string that lives as long as the buffer is not changed. */
static const char *text_of(struct buf *buf)
{
    buf_putc(buf, '\0');
    CHECK(!buf->failed);
    buf->len--;
    return (const char *)buf->data;
}

/* ---- the search for what a filter matches ---- */

struct search {
    struct buf low, high;    /* topics from, to */
    struct buf level, below; /* patterns of LIKE; `level` is the same without "/#" */
    char slashes_min[16], slashes_max[16];
};

static void put_pattern(struct buf *out, const char *filter, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (strchr("%_\\", filter[i]) != NULL)
            buf_putc(out, '\\');
        buf_putc(out, filter[i] == '+' || filter[i] == '#' ? '%' : filter[i]);
    }
}

static void search_free(struct search *self)
{
    buf_free(&self->low);
    buf_free(&self->high);
    buf_free(&self->level);
    buf_free(&self->below);
}

static void search_init(struct search *self, const char *filter, size_t len)
{
    size_t prefix = 0, slashes = 0;
    bool below = filter[len - 1] == '#';
    for (size_t i = 0; i < len; i++)
        slashes += filter[i] == '/';
    while (prefix < len && filter[prefix] != '+' && filter[prefix] != '#')
        prefix++;
    size_t parent = below && len > 1 ? len - 2 : len - below; /* "a/#" matches "a" too */
    buf_init(&self->low, PLACE_BYTES);
    buf_init(&self->high, PLACE_BYTES + 4);
    buf_init(&self->level, 2UL * PLACE_BYTES);
    buf_init(&self->below, 2UL * PLACE_BYTES);
    buf_put(&self->low, filter, prefix < parent ? prefix : parent);
    buf_put(&self->high, filter, prefix);
    if (prefix < len)
        buf_puts(&self->high, "\xF4\x8F\xBF\xBF"); /* no byte of UTF-8 is above U+10FFFF's */
    put_pattern(&self->level, filter, parent);
    put_pattern(&self->below, filter, len);
    snprintf(self->slashes_min, sizeof self->slashes_min, "%zu", slashes - (below && slashes > 0));
    snprintf(self->slashes_max, sizeof self->slashes_max, "%zu", below ? UINT16_MAX : slashes);
}

/* ---- a page ---- */

struct page {
    struct request *request;
    struct database *database;
    struct frame frame;
    const char *filter;
    size_t filter_len;
};

static int look_up(struct page *self, const char *sql, int count, const char *const *values,
                   PGresult **ret_rows)
{
    /* Planned without the values: with them PostgreSQL, which does not know how much a pattern
     * matches, sorts all of a tenant's for a page instead of walking along the index. */
    struct database_scope scope = {.tenant = &self->request->claims.tenant, .partitioned = true};
    int rc = database_once(self->database, &scope, sql, count, values, ret_rows);
    if (rc != 0 && rc != ERR_UNAVAILABLE)
        log_event(LEVEL_ERROR, "query_failed", "reason", "could not read retained messages: %s",
                  database_reason(self->database));
    return rc;
}

static void put(struct page *self, const struct msg_event *event, const struct span *texts,
                size_t texts_count)
{
    int rc = frame_add(&self->frame, MSG_EVENT, event, sizeof *event, texts, texts_count);
    CHECK(rc == 0); /* a page has its bounds */
}

static void put_status(struct page *self, const PGresult *rows, int row)
{
    const char *status = PQgetvalue(rows, row, 1);
    struct msg_event event = {.tenant = self->request->claims.tenant,
                              .event = EVENT_STATUS,
                              .timestamp_us = strtoll(PQgetvalue(rows, row, 2), NULL, 10)};
    struct uuid device;
    if (uuid_parse(PQgetvalue(rows, row, 0), UUID_TEXT_LEN, &device) != 0)
        return;
    event.device = device;
    event.status = strcmp(status, "online") == 0 ? STATUS_ONLINE
                   : strcmp(status, "idle") == 0 ? STATUS_IDLE
                                                 : STATUS_OFFLINE;
    put(self, &event, NULL, 0);
}

/* Of devices; behind their last one, messages come next. */
static int take_statuses(struct page *self)
{
    struct buf *place = &self->request->query;
    struct uuid_text device = uuid_text(&self->request->device);
    bool one = !uuid_is_nil(&self->request->device), from_start = place->len == 0;
    const char *values[2] = {"-9000000000000000", "00000000-0000-0000-0000-000000000000"};
    char last[UUID_TEXT_LEN + 32];
    OWNED(rows) PGresult *rows = NULL;
    snprintf(last, sizeof last, "%s", from_start ? "" : text_of(place) + 1);
    if (one) {
        values[0] = device.s;
    } else if (!from_start && strlen(last) > UUID_TEXT_LEN) {
        last[UUID_TEXT_LEN] = '\0';
        values[0] = last + UUID_TEXT_LEN + 1;
        values[1] = last;
    }
    int rc = look_up(self, one ? status_sql : statuses_sql, one ? 1 : 2, values, &rows);
    if (rc != 0)
        return rc;
    int count = PQntuples(rows);
    for (int row = 0; row < count; row++)
        put_status(self, rows, row);
    place_at(place, 'm', "");
    if (count == RETAINED_PAGE) {
        snprintf(last, sizeof last, "%s %s", PQgetvalue(rows, count - 1, 0),
                 PQgetvalue(rows, count - 1, 2));
        place_at(place, 's', last);
    }
    return 0;
}

/* To be freed with PQfreemem. */
static uint8_t *bytes_of(const PGresult *rows, int row, int column, size_t *ret_len)
{
    uint8_t *bytes = PQunescapeBytea((const uint8_t *)PQgetvalue(rows, row, column), ret_len);
    CHECK(bytes != NULL);
    return bytes;
}

static void put_message(struct page *self, const PGresult *rows, int row)
{
    const char *topic = PQgetvalue(rows, row, 0);
    size_t topic_len = strlen(topic), len = 0, properties_len = 0;
    if (!topic_matches(self->filter, self->filter_len, topic, topic_len))
        return;
    uint8_t *payload = bytes_of(rows, row, 1, &len);
    uint8_t *properties = bytes_of(rows, row, 4, &properties_len);
    struct msg_event event = {
        .tenant = self->request->claims.tenant,
        .event = EVENT_MESSAGE,
        .flags = (uint8_t)(MSG_RETAIN | atoi(PQgetvalue(rows, row, 2))),
        .expires_us = strtoll(PQgetvalue(rows, row, 5), NULL, 10),
        .topic_len = (uint16_t)topic_len,
        .body_len = (uint32_t)len,
        .properties_len = (uint32_t)properties_len,
    };
    put(self, &event,
        (struct span[]){{topic, topic_len}, {payload, len}, {properties, properties_len}}, 3);
    PQfreemem(payload);
    PQfreemem(properties);
}

static int take_messages(struct page *self, bool *ret_more)
{
    struct buf *place = &self->request->query;
    struct search search;
    OWNED(rows) PGresult *rows = NULL;
    search_init(&search, self->filter, self->filter_len);
    const char *values[] = {text_of(place) + 1,     text_of(&search.low),   text_of(&search.high),
                            text_of(&search.level), text_of(&search.below), search.slashes_min,
                            search.slashes_max};
    int rc = look_up(self, messages_sql, 7, values, &rows);
    search_free(&search);
    if (rc != 0)
        return rc;
    int count = PQntuples(rows);
    for (int row = 0; row < count; row++)
        put_message(self, rows, row);
    *ret_more = count > 0 && (count == RETAINED_PAGE || count < atoi(PQgetvalue(rows, 0, 3)));
    if (*ret_more)
        place_at(place, 'm', PQgetvalue(rows, count - 1, 0));
    return 0;
}

/* A literal that is no device's id matches none. */
static bool wants_statuses(const struct page *self)
{
    struct uuid tenant = self->request->claims.tenant, device = self->request->device;
    char topic[128];
    int len = snprintf(topic, sizeof topic, "%s/devices/%s/status", uuid_text(&tenant).s,
                       uuid_text(&device).s);
    return self->request->interest & INTEREST_STATUS &&
           topic_matches(self->filter, self->filter_len, topic, (size_t)len);
}

static bool has_room(const struct page *self)
{
    return self->frame.count < RETAINED_PAGE / 2 && self->frame.bytes.len < RETAINED_PAGE_BYTES / 2;
}

static int fill(struct page *self)
{
    struct request *request = self->request;
    int rc = 0;
    request->more = true;
    if (request->query.len == 0 && !wants_statuses(self))
        place_at(&request->query, 'm', "");
    for (int n = 0; rc == 0 && request->more && has_room(self) && n < RETAINED_ROUNDS; n++) {
        bool messages = request->query.len > 0 && request->query.data[0] == 'm';
        if (!messages)
            rc = take_statuses(self);
        else if (request->interest & INTEREST_MESSAGES)
            rc = take_messages(self, &request->more);
        else
            request->more = false;
    }
    return rc;
}

void retained_handle(struct request *request, struct database *database)
{
    struct page page = {.request = request,
                        .database = database,
                        .filter = (const char *)request->path.data,
                        .filter_len = request->path.len};
    frame_init(&page.frame, REPLY_BYTES);
    int rc = page.filter_len > 0 ? fill(&page) : ERR_MALFORMED;
    request->status = rc == 0 ? 200 : rc == ERR_UNAVAILABLE ? 503 : 500;
    if (rc == 0 && page.frame.count > 0) {
        struct span bytes = frame_finish(&page.frame);
        buf_put(&request->reply, bytes.data, bytes.len);
    }
    frame_free(&page.frame);
}
