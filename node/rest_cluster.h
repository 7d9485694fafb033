#pragma once
/*
 * rest_cluster - what the files rest_cluster*.c share.
 */
#include "node/rest_call.h"

/* As call_query, over all tenants: as gito_ingest. */
bool cluster_ask(struct call *call, const char *sql, int count, const char *const *values,
                 PGresult **ret_rows);
/* Answers with the node that the path names. */
void cluster_reply_node(struct call *call, int status);
