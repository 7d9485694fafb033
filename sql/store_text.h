#pragma once
/*
 * store_text - any bytes as a text that PostgreSQL takes: bytes that are not UTF-8, and NUL, as
 * \xNN, cut at a length without splitting a character or an escape.
 */
#include <stddef.h>

/* Writes at most `size` bytes, no terminator; returns how many. */
size_t store_text(const char *bytes, size_t len, char *out, size_t size);
