/* A first request's header, as libwebsockets can take it. */
#include "node/http_head.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* `expected` NULL: it stays as it is. */
static void expect(const char *head, const char *expected)
{
    struct buf out;
    buf_init(&out, 65536);
    assert_int_equal(http_head_rewrite(head, strlen(head), &out), expected != NULL);
    if (expected != NULL) {
        buf_putc(&out, '\0');
        assert_string_equal((const char *)out.data, expected);
    }
    buf_free(&out);
}

static void an_ordinary_header_is_left_alone(void **state)
{
    (void)state;
    expect("GET / HTTP/1.1\r\nHost: x\r\nAccept: */*\r\nUser-Agent: y\r\nX-Api-Key: z\r\n\r\n",
           NULL);
    expect("POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n", NULL);
    expect("GET /mqtt HTTP/1.1\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n", NULL);
    expect("GET /api/v1/ws?token=t HTTP/1.1\r\nHost: x\r\n\r\n", NULL);
    expect("\r\n\r\n", NULL);
}

static void a_token_as_sub_protocol_becomes_an_authorization(void **state)
{
    (void)state;
    expect("GET /api/v1/ws HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Protocol: json, bearer.a.b\r\n"
           "Authorization: Bearer old\r\n\r\n",
           "GET /api/v1/ws HTTP/1.1\r\nAuthorization: Subprotocol a.b\r\nHost: x\r\n\r\n");
}

static void another_sub_protocol_of_a_live_socket_is_left_out(void **state)
{
    (void)state;
    expect("GET /api/v1/ws?token=t HTTP/1.1\r\nSec-WebSocket-Protocol: json\r\nHost: x\r\n\r\n",
           "GET /api/v1/ws?token=t HTTP/1.1\r\nHost: x\r\n\r\n");
}

static void a_name_that_begins_a_known_one_is_left_out(void **state)
{
    (void)state;
    expect(
        "GET /a HTTP/1.1\r\nX-Auth: 1\r\n  and more\r\nConnection: keep-alive\r\nHost: x\r\n\r\n",
        "GET /a HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n");
    expect("GET /api/v1/ws HTTP/1.1\r\nuser: 1\r\nConnection: Upgrade\r\n\r\n",
           "GET /api/v1/ws HTTP/1.1\r\nConnection: Upgrade\r\n\r\n");
}

static void an_absolute_target_loses_its_host(void **state)
{
    (void)state;
    expect("GET http://h:1/a?b HTTP/1.1\r\nHost: x\r\n\r\n",
           "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n");
    expect("GET HTTPS://h HTTP/1.1\r\n\r\n", "GET / HTTP/1.1\r\n\r\n");
    expect("GET http://h?b HTTP/1.1\r\n\r\n", "GET /?b HTTP/1.1\r\n\r\n");
}

static void what_it_says_nothing_of_is_told_apart(void **state)
{
    (void)state;
    assert_true(http_head_has_method("GET / ", 6));
    assert_true(http_head_has_method("DEL", 3)); /* so far */
    assert_false(http_head_has_method("BREW / ", 7));
    assert_true(http_head_has_nul("GET /a%00b HTTP/1.1\r\n\r\n", 23));
    assert_true(http_head_has_nul("GET /a\0b HTTP/1.1\r\n\r\n", 21));
    assert_false(http_head_has_nul("GET /a HTTP/1.1\r\nX: %00\r\n\r\n", 27));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_ordinary_header_is_left_alone),
        cmocka_unit_test(a_token_as_sub_protocol_becomes_an_authorization),
        cmocka_unit_test(another_sub_protocol_of_a_live_socket_is_left_out),
        cmocka_unit_test(a_name_that_begins_a_known_one_is_left_out),
        cmocka_unit_test(an_absolute_target_loses_its_host),
        cmocka_unit_test(what_it_says_nothing_of_is_told_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
