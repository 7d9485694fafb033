#pragma once
/*
 * control_register - how a node presents itself to its cluster: name, region, addresses.
 */
#include "sql/membership.h"
#include <stddef.h>
#include <stdint.h>

struct config;

struct registration {
    struct member member;
    char endpoints[512]; /* JSON; member.endpoints points here: not to be copied */
};

void registration_init(struct registration *self, const struct config *config,
                       const char *mesh_key);
/* What all sessions of an incarnation are named, so that its successor can end them. */
void registration_session(const struct config *config, int64_t incarnation, char *ret_name,
                          size_t name_size);
