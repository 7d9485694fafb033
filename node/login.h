#pragma once
/*
 * login - what MQTT and WebSocket edges ask of the database: who connects, what he may watch.
 *
 * In:    requests LOGIN and WATCH (node/request.h).
 * Out:   status, principal or reply filled in.
 * Owner: one query thread.
 * Holds: whether an account exists cannot be told from the time an answer takes.
 */
#include "node/database.h"
#include "node/password.h"
#include "node/request.h"

void login_handle(struct request *request, struct database *database, struct passwords *passwords);
void watch_handle(struct request *request, struct database *database);
