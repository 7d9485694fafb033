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

struct mesh_head {
    uint16_t node; /* number of the node that it is for */
    uint16_t life; /* and its incarnation's low 16 bits: another one never gets it */
    uint8_t kind;  /* enum mesh_kind */
    uint8_t index;
    uint8_t droppable; /* events for watchers: dropped and counted when the link is full */
} __attribute__((packed));
