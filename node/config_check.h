#pragma once
/*
 * config_check - what may be said of settings before anything is opened: whether each can be right.
 *
 * In:    a config in which every field is set.
 * Out:   nothing, or one line that names the setting and says what is wrong with it.
 * Holds: addresses of servers may contain passwords: they are not repeated.
 */
#include "proto/err.h"
#include <stddef.h>

struct config;

/* 0, or ERR_CONFIG with the line in `ret_reason`. */
int config_check(const struct config *config, char *ret_reason, size_t size) MUST_CHECK;
