/* Pages of what is kept for a filter are together what topic_matches() says, each once, in order.
 */
#include "node/retained.h"
#include "proto/check.h"
#include "proto/topic.h"
#include "sql/db.h"
#include "sql/migrate.h"
#include "tests/unit/private_pg.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define TENANT "00000000-0000-0000-0000-00000000000a"
#define DEVICE "00000000-0000-0000-0000-0000000000d1"
#define DEVICES 600
#define TOPICS_MAX 2000
#define TOPIC_BYTES 128

static struct private_pg pg;
static struct database *database;
static struct uuid tenant;
static char topics[TOPICS_MAX][TOPIC_BYTES];
static unsigned topics_count;

static void run(const char *sql)
{
    char reason[300];
    PGconn *conn = db_connect(pg.admin_url, "test", NULL, reason, sizeof reason);
    PGresult *result = PQexec(conn, sql);
    if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(conn));
    PQclear(result);
    PQfinish(conn);
}

static void read_topics(void)
{
    char reason[300];
    PGconn *conn = db_connect(pg.admin_url, "test", NULL, reason, sizeof reason);
    PGresult *rows = PQexec(conn, "SELECT topic FROM retained_messages ORDER BY topic");
    topics_count = (unsigned)PQntuples(rows);
    assert_in_range(topics_count, 1, TOPICS_MAX);
    for (unsigned i = 0; i < topics_count; i++)
        snprintf(topics[i], TOPIC_BYTES, "%s", PQgetvalue(rows, (int)i, 0));
    PQclear(rows);
    PQfinish(conn);
}

static struct request *ask(const char *filter, const char *device, unsigned bits,
                           const struct buf *place)
{
    struct uuid id = {{0}};
    if (device != NULL)
        assert_int_equal(uuid_parse(device, strlen(device), &id), 0);
    struct request *request = retained_request(filter, strlen(filter), &id, bits, place);
    request->claims.tenant = tenant;
    retained_handle(request, database);
    return request;
}

struct got {
    unsigned statuses, messages, pages;
    size_t page_bytes_max;
    char topic[TOPICS_MAX][TOPIC_BYTES];
};

static void note(struct got *got, const struct item *item)
{
    const struct msg_event *event = item->fixed;
    assert_int_equal(item->kind, MSG_EVENT);
    if (event->event == EVENT_STATUS) {
        got->statuses++;
        return;
    }
    assert_in_range(got->messages, 0, TOPICS_MAX - 1);
    snprintf(got->topic[got->messages++], TOPIC_BYTES, "%.*s", event->topic_len,
             (const char *)item->texts);
}

/* All pages; with `few`, a client takes three items of each and asks for the rest again. */
static void get(struct got *got, const char *filter, const char *device, bool few)
{
    struct buf place;
    bool more = true;
    memset(got, 0, sizeof *got);
    buf_init(&place, 65536);
    while (more) {
        struct request *request = ask(filter, device, INTEREST_STATUS | INTEREST_MESSAGES, &place);
        struct frame_reader reader;
        struct item item;
        unsigned taken = 0;
        bool cut = false;
        assert_int_equal(request->status, 200);
        if (request->reply.len > 0)
            assert_int_equal(frame_open(&reader, request->reply.data, request->reply.len), 0);
        while (request->reply.len > 0 && !cut && frame_next(&reader, &item) == 1) {
            note(got, &item);
            retained_place(&item, &place);
            cut = few && ++taken == 3;
        }
        if (request->reply.len > got->page_bytes_max)
            got->page_bytes_max = request->reply.len;
        more = cut || request->more;
        if (!cut) {
            buf_clear(&place);
            buf_put(&place, request->query.data, request->query.len);
        }
        assert_in_range(++got->pages, 1, 2000);
        request_destroy(&request);
    }
    buf_free(&place);
}

static void compare(const char *filter, bool few)
{
    static struct got got;
    unsigned expected = 0;
    get(&got, filter, NULL, few);
    for (unsigned i = 0; i < topics_count; i++)
        if (topic_matches(filter, strlen(filter), topics[i], strlen(topics[i]))) {
            if (expected >= got.messages || strcmp(got.topic[expected], topics[i]) != 0)
                fail_msg("%s: %s is missing", filter, topics[i]);
            expected++;
        }
    assert_int_equal(got.messages, expected);
}

