#include "template.h"
#include "bytes.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECES_MAX = 64, NUMBER_MAX = 24, UUID_LEN = 36, DECIMALS_MAX = 9, SPIKE_MAX = 24 };

enum token { TEXT, CONN, DEV, SEQ, DEVICE, TENANT, T_US, CLOCK_US, RAND };

struct piece {
    enum token token;
    const char *text; /* TEXT: not owned, lives in the template's copy */
    size_t len;
    int64_t low;   /* RAND: in units of the last decimal */
    uint64_t span; /* RAND: number of values */
    unsigned decimals, spike_len;
    uint64_t spike_below; /* RAND: of 2^32 */
    char spike[SPIKE_MAX];
};

struct template
{
    char *text;
    size_t count, max;
    struct piece pieces[PIECES_MAX];
};

static const struct {
    const char *name;
    enum token token;
} names[] = {{"conn", CONN},     {"dev", DEV},   {"seq", SEQ},          {"device", DEVICE},
             {"tenant", TENANT}, {"t_us", T_US}, {"clock_us", CLOCK_US}};

/* {pid} is known when the template is made: it becomes plain text. */
static char pid_text[NUMBER_MAX];

static int parse_rand(struct piece *piece, const char *spec)
{
    double low = 0, high = 0, ppm = 0;
    unsigned decimals = 0;
    int end = 0;
    int fields = sscanf(spec, "rand:%lf:%lf%n:%u%n:%lf:%23[-+.eE0-9]%n", &low, &high, &end,
                        &decimals, &end, &ppm, piece->spike, &end);
    if ((fields != 2 && fields != 3 && fields != 5) || spec[end] != '\0')
        return -1;
    if (!(low <= high) || decimals > DECIMALS_MAX || !(fabs(low) < 1e9) || !(fabs(high) < 1e9) ||
        !(ppm >= 0 && ppm <= 1e6))
        return -1;
    double unit = pow(10, decimals);
    piece->token = RAND;
    piece->low = llround(low * unit);
    piece->span = (uint64_t)(llround(high * unit) - piece->low) + 1;
    piece->decimals = decimals;
    piece->spike_below = (uint64_t)(ppm / 1e6 * 4294967296.0);
    piece->spike_len = fields == 5 ? (unsigned)strlen(piece->spike) : 0;
    return 0;
}

static int parse_token(struct piece *piece, const char *spec)
{
    if (strncmp(spec, "rand:", 5) == 0)
        return parse_rand(piece, spec);
    if (strcmp(spec, "pid") == 0) {
        int n = snprintf(pid_text, sizeof pid_text, "%ld", (long)getpid());
        *piece = (struct piece){.token = TEXT, .text = pid_text, .len = (size_t)n};
        return 0;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(spec, names[i].name) == 0) {
            piece->token = names[i].token;
            return 0;
        }
    }
    return -1;
}

static size_t piece_max(const struct piece *piece)
{
    if (piece->token == TEXT)
        return piece->len;
    return piece->token == DEVICE || piece->token == TENANT ? UUID_LEN : 2 * NUMBER_MAX;
}

static bool starts_token(const char *p)
{
    return p[0] == '{' && p[1] >= 'a' && p[1] <= 'z';
}

/* Splits the template's own copy in place; the closing brace of each token becomes its end. */
static const char *split(struct template *self)
{
    char *p = self->text;
    while (*p != '\0') {
        if (self->count == PIECES_MAX)
            return "has too many tokens";
        struct piece *piece = &self->pieces[self->count++];
        if (starts_token(p)) {
            char *end = strchr(p, '}');
            if (end == NULL)
                return "has a token without its closing brace";
            *end = '\0';
            if (parse_token(piece, p + 1) != 0)
                return "has an unknown or malformed {token}";
            p = end + 1;
        } else {
            piece->text = p;
            while (*p != '\0' && !starts_token(p))
                p++;
            piece->len = (size_t)(p - piece->text);
        }
        self->max += piece_max(piece);
    }
    return NULL;
}

