#pragma once
/*
 * request - what an edge asks the query threads: REST calls and look-ups that need the database.
 *
 * The edge makes it and gives it to mailbox "query-K" of the query thread that has the fewest of
 * its requests; that thread fills in the answer and gives it back to mailbox "edge-reply-N", N
 * being ref.edge. One owner at a time.
 *
 * Bound: LIMIT_REQUESTS_IN_FLIGHT an edge, LIMIT_REQUEST_BYTES a body.
 */
#include "actors/principal.h"
#include "node/token.h"
#include "proto/buf.h"
#include "proto/msg.h"

enum request_kind {
    REQUEST_HTTP,  /* a REST call */
    REQUEST_LOGIN, /* MQTT CONNECT: user, password → principal */
    REQUEST_WATCH, /* WebSocket: does `device` belong to `claims.tenant`? → status code 200 or 404
                    */
    REQUEST_RETAINED, /* what a new subscription is sent at once: node/retained.h */
};

struct request {
    enum request_kind kind;
    struct msg_ref ref;   /* whose: edge, connection, generation */
    unsigned thread;      /* the edge's own: which query thread has it */
    struct request *next; /* the edge's own: while it waits for one */

    /* HTTP */
    char method[8];
    struct buf path;  /* decoded by nobody yet, without the query string */
    struct buf query; /* without '?' */
    struct buf body;
    char peer[64]; /* address of the client */
    char content_type[96];
    bool has_claims;
    struct claims claims;   /* of the verified bearer token */
    struct msg_actor actor; /* of a path below /cluster/actors/: what its owner said */
    /* LOGIN */
    struct buf user, password;
    /* WATCH, RETAINED */
    struct uuid device;
    unsigned interest; /* RETAINED: enum msg_interest_bits */

    /* answers */
    int status;             /* HTTP status; LOGIN: 200, 401 refused, 503 the database is away */
    const char *reply_type; /* content type, static */
    char retry_after[16];   /* header Retry-After, where not empty */
    char allow[64];         /* header Allow, where not empty */
    bool reply_streams;     /* the answer has no end: changes of the cluster's view follow */
    struct buf reply;
    bool more;                  /* RETAINED: there may be a next page */
    struct principal principal; /* LOGIN */
    unsigned region;            /* LOGIN, WATCH: number of the device's, or the tenant's */
    int64_t mark;               /* LOGIN: of the credentials that let it in (008_credentials.sql) */
};

struct request *request_new(enum request_kind kind); /* NULL: out of memory */
void request_destroy(struct request **self_p);
/* It is an operator's, for /cluster/actors/{tenant}/{device} or below it: what its owner is to be
 * asked first. */
bool request_names_actor(const struct request *self, struct msg_ask *ret_ask);
/* It is an operator's, below /cluster: it does not wait for his tenant's budget, which may be kept
 * by the very node that he is to evict. */
bool request_is_order(const struct request *self);
