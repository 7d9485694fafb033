#pragma once
/*
 * provision - makes tenants' devices and service accounts in bulk, from the command line.
 *
 * In:    DATABASE_ADMIN_URL, what the command line says.
 * Out:   rows of tenants, devices, device_credentials, service_accounts.
 * Holds: all or nothing; what exists is kept (an account's password alone is replaced).
 */
#include "proto/err.h"
#include <stddef.h>
#include <stdint.h>

/* Device ids have twelve decimal digits for their number; this is what one command may make. */
#define PROVISION_DEVICES_MAX 10000000

/* `count` devices with ids 00000000-0000-4000-8000-NNNNNNNNNNNN from 0, each with the secret that
 * `secret_template` gives ("{n}" is the number). `tenant` is a UUID and is made when missing.
 * 0 with what was done in `ret_reason`, or a negative error with its sentence there. */
int provision_devices(const char *admin_url, const char *tenant, int64_t count,
                      const char *secret_template, char *ret_reason, size_t reason_size) MUST_CHECK;
/* A service account with all rights in `tenant` (made when missing). Returns the same. */
int provision_account(const char *admin_url, const char *tenant, const char *username,
                      const char *password, char *ret_reason, size_t reason_size) MUST_CHECK;

/* An encoded argon2id hash with its terminator. */
#define PROVISION_HASH_MAX 128
/* 19 MiB, 2 passes, 1 lane. 0 or ERR_MEMORY. */
int provision_password_hash(const char *password,
                            char ret_hash[static PROVISION_HASH_MAX]) MUST_CHECK;
