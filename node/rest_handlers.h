#pragma once
/*
 * rest_handlers - one function a route of node/rest_routes.def, in the files rest_*.c.
 *
 * A handler answers always: with data, or with a problem.
 */
#include "node/rest_call.h"

#define ROUTE(method, pattern, handler, ...) call_handler handler;
#include "node/rest_routes.def"
#undef ROUTE
