#pragma once
/*
 * password - what people and back ends log in with: argon2id, and a memory of what was right.
 *
 * A device's secret is no password: it has 256 random bits, so SHA-256 of it is stored.
 *
 * Owner: one query thread; argon2id takes about 20 ms, so nobody else may call this.
 * Bound: the cache holds PASSWORD_CACHE_ENTRIES; the oldest of a set of four makes room.
 * Holds: what is remembered is a MAC over account, stored hash and password under a random key of
 *        this process: a changed password misses, and nothing in memory can be tried offline.
 */
#include "proto/err.h"
#include "proto/uuid.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PASSWORD_CACHE_ENTRIES 1024
#define PASSWORD_HASH_SIZE 128 /* of the encoded form, with its terminator */
#define PASSWORD_BYTES_MAX 1024
#define SECRET_TEXT_LEN 43 /* 32 bytes, base64url without padding */
#define SECRET_HASH_SIZE 32

struct passwords;

struct passwords *passwords_new(void); /* NULL: out of memory */
void passwords_destroy(struct passwords **self_p);

/* argon2id, 19 MiB, 2 passes, 1 lane, encoded. 0, ERR_TOO_LARGE or ERR_MEMORY. */
int password_hash(const char *password, size_t len,
                  char ret_encoded[static PASSWORD_HASH_SIZE]) MUST_CHECK;
/* `encoded` NULL: there is no such account; takes as long as if there were, and is false. */
bool password_verify(const char *encoded, const char *password, size_t len);
/* The same with the memory: for accounts that connect again and again. */
bool passwords_verify(struct passwords *self, const struct uuid *account, const char *encoded,
                      const char *password, size_t len);

/* 256 random bits as SECRET_TEXT_LEN characters and a terminator. */
void secret_make(char ret_text[static SECRET_TEXT_LEN + 1]);
void secret_hash(const char *secret, size_t len, uint8_t ret_hash[static SECRET_HASH_SIZE]);
