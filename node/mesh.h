#pragma once
/* placeholder until the mesh lands */
#include "proto/limits.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
struct mesh_peer {
    uint16_t number;
    int64_t incarnation;
    char endpoint[160];
    char public_key[41];
    char name[64];
};
struct mesh_view {
    uint32_t count;
    struct mesh_peer peers[LIMIT_NODES];
};
struct mesh_report {
    uint16_t number, life;
    bool suspected;
    int64_t silent_ms;
};
struct mesh_loop {
    _Atomic int64_t turned_us[LIMIT_SHARDS];
};
static inline void mesh_keypair(char *p, char *s) { p[0]=s[0]=0; }
