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
    principal_clear(&self->principal); /* who was not let in, or has gone meanwhile */
    free(self);
    *self_p = NULL;
}

bool request_names_actor(const struct request *self, struct msg_ask *ret_ask)
{
    static const char prefix[] = "/api/v1/cluster/actors/", passivate[] = "/passivate";
    const char *path = (const char *)self->path.data, *rest = path + sizeof prefix - 1;
    size_t least = sizeof prefix - 1 + 2 * UUID_TEXT_LEN + 1;
    struct uuid tenant, device;
    if (self->claims.role != ROLE_SUPER_ADMIN || self->path.len < least ||
        memcmp(path, prefix, sizeof prefix - 1) != 0 ||
        uuid_parse(rest, UUID_TEXT_LEN, &tenant) != 0 ||
        uuid_parse(rest + UUID_TEXT_LEN + 1, UUID_TEXT_LEN, &device) != 0)
        return false;
    ret_ask->tenant = tenant;
    ret_ask->device = device;
    ret_ask->passivate = strcmp(self->method, "POST") == 0 &&
                         self->path.len == least + sizeof passivate - 1 &&
                         memcmp(path + least, passivate, sizeof passivate - 1) == 0;
    return true;
}

bool request_is_order(const struct request *self)
{
    static const char prefix[] = "/api/v1/cluster";
    return self->claims.role == ROLE_SUPER_ADMIN && self->path.len >= sizeof prefix - 1 &&
           memcmp(self->path.data, prefix, sizeof prefix - 1) == 0;
}
