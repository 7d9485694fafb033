#include "node/chunked.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

/* In pieces of `piece` bytes; the last result. */
static int feed(const char *text, size_t piece, struct buf *body)
{
    struct chunked self = {0};
    int rc = 0;
    size_t len = strlen(text);
    buf_clear(body);
    for (size_t at = 0; at < len && rc == 0; at += piece)
        rc = chunked_feed(&self, text + at, at + piece < len ? piece : len - at, body);
    return rc;
}

static void any_pieces_give_the_same_body(void **state)
{
    (void)state;
    static const char text[] = "5\r\nhello\r\n00a;ext=\"1\"\r\n, chunked \r\n1 \r\n!\r\n0\r\n"
                               "Trailer: x\r\n\r\nGET /";
    struct buf body;
    buf_init(&body, 1024);
    for (size_t piece = 1; piece < sizeof text; piece++) {
        assert_int_equal(feed(text, piece, &body), 1);
        assert_int_equal(body.len, 16);
        assert_memory_equal(body.data, "hello, chunked !", 16);
    }
    assert_int_equal(feed("0\r\n\r\n", 1, &body), 1);
    assert_int_equal(body.len, 0);
    buf_free(&body);
}

static void what_is_not_whole_waits(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 1024);
    static const char *const parts[] = {"", "5", "5\r\n", "5\r\nhel", "5\r\nhello\r\n", "0\r\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_int_equal(feed(parts[i], 2, &body), 0);
    buf_free(&body);
}

static void malformed_chunks_are_told(void **state)
{
    (void)state;
    struct buf body;
    buf_init(&body, 1024);
    static const char *const bad[] = {"\r\n",           "x\r\n",           ";a\r\n",
                                      "-1\r\n",         "5\r\nhellox\r\n", "1fffffffffffffffff\r\n",
                                      "5x\r\nhello\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(feed(bad[i], 1, &body), ERR_MALFORMED);
    char line[CHUNKED_LINE_BYTES + 16];
    memset(line, 'a', sizeof line);
    memcpy(line, "1;", 2);
    line[sizeof line - 1] = '\0';
    assert_int_equal(feed(line, 100, &body), ERR_MALFORMED);
    buf_free(&body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_pieces_give_the_same_body),
        cmocka_unit_test(what_is_not_whole_waits),
        cmocka_unit_test(malformed_chunks_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
