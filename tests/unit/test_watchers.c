/* The edge knows who looks at what, and tells the shards when that changes. */
#include "node/watchers.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define WATCHES 500
#define MANY 200000

static unsigned changes, last_bits;

static void changed(void *context, const struct uuid *tenant, const struct uuid *device,
                    unsigned bits)
{
    (void)context, (void)tenant, (void)device;
    changes++;
    last_bits = bits;
}

static struct uuid id(unsigned n)
{
    struct uuid made = {{0}};
    memcpy(made.bytes, &n, sizeof n);
    return made;
}

static void count(void *context, struct watch *watch)
{
    (void)watch;
    ++*(unsigned *)context;
}

static unsigned seen(const struct watchers *self, unsigned tenant, unsigned device,
                     enum msg_interest_bits bit)
{
    unsigned n = 0;
    struct uuid t = id(tenant), d = id(device);
    watchers_each(self, &t, &d, bit, count, &n);
    return n;
}

static void add(struct watchers *self, struct watch *watch, unsigned tenant, unsigned device)
{
    struct uuid t = id(tenant), d = id(device);
    assert_int_equal(watchers_add(self, watch, &t, &d), 0);
}

static void interest_is_told_when_it_changes(void **state)
{
    (void)state;
    struct watchers self = {.changed = changed};
    struct watch one = {.bits = INTEREST_STATUS},
                 two = {.bits = INTEREST_STATUS | INTEREST_TELEMETRY};
    changes = 0;
    add(&self, &one, 1, 7);
    assert_int_equal(changes, 1);
    assert_int_equal(last_bits, INTEREST_STATUS);
    add(&self, &two, 1, 7);
    assert_int_equal(changes, 2);
    assert_int_equal(last_bits, INTEREST_STATUS | INTEREST_TELEMETRY);
    watchers_remove(&self, &one); /* the other wants that too */
    assert_int_equal(changes, 2);
    watchers_remove(&self, &two);
    assert_int_equal(changes, 3);
    assert_int_equal(last_bits, 0);
    assert_int_equal(self.count, 0);
    watchers_free(&self);
}

static void each_sees_its_device_and_its_tenant_alone(void **state)
{
    (void)state;
    struct watchers self = {.changed = changed};
    struct watch device = {.bits = INTEREST_TELEMETRY}, all = {.bits = INTEREST_TELEMETRY},
                 foreign = {.bits = INTEREST_TELEMETRY}, alerts = {.bits = INTEREST_ALERTS};
    add(&self, &device, 1, 7);
    add(&self, &all, 1, 0);
    add(&self, &foreign, 2, 7);
    add(&self, &alerts, 1, 7);
    assert_int_equal(seen(&self, 1, 7, INTEREST_TELEMETRY), 2);
    assert_int_equal(seen(&self, 1, 8, INTEREST_TELEMETRY), 1);
    assert_int_equal(seen(&self, 1, 7, INTEREST_ALERTS), 1);
    assert_int_equal(seen(&self, 2, 7, INTEREST_TELEMETRY), 1);
    assert_int_equal(seen(&self, 2, 8, INTEREST_TELEMETRY), 0);
    assert_int_equal(seen(&self, 3, 7, INTEREST_TELEMETRY), 0);
    /* What belongs to no device reaches who watches all, once. */
    assert_int_equal(seen(&self, 1, 0, INTEREST_TELEMETRY), 1);
    watchers_free(&self);
}

static void any_order_of_leaving_keeps_the_others(void **state)
{
    (void)state;
    static struct watch watches[WATCHES];
    struct watchers self = {.changed = changed};
    for (unsigned i = 0; i < WATCHES; i++) {
        watches[i] = (struct watch){.bits = INTEREST_TELEMETRY};
        add(&self, &watches[i], 1 + i % 3, 1 + i / 2);
    }
    for (unsigned k = 0; k < WATCHES; k++) {
        unsigned i = k * 173 % WATCHES, other = (k + 1) * 173 % WATCHES;
        assert_true(seen(&self, 1 + i % 3, 1 + i / 2, INTEREST_TELEMETRY) > 0);
        watchers_remove(&self, &watches[i]);
        assert_null(watches[i].key);
        if (k + 1 < WATCHES)
            assert_true(seen(&self, 1 + other % 3, 1 + other / 2, INTEREST_TELEMETRY) > 0);
    }
    assert_int_equal(self.count, 0);
    watchers_free(&self);
}

/* A hundred connections may have a thousand subscriptions each to all of their tenant's devices:
 * none is looked for among the others, or the edge does nothing else for minutes. */
static void many_of_one_key_cost_no_more_each(void **state)
{
    (void)state;
    struct watchers self = {.changed = changed};
    struct watch *watches = calloc(MANY, sizeof *watches);
    clock_t begin = clock();
    changes = 0;
    for (unsigned i = 0; i < MANY; i++) {
        watches[i].bits = INTEREST_TELEMETRY;
        add(&self, &watches[i], 1, 0);
    }
    for (unsigned i = 0; i < MANY; i++)
        watchers_remove(&self, &watches[i]);
    assert_true(clock() - begin < 2 * CLOCKS_PER_SEC);
    assert_int_equal(changes, 2);
    assert_int_equal(self.count, 0);
    watchers_free(&self);
    free(watches);
}

static void note_key(void *context, const struct uuid *tenant, const struct uuid *device,
                     unsigned bits)
{
    unsigned *note = context;
    note[tenant->bytes[0]] += 1000 * device->bytes[0] + bits;
}

/* What an owner that is new, or a node, is told: each key once, with what all of it want. */
static void every_key_is_told_anew(void **state)
{
    (void)state;
    unsigned note[3] = {0};
    struct watchers self = {.changed = changed};
    struct watch device = {.bits = INTEREST_TELEMETRY}, same = {.bits = INTEREST_ALERTS},
                 all = {.bits = INTEREST_STATUS}, foreign = {.bits = INTEREST_MESSAGES};
    watchers_keys(&self, note_key, note);
    assert_int_equal(note[1], 0);
    add(&self, &device, 1, 7);
    add(&self, &same, 1, 7);
    add(&self, &all, 1, 0);
    add(&self, &foreign, 2, 7);
    watchers_keys(&self, note_key, note);
    assert_int_equal(note[1], 7000 + (INTEREST_TELEMETRY | INTEREST_ALERTS) + INTEREST_STATUS);
    assert_int_equal(note[2], 7000 + INTEREST_MESSAGES);
    watchers_remove(&self, &device);
    watchers_remove(&self, &all);
    memset(note, 0, sizeof note);
    watchers_keys(&self, note_key, note);
    assert_int_equal(note[1], 7000 + INTEREST_ALERTS);
    watchers_free(&self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(interest_is_told_when_it_changes),
        cmocka_unit_test(each_sees_its_device_and_its_tenant_alone),
        cmocka_unit_test(every_key_is_told_anew),
        cmocka_unit_test(many_of_one_key_cost_no_more_each),
        cmocka_unit_test(any_order_of_leaving_keeps_the_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
