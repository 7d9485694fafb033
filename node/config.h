#pragma once
/*
 * config - the node's settings, from the environment and an .env file.
 *
 * In:    environment; for names that it does not set, the file that ENV_FILE names, or .env in the
 *        working directory where there is one.
 * Out:   one struct, read-only from then on, that every thread may read.
 * Owner: main.
 * Holds: a wrong value is one clear line; nothing starts with half a configuration.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stdint.h>

enum config_kind { CONFIG_TEXT, CONFIG_NUMBER, CONFIG_FLAG };

struct config {
#define TEXT(field, name, fallback, help) const char *field;
#define NUMBER(field, name, fallback, min, max, help) int64_t field;
#define FLAG(field, name, fallback, help) bool field;
#include "node/config.def"
#undef TEXT
#undef NUMBER
#undef FLAG
};

/* Reads all. On ERR_CONFIG `ret_reason` (of `reason_size` bytes) holds the line to print. */
int config_read(struct config *ret_config, char *ret_reason, unsigned long reason_size) MUST_CHECK;
void config_free(struct config *self);
/* Prints every setting with its default and meaning. */
void config_help(void);
