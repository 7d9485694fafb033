#pragma once
/*
 * upkeep - what a node does for its database beside its traffic: partitions, retention, devices
 * that are gone, retained messages and refresh tokens that have expired, waking.
 *
 * Owner: the control thread.
 */
#include "proto/uuid.h"
#include "sql/ask.h"
#include <stdint.h>

/* Partitions of telemetry for every day that a reading may fall on, and a week ahead; with
 * `retention_days` > 0 none that is to be dropped. 0, or as ask_do. */
int upkeep_partitions(struct ask *db, int64_t retention_days) MUST_CHECK;
/* Drops one partition older than `retention_days`. 1: dropped one, 0: there is none, or as
 * ask_do (a reader was in the way: later). */
int upkeep_retention(struct ask *db, int64_t retention_days) MUST_CHECK;

/* Deletes a batch of the readings that were refused before the first day that is kept. 1: there may
 * be more to do now, 0: there is not, or as ask_do. */
int upkeep_rejected(struct ask *db, int64_t retention_days) MUST_CHECK;

/* Deletes a batch of the readings of devices that are gone. 1: there is more to do now, 0: there is
 * not, or as ask_do. */
int upkeep_gone(struct ask *db) MUST_CHECK;

/* Deletes a batch of the retained messages that have expired. As upkeep_gone. */
int upkeep_expired(struct ask *db) MUST_CHECK;

/* Deletes a batch of the refresh tokens that have expired. As upkeep_gone. */
int upkeep_tokens(struct ask *db) MUST_CHECK;

#define UPKEEP_PAGE 1000
typedef void upkeep_tell(void *arg, const struct uuid *tenant, const struct uuid *device,
                         unsigned region);
/* The next page of devices that are not offline, after `*cursor` (nil at first), which moves. The
 * number of devices (0: the end), or as ask_do. */
int upkeep_awake(struct ask *db, struct uuid *cursor, upkeep_tell *tell, void *arg) MUST_CHECK;
