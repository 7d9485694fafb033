#pragma once
/*
 * options - the command line.
 */
#include <stdbool.h>
#include <stdint.h>

struct options {
    const char *host, *tenant, *user, *pass, *client_id, *topic, *payload, *ledger, *waits;
    uint64_t port, version, connections, devices, first, tenants, messages, window, qos, keepalive;
    uint64_t seq_start, seed, burst;
    double rate, seconds, drain, stall, connect_timeout, redial_timeout;
    bool reconnect, idle, announce, any_host, together;
};

/* Ends the program with status 2 and one clear line when something is wrong. */
void options_parse(struct options *ret_options, int argc, char **argv);
