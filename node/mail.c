#include "node/mail.h"
#include "proto/check.h"
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define QUOTED_LINE_MAX 76 /* RFC 2045, 6.7: with its soft break */
#define WORD_BYTES_MAX 45  /* RFC 2047, 2: 75 characters, of which 12 are its frame */
#define HEADER_BYTES_MAX 900

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

static bool is_plain(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (is_control(*c) || (unsigned char)*c >= 0x80)
            return false;
    return strstr(text, "=?") == NULL; /* nor may it pass for an encoded word */
}

/* At most `max` bytes of `text` that end between two characters. */
static size_t whole_characters(const char *text, size_t max)
{
    size_t len = strnlen(text, max + 1);
    if (len <= max)
        return len;
    for (len = max; len > 0 && ((unsigned char)text[len] & 0xc0) == 0x80;)
        len--;
    return len > 0 ? len : max;
}

static void put_encoded_word(struct buf *out, const char *text, size_t len)
{
    unsigned char clean[WORD_BYTES_MAX], encoded[WORD_BYTES_MAX / 3 * 4 + 1];
    for (size_t i = 0; i < len; i++)
        clean[i] = is_control(text[i]) ? ' ' : (unsigned char)text[i];
    EVP_EncodeBlock(encoded, clean, (int)len);
    buf_printf(out, "=?UTF-8?B?%s?=", encoded);
}

/* Free text of a header (RFC 2047), folded where it is encoded. */
static void put_header_text(struct buf *out, const char *text)
{
    if (is_plain(text) && strlen(text) <= HEADER_BYTES_MAX) {
        buf_puts(out, text);
        return;
    }
    while (*text != '\0') {
        size_t len = whole_characters(text, WORD_BYTES_MAX);
        put_encoded_word(out, text, len);
        text += len;
        if (*text != '\0')
            buf_puts(out, "\r\n ");
    }
}

static void put_subject(struct buf *out, const struct mail_alert *alert)
{
    char subject[2048];
    snprintf(subject, sizeof subject, "[Gito] Alert: %s %s %s", alert->device_name, alert->metric,
             alert->condition);
    buf_puts(out, "Subject: ");
    put_header_text(out, subject);
    buf_puts(out, "\r\n");
}

static struct tm utc(int64_t us)
{
    struct tm tm = {.tm_mday = 1};
    time_t seconds = (time_t)(us / 1000000);
    gmtime_r(&seconds, &tm);
    return tm;
}

/* RFC 5322, 3.3; its names are English whatever the locale. */
static void put_date(struct buf *out, int64_t us)
{
    static const char days[][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                     "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct tm tm = utc(us);
    buf_printf(out, "Date: %s, %02d %s %04d %02d:%02d:%02d +0000\r\n", days[tm.tm_wday], tm.tm_mday,
               months[tm.tm_mon], tm.tm_year + 1900, tm.tm_hour, tm.tm_min, tm.tm_sec);
}

/* The address's place in `from`. */
static const char *address_in(const char *from, size_t *ret_len)
{
    const char *open = strrchr(from, '<');
    if (open == NULL) {
        *ret_len = strlen(from);
        return from;
    }
    *ret_len = strcspn(open + 1, ">");
    return open + 1;
}

int mail_address_of(const char *from, char *ret_address, size_t size)
{
    size_t len;
    const char *address = address_in(from, &len);
    if (len >= size)
        return ERR_MALFORMED;
    OWNED(free) char *copy = strndup(address, len);
    if (copy == NULL || !mail_address_valid(copy))
        return ERR_MALFORMED;
    memcpy(ret_address, copy, len + 1);
    return 0;
}

bool mail_address_valid(const char *address)
{
    const char *at = strrchr(address, '@');
    if (at == NULL || at == address || at[1] == '\0' || strlen(address) > 254 ||
        strchr(address, '@') != at)
        return false;
    for (const char *c = address; *c != '\0'; c++)
        if (is_control(*c) || strchr(" <>()[],;:\\\"", *c) != NULL)
            return false;
    return true;
}

static void put_from(struct buf *out, const char *from)
{
    size_t len;
    const char *address = address_in(from, &len);
    size_t name = address == from ? 0 : (size_t)(address - 1 - from);
    while (name > 0 && from[name - 1] == ' ')
        name--;
    buf_puts(out, "From: ");
    if (name > 0) {
        OWNED(free) char *text = strndup(from, name);
        put_header_text(out, text != NULL ? text : "");
        buf_puts(out, " <");
    }
    buf_put(out, address, len);
    buf_puts(out, name > 0 ? ">\r\n" : "\r\n");
}

static void put_headers(struct buf *out, const struct mail *self)
{
    put_from(out, self->from);
    bool one = self->to != NULL && is_plain(self->to) && mail_address_valid(self->to);
    buf_printf(out, "To: %s\r\n", one ? self->to : "undisclosed-recipients:;");
    put_subject(out, &self->alert);
    put_date(out, self->date_us);
    buf_printf(out,
               "Message-ID: <%s@gito>\r\n"
               "Auto-Submitted: auto-generated\r\n"
               "MIME-Version: 1.0\r\n"
               "Content-Type: multipart/alternative; boundary=\"=_%s\"\r\n",
               self->alert.event_id, self->alert.event_id);
}

/* The lines of both bodies, in their order. */
struct field {
    const char *name, *value;
};
#define FIELDS 6

static void list_fields(const struct mail_alert *alert, const char *time,
                        struct field ret[static FIELDS])
{
    const struct field fields[FIELDS] = {
        {"Device", alert->device_name}, {"Device ID", alert->device_id}, {"Metric", alert->metric},
        {"Value", alert->value},        {"Threshold", alert->condition}, {"Time", time},
    };
    memcpy(ret, fields, sizeof fields);
}

static void put_clean(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++)
        buf_putc(out, is_control(*text) ? ' ' : *text);
}

