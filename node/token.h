#pragma once
/*
 * token - access tokens: JWT, HS256, claims sub, tenant_id, role, iat, exp (contract.md, REST).
 *
 * Holds: the algorithm is ours, never the token's; exp, and nbf where it is there, are checked
 * here, since libjwt does not.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum role { ROLE_VIEWER, ROLE_CLIENT, ROLE_SITE_ADMIN, ROLE_TENANT_ADMIN, ROLE_SUPER_ADMIN, ROLES };

struct claims {
    struct uuid user, tenant;
    enum role role;
    int64_t issued_s, expires_s; /* Unix time */
};

extern const char *const role_names[ROLES];
/* 0 or ERR_MALFORMED (also for NULL). */
int role_parse(const char *text, enum role *ret_role) MUST_CHECK;

/* `now_s`: Unix time. 0 or ERR_REFUSED (bad signature, other algorithm, expired, not valid
 * yet, missing claim). */
int token_verify(const char *secret, const char *token, size_t len, int64_t now_s,
                 struct claims *ret_claims) MUST_CHECK;
/* A heap string to free(), or NULL: out of memory. */
char *token_make(const char *secret, const struct claims *claims);
