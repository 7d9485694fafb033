#pragma once
/*
 * envelope - what one node's mesh says to another's: a msgpack array [version, type, from, life of
 * from, life of to, round, seq, ack, kind, index, bin], a frame's bytes in the bin.
 *
 * In:    fields of cluster/link and cluster/probe.
 * Out:   the head, behind which the frame's bytes follow; fields again.
 * Bound: a reader believes no length before it has checked it.
 * Holds: 1. Version and type are the first two elements for ever, and an ENVELOPE_REFUSED keeps
 *           this layout in every version, so that who is refused can read why.
 *        2. A node speaks its oldest version until it was told (in PING and PONG) that the other
 *           one speaks a newer: so N and N + 1 work together.
 */
#include "proto/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The newest that this node speaks, and the oldest that it still does. */
#define ENVELOPE_VERSION 1
#define ENVELOPE_VERSION_MIN 1

#define ENVELOPE_HEAD_MAX 64

enum envelope_type {
    ENVELOPE_DATA = 1, /* frame number seq, for the mailbox that kind and index name */
    ENVELOPE_TAIL,     /* seq: all up to here was sent; to be answered by ACK or GAP */
    ENVELOPE_ACK,      /* ack alone */
    ENVELOPE_GAP,      /* what came in this round did not follow ack: send again from there */
    ENVELOPE_PING,     /* seq: the asking node's clock; kind: the newest version it speaks */
    ENVELOPE_PONG,     /* seq: as in the ping; kind: the newest version */
    ENVELOPE_REFUSED,  /* a version not spoken here: seq the newest that is, ack the oldest */
    ENVELOPE_TYPES
};

struct envelope {
    uint8_t version;
    uint8_t type;        /* enum envelope_type */
    uint8_t kind, index; /* DATA: enum mesh_kind and the thread's index */
    uint16_t from;       /* number of the node that sends it */
    uint16_t from_life;  /* low 16 bits of its incarnation */
    uint16_t to_life;    /* and of the receiver's */
    uint32_t round;      /* how often the sender has gone back (cluster/link.h) */
    uint64_t seq;        /* number of this frame, from 1 */
    uint64_t ack;        /* the sender has had all up to this */
    const void *data;    /* the frame */
    size_t len;
};

/* The head of an envelope whose `len` bytes of data are to follow it; how long it is. */
size_t envelope_head(const struct envelope *self, uint8_t out[ENVELOPE_HEAD_MAX]);
/* 0; ERR_VERSION: another version; ERR_MALFORMED. `data` then points into `bytes`. */
int envelope_open(const void *bytes, size_t len, struct envelope *ret_envelope) MUST_CHECK;
/* The version to speak with a node whose newest is `told`. */
uint8_t envelope_version_for(uint64_t told);
