/* The pure parts of the REST API: routes, parameters, buckets, and calls that need no database. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/rest.h"
#include "node/rest_bucket.h"
#include "node/rest_params.h"
#include "node/rest_route.h"
#include "proto/check.h"
#include <jansson.h>
#include <stdio.h>

static const struct route_pattern table[] = {
    {"GET", "/a"},     {"POST", "/a"},          {"GET", "/a/fixed"},
    {"GET", "/a/{x}"}, {"PUT", "/a/{x}/b/{y}"}, {"GET", "/n/{x:node}/s/{y:number}"},
};

static int find(const char *method, const char *path, struct route_match *match, char *allow)
{
    return route_find(table, sizeof table / sizeof *table, method, path, strlen(path), match,
                      allow);
}

static void routes_by_method_and_path(void **state)
{
    (void)state;
    struct route_match match;
    char allow[ROUTE_ALLOW_SIZE] = "";
    assert_int_equal(find("GET", "/a", &match, allow), 0);
    assert_int_equal(match.index, 0);
    assert_int_equal(find("POST", "/a/", &match, allow), 0);
    assert_int_equal(match.index, 1);
    assert_int_equal(find("GET", "/a/fixed", &match, allow), 0);
    assert_int_equal(match.index, 2);
    assert_int_equal(find("PUT", "/a/one/b/two", &match, allow), 0);
    assert_int_equal(match.captures, 2);
    assert_memory_equal(match.capture[0], "one", match.capture_len[0]);
    assert_memory_equal(match.capture[1], "two", match.capture_len[1]);
}

static int find_texts(const char *path, char *node, char *number)
{
    struct route_match match;
    char allow[ROUTE_ALLOW_SIZE];
    assert_int_equal(find("GET", path, &match, allow), 0);
    assert_int_equal(match.kind[0], ROUTE_NODE);
    assert_int_equal(match.kind[1], ROUTE_NUMBER);
    int rc = route_capture_text(&match, 0, node);
    return rc == 0 ? route_capture_text(&match, 1, number) : rc;
}

static void captures_are_of_their_kind(void **state)
{
    (void)state;
    char node[ROUTE_TEXT_SIZE], number[ROUTE_TEXT_SIZE];
    static const char *const bad[] = {"/n/EU-1/s/1",   "/n/eu_1/s/1",         "/n/eu%2D1/s/1",
                                      "/n/eu-1/s/x",   "/n/eu-1/s/-1",        "/n/eu-1/s/1.0",
                                      "/n/eu-1/s/0x1", "/n/eu-1/s/1234567890"};
    assert_int_equal(find_texts("/n/eu-1/s/4095", node, number), 0);
    assert_string_equal(node, "eu-1");
    assert_string_equal(number, "4095");
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(find_texts(bad[i], node, number), ERR_MALFORMED);
    char path[100] = "/n/", name[65] = "";
    memset(name, 'a', 64);
    strcat(strcat(path, name + 1), "/s/1");
    assert_int_equal(find_texts(path, node, number), 0);
    path[3] = '\0';
    strcat(strcat(path, name), "/s/1");
    assert_int_equal(find_texts(path, node, number), ERR_MALFORMED);
}

static void tells_unknown_paths_from_other_methods(void **state)
{
    (void)state;
    struct route_match match;
    char allow[ROUTE_ALLOW_SIZE] = "";
    static const char *const unknown[] = {"", "/", "/b", "/a/x/y", "/a//b/c", "a", "//a", "/aa"};
    for (unsigned i = 0; i < sizeof unknown / sizeof *unknown; i++)
        assert_int_equal(find("GET", unknown[i], &match, allow), ERR_NOT_FOUND);
    assert_int_equal(find("PATCH", "/a", &match, allow), ERR_REFUSED);
    assert_string_equal(allow, "GET, POST");
    assert_int_equal(find("GET", "/a/x/b/y", &match, allow), ERR_REFUSED);
    assert_string_equal(allow, "PUT");
}

static void decodes_parameters(void **state)
{
    (void)state;
    struct params params;
    static const char query[] = "a=1&b=x+y%2Bz&&c&d=&e=%C3%A4=%26&a=2";
    assert_int_equal(rest_params_parse(query, sizeof query - 1, &params), 0);
    assert_string_equal(rest_params_get(&params, "a"), "1");
    assert_string_equal(rest_params_get(&params, "b"), "x y+z");
    assert_string_equal(rest_params_get(&params, "e"), "\xC3\xA4=&");
    assert_null(rest_params_get(&params, "c"));
    assert_null(rest_params_get(&params, "d"));
    assert_null(rest_params_get(&params, "f"));
    rest_params_free(&params);
    assert_int_equal(rest_params_parse(NULL, 0, &params), 0);
    rest_params_free(&params);
}

static void arguments_survive_decoding_and_encoding(void **state)
{
    (void)state;
    struct params params;
    struct buf out;
    buf_init(&out, 1000);
    rest_params_put(&out, "a=b=c&d");
    rest_params_put(&out, "e=\xC3\xA4 +%");
    assert_int_equal(rest_params_parse((const char *)out.data, out.len, &params), 0);
    assert_string_equal(rest_params_get(&params, "a"), "b=c&d");
    assert_string_equal(rest_params_get(&params, "e"), "\xC3\xA4 +%");
    rest_params_free(&params);
    buf_free(&out);
}

static void refuses_malformed_parameters(void **state)
{
    (void)state;
    struct params params;
    static const char *const bad[] = {"a=%zz", "a=%4", "a=%", "%0=1", "a=%00", "a=b%"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rest_params_parse(bad[i], strlen(bad[i]), &params), ERR_MALFORMED);
    static const char zero[] = "a=\0b";
    assert_int_equal(rest_params_parse(zero, sizeof zero - 1, &params), ERR_MALFORMED);
}

static void bounds_the_number_of_parameters(void **state)
{
    (void)state;
    struct params params;
    char query[4096] = "";
    for (int i = 0; i < PARAMS_MAX; i++)
        snprintf(query + strlen(query), 16, "p%d=%d&", i, i);
    assert_int_equal(rest_params_parse(query, strlen(query), &params), 0);
    assert_int_equal(params.count, PARAMS_MAX);
    rest_params_free(&params);
    strcat(query, "one=more");
    assert_int_equal(rest_params_parse(query, strlen(query), &params), ERR_TOO_LARGE);
}

static void reads_numbers_and_flags_whole(void **state)
{
    (void)state;
    int64_t value = 0;
    int flag;
    assert_int_equal(rest_params_integer("17", 1, 20, &value), 0);
    assert_int_equal(value, 17);
    static const char *const bad[] = {
        "", "0", "21", "1x", " 1", "1.5", "+1", "-", "99999999999999999999"};
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(rest_params_integer(bad[i], 1, 20, &value), ERR_MALFORMED);
    assert_int_equal(rest_params_flag("True", &flag), 0);
    assert_int_equal(flag, 1);
    assert_int_equal(rest_params_flag("0", &flag), 0);
    assert_int_equal(flag, 0);
    assert_int_equal(rest_params_flag("maybe", &flag), ERR_MALFORMED);
}

static void reads_lengths_of_buckets(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t seconds;
    } good[] = {{"1", 1}, {"90s", 90}, {"5m", 300}, {"1h", 3600}, {"7d", 604800}};
    static const char *const bad[] = {"",   "m",   "0",  "0m",   "5 m",
                                      "1w", "1mm", "-1", "367d", "999999999999"};
    int64_t seconds = 0;
    for (unsigned i = 0; i < sizeof good / sizeof *good; i++) {
        assert_int_equal(bucket_parse(good[i].text, &seconds), 0);
        assert_int_equal(seconds, good[i].seconds);
    }
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(bucket_parse(bad[i], &seconds), ERR_MALFORMED);
}

static void buckets_follow_the_range(void **state)
{
    (void)state;
    static const int64_t cases[][2] = {{HOUR_US, 60},       {HOUR_US + 1, 3600},
                                       {DAY_US, 3600},      {DAY_US + 1, 21600},
                                       {7 * DAY_US, 21600}, {7 * DAY_US + 1, 86400}};
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct bucket_range range = {1000, 1000 + cases[i][0] + 1}; /* its last instant included */
        assert_int_equal(bucket_automatic(&range, 0), cases[i][1]);
        range.end_us += SECOND_US;
        assert_int_equal(bucket_automatic(&range, SECOND_US), cases[i][1]);
    }
    struct bucket_range touching = {HOUR_US - 1, HOUR_US + 1};
    assert_int_equal(bucket_count(&touching, 3600), 2);
    /* Buckets of 50,000 s begin elsewhere than at multiples of it from 1970 on. */
    int64_t start = bucket_start(20 * 366 * DAY_US, 50000 * SECOND_US);
    struct bucket_range one = {start, start + 50000 * SECOND_US};
    assert_int_equal(bucket_count(&one, 50000), 1);
}

