#pragma once
/*
 * retained - what a new MQTT subscription is sent at once: the status of devices, and the retained
 * messages below the part of its filter that has no wildcard.
 *
 * In:    a request RETAINED: claims.tenant, device (nil: all), path: the filter.
 * Out:   reply: one frame of MSG_EVENT items, at most REQUEST_RETAINED_MAX of each kind; the edge
 *        sends those that its filter matches.
 */
#include "node/database.h"
#include "node/request.h"

void retained_handle(struct request *request, struct database *database);
