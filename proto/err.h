#pragma once
/*
 * err - the project's error codes, each with its sentence.
 *
 * A function that can fail returns 0 or one of these; outputs named `ret_x` come last and are
 * untouched on failure.
 */
#define MUST_CHECK __attribute__((warn_unused_result))

enum err_ordinal {
#define ERR(code, text) code##_ORDINAL,
#include "proto/err.def"
#undef ERR
    ERR_ORDINALS
};

enum err {
#define ERR(code, text) code = -1 - code##_ORDINAL,
#include "proto/err.def"
#undef ERR
};

/* The sentence of `code`; never NULL. */
const char *err_text(int code);
