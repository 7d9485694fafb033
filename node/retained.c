#include "node/retained.h"
#include "node/log.h"
#include "proto/check.h"
#include "proto/frame.h"
#include <jansson.h>
#include <stdio.h>

#define REPLY_BYTES (16 * 1024 * 1024)

/* A device that was never seen has the time of its making. */
static const char statuses_sql[] =
    "SELECT id, status, (extract(epoch FROM COALESCE(last_seen, created_at)) * 1000000)::bigint"
    " FROM devices WHERE $1::uuid IS NULL OR id = $1 LIMIT 10000";
/* Topics are compared byte by byte, and no byte of UTF-8 is above those of U+10FFFF. */
static const char messages_sql[] =
    "SELECT topic, payload, qos,"
    " (extract(epoch FROM retained_at) * 1000000)::bigint FROM retained_messages"
    " WHERE topic >= $1 AND topic < $1 || U&'\\+10FFFF' ORDER BY topic LIMIT 10000";
_Static_assert(REQUEST_RETAINED_MAX == 10000, "the limit in both statements");

static void put_status(struct frame *frame, const struct uuid *tenant, const PGresult *rows,
                       int row)
{
    struct msg_event event = {.tenant = *tenant, .event = EVENT_STATUS};
    const char *status = PQgetvalue(rows, row, 1);
    struct uuid device;
    if (uuid_parse(PQgetvalue(rows, row, 0), UUID_TEXT_LEN, &device) != 0)
        return;
    event.device = device;
    event.status = strcmp(status, "online") == 0 ? STATUS_ONLINE
                   : strcmp(status, "idle") == 0 ? STATUS_IDLE
                                                 : STATUS_OFFLINE;
    event.timestamp_us = strtoll(PQgetvalue(rows, row, 2), NULL, 10);
    if (frame_add(frame, MSG_EVENT, &event, sizeof event, NULL, 0) != 0)
        return; /* more than a client is sent at once */
}

static void put_message(struct frame *frame, const struct uuid *tenant, const PGresult *rows,
                        int row)
{
    const char *topic = PQgetvalue(rows, row, 0);
    size_t len = 0;
    uint8_t *payload = PQunescapeBytea((const uint8_t *)PQgetvalue(rows, row, 1), &len);
    struct msg_event event = {
        .tenant = *tenant,
        .event = EVENT_MESSAGE,
        .flags = (uint8_t)(MSG_RETAIN | atoi(PQgetvalue(rows, row, 2))),
        .timestamp_us = strtoll(PQgetvalue(rows, row, 3), NULL, 10),
        .topic_len = (uint16_t)strlen(topic),
        .body_len = (uint32_t)len,
    };
    struct span texts[] = {{topic, event.topic_len}, {payload, len}};
    CHECK(payload != NULL);
    int rc = frame_add(frame, MSG_EVENT, &event, sizeof event, texts, 2);
    (void)rc; /* full: more than a client is sent at once */
    PQfreemem(payload);
}

static int read_into(struct frame *frame, struct request *request, struct database *database,
                     const char *sql, const char *value,
                     void (*put)(struct frame *, const struct uuid *, const PGresult *, int))
{
    struct database_scope scope = {.tenant = &request->claims.tenant};
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(database, &scope, sql, 1, &value, &rows);
    if (rc != 0 && rc != ERR_UNAVAILABLE)
        log_event(LEVEL_ERROR, "query_failed", "reason", "could not read retained messages: %s",
                  database_reason(database));
    for (int row = 0; rc == 0 && row < PQntuples(rows); row++)
        put(frame, &request->claims.tenant, rows, row);
    return rc;
}

void retained_handle(struct request *request, struct database *database)
{
    struct uuid_text device = uuid_text(&request->device);
    struct frame frame;
    char prefix[8192];
    size_t len = 0;
    while (len < request->path.len && len + 1 < sizeof prefix &&
           strchr("+#", request->path.data[len]) == NULL) {
        prefix[len] = (char)request->path.data[len];
        len++;
    }
    prefix[len] = '\0';
    frame_init(&frame, REPLY_BYTES);
    int rc = read_into(&frame, request, database, statuses_sql,
                       uuid_is_nil(&request->device) ? NULL : device.s, put_status);
    if (rc == 0)
        rc = read_into(&frame, request, database, messages_sql, prefix, put_message);
    request->status = rc == 0 ? 200 : 503;
    if (rc == 0 && frame.count > 0) {
        struct span bytes = frame_finish(&frame);
        buf_put(&request->reply, bytes.data, bytes.len);
    }
    frame_free(&frame);
}
