#pragma once
/*
 * load - what the parts of one run share: options, templates, connections and counts.
 *
 * Owner: the one thread of the program.
 */
#include "connection.h"
#include "histogram.h"
#include "options.h"
#include "template.h"
#include <stdio.h>

enum { TARGETS_MAX = 16 };

struct counts {
    uint64_t sent, acked, refused, resent, due;
    uint64_t connected, connect_failed, lost, reconnected, sessions_gone;
    uint64_t unknown_acks, out_of_order, errors, bytes_out, pings;
    uint64_t up; /* connections that are up now */
    int64_t first_ns, last_ns, ack_gap_ns, connection_gap_ns, progress_ns;
    char first_error[120];
};

struct load {
    struct options options;
    struct template *client_id, *user, *pass, *topic, *payload; /* user, pass: NULL for none */
    struct sockaddr_in targets[TARGETS_MAX];
    uint32_t target_count, dialling, dirty_count;
    struct connection *connections, **dirty;
    int epoll;
    FILE *ledger, *waits;
    uint64_t random;
    bool publishing; /* new messages may still be sent */
    int64_t now_ns;  /* monotonic, as of this turn's last look */
    struct counts counts;
    struct histogram latency;
};

/* Ends the program with one line when a template, a server or a file is wrong. */
void load_init(struct load *self, const struct options *options);
/* False: the ledger or the waits could not be written. */
bool load_close(struct load *self);

int64_t load_clock(struct load *self);
/* To be flushed at the end of this turn. */
void load_touch(struct load *self, struct connection *connection);
void load_error(struct load *self, const char *what, const char *why);
/* The time since the connection's last acknowledgement, if that is the longest of all. */
void load_gap(struct load *self, const struct connection *connection);
/* A message that was due then has waited until now. */
void load_wait(const struct load *self, struct connection *connection, int64_t due_ns);
/* What was sent and neither acknowledged nor refused. */
uint64_t load_unacked(const struct load *self);
void load_report(struct load *self);
