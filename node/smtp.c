#include "node/smtp.h"
#include "node/clock.h"
#include "node/config.h"
#include "proto/check.h"
#include <curl/curl.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>

#define CONNECT_S_MAX 10
#define ANSWER_AT_STOP_US 3000000
#define PORT_IMPLICIT_TLS 465

struct smtp {
    const struct config *config;
    bool (*should_stop)(void *context);
    void *context;
    CURL *curl; /* NULL: closed */
    const struct smtp_letter *letter;
    size_t sent;        /* bytes of it given to curl */
    size_t asked;       /* recipients named to the server */
    bool asking;        /* the next answer is about the last of them */
    int64_t stop_at_us; /* 0: nobody has asked to stop */
};

static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    CHECK(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK);
}

static size_t give_bytes(char *out, size_t size, size_t count, void *context)
{
    struct smtp *self = context;
    size_t n = self->letter->len - self->sent;
    if (n > size * count)
        n = size * count;
    memcpy(out, (const char *)self->letter->bytes + self->sent, n);
    self->sent += n;
    return n;
}

/* Not 0: end the transfer. A message sent whole may have been taken: its answer decides whether it
 * is sent again. */
static int go_on(void *context, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                 curl_off_t up)
{
    struct smtp *self = context;
    (void)down_total, (void)down, (void)up_total, (void)up;
    if (!self->should_stop(self->context))
        return 0;
    if (self->sent < self->letter->len)
        return 1;
    if (self->stop_at_us == 0)
        self->stop_at_us = clock_boot_us() + ANSWER_AT_STOP_US;
    return clock_boot_us() >= self->stop_at_us;
}

/* All that is said, of which curl itself tells no more than the last answer. One command is
 * answered before the next is sent (no PIPELINING). */
static int overhear(CURL *curl, curl_infotype type, char *text, size_t len, void *context)
{
    struct smtp *self = context;
    (void)curl;
    if (type == CURLINFO_HEADER_OUT) {
        self->asking = len > 5 && strncmp(text, "RCPT ", 5) == 0 &&
                       self->asked < self->letter->recipients_count;
        self->asked += self->asking;
    } else if (type == CURLINFO_HEADER_IN && self->asking && len > 3 && text[3] != '-') {
        self->letter->ret_later[self->asked - 1] = text[0] == '4';
        self->asking = false;
    }
    return 0;
}

static bool is_implicit(const struct config *config)
{
    return config->smtp_implicit_tls || config->smtp_port == PORT_IMPLICIT_TLS;
}

static void set_url(CURL *curl, const struct config *config)
{
    char url[512];
    bool bare_ip6 = strchr(config->smtp_host, ':') != NULL && config->smtp_host[0] != '[';
    snprintf(url, sizeof url, bare_ip6 ? "%s://[%s]:%d" : "%s://%s:%d",
             is_implicit(config) ? "smtps" : "smtp", config->smtp_host, (int)config->smtp_port);
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(curl, CURLOPT_PROXY, "");
}

static void set_security(CURL *curl, const struct config *config)
{
    bool tls = config->smtp_use_tls || is_implicit(config);
    curl_easy_setopt(curl, CURLOPT_USE_SSL, (long)(tls ? CURLUSESSL_ALL : CURLUSESSL_NONE));
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
    curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
    curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (config->smtp_ca_file[0] != '\0')
        curl_easy_setopt(curl, CURLOPT_CAINFO, config->smtp_ca_file);
    if (config->smtp_user[0] != '\0') {
        curl_easy_setopt(curl, CURLOPT_USERNAME, config->smtp_user);
        curl_easy_setopt(curl, CURLOPT_PASSWORD, config->smtp_password);
    }
}

static void set_bounds(CURL *curl, struct smtp *self)
{
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_S_MAX);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT, (long)SMTP_SEND_S_MAX);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, go_on);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self);
}

