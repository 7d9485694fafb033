#pragma once
/*
 * number - JSON numbers (RFC 8259, clause 6) to doubles, always correctly rounded.
 *
 * Up to 2^53 of digits and 10^±22 it is one exact multiplication or division; everything else goes
 * to strtod_l with a C locale of its own, so setlocale() changes nothing here.
 *
 * Bound: NUMBER_TEXT_MAX characters and exponents of NUMBER_EXPONENT_MAX: what is within is also
 * within what a jsonb number can hold (16,383 decimal places).
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stddef.h>

#define NUMBER_TEXT_MAX 1024
#define NUMBER_EXPONENT_MAX 1000

struct number {
    double value;    /* infinite where the text is larger than any double */
    bool restorable; /* the shortest text of `value` is the same decimal number as the text read */
    size_t len;      /* characters read */
};

/* The number that begins at `s`, as long as the grammar allows; what follows it is not looked at.
 * 0; ERR_MALFORMED: no number begins here; ERR_TOO_LARGE: one does, past the bounds above. */
int number_parse(const char *s, const char *end, struct number *ret_number) MUST_CHECK;
