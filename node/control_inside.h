#pragma once
/*
 * control_inside - what the files of the control thread share.
 *
 *   control.c        its loop: view, changes, upkeep, coming and going
 *   control_judge.c  others' leases that run out, votes against who does not answer
 *   control_moves.c  giving slots away
 *   control_view.c   the cluster as read, and telling this node's threads of it
 */
#include "node/config.h"
#include "node/control.h"
#include "node/control_register.h"
#include "node/control_view.h"
#include "sql/changes.h"
#include "sql/home.h"
#include "sql/membership.h"

/* What the mesh last said of a peer. */
struct suspect {
    uint16_t life;
    bool suspected;
    int64_t vote_at;
};

struct control {
    const struct config *config;
    zsock_t *pipe, *reports, *released;
    int64_t incarnation;
    char name[96]; /* of its sessions: node/incarnation */
    struct registration registration;
    struct ask db; /* conn NULL: away */
    struct changes changes;
    struct home_reader homes;
    struct control_view view;
    struct suspect suspects[LIMIT_NODES];
    struct uuid awake; /* cursor of the sweep */
    int64_t
        overdue_at; /* a lease of another was first seen to have run out, boot clock, ms; 0: none */
    bool sweeping;
    bool draining, moving_clients, drained; /* by SIGTERM: slots, then clients, then main is told */
    bool drain_asked;                       /* the database has been, and has answered */
    bool signalled; /* an operator's order is done: the process was told, once */
    int64_t drain_until;
    int64_t alone_since; /* boot clock, ms; 0: it is not */
    int64_t deaf_since;  /* no other node answers; 0: one does */
    bool sends_away;     /* its clients, as it is alone */
    int64_t backoff_ms, connect_at, poll_at, prune_at, upkeep_at, expiry_at,
        sweep_at; /* boot clock, ms */
};

/* control.c */
/* Boot clock, milliseconds. */
int64_t control_now_ms(void);
/* True: `rc` is a success, or a refusal that leaves the connection whole (and was logged). */
bool control_went_on(struct control *self, const char *what, int rc);

/* control_judge.c; false: the connection is gone */
bool control_bury(struct control *self);
bool control_vote(struct control *self);
void control_take_reports(struct control *self);
/* Sends the clients away, as long as neither the database nor any other node answers. */
void control_mind_clients(struct control *self);

/* control_moves.c */
bool control_move_slots(struct control *self);
/* Those alone that are at rest, before anything else is done: they are nobody's meanwhile. */
bool control_give_slots(struct control *self);
void control_take_released(struct control *self);