struct template *template_new(const char *text, const char **ret_why)
{
    struct template *self = must_calloc(1, sizeof *self);
    self->text = must_calloc(strlen(text) + 1, 1);
    strcpy(self->text, text);
    const char *why = split(self);
    if (why == NULL)
        return self;
    *ret_why = why;
    template_destroy(&self);
    return NULL;
}

void template_destroy(struct template **self_p)
{
    if (*self_p != NULL) {
        free((*self_p)->text);
        free(*self_p);
        *self_p = NULL;
    }
}

size_t template_max(const struct template *self)
{
    return self->max;
}

static uint8_t *put_number(uint8_t *out, uint64_t value)
{
    uint8_t digits[NUMBER_MAX];
    size_t n = 0;
    do {
        digits[n++] = (uint8_t)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    while (n > 0)
        *out++ = digits[--n];
    return out;
}

static uint8_t *put_uuid(uint8_t *out, const char *prefix, uint64_t number)
{
    memcpy(out, prefix, 24);
    for (int i = UUID_LEN - 1; i >= 24; i--) {
        out[i] = (uint8_t)('0' + number % 10);
        number /= 10;
    }
    return out + UUID_LEN;
}

static uint8_t *put_tenant(uint8_t *out, const struct facts *facts)
{
    if (facts->tenant_uuid == NULL)
        return put_uuid(out, "00000000-0000-4000-a000-", facts->dev % facts->tenants);
    memcpy(out, facts->tenant_uuid, UUID_LEN);
    return out + UUID_LEN;
}

/* xorshift64*: good enough for readings, and a few nanoseconds. */
static uint64_t next_random(uint64_t *state)
{
    uint64_t x = *state;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    *state = x;
    return x * UINT64_C(0x2545f4914f6cdd1d);
}

static uint8_t *put_random(uint8_t *out, const struct piece *piece, uint64_t *state)
{
    uint64_t dice = next_random(state);
    if (piece->spike_len > 0 && (dice & UINT32_MAX) < piece->spike_below) {
        memcpy(out, piece->spike, piece->spike_len);
        return out + piece->spike_len;
    }
    uint64_t pick = next_random(state) % piece->span;
    int64_t value = piece->low + (int64_t)pick;
    uint64_t magnitude = value < 0 ? 0 - (uint64_t)value : (uint64_t)value;
    if (value < 0)
        *out++ = '-';
    uint64_t unit = 1;
    for (unsigned i = 0; i < piece->decimals; i++)
        unit *= 10;
    out = put_number(out, magnitude / unit);
    if (piece->decimals == 0)
        return out;
    *out++ = '.';
    uint64_t rest = magnitude % unit;
    for (unsigned i = piece->decimals; i-- > 0; rest /= 10)
        out[i] = (uint8_t)('0' + rest % 10);
    return out + piece->decimals;
}

static uint8_t *put_piece(uint8_t *out, const struct piece *piece, const struct facts *facts)
{
    switch (piece->token) {
    case TEXT:
        memcpy(out, piece->text, piece->len);
        return out + piece->len;
    case CONN:
        return put_number(out, facts->conn);
    case DEV:
        return put_number(out, facts->dev);
    case SEQ:
        return put_number(out, facts->seq);
    case DEVICE:
        return put_uuid(out, "00000000-0000-4000-8000-", facts->dev);
    case TENANT:
        return put_tenant(out, facts);
    case T_US:
        return put_number(out, facts->clock_us % UINT64_C(10000000000));
    case CLOCK_US:
        return put_number(out, facts->clock_us);
    case RAND:
        return put_random(out, piece, facts->random);
    }
    return out;
}

uint8_t *template_render(const struct template *self, const struct facts *facts, uint8_t *out)
{
    for (size_t i = 0; i < self->count; i++)
        out = put_piece(out, &self->pieces[i], facts);
    return out;
}
