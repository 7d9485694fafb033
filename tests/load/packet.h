#pragma once
/*
 * packet - the few MQTT packets a publisher writes and reads, in versions 3.1.1 and 5.
 */
#include "bytes.h"
#include <stdbool.h>
#include <stdint.h>

enum packet_type {
    PACKET_CONNACK = 2,
    PACKET_PUBACK = 4,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14
};
enum { PACKET_HEADER_MAX = 5, PACKET_DUP = 0x08, PACKET_RECEIVE_MAXIMUM = 65535 };

struct packet {
    uint8_t type, flags;
    const uint8_t *body;
    size_t len;
};

/* Bytes of the whole packet at `data`; 0: not all there yet; -1: not MQTT, or above the bound. */
long packet_parse(const uint8_t *data, size_t len, struct packet *ret_packet);

struct packet_connect {
    bool v5, clean;
    uint16_t keepalive;
    const uint8_t *client_id, *user, *pass; /* user, pass: NULL for none */
    size_t client_id_len, user_len, pass_len;
};
void packet_put_connect(struct bytes *out, const struct packet_connect *connect);

struct packet_connack {
    uint8_t code;
    bool session_present;
    uint16_t receive_maximum;
};
/* False: malformed. */
bool packet_connack(const struct packet *packet, bool v5, struct packet_connack *ret_connack);
/* Packet id and reason of a PUBACK (MQTT-3.4.2); false: malformed. */
bool packet_puback(const struct packet *packet, uint16_t *ret_id, uint8_t *ret_reason);

/* Writes fixed header and remaining length; returns the first byte behind. */
uint8_t *packet_header(uint8_t *out, uint8_t first, size_t remaining);
