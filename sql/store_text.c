#include "sql/store_text.h"
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static size_t sequence_length(uint8_t lead)
{
    if (lead < 0x80)
        return lead != 0;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* The second byte's range tells overlong forms, surrogates and what is past U+10FFFF (RFC 3629). */
static bool second_valid(uint8_t lead, uint8_t second)
{
    uint8_t least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= least && second <= most;
}

/* Bytes of the character at `at`; 0: not one. */
static size_t character_length(const uint8_t *at, size_t left)
{
    size_t len = sequence_length(at[0]);
    if (len < 2)
        return len;
    if (len > left || !second_valid(at[0], at[1]))
        return 0;
    for (size_t i = 2; i < len; i++)
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    return len;
}

size_t store_text(const char *bytes, size_t len, char *out, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    const uint8_t *in = (const uint8_t *)bytes;
    size_t written = 0;
    for (size_t i = 0; i < len;) {
        size_t take = character_length(in + i, len - i);
        const char escape[4] = {'\\', 'x', hex[in[i] >> 4], hex[in[i] & 15]};
        size_t put = take ? take : sizeof escape;
        if (written + put > size)
            break;
        memcpy(out + written, take ? (const char *)in + i : escape, put);
        written += put;
        i += take ? take : 1;
    }
    return written;
}
