#pragma once
/*
 * rest - the REST API below /api/v1 (contract.md): from a request to its answer.
 *
 * In:    a request whose bearer token, if it had one, was verified (has_claims).
 * Out:   status, reply_type, reply, and the headers allow and retry_after.
 * Owner: one query thread; blocks in the database.
 * Holds: 1. A tenant's rows are reached by the tenant of the token alone; another tenant in the
 * path is 403 before any statement runs. 401 comes with the first statement, in its round trip,
 * unless the token's user and his tenant are active.
 *        2. A change and its row in audit_logs are one statement or one transaction.
 *        3. Every failure is application/problem+json with a code; never a partial answer.
 */
#include "node/config.h"
#include "node/database.h"
#include "node/request.h"

struct rest_context {
    const struct config *config;
    struct database *database;
    struct database *history; /* reads that may lag */
};

void rest_handle(struct request *request, const struct rest_context *context);
/* What its path and method name needs no token. */
bool rest_is_public(const struct request *request);
