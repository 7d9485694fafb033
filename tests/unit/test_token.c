/* Access tokens: what is made is read again, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/token.h"
#include "proto/check.h"
#include <jwt.h>
#include <stdio.h>

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW 1800000000

static struct claims sample(void)
{
    struct claims claims = {.role = ROLE_SITE_ADMIN, .issued_s = NOW, .expires_s = NOW + 60};
    claims.user = uuid_random();
    claims.tenant = uuid_random();
    return claims;
}

static void reads_what_it_made(void **state)
{
    (void)state;
    for (enum role role = 0; role < ROLES; role++) {
        struct claims in = sample(), out;
        in.role = role;
        OWNED(free) char *token = token_make(SECRET, &in);
        assert_non_null(token);
        assert_int_equal(token_verify(SECRET, token, strlen(token), NOW, &out), 0);
        assert_true(uuid_equal(&in.user, &out.user) && uuid_equal(&in.tenant, &out.tenant));
        assert_int_equal(out.role, role);
        assert_int_equal(out.issued_s, NOW);
        assert_int_equal(out.expires_s, NOW + 60);
    }
}

static void refuses_expired_and_foreign_ones(void **state)
{
    (void)state;
    struct claims in = sample(), out = {0};
    OWNED(free) char *token = token_make(SECRET, &in);
    size_t len = strlen(token);
    assert_int_equal(token_verify(SECRET, token, len, NOW + 59, &out), 0);
    assert_int_equal(token_verify(SECRET, token, len, NOW + 60, &out), ERR_REFUSED);
    assert_int_equal(token_verify(SECRET "x", token, len, NOW, &out), ERR_REFUSED);
}

static void refuses_every_changed_byte_and_every_cut(void **state)
{
    (void)state;
    struct claims in = sample(), out;
    OWNED(free) char *token = token_make(SECRET, &in);
    size_t len = strlen(token);
    for (size_t i = 0; i < len; i++) {
        char kept = token[i];
        assert_int_equal(token_verify(SECRET, token, i, NOW, &out), ERR_REFUSED);
        token[i] = kept == 'A' ? 'Q' : 'A'; /* differs in bits that no decoder drops */
        assert_int_equal(token_verify(SECRET, token, len, NOW, &out), ERR_REFUSED);
        token[i] = '\0';
        assert_int_equal(token_verify(SECRET, token, len, NOW, &out), ERR_REFUSED);
        token[i] = kept;
    }
}

/* As a stranger, or another program with our secret, would make it: `claims` are JSON, and stand in
 * place of those of the same name. */
static int verify_with(jwt_alg_t algorithm, const char *without, const char *claims)
{
    jwt_t *jwt = NULL;
    struct claims in = sample(), out;
    const unsigned char *key = algorithm == JWT_ALG_NONE ? NULL : (const unsigned char *)SECRET;
    CHECK(jwt_new(&jwt) == 0);
    CHECK(jwt_set_alg(jwt, algorithm, key, key != NULL ? (int)strlen(SECRET) : 0) == 0);
    jwt_add_grant(jwt, "sub", uuid_text(&in.user).s);
    jwt_add_grant(jwt, "tenant_id", uuid_text(&in.tenant).s);
    jwt_add_grant(jwt, "role", "VIEWER");
    jwt_add_grant_int(jwt, "iat", NOW);
    jwt_add_grant_int(jwt, "exp", NOW + 60);
    jwt_del_grants(jwt, without);
    CHECK(jwt_add_grants_json(jwt, claims) == 0);
    OWNED(free) char *token = jwt_encode_str(jwt);
    jwt_free(jwt);
    CHECK(token != NULL);
    return token_verify(SECRET, token, strlen(token), NOW, &out);
}

static int verify_made(jwt_alg_t algorithm, const char *without)
{
    return verify_with(algorithm, without, "{}");
}

static void the_algorithm_is_ours(void **state)
{
    (void)state;
    assert_int_equal(verify_made(JWT_ALG_HS256, "nothing"), 0);
    assert_int_equal(verify_made(JWT_ALG_NONE, "nothing"), ERR_REFUSED);
    assert_int_equal(verify_made(JWT_ALG_HS384, "nothing"), ERR_REFUSED);
    assert_int_equal(verify_made(JWT_ALG_HS512, "nothing"), ERR_REFUSED);
}

static void every_claim_is_needed(void **state)
{
    (void)state;
    static const char *const names[] = {"sub", "tenant_id", "role", "iat", "exp"};
    for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
        assert_int_equal(verify_made(JWT_ALG_HS256, names[i]), ERR_REFUSED);
}

/* RFC 7519, clauses 2 and 4.1: dates are numbers, with a fraction or without; nbf is optional. */
static void dates_are_numbers(void **state)
{
    (void)state;
    static const struct {
        const char *claims;
        int rc;
    } cases[] = {
        {"{\"iat\":1799999999.75,\"exp\":1800000001.25,\"nbf\":1799999999.5}", 0},
        {"{\"exp\":1.800000001e9}", 0},
        {"{\"exp\":1800000000.75}", ERR_REFUSED},
        {"{\"exp\":1799999999.5}", ERR_REFUSED},
        {"{\"nbf\":1800000000}", 0},
        {"{\"nbf\":1800000000.9}", 0},
        {"{\"nbf\":1800000001}", ERR_REFUSED},
        {"{\"nbf\":\"1700000000\"}", ERR_REFUSED},
        {"{\"nbf\":-1}", ERR_REFUSED},
        {"{\"exp\":\"1900000000\"}", ERR_REFUSED},
        {"{\"exp\":1e300}", ERR_REFUSED},
        {"{\"exp\":null}", ERR_REFUSED},
        {"{\"iat\":0.5}", ERR_REFUSED},
    };
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++)
        if (verify_with(JWT_ALG_HS256, "nothing", cases[i].claims) != cases[i].rc)
            fail_msg("%s", cases[i].claims);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_what_it_made),
        cmocka_unit_test(refuses_expired_and_foreign_ones),
        cmocka_unit_test(refuses_every_changed_byte_and_every_cut),
        cmocka_unit_test(the_algorithm_is_ours),
        cmocka_unit_test(every_claim_is_needed),
        cmocka_unit_test(dates_are_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