/* Every way a range, its hours and the newest reading can lie: pieces keep their order, cover the
 * range, and take from the rollup only whole hours that are complete. */
static void pieces_cover_the_range(void **state)
{
    (void)state;
    const int64_t step = HOUR_US / 4;
    for (int64_t from = 0; from < 4 * HOUR_US; from += step)
        for (int64_t end = from + 1; end < 6 * HOUR_US; end += step)
            for (int64_t newest = 0; newest < 7 * HOUR_US; newest += step) {
                struct bucket_range range = {from, end};
                struct bucket_pieces p = bucket_split(&range, true, newest);
                assert_true(p.from_us == from && p.end_us == end);
                assert_true(from <= p.hours_from_us && p.hours_from_us <= p.hours_end_us &&
                            p.hours_end_us <= end);
                if (p.hours_from_us == p.hours_end_us)
                    continue;
                assert_true(p.hours_from_us % HOUR_US == 0 && p.hours_end_us % HOUR_US == 0);
                assert_true(p.hours_end_us <= newest - newest % HOUR_US);
                assert_true(p.hours_from_us - from < HOUR_US);
            }
    struct bucket_range range = {0, DAY_US};
    struct bucket_pieces plain = bucket_split(&range, false, DAY_US);
    assert_true(plain.hours_from_us == DAY_US && plain.hours_end_us == DAY_US);
}