static void put_html_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '&':
            buf_puts(out, "&amp;");
            break;
        case '<':
            buf_puts(out, "&lt;");
            break;
        case '>':
            buf_puts(out, "&gt;");
            break;
        case '"':
            buf_puts(out, "&quot;");
            break;
        case '\'':
            buf_puts(out, "&#39;");
            break;
        default:
            buf_putc(out, is_control(*text) ? ' ' : *text);
        }
    }
}

static void put_text(struct buf *out, const struct field *fields)
{
    buf_puts(out, "An alert rule has fired.\n\n");
    for (int i = 0; i < FIELDS; i++) {
        buf_printf(out, "%s: ", fields[i].name);
        put_clean(out, fields[i].value);
        buf_putc(out, '\n');
    }
}

static void put_html(struct buf *out, const struct field *fields)
{
    buf_puts(out, "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head><body>\n"
                  "<h2>An alert rule has fired</h2>\n<table cellpadding=\"4\">\n");
    for (int i = 0; i < FIELDS; i++) {
        buf_printf(out, "<tr><th align=\"left\">%s</th><td>", fields[i].name);
        put_html_escaped(out, fields[i].value);
        buf_puts(out, "</td></tr>\n");
    }
    buf_puts(out, "</table>\n</body></html>\n");
}

/* Quoted-printable (RFC 2045, 6.7): lines end in CRLF, no encoded line is longer than its 76
 * characters, none ends in a space. */
static void put_quoted(struct buf *out, const struct buf *body)
{
    size_t column = 0;
    for (size_t i = 0; i < body->len; i++) {
        uint8_t c = body->data[i];
        if (c == '\n') {
            buf_puts(out, "\r\n");
            column = 0;
            continue;
        }
        bool last = i + 1 == body->len || body->data[i + 1] == '\n';
        bool literal = (c > ' ' && c < 0x7f && c != '=') || (c == ' ' && !last);
        size_t width = literal ? 1 : 3;
        if (column + width >= QUOTED_LINE_MAX) {
            buf_puts(out, "=\r\n");
            column = 0;
        }
        if (literal)
            buf_putc(out, (char)c);
        else
            buf_printf(out, "=%02X", c);
        column += width;
    }
}

/* "=_" is nothing that quoted-printable could hold: the boundary is in no body. */
static void put_part(struct buf *out, const struct mail *self, const char *type,
                     void (*put)(struct buf *out, const struct field *fields))
{
    char time[64];
    struct field fields[FIELDS];
    struct buf body;
    struct tm tm = utc(self->alert.fired_at_us);
    strftime(time, sizeof time, "%Y-%m-%d %H:%M:%S UTC", &tm);
    list_fields(&self->alert, time, fields);
    buf_init(&body, MAIL_BYTES_MAX);
    put(&body, fields);
    buf_printf(out,
               "\r\n--=_%s\r\nContent-Type: %s; charset=utf-8\r\n"
               "Content-Transfer-Encoding: quoted-printable\r\n\r\n",
               self->alert.event_id, type);
    put_quoted(out, &body);
    out->failed = out->failed || buf_failed(&body);
    buf_free(&body);
}

int mail_compose(const struct mail *self, struct buf *out)
{
    char address[256];
    if (mail_address_of(self->from, address, sizeof address) != 0)
        return ERR_MALFORMED;
    put_headers(out, self);
    put_part(out, self, "text/plain", put_text);
    put_part(out, self, "text/html", put_html);
    buf_printf(out, "\r\n--=_%s--\r\n", self->alert.event_id);
    return buf_failed(out) ? ERR_TOO_LARGE : 0;
}
