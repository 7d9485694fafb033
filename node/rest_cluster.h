#pragma once
/*
 * rest_cluster - what the files rest_cluster*.c share.
 */
#include "node/rest_call.h"

/* Answers with the node that the path names. */
void cluster_reply_node(struct call *call, int status);
