#include "node/password.h"
#include "proto/check.h"
#include <argon2.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <string.h>

#define MEMORY_KIB (19 * 1024)
#define PASSES 2
#define LANES 1
#define SALT_BYTES 16
#define HASH_BYTES 32
#define WAYS 4
#define SETS (PASSWORD_CACHE_ENTRIES / WAYS)

struct remembered {
    uint8_t mac[SHA256_DIGEST_LENGTH];
};

struct passwords {
    uint8_t key[32];
    uint8_t next[SETS]; /* which of a set is the oldest */
    struct remembered set[SETS][WAYS];
};

static void random_bytes(void *out, size_t n)
{
    CHECK(RAND_bytes(out, (int)n) == 1);
}

struct passwords *passwords_new(void)
{
    struct passwords *self = calloc(1, sizeof *self);
    if (self == NULL)
        return NULL;
    random_bytes(self->key, sizeof self->key);
    random_bytes(self->set, sizeof self->set); /* all zero would be a value like any other */
    return self;
}

void passwords_destroy(struct passwords **self_p)
{
    if (*self_p != NULL)
        OPENSSL_cleanse(*self_p, sizeof **self_p);
    free(*self_p);
    *self_p = NULL;
}

int password_hash(const char *password, size_t len, char ret_encoded[static PASSWORD_HASH_SIZE])
{
    uint8_t salt[SALT_BYTES];
    char encoded[PASSWORD_HASH_SIZE];
    if (len > PASSWORD_BYTES_MAX)
        return ERR_TOO_LARGE;
    random_bytes(salt, sizeof salt);
    if (argon2id_hash_encoded(PASSES, MEMORY_KIB, LANES, password, len, salt, sizeof salt,
                              HASH_BYTES, encoded, sizeof encoded) != ARGON2_OK)
        return ERR_MEMORY;
    memcpy(ret_encoded, encoded, sizeof encoded);
    return 0;
}

/* For the time it takes. */
static bool verify_nobody(const char *password, size_t len)
{
    static const uint8_t salt[SALT_BYTES] = "nobody has this";
    uint8_t hash[HASH_BYTES];
    (void)argon2id_hash_raw(PASSES, MEMORY_KIB, LANES, password, len, salt, sizeof salt, hash,
                            sizeof hash);
    return false;
}

bool password_verify(const char *encoded, const char *password, size_t len)
{
    if (len > PASSWORD_BYTES_MAX)
        return false;
    if (encoded == NULL)
        return verify_nobody(password, len);
    return argon2id_verify(encoded, password, len) == ARGON2_OK;
}

static void mac_of(const struct passwords *self, const struct uuid *account, const char *encoded,
                   const char *password, size_t len, uint8_t ret_mac[static SHA256_DIGEST_LENGTH])
{
    uint8_t text[sizeof account->bytes + PASSWORD_HASH_SIZE + PASSWORD_BYTES_MAX];
    size_t hash_len = strnlen(encoded, PASSWORD_HASH_SIZE);
    size_t at = sizeof account->bytes;
    memcpy(text, account->bytes, at);
    memset(text + at, 0, PASSWORD_HASH_SIZE); /* fixed width: no two inputs read the same */
    memcpy(text + at, encoded, hash_len);
    at += PASSWORD_HASH_SIZE;
    memcpy(text + at, password, len);
    unsigned mac_len = SHA256_DIGEST_LENGTH;
    CHECK(HMAC(EVP_sha256(), self->key, sizeof self->key, text, at + len, ret_mac, &mac_len) !=
          NULL);
    OPENSSL_cleanse(text, at + len);
}

bool passwords_verify(struct passwords *self, const struct uuid *account, const char *encoded,
                      const char *password, size_t len)
{
    if (encoded == NULL || len > PASSWORD_BYTES_MAX)
        return password_verify(encoded, password, len);
    uint8_t mac[SHA256_DIGEST_LENGTH];
    mac_of(self, account, encoded, password, len, mac);
    unsigned at = mac[0] % SETS;
    for (unsigned i = 0; i < WAYS; i++)
        if (CRYPTO_memcmp(self->set[at][i].mac, mac, sizeof mac) == 0)
            return true;
    if (!password_verify(encoded, password, len))
        return false;
    memcpy(self->set[at][self->next[at] % WAYS].mac, mac, sizeof mac);
    self->next[at]++;
    return true;
}

void secret_make(char ret_text[static SECRET_TEXT_LEN + 1])
{
    uint8_t bytes[32];
    char text[48];
    random_bytes(bytes, sizeof bytes);
    EVP_EncodeBlock((unsigned char *)text, bytes, sizeof bytes);
    for (unsigned i = 0; i < SECRET_TEXT_LEN; i++)
        ret_text[i] = text[i] == '+' ? '-' : text[i] == '/' ? '_' : text[i];
    ret_text[SECRET_TEXT_LEN] = '\0';
    OPENSSL_cleanse(bytes, sizeof bytes);
    OPENSSL_cleanse(text, sizeof text);
}

void secret_hash(const char *secret, size_t len, uint8_t ret_hash[static SECRET_HASH_SIZE])
{
    SHA256((const unsigned char *)secret, len, ret_hash);
}
