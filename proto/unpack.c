#include "proto/unpack.h"
#include <stddef.h>

/* A number of `bytes` bytes, most significant first. */
static bool read_number(const uint8_t **at, const uint8_t *end, ptrdiff_t bytes,
                        uint64_t *ret_value)
{
    if (end - *at < bytes)
        return false;
    for (*ret_value = 0; bytes > 0; bytes--)
        *ret_value = *ret_value << 8 | *(*at)++;
    return true;
}

bool unpack_array(const uint8_t **at, const uint8_t *end, unsigned *ret_elements)
{
    if (*at == end || (**at & 0xf0) != 0x90) /* fixarray */
        return false;
    *ret_elements = *(*at)++ & 0x0f;
    return true;
}

bool unpack_uint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
    if (*at == end)
        return false;
    uint8_t first = *(*at)++;
    if (first < 0x80) {
        *ret_value = first;
        return true;
    }
    if (first < 0xcc || first > 0xcf) /* uint 8, 16, 32, 64 */
        return false;
    return read_number(at, end, 1L << (first - 0xcc), ret_value);
}

bool unpack_bin(const uint8_t **at, const uint8_t *end)
{
    uint64_t len;
    if (*at == end)
        return false;
    uint8_t first = *(*at)++;
    if (first < 0xc4 || first > 0xc6) /* bin 8, 16, 32 */
        return false;
    return read_number(at, end, 1L << (first - 0xc4), &len) && len == (uint64_t)(end - *at);
}
