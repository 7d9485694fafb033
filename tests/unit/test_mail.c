/* An alert becomes a message that says what it must, whatever a device is named. */
#include "node/mail.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define EVENT "11111111-2222-4333-8444-555555555555"
#define DEVICE "00000000-0000-0000-0000-000000000100"

static struct buf out;

static struct mail a_mail(const char *device_name)
{
    return (struct mail){
        .from = "alerts@gito.example",
        .date_us = INT64_C(1795470226123456), /* 2026-11-23 21:43:46 UTC, a Monday */
        .alert = {EVENT, DEVICE, device_name, "temperature", "35.5", "> 30",
                  INT64_C(1795470000000000)},
    };
}

/* The message as a string. */
static const char *compose(const struct mail *mail)
{
    buf_clear(&out);
    assert_int_equal(mail_compose(mail, &out), 0);
    buf_put(&out, "", 1);
    assert_false(buf_failed(&out));
    return (const char *)out.data;
}

/* Every line ends in CRLF, is of the length that RFC 5322 allows, and ASCII. */
static void assert_lines_sound(const char *message)
{
    size_t column = 0;
    for (const char *c = message; *c != '\0'; c++) {
        assert_true((unsigned char)*c < 0x80);
        if (*c == '\n') {
            assert_true(c > message && c[-1] == '\r');
            column = 0;
        } else {
            assert_true(*c != '\r' || c[1] == '\n');
            assert_true(++column <= 999);
        }
    }
}

static size_t header_lines_named(const char *message, const char *name)
{
    size_t count = 0;
    const char *end = strstr(message, "\r\n\r\n");
    for (const char *line = message; line != NULL && line < end;) {
        count += strncasecmp(line, name, strlen(name)) == 0;
        line = strstr(line, "\r\n");
        line = line != NULL ? line + 2 : NULL;
    }
    return count;
}

static void says_what_happened(void **state)
{
    (void)state;
    struct mail mail = a_mail("Boiler");
    mail.to = "ann@gito.example";
    const char *text = compose(&mail);
    static const char *const pieces[] = {
        "From: alerts@gito.example\r\n",
        "To: ann@gito.example\r\n",
        "Subject: [Gito] Alert: Boiler temperature > 30\r\n",
        "Date: Mon, 23 Nov 2026 21:43:46 +0000\r\n",
        "Message-ID: <" EVENT "@gito>\r\n",
        "Auto-Submitted: auto-generated\r\n",
        "Content-Type: multipart/alternative; boundary=\"=_" EVENT "\"\r\n",
        "Device: Boiler\r\n",
        "Device ID: " DEVICE "\r\n",
        "Value: 35.5\r\n",
        "Threshold: > 30\r\n",
        "Time: 2026-11-23 21:40:00 UTC\r\n",
        "<td>&gt; 30</td>",
        "\r\n--=_" EVENT "--\r\n",
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++)
        if (strstr(text, pieces[i]) == NULL)
            fail_msg("%s is missing in\n%s", pieces[i], text);
    assert_lines_sound(text);
}

static void many_recipients_do_not_learn_of_each_other(void **state)
{
    (void)state;
    struct mail mail = a_mail("Boiler");
    assert_non_null(strstr(compose(&mail), "To: undisclosed-recipients:;\r\n"));
    mail.to = "ann@gito.example\r\nBcc: eve@gito.example";
    assert_non_null(strstr(compose(&mail), "To: undisclosed-recipients:;\r\n"));
}

static void a_name_adds_no_header(void **state)
{
    (void)state;
    struct mail mail = a_mail("x\r\nBcc: eve@gito.example\r\n\r\n.\r\nevil");
    const char *text = compose(&mail);
    assert_lines_sound(text);
    assert_int_equal(header_lines_named(text, "Bcc:"), 0);
    assert_int_equal(header_lines_named(text, "Subject:"), 1);
    assert_null(strstr(text, "\r\n.\r\n"));
    assert_null(strstr(text, "\r\nBcc"));
}

static void an_encoded_word_in_a_name_is_no_encoded_word(void **state)
{
    (void)state;
    struct mail mail = a_mail("=?UTF-8?B?QQ==?=");
    const char *text = compose(&mail);
    assert_non_null(strstr(text, "Subject: =?UTF-8?B?W0dpdG9d"));
}

