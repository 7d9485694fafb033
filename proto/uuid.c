#include "proto/uuid.h"
#include "proto/check.h"
#include <sys/random.h>
#include <xxhash.h>

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

int uuid_parse(const char *text, size_t len, struct uuid *ret_id)
{
    struct uuid id;
    size_t at = 0;
    if (len != UUID_TEXT_LEN)
        return ERR_MALFORMED;
    for (size_t i = 0; i < sizeof id.bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            if (text[at++] != '-')
                return ERR_MALFORMED;
        int high = hex_value(text[at]), low = hex_value(text[at + 1]);
        if (high < 0 || low < 0)
            return ERR_MALFORMED;
        id.bytes[i] = (uint8_t)(high << 4 | low);
        at += 2;
    }
    *ret_id = id;
    return 0;
}

size_t uuid_format(const struct uuid *id, char out[static UUID_TEXT_LEN])
{
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    for (size_t i = 0; i < sizeof id->bytes; i++) {
        if (i == 4 || i == 6 || i == 8 || i == 10)
            out[at++] = '-';
        out[at++] = digits[id->bytes[i] >> 4];
        out[at++] = digits[id->bytes[i] & 15];
    }
    return at;
}

struct uuid_text uuid_text(const struct uuid *id)
{
    struct uuid_text text;
    text.s[uuid_format(id, text.s)] = '\0';
    return text;
}

uint64_t uuid_hash(const struct uuid *id)
{
    return XXH64(id->bytes, sizeof id->bytes, 0);
}

struct uuid uuid_random(void)
{
    struct uuid id;
    CHECK(getrandom(&id, sizeof id, 0) == (ssize_t)sizeof id);
    id.bytes[6] = (uint8_t)((id.bytes[6] & 0x0f) | 0x40);
    id.bytes[8] = (uint8_t)((id.bytes[8] & 0x3f) | 0x80);
    return id;
}
