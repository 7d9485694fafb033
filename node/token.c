#include "node/token.h"
#include <jansson.h>
#include <jwt.h>
#include <stdlib.h>
#include <string.h>

/* Longer than any token of ours by far; the edge's header limit is near it. */
#define TOKEN_BYTES_MAX 4096
/* Doubles below it fit into an integer. */
#define DATE_END 9e18

const char *const role_names[ROLES] = {
    [ROLE_VIEWER] = "VIEWER",           [ROLE_CLIENT] = "CLIENT",
    [ROLE_SITE_ADMIN] = "SITE_ADMIN",   [ROLE_TENANT_ADMIN] = "TENANT_ADMIN",
    [ROLE_SUPER_ADMIN] = "SUPER_ADMIN",
};

int role_parse(const char *text, enum role *ret_role)
{
    for (unsigned i = 0; text != NULL && i < ROLES; i++)
        if (strcmp(text, role_names[i]) == 0) {
            *ret_role = (enum role)i;
            return 0;
        }
    return ERR_MALFORMED;
}

static int grant_uuid(jwt_t *jwt, const char *name, struct uuid *ret_id)
{
    const char *text = jwt_get_grant(jwt, name);
    if (text == NULL || uuid_parse(text, strlen(text), ret_id) != 0)
        return ERR_REFUSED;
    return 0;
}

/* A NumericDate (RFC 7519, clause 2), which may have a fraction: it is cut off, for the clock that
 * it is compared with has whole seconds too. 0, also where it is absent: `ret_s` is left as it is.
 */
static int grant_date(jwt_t *jwt, const char *name, int64_t *ret_s)
{
    char *text = jwt_get_grants_json(jwt, name);
    if (text == NULL)
        return 0;
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL);
    double date = json_is_number(value) ? json_number_value(value) : -1;
    json_decref(value);
    free(text);
    if (!(date >= 0 && date < DATE_END))
        return ERR_REFUSED;
    *ret_s = (int64_t)date;
    return 0;
}

static int read_claims(jwt_t *jwt, int64_t now_s, struct claims *ret_claims)
{
    struct claims claims = {0};
    int64_t not_before_s = 0;
    if (jwt_get_alg(jwt) != JWT_ALG_HS256)
        return ERR_REFUSED;
    if (grant_uuid(jwt, "sub", &claims.user) != 0 ||
        grant_uuid(jwt, "tenant_id", &claims.tenant) != 0 ||
        role_parse(jwt_get_grant(jwt, "role"), &claims.role) != 0)
        return ERR_REFUSED;
    if (grant_date(jwt, "iat", &claims.issued_s) != 0 ||
        grant_date(jwt, "exp", &claims.expires_s) != 0 ||
        grant_date(jwt, "nbf", &not_before_s) != 0)
        return ERR_REFUSED;
    if (claims.issued_s <= 0 || claims.expires_s <= now_s || not_before_s > now_s)
        return ERR_REFUSED;
    *ret_claims = claims;
    return 0;
}

int token_verify(const char *secret, const char *token, size_t len, int64_t now_s,
                 struct claims *ret_claims)
{
    char text[TOKEN_BYTES_MAX + 1];
    if (len == 0 || len > TOKEN_BYTES_MAX || memchr(token, '\0', len) != NULL)
        return ERR_REFUSED;
    memcpy(text, token, len);
    text[len] = '\0';
    jwt_t *jwt = NULL;
    if (jwt_decode(&jwt, text, (const unsigned char *)secret, (int)strlen(secret)) != 0)
        return ERR_REFUSED;
    int rc = read_claims(jwt, now_s, ret_claims);
    jwt_free(jwt);
    return rc;
}

static int fill(jwt_t *jwt, const char *secret, const struct claims *claims)
{
    return jwt_set_alg(jwt, JWT_ALG_HS256, (const unsigned char *)secret, (int)strlen(secret)) |
           jwt_add_grant(jwt, "sub", uuid_text(&claims->user).s) |
           jwt_add_grant(jwt, "tenant_id", uuid_text(&claims->tenant).s) |
           jwt_add_grant(jwt, "role", role_names[claims->role]) |
           jwt_add_grant_int(jwt, "iat", claims->issued_s) |
           jwt_add_grant_int(jwt, "exp", claims->expires_s);
}

char *token_make(const char *secret, const struct claims *claims)
{
    jwt_t *jwt = NULL;
    if (jwt_new(&jwt) != 0)
        return NULL;
    char *token = fill(jwt, secret, claims) == 0 ? jwt_encode_str(jwt) : NULL;
    jwt_free(jwt);
    return token;
}