static void other_scripts_are_encoded(void **state)
{
    (void)state;
    char name[401] = "";
    for (int i = 0; i < 100; i++)
        strcat(name, "\xf0\x9f\x8c\xa1"); /* four bytes a character */
    struct mail mail = a_mail(name);
    const char *text = compose(&mail);
    assert_lines_sound(text);
    /* RFC 2047, 2 and 5 (3): a word has at most 75 characters, and whole characters alone: here,
     * behind the first, eleven of four bytes. */
    for (const char *word = text; (word = strstr(word, "=?UTF-8?B?")) != NULL; word += 10)
        assert_true(strstr(word, "?=") - word + 2 <= 75);
    assert_non_null(strstr(text,
                           "=?UTF-8?B?8J+MofCfjKHwn4yh8J+MofCfjKHwn4yh8J+MofCfjKHwn4yh8J+MofCf"
                           "jKE=?="));
    assert_non_null(strstr(text, "=F0=9F=8C=A1"));
}

static void quoted_lines_are_short_and_keep_their_ends(void **state)
{
    (void)state;
    char name[201];
    memset(name, '=', 200);
    name[200] = '\0';
    struct mail mail = a_mail(name);
    const char *text = compose(&mail), *body = strstr(text, "\r\n\r\n");
    for (const char *line = body; line != NULL && *line != '\0';) {
        const char *end = strstr(line, "\r\n");
        if (end == NULL)
            break;
        assert_true(end - line <= 76);
        assert_true(end == line || end[-1] != ' ');
        line = end + 2;
    }
}

static void markup_in_a_name_is_text(void **state)
{
    (void)state;
    struct mail mail = a_mail("<script>alert('1')</script>&\"");
    const char *html = strstr(compose(&mail), "text/html");
    assert_null(strstr(html, "<script"));
    assert_non_null(strstr(html, "&lt;script&gt;alert(&#39;1"));
}

static void addresses(void **state)
{
    (void)state;
    char address[256];
    static const char *const bad[] = {"",        "a",           "@b",    "a@",
                                      "a b@c",   "a@b\r\nX: y", "<a@b>", "a@b>",
                                      "\"a\"@b", "a@b,c@d",     "a@b@c", "a@b NOTIFY=NEVER"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(mail_address_valid(bad[i]));
    assert_true(mail_address_valid("o'neil+x@sub.gito.example"));
    assert_int_equal(mail_address_of("Gito <a@b.example>", address, sizeof address), 0);
    assert_string_equal(address, "a@b.example");
    assert_int_equal(mail_address_of("a@b.example", address, sizeof address), 0);
    assert_int_equal(mail_address_of("Gito", address, sizeof address), ERR_MALFORMED);
    struct mail mail = a_mail("Boiler");
    mail.from = "Gito Alerts <a@b.example>";
    assert_non_null(strstr(compose(&mail), "From: Gito Alerts <a@b.example>\r\n"));
    mail.from = "nobody";
    assert_int_equal(mail_compose(&mail, &out), ERR_MALFORMED);
}

static void what_does_not_fit_is_an_error(void **state)
{
    (void)state;
    struct mail mail = a_mail("Boiler");
    for (size_t max = 0; max < 1200; max += 7) {
        struct buf little;
        buf_init(&little, max);
        assert_int_equal(mail_compose(&mail, &little), ERR_TOO_LARGE);
        buf_free(&little);
    }
}

static int start(void **state)
{
    (void)state;
    buf_init(&out, MAIL_BYTES_MAX);
    return 0;
}

static int stop(void **state)
{
    (void)state;
    buf_free(&out);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(says_what_happened),
        cmocka_unit_test(many_recipients_do_not_learn_of_each_other),
        cmocka_unit_test(a_name_adds_no_header),
        cmocka_unit_test(an_encoded_word_in_a_name_is_no_encoded_word),
        cmocka_unit_test(other_scripts_are_encoded),
        cmocka_unit_test(quoted_lines_are_short_and_keep_their_ends),
        cmocka_unit_test(markup_in_a_name_is_text),
        cmocka_unit_test(addresses),
        cmocka_unit_test(what_does_not_fit_is_an_error),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
