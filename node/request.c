#include "node/request.h"
#include "proto/limits.h"
#include <stdlib.h>

#define REPLY_BYTES_MAX (64 * 1024 * 1024)

struct request *request_new(enum request_kind kind)
{
    struct request *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    self->kind = kind;
    self->reply_type = "application/json";
    buf_init(&self->path, 8192);
    buf_init(&self->query, 8192);
    buf_init(&self->body, LIMIT_REQUEST_BYTES);
    buf_init(&self->user, 65536);
    buf_init(&self->password, 65536);
    buf_init(&self->reply, REPLY_BYTES_MAX);
    return self;
}

void request_destroy(struct request **self_p)
{
    struct request *self = *self_p;
    if (self == NULL)
        return;
    buf_free(&self->path);
    buf_free(&self->query);
    buf_free(&self->body);
    buf_free(&self->user);
    if (self->password.data != NULL)
        explicit_bzero(self->password.data, self->password.cap);
    buf_free(&self->password);
    buf_free(&self->reply);
    free(self);
    *self_p = NULL;
}
