/* Passwords: right ones pass, wrong ones never, and the memory of right ones forgets in time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "node/password.h"
#include "proto/check.h"
#include <stdio.h>
#include <string.h>
#include <time.h>

static void verifies_what_it_hashed(void **state)
{
    (void)state;
    char one[PASSWORD_HASH_SIZE], two[PASSWORD_HASH_SIZE];
    assert_int_equal(password_hash("correct horse", 13, one), 0);
    assert_int_equal(password_hash("correct horse", 13, two), 0);
    assert_string_not_equal(one, two);
    assert_ptr_equal(strstr(one, "$argon2id$v=19$m=19456,t=2,p=1$"), one);
    assert_true(password_verify(one, "correct horse", 13));
    assert_false(password_verify(one, "correct horsf", 13));
    assert_false(password_verify(one, "correct hors", 12));
    assert_false(password_verify("no hash", "correct horse", 13));
    assert_false(password_verify(NULL, "correct horse", 13));
}

static double seconds(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static void remembers_right_passwords_alone(void **state)
{
    (void)state;
    struct passwords *memory = passwords_new();
    struct uuid account = uuid_random(), other = uuid_random();
    char hash[PASSWORD_HASH_SIZE], changed[PASSWORD_HASH_SIZE];
    assert_int_equal(password_hash("secret", 6, hash), 0);
    assert_int_equal(password_hash("renewed", 7, changed), 0);
    assert_true(passwords_verify(memory, &account, hash, "secret", 6));
    double begin = seconds();
    for (int i = 0; i < 200; i++)
        assert_true(passwords_verify(memory, &account, hash, "secret", 6));
    assert_true(seconds() - begin < 1.0); /* not 200 times argon2id */
    assert_false(passwords_verify(memory, &account, hash, "Secret", 6));
    assert_false(passwords_verify(memory, &account, changed, "secret", 6));
    assert_true(passwords_verify(memory, &other, hash, "secret", 6));
    assert_false(passwords_verify(memory, &account, NULL, "secret", 6));
    passwords_destroy(&memory);
    assert_null(memory);
}

static void lengths_are_bounded(void **state)
{
    (void)state;
    static char longest[PASSWORD_BYTES_MAX + 1];
    char hash[PASSWORD_HASH_SIZE];
    memset(longest, 'x', sizeof longest);
    assert_int_equal(password_hash(longest, PASSWORD_BYTES_MAX, hash), 0);
    assert_int_equal(password_hash(longest, PASSWORD_BYTES_MAX + 1, hash), ERR_TOO_LARGE);
    struct passwords *memory = passwords_new();
    struct uuid account = uuid_random();
    assert_true(passwords_verify(memory, &account, hash, longest, PASSWORD_BYTES_MAX));
    assert_false(passwords_verify(memory, &account, hash, longest, PASSWORD_BYTES_MAX + 1));
    passwords_destroy(&memory);
}

static void secrets_are_random_and_safe_in_urls(void **state)
{
    (void)state;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    char one[SECRET_TEXT_LEN + 1], two[SECRET_TEXT_LEN + 1];
    for (int i = 0; i < 100; i++) {
        secret_make(one);
        secret_make(two);
        assert_string_not_equal(one, two);
        assert_int_equal(strspn(one, alphabet), SECRET_TEXT_LEN);
        assert_int_equal(one[SECRET_TEXT_LEN], '\0');
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verifies_what_it_hashed),
        cmocka_unit_test(remembers_right_passwords_alone),
        cmocka_unit_test(lengths_are_bounded),
        cmocka_unit_test(secrets_are_random_and_safe_in_urls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
