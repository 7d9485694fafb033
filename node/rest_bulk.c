/* Many devices at once: a JSON object a line in, a result a line out. */
#include "node/password.h"
#include "node/rest_handlers.h"
#include <stdio.h>
#include <string.h>

#define LINES_MAX 10000

/* One line, once read. */
struct bulk_line {
    struct uuid id;
    const char *wrong;                /* why it is refused, or NULL */
    char secret[SECRET_TEXT_LEN + 1]; /* made for it; empty: it brought its own */
    bool made;
};

struct bulk {
    struct bulk_line *lines;
    int64_t count;
    struct buf rows; /* a JSON array of what goes into the statement */
};

static const char *text_member(const json_t *object, const char *name, size_t most,
                               const char **ret_text)
{
    const json_t *value = json_object_get(object, name);
    *ret_text = json_string_value(value);
    if (value == NULL || json_is_null(value))
        return NULL;
    if (*ret_text == NULL || **ret_text == '\0' || text_characters(*ret_text) > most)
        return name;
    return NULL;
}

static void put_row(struct bulk *bulk, struct bulk_line *line, const char *text, size_t len,
                    const char *secret)
{
    uint8_t hash[SECRET_HASH_SIZE];
    if (secret == NULL) {
        secret_make(line->secret);
        secret = line->secret;
    }
    secret_hash(secret, strlen(secret), hash);
    buf_printf(&bulk->rows, "%s{\"line\":%ld,\"id\":\"%s\",\"hash\":\"\\\\x",
               bulk->rows.len > 1 ? "," : "", (long)bulk->count, uuid_text(&line->id).s);
    for (unsigned i = 0; i < sizeof hash; i++)
        buf_printf(&bulk->rows, "%02x", hash[i]);
    buf_puts(&bulk->rows, "\",\"device\":");
    buf_put(&bulk->rows, text, len);
    buf_putc(&bulk->rows, '}');
}

static const char *check_line(const json_t *object, struct bulk_line *line, const char **ret_secret)
{
    const char *name, *type, *id, *secret, *home;
    const json_t *attributes = json_object_get(object, "attributes");
    if (text_member(object, "name", 200, &name) != NULL || name == NULL)
        return "name must be a string of 1 to 200 characters";
    if (text_member(object, "device_type", 100, &type) != NULL)
        return "device_type must be a string of 1 to 100 characters";
    if (text_member(object, "id", 100, &id) != NULL ||
        (id != NULL && uuid_parse(id, strlen(id), &line->id) != 0))
        return "id must be a UUID";
    if (text_member(object, "secret", 256, &secret) != NULL ||
        (secret != NULL && text_characters(secret) < 8))
        return "secret must be a string of 8 to 256 characters";
    if (text_member(object, "home_region", 63, &home) != NULL)
        return "home_region must be a string of 1 to 63 characters";
    if (attributes != NULL && !json_is_null(attributes) && !json_is_object(attributes))
        return "attributes must be an object";
    if (id == NULL)
        line->id = uuid_random();
    *ret_secret = secret;
    return NULL;
}

static void read_line(struct bulk *bulk, struct bulk_line *line, const char *text, size_t len)
{
    const char *secret = NULL;
    json_t *object = json_loadb(text, len, 0, NULL);
    if (!json_is_object(object))
        line->wrong = "the line is no JSON object";
    else if (!json_within(object, JSON_DEPTH_MAX))
        line->wrong = "the line is nested too deep";
    else
        line->wrong = check_line(object, line, &secret);
    if (line->wrong == NULL)
        put_row(bulk, line, text, len, secret);
    json_decref(object);
}

static bool is_blank(const char *text, size_t len)
{
    while (len > 0 && strchr(" \t\r", text[len - 1]) != NULL && text[len - 1] != '\0')
        len--;
    return len == 0;
}

/* Lines are counted from 1, blank ones too, but those have no result. */
static int read_lines(struct bulk *bulk, const char *text, const char *end)
{
    while (text < end) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        const char *line_end = newline != NULL ? newline : end;
        if (bulk->count == LINES_MAX)
            return ERR_TOO_LARGE;
        struct bulk_line *line = &bulk->lines[bulk->count++];
        if (is_blank(text, (size_t)(line_end - text)))
            line->wrong = "";
        else
            read_line(bulk, line, text, (size_t)(line_end - text));
        text = line_end + 1;
    }
    return 0;
}

