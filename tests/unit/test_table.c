/* The index finds what was put in and nothing else, however its keys collide. */
#include "actors/table.h"
#include "proto/check.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define THINGS 3000

struct things {
    uint64_t hash[THINGS];
    bool in[THINGS];
};

static bool has_number(const void *context, uint32_t handle, const void *key)
{
    (void)context;
    return handle == *(const uint32_t *)key;
}

static void check_all(const struct table *table, const struct things *things)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < THINGS; i++) {
        uint32_t found = table_find(table, things->hash[i], has_number, NULL, &i);
        assert_int_equal(found, things->in[i] ? i : TABLE_NONE);
        count += things->in[i];
    }
    assert_int_equal(table->count, count);
}

static void change_at_random(unsigned hashes)
{
    struct table table = {0};
    struct things *things = xcalloc(1, sizeof *things);
    uint64_t random = 1;
    for (uint32_t i = 0; i < THINGS; i++)
        things->hash[i] = i * 0x9E3779B97F4A7C15ULL % hashes;
    for (int n = 0; n < 20000; n++) {
        random = random * 6364136223846793005ULL + 1442695040888963407ULL;
        uint32_t i = (uint32_t)(random >> 33) % THINGS;
        if (things->in[i])
            table_remove(&table, things->hash[i], i);
        else
            assert_int_equal(table_insert(&table, things->hash[i], i), 0);
        things->in[i] = !things->in[i];
    }
    check_all(&table, things);
    table_free(&table);
    assert_int_equal(table.count, 0);
    free(things);
}

static void an_empty_table_finds_nothing(void **state)
{
    (void)state;
    struct table table = {0};
    uint32_t key = 0;
    assert_int_equal(table_find(&table, 0, has_number, NULL, &key), TABLE_NONE);
    table_free(&table);
}

static void what_is_in_is_found_and_nothing_else(void **state)
{
    (void)state;
    change_at_random(UINT32_MAX);
}

static void colliding_keys_are_kept_apart(void **state)
{
    (void)state;
    change_at_random(40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_table_finds_nothing),
        cmocka_unit_test(what_is_in_is_found_and_nothing_else),
        cmocka_unit_test(colliding_keys_are_kept_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