/* A call that must be answered before the database is asked: there is none. */
static struct request *call(const char *method, const char *path, const struct claims *claims)
{
    struct config config = {.jwt_secret_key = "0123456789abcdef0123456789abcdef"};
    struct rest_context context = {.config = &config};
    struct request *request = request_new(REQUEST_HTTP);
    snprintf(request->method, sizeof request->method, "%s", method);
    const char *question = strchr(path, '?');
    size_t len = question != NULL ? (size_t)(question - path) : strlen(path);
    buf_put(&request->path, path, len);
    if (question != NULL)
        buf_puts(&request->query, question + 1);
    request->has_claims = claims != NULL;
    if (claims != NULL)
        request->claims = *claims;
    rest_handle(request, &context);
    return request;
}

static void assert_problem(struct request *request, int status, const char *code)
{
    json_t *body = json_loadb((const char *)request->reply.data, request->reply.len, 0, NULL);
    assert_int_equal(request->status, status);
    assert_string_equal(request->reply_type, "application/problem+json");
    assert_int_equal(json_integer_value(json_object_get(body, "status")), status);
    assert_string_equal(json_string_value(json_object_get(body, "code")), code);
    assert_non_null(json_string_value(json_object_get(body, "title")));
    assert_non_null(json_string_value(json_object_get(body, "detail")));
    json_decref(body);
    request_destroy(&request);
}

#define MINE "/api/v1/tenants/00000000-0000-0000-0000-000000000001"
#define MANY "a=1&b=1&c=1&d=1&e=1&f=1&g=1&h=1&a=2&b=2&c=2&d=2&e=2&f=2&g=2&h=2&" /* 16 */
#define THEIRS "/api/v1/tenants/00000000-0000-0000-0000-000000000002"

