#pragma once
/*
 * seed - the demo tenant: its users, its device, its service account.
 *
 * In:    DATABASE_ADMIN_URL.
 * Out:   rows with the ids, names and passwords that everybody knows from the documentation.
 * Holds: what exists is kept, so a second run changes nothing.
 */
#include "proto/err.h"
#include <stddef.h>

/* 0, or a negative error with its sentence in `ret_reason`. */
int seed_demo(const char *admin_url, char *ret_reason, size_t reason_size) MUST_CHECK;