static void put_result(struct buf *out, const struct bulk *bulk, int64_t i)
{
    const struct bulk_line *line = &bulk->lines[i];
    if (line->wrong != NULL && line->wrong[0] == '\0')
        return;
    buf_printf(out, "{\"line\":%ld,", (long)i + 1);
    if (line->wrong != NULL) {
        buf_puts(out, "\"status\":422,\"code\":\"invalid_line\",\"detail\":");
        put_json_text(out, line->wrong);
    } else if (!line->made) {
        buf_printf(out,
                   "\"status\":409,\"id\":\"%s\",\"code\":\"duplicate\",\"detail\":"
                   "\"a device with this id already exists\"",
                   uuid_text(&line->id).s);
    } else {
        buf_printf(out, "\"status\":201,\"id\":\"%s\"", uuid_text(&line->id).s);
        if (line->secret[0] != '\0')
            buf_printf(out, ",\"secret\":\"%s\"", line->secret);
    }
    buf_puts(out, "}\n");
}

static void make_devices(struct call *call, struct bulk *bulk)
{
    /* Of two lines with one id the first is made: ids are unique within the statement too. Last
     * come the lines that were made, and those with a region that there is not. */
    static const char sql[] =
        "WITH lines AS (SELECT x.*, r.region, r.region IS NULL AND device ->> 'home_region' IS NOT"
        " NULL AS abroad FROM jsonb_to_recordset($4::jsonb) AS x(line bigint, id uuid, hash text,"
        " device jsonb) LEFT JOIN cluster_regions r ON r.region = device ->> 'home_region'),"
        " input AS (SELECT DISTINCT ON (id) * FROM lines WHERE NOT abroad ORDER BY id, line),"
        " changed AS (INSERT INTO devices (id, tenant_id, name, device_type, attributes,"
        " home_region) SELECT id, $1::uuid, device ->> 'name', COALESCE(device ->> 'device_type',"
        " 'sensor'), COALESCE(NULLIF(device -> 'attributes', 'null'), '{}'), region FROM input"
        " ORDER BY line ON CONFLICT (id) DO NOTHING RETURNING id), secret AS (INSERT INTO"
        " device_credentials (device_id, tenant_id, secret_hash) SELECT id, $1::uuid, hash::bytea"
        " FROM input JOIN changed USING (id)), logged AS (INSERT INTO audit_logs (tenant_id,"
        " user_id, action, resource_type, details, ip_address) SELECT $1::uuid, $2::uuid,"
        " 'device.bulk_create', 'device', jsonb_build_object('made', count(*)), $3::text"
        " FROM changed HAVING count(*) > 0) SELECT line, true FROM input JOIN changed USING (id)"
        " UNION ALL SELECT line, false FROM lines WHERE abroad";
    const char *values[] = {CALL_ACTOR(call), (const char *)bulk->rows.data};
    OWNED(rows) PGresult *rows = NULL;
    if (!call_query(call, sql, 4, values, &rows))
        return;
    for (int i = 0; i < PQntuples(rows); i++) {
        struct bulk_line *line = &bulk->lines[strtoll(PQgetvalue(rows, i, 0), NULL, 10) - 1];
        line->made = PQgetvalue(rows, i, 1)[0] == 't';
        line->wrong = line->made ? NULL : "home_region " HOME_REGION_WRONG;
    }
    call->request->status = 200;
    call->request->reply_type = "application/x-ndjson";
    buf_clear(&call->request->reply);
    for (int64_t i = 0; i < bulk->count; i++)
        put_result(&call->request->reply, bulk, i);
}

void devices_bulk(struct call *call)
{
    struct bulk bulk = {.lines = calloc(LINES_MAX, sizeof *bulk.lines)};
    const char *text = (const char *)call->request->body.data;
    if (bulk.lines == NULL) {
        call_failed(call, ERR_MEMORY);
        return;
    }
    buf_init(&bulk.rows, 16 * 1024 * 1024);
    buf_putc(&bulk.rows, '[');
    int rc = read_lines(&bulk, text, text + call->request->body.len);
    buf_put(&bulk.rows, "]", 2);
    if (rc != 0)
        reply_problem(call->request, 413, "too_many_lines", "at most %d lines", LINES_MAX);
    else if (buf_failed(&bulk.rows))
        call_failed(call, ERR_MEMORY);
    else
        make_devices(call, &bulk);
    buf_free(&bulk.rows);
    free(bulk.lines);
}