static bool open_handle(struct smtp *self)
{
    if (self->curl != NULL)
        return true;
    self->curl = curl_easy_init();
    if (self->curl == NULL)
        return false;
    set_url(self->curl, self->config);
    set_security(self->curl, self->config);
    set_bounds(self->curl, self);
    curl_easy_setopt(self->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(self->curl, CURLOPT_MAIL_RCPT_ALLLOWFAILS, 1L);
    curl_easy_setopt(self->curl, CURLOPT_READFUNCTION, give_bytes);
    curl_easy_setopt(self->curl, CURLOPT_READDATA, self);
    curl_easy_setopt(self->curl, CURLOPT_VERBOSE, 1L);
    curl_easy_setopt(self->curl, CURLOPT_DEBUGFUNCTION, overhear);
    curl_easy_setopt(self->curl, CURLOPT_DEBUGDATA, self);
    return true;
}

struct smtp *smtp_new(const struct config *config, bool (*should_stop)(void *context),
                      void *context)
{
    struct smtp *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    pthread_once(&curl_once, start_curl);
    self->config = config;
    self->should_stop = should_stop;
    self->context = context;
    return self;
}

/* curl sends QUIT and would wait two minutes for the answer of a server that hangs: it finds the
 * end of the stream instead. */
void smtp_close(struct smtp *self)
{
    curl_socket_t fd = CURL_SOCKET_BAD;
    if (self->curl == NULL)
        return;
    if (curl_easy_getinfo(self->curl, CURLINFO_ACTIVESOCKET, &fd) == CURLE_OK &&
        fd != CURL_SOCKET_BAD)
        shutdown(fd, SHUT_RD);
    curl_easy_setopt(self->curl, CURLOPT_VERBOSE, 0L); /* the letter may be gone */
    curl_easy_cleanup(self->curl);
    self->curl = NULL;
}

void smtp_destroy(struct smtp **self_p)
{
    if (*self_p == NULL)
        return;
    smtp_close(*self_p);
    free(*self_p);
    *self_p = NULL;
}

/* What only this message can be blamed for: the server had greeted us, and answers 4xx or 5xx. */
static int meaning(const struct smtp *self, CURLcode code, long answer)
{
    switch ((int)code) {
    case CURLE_OK:
        return 0;
    case CURLE_ABORTED_BY_CALLBACK:
        return ERR_UNEXPECTED;
    case CURLE_SEND_ERROR: /* curl's word for a refused MAIL or RCPT as well */
    case CURLE_RECV_ERROR:
        return answer >= 400 && answer != 421 ? ERR_REFUSED : ERR_UNAVAILABLE;
    case CURLE_WEIRD_SERVER_REPLY: /* after the message: its refusal */
        return self->sent > 0 ? ERR_REFUSED : ERR_UNAVAILABLE;
    case CURLE_REMOTE_FILE_NOT_FOUND:
    case CURLE_REMOTE_DISK_FULL:
    case CURLE_FILESIZE_EXCEEDED:
        return ERR_REFUSED;
    default:
        return ERR_UNAVAILABLE;
    }
}

static CURLcode perform(struct smtp *self)
{
    const struct smtp_letter *letter = self->letter;
    struct curl_slist *list = NULL;
    for (size_t i = 0; i < letter->recipients_count; i++) {
        struct curl_slist *longer = curl_slist_append(list, letter->recipients[i]);
        if (longer == NULL) {
            curl_slist_free_all(list);
            return CURLE_OUT_OF_MEMORY;
        }
        list = longer;
    }
    curl_easy_setopt(self->curl, CURLOPT_MAIL_FROM, letter->from);
    curl_easy_setopt(self->curl, CURLOPT_MAIL_RCPT, list);
    curl_easy_setopt(self->curl, CURLOPT_INFILESIZE_LARGE, (curl_off_t)letter->len);
    CURLcode code = curl_easy_perform(self->curl);
    curl_easy_setopt(self->curl, CURLOPT_MAIL_RCPT, NULL);
    curl_slist_free_all(list);
    return code;
}

int smtp_send(struct smtp *self, const struct smtp_letter *letter, char *ret_reason,
              size_t reason_size)
{
    long answer = 0;
    if (!open_handle(self)) {
        snprintf(ret_reason, reason_size, "%s", err_text(ERR_MEMORY));
        return ERR_UNAVAILABLE;
    }
    self->letter = letter;
    self->sent = 0;
    self->asked = 0;
    self->asking = false;
    self->stop_at_us = 0;
    memset(letter->ret_later, 0, letter->recipients_count * sizeof *letter->ret_later);
    CURLcode code = perform(self);
    curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, &answer);
    int rc = meaning(self, code, answer);
    if (rc != 0)
        snprintf(ret_reason, reason_size, "%s (last answer %ld)", curl_easy_strerror(code), answer);
    if (rc != 0)
        smtp_close(self);
    return rc;
}
