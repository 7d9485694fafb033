#pragma once
/*
 * retained - what a new MQTT subscription is sent at once: the status of devices, then the retained
 * messages that its filter matches, page by page.
 *
 * In:    a request RETAINED (retained_request).
 * Out:   reply: one frame of MSG_EVENT items, what the filter matches alone; where `more` is said,
 *        the next page begins at `query`. An item's own place is retained_place().
 * Bound: about RETAINED_PAGE items and RETAINED_PAGE_BYTES of topics and payloads, and one item at
 *        least, unless it took RETAINED_ROUNDS statements to find none.
 * Holds: a page has what stands in the database when it is asked for: nothing of it waits, ages
 *        and overtakes what has happened since.
 */
#include "node/database.h"
#include "node/request.h"
#include "proto/frame.h"

#define RETAINED_PAGE 256
#define RETAINED_PAGE_BYTES (256 * 1024)
#define RETAINED_ROUNDS 16

/* The page behind `place`, as of the page before; empty: the first. `device` nil: of any; `bits`:
 * what of enum msg_interest_bits the filter can match. Aborts without memory. */
struct request *retained_request(const char *filter, size_t len, const struct uuid *device,
                                 unsigned bits, const struct buf *place);
/* status: 200; 503: to be asked again later; 500: of no use to ask again, it has been logged. */
void retained_handle(struct request *request, struct database *database);
/* The place behind this item of a reply. */
void retained_place(const struct item *item, struct buf *place);
