#pragma once
/*
 * mesh - how threads hand a frame to the mesh: this head, then the frame's bytes, as one message
 * to mailbox "mesh-0".
 *
 * Layout: packed, within one process.
 */
#include <stdint.h>

enum mesh_kind {
    MESH_SHARD = 1, /* to mailbox shard-`index` of the node */
    MESH_EDGE = 2,  /* to mailbox edge-`index` */
};

/* What a full link does with it: what is dropped is counted. */
enum mesh_keep {
    MESH_KEPT,     /* keeps it: the edges' credit bounds such */
    MESH_LIVE,     /* drops it past LIMIT_LINK_BYTES: what may be missed, as with QoS 0 */
    MESH_PROMISED, /* past LIMIT_LINK_PROMISED_BYTES: messages of QoS 1 and 2 for subscribers */
};

struct mesh_head {
    uint16_t node; /* number of the node that it is for */
    uint16_t life; /* and its incarnation's low 16 bits: another one never gets it */
    uint8_t kind;  /* enum mesh_kind */
    uint8_t index;
    uint8_t keep; /* enum mesh_keep */
} __attribute__((packed));
