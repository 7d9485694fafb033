#pragma once
/*
 * principal - who is connected, and which topics are his.
 *
 * A device has what is below `{tenant}/devices/{device}/`, without the platform's own `status` and
 * `alerts` for publishing. A service account has filters relative to its tenant. Ids in topics are
 * compared as canonical lower-case text: another spelling is another topic and nobody's.
 *
 * Invariant: every topic and every filter that passes lies below `{tenant}/` literally, so no
 * wildcard, `$share` or `$SYS` crosses tenants whatever the filter lists say.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stddef.h>

enum principal_kind { PRINCIPAL_NONE, PRINCIPAL_DEVICE, PRINCIPAL_SERVICE };

struct principal_filters; /* the lists of a service account, one block of memory */

struct principal {
    struct uuid tenant, device; /* device: the service account's own id for a service */
    enum principal_kind kind;
    bool mount;                        /* topics are written without `{tenant}/` */
    struct principal_filters *filters; /* owned; NULL with a device */
};

/* Copies the lists; a filter of them that is not valid is left out. NULL: out of memory. */
struct principal_filters *principal_filters_new(const char *const *publish, size_t publish_count,
                                                const char *const *subscribe,
                                                size_t subscribe_count);
/* Frees what it owns and leaves PRINCIPAL_NONE. */
void principal_clear(struct principal *self);

/* 0 or ERR_REFUSED. `topic` and `filter` are whole, with the tenant; both must be valid. */
int principal_may_publish(const struct principal *self, const char *topic, size_t len) MUST_CHECK;
int principal_may_subscribe(const struct principal *self, const char *filter,
                            size_t len) MUST_CHECK;

/* `{tenant}/` in front of what a mounted client writes: 37 bytes. */
#define PRINCIPAL_MOUNT_LEN (UUID_TEXT_LEN + 1)
void principal_mount(const struct principal *self, char out[static PRINCIPAL_MOUNT_LEN]);
