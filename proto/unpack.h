#pragma once
/*
 * unpack - the few msgpack forms that heads are made of, read by hand: a library would make an
 * object tree as large as the lengths in the bytes say.
 *
 * Each moves `*at` on, never past `end`. False: it is something else, or not whole.
 */
#include <stdbool.h>
#include <stdint.h>

/* An array of at most 15 elements, which follow. */
bool unpack_array(const uint8_t **at, const uint8_t *end, unsigned *ret_elements);
bool unpack_uint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value);
/* The length of a bin, which is to be all that is left. */
bool unpack_bin(const uint8_t **at, const uint8_t *end);
