#include "node/query.h"
#include "node/control_register.h"
#include "node/database.h"
#include "node/login.h"
#include "node/mailbox.h"
#include "node/password.h"
#include "node/rest.h"
#include "node/retained.h"
#include "proto/check.h"
#include "proto/limits.h"

/* A copy that hangs is asked by few threads at a time, and seldom: the original has the same rows,
 * and logins wait for these threads too. */
#define COPY_SPACING_MS(index) (30000 + 7000 * (int64_t)(index))

struct query {
    const struct config *config;
    zsock_t *inbox;
    zsock_t *edges[LIMIT_EDGES];
    struct database *database;
    struct database *history; /* may be the same one */
    struct passwords *passwords;
};

static void open_all(struct query *self, const struct query_args *args)
{
    char session[128];
    registration_session(args->config, args->incarnation, session, sizeof session);
    self->config = args->config;
    self->inbox = mailbox_open("query", args->index);
    for (unsigned i = 0; i < (unsigned)self->config->edges; i++)
        self->edges[i] = mailbox_connect("edge-reply", i, 0);
    self->database = database_new(self->config->database_url, session, DATABASE_SPACING_MS);
    self->history = self->database;
    if (self->config->database_read_url[0] != '\0')
        self->history =
            database_new(self->config->database_read_url, session, COPY_SPACING_MS(args->index));
    self->passwords = passwords_new();
    CHECK(self->database != NULL && self->history != NULL && self->passwords != NULL);
}

static void close_all(struct query *self)
{
    zmq_msg_t message;
    while (mailbox_take(self->inbox, &message)) {
        struct request *request = mailbox_object(&message);
        zmq_msg_close(&message);
        request_destroy(&request);
    }
    zsock_destroy(&self->inbox);
    for (unsigned i = 0; i < LIMIT_EDGES; i++)
        zsock_destroy(&self->edges[i]);
    if (self->history != self->database)
        database_destroy(&self->history);
    database_destroy(&self->database);
    passwords_destroy(&self->passwords);
}

static void answer(struct query *self, struct request *request)
{
    struct rest_context context = {self->config, self->database, self->history};
    switch (request->kind) {
    case REQUEST_HTTP:
        rest_handle(request, &context);
        break;
    case REQUEST_LOGIN:
        login_handle(request, self->database, self->passwords);
        break;
    case REQUEST_WATCH:
        watch_handle(request, self->database);
        break;
    case REQUEST_RETAINED:
        retained_handle(request, self->database);
        break;
    }
    CHECK(request->ref.edge < LIMIT_EDGES && self->edges[request->ref.edge] != NULL);
    mailbox_give(self->edges[request->ref.edge], request);
}

/* A turn is bounded, so that an order to end is seen. */
static void take_turn(struct query *self)
{
    zmq_msg_t message;
    for (unsigned i = 0; i < 16 && mailbox_take(self->inbox, &message); i++) {
        struct request *request = mailbox_object(&message);
        zmq_msg_close(&message);
        answer(self, request);
    }
}

void query_actor(zsock_t *pipe, void *args)
{
    struct query self = {0};
    open_all(&self, args);
    free(args);
    zpoller_t *poller = zpoller_new(pipe, self.inbox, NULL);
    CHECK(poller != NULL);
    pthread_setname_np(pthread_self(), "gito-query");
    zsock_signal(pipe, 0);
    for (;;) {
        void *ready = zpoller_wait(poller, -1);
        if (ready == self.inbox)
            take_turn(&self);
        else
            break; /* the only order there is: end */
    }
    zpoller_destroy(&poller);
    close_all(&self);
}