static void refuses_before_it_asks_the_database(void **state)
{
    (void)state;
    struct claims viewer = {.role = ROLE_VIEWER}, operator_ = {.role = ROLE_SUPER_ADMIN};
    viewer.tenant.bytes[15] = operator_.tenant.bytes[15] = 1;
    assert_problem(call("GET", "/api/v1/nothing", NULL), 404, "no_such_path");
    assert_problem(call("GET", "/api/v2/auth/me", NULL), 404, "no_such_path");
    assert_problem(call("GET", MINE "/devices", NULL), 401, "unauthenticated");
    assert_problem(call("GET", THEIRS "/devices", &viewer), 403, "other_tenant");
    assert_problem(call("GET", THEIRS "/devices", &operator_), 403, "other_tenant");
    assert_problem(call("POST", MINE "/devices", &viewer), 403, "role_too_low");
    assert_problem(call("GET", MINE "/devices/x", &viewer), 422, "bad_id");
    assert_problem(call("GET", MINE "/devices?a=%zz", &viewer), 400, "bad_query");
    assert_problem(call("GET", MINE "/devices?" MANY MANY "i=1", &viewer), 400,
                   "too_many_parameters");
    assert_problem(call("GET", MINE "/devices?page=-1", &viewer), 422, "validation_failed");
    assert_problem(call("POST", "/api/v1/auth/login", NULL), 422, "validation_failed");
    static const char *const orders[] = {"nodes/eu-1/drain", "nodes/eu-1/cancel-drain",
                                         "nodes/eu-1/evict", "ring/plan", "rebalance"};
    for (unsigned i = 0; i < sizeof orders / sizeof *orders; i++) {
        char path[64];
        snprintf(path, sizeof path, "/api/v1/cluster/%s", orders[i]);
        assert_problem(call("POST", path, NULL), 401, "unauthenticated");
        assert_problem(call("POST", path, &viewer), 403, "role_too_low");
    }
    assert_problem(call("GET", "/api/v1/cluster", &viewer), 403, "role_too_low");
    assert_problem(call("GET", "/api/v1/cluster/nodes", &viewer), 403, "role_too_low");
    assert_problem(call("GET", "/api/v1/cluster/nodes/EU-1", &operator_), 422, "bad_id");
    assert_problem(call("GET", "/api/v1/cluster/ring/slots/x", &operator_), 422, "bad_id");
    assert_problem(call("GET", "/api/v1/cluster/actors/x/y", &operator_), 422, "bad_id");
    struct request *request = call("PUT", MINE "/devices", &viewer);
    assert_string_equal(request->allow, "GET, POST");
    assert_problem(request, 405, "method_not_allowed");
}

static void the_openapi_document_is_json(void **state)
{
    (void)state;
    struct request *request = call("GET", "/api/v1/openapi.json", NULL);
    json_t *body = json_loadb((const char *)request->reply.data, request->reply.len,
                              JSON_REJECT_DUPLICATES, NULL);
    assert_int_equal(request->status, 200);
    json_t *paths = json_object_get(body, "paths");
    assert_true(json_object_size(paths) > 15);
    json_t *slot = json_object_get(json_object_get(paths, "/cluster/ring/slots/{slot}"), "get");
    json_t *of_path = json_array_get(json_object_get(slot, "parameters"), 0);
    assert_string_equal(json_string_value(json_object_get(of_path, "name")), "slot");
    assert_string_equal(
        json_string_value(json_object_get(json_object_get(of_path, "schema"), "type")), "integer");
    json_decref(body);
    request_destroy(&request);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routes_by_method_and_path),
        cmocka_unit_test(captures_are_of_their_kind),
        cmocka_unit_test(tells_unknown_paths_from_other_methods),
        cmocka_unit_test(decodes_parameters),
        cmocka_unit_test(arguments_survive_decoding_and_encoding),
        cmocka_unit_test(refuses_malformed_parameters),
        cmocka_unit_test(bounds_the_number_of_parameters),
        cmocka_unit_test(reads_numbers_and_flags_whole),
        cmocka_unit_test(reads_lengths_of_buckets),
        cmocka_unit_test(buckets_follow_the_range),
        cmocka_unit_test(pieces_cover_the_range),
        cmocka_unit_test(refuses_before_it_asks_the_database),
        cmocka_unit_test(the_openapi_document_is_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