static void filters_get_what_they_match(void **state)
{
    (void)state;
    static const char *const filters[] = {"#",
                                          "+/#",
                                          TENANT "/#",
                                          TENANT "/+",
                                          TENANT "/+/+",
                                          TENANT "/+/+/+",
                                          TENANT "/a/#",
                                          TENANT "/a",
                                          TENANT "/a/+/c",
                                          TENANT "/+/b/#",
                                          TENANT "/+/+/c/#",
                                          TENANT "/a_/%",
                                          TENANT "/a%/\\/+",
                                          TENANT "/+/",
                                          TENANT "/+//+",
                                          TENANT "//#",
                                          TENANT "/none/#",
                                          TENANT "/a/b/c",
                                          "+/+/b",
                                          TENANT "/%/+",
                                          TENANT "/_/#"};
    for (unsigned i = 0; i < sizeof filters / sizeof *filters; i++)
        for (int few = 0; few < 2; few++)
            compare(filters[i], few);
}

static void every_device_is_told_of_once(void **state)
{
    (void)state;
    static struct got got;
    for (int few = 0; few < 2; few++) {
        get(&got, TENANT "/devices/+/status", NULL, few);
        assert_int_equal(got.statuses, DEVICES + 1);
        assert_int_equal(got.messages, 0);
    }
    get(&got, TENANT "/devices/" DEVICE "/status", DEVICE, false);
    assert_int_equal(got.statuses, 1);
    get(&got, TENANT "/devices/" DEVICE "/#", DEVICE, false);
    assert_true(got.statuses == 1 && got.messages == 1 && got.pages == 1);
    get(&got, TENANT "/devices/no-id/status", NULL, false);
    assert_true(got.statuses == 0 && got.pages == 1);
}

/* Four of 100 KiB: a page ends with the one that passes its bound. */
static void a_page_is_bounded_in_bytes(void **state)
{
    (void)state;
    static struct got got;
    get(&got, TENANT "/large/+", NULL, false);
    assert_int_equal(got.messages, 40);
    assert_in_range(got.page_bytes_max, 100 * 1024, RETAINED_PAGE_BYTES + 110 * 1024);
}

static void nothing_is_lost_while_the_database_is_away(void **state)
{
    (void)state;
    struct buf place = {0};
    struct request *request;
    private_pg_crash(&pg);
    request = ask(TENANT "/a", NULL, INTEREST_MESSAGES, &place);
    assert_int_equal(request->status, 503);
    request_destroy(&request);
    private_pg_serve(&pg);
}

static void fill(void)
{
    run("INSERT INTO tenants (id, name) VALUES ('" TENANT "', 'one')");
    run("INSERT INTO devices (id, tenant_id, name) VALUES ('" DEVICE "', '" TENANT "', 'd')");
    /* All in one transaction, at one time: only the id tells them apart. */
    run("INSERT INTO devices (tenant_id, name) SELECT '" TENANT
        "', 'd' FROM generate_series(1, 600)");
    run("INSERT INTO retained_messages (tenant_id, topic, payload, qos) VALUES"
        " ('" TENANT "', '" TENANT "/devices/" DEVICE "/words', 'x', 1)");
    run("INSERT INTO retained_messages (tenant_id, topic, payload, qos) SELECT '" TENANT
        "', '" TENANT
        "/large/' || n, convert_to(repeat('x', 102400), 'UTF8'), 1 FROM generate_series(1, 40) n");
    run("INSERT INTO retained_messages (tenant_id, topic, payload, qos) SELECT '" TENANT
        "', '" TENANT "/' || a || b || c, 'x', 0"
        " FROM unnest ('{a,ab,a_,a%,a%/\\\\,a b,b,\"\",none,ä,%,_}'::text[]) a,"
        " unnest ('{\"\",/,/b,/c,/b/b,/%,/bb,/\\\\}'::text[]) b,"
        " unnest ('{\"\",/,/c,/d,/c/c,/cc,/c/d/e,//,/ü,/1,/2,/3,/4}'::text[]) c"
        " ON CONFLICT DO NOTHING");
}

static int start(void **state)
{
    (void)state;
    char reason[300];
    private_pg_start(&pg);
    if (migrate_run(pg.admin_url, pg.app_url, reason, sizeof reason) != 0)
        fail_msg("%s", reason);
    assert_int_equal(uuid_parse(TENANT, strlen(TENANT), &tenant), 0);
    fill();
    read_topics();
    database = database_new(pg.app_url, "test", DATABASE_SPACING_MS);
    assert_non_null(database);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    database_destroy(&database);
    private_pg_stop(&pg);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filters_get_what_they_match),
        cmocka_unit_test(every_device_is_told_of_once),
        cmocka_unit_test(a_page_is_bounded_in_bytes),
        cmocka_unit_test(nothing_is_lost_while_the_database_is_away),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
