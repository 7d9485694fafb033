/* Rules fire on what they compare, once a cooldown, and the database has the last word. */
#include "actors/rules.h"
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#define MINUTE 60000000LL

static const struct uuid id_a = {{1}}, id_b = {{2}};

static struct batch_rule make(struct uuid id, const char *metric, enum rule_operator operator,
                              double threshold)
{
    struct batch_rule rule = {
        .id = id, .threshold = threshold, .cooldown_us = 5 * MINUTE, .operator=(uint8_t) operator};
    strcpy(rule.metric, metric);
    return rule;
}

static struct rules *load(const struct batch_rule *loaded, uint32_t count)
{
    struct rules *rules = NULL;
    assert_int_equal(rules_load(&rules, loaded, count), 0);
    return rules;
}

static bool fires(const struct rule *rule, double temperature, int64_t now_us)
{
    struct batch_row row = {.present = 1U << METRIC_TEMPERATURE};
    double value = -1;
    row.value[METRIC_TEMPERATURE] = temperature;
    bool fired = rule_fires(rule, &row, "{}", now_us, &value);
    assert_true(value == (fired ? temperature : -1));
    return fired;
}

static void each_operator_compares(void **state)
{
    (void)state;
    static const bool expected[RULE_OPERATORS][3] = {
        [RULE_GT] = {false, false, true}, [RULE_GTE] = {false, true, true},
        [RULE_LT] = {true, false, false}, [RULE_LTE] = {true, true, false},
        [RULE_EQ] = {false, true, false}, [RULE_NEQ] = {true, false, true},
    };
    for (int op = 0; op < RULE_OPERATORS; op++) {
        struct batch_rule loaded = make(id_a, "temperature", (enum rule_operator)op, 50);
        struct rules *rules = load(&loaded, 1);
        for (int i = 0; i < 3; i++)
            assert_int_equal(fires(&rules->rule[0], 49 + i, 0), expected[op][i]);
        rules_destroy(&rules);
        assert_null(rules);
    }
}

static void a_metric_without_a_column_is_found_in_the_payload(void **state)
{
    (void)state;
    static const char payload[] = "{\"co2\":600,\"note\":null}";
    struct batch_rule loaded[] = {make(id_a, "co2", RULE_GT, 500), make(id_b, "note", RULE_GT, 0)};
    struct rules *rules = load(loaded, 2);
    struct batch_row row = {.payload.len = sizeof payload - 1};
    double value = 0;
    assert_true(rule_fires(&rules->rule[0], &row, payload, 0, &value));
    assert_true(value == 600);
    assert_false(rule_fires(&rules->rule[1], &row, payload, 0, &value));
    rules_destroy(&rules);
}

static void an_absent_column_does_not_fire(void **state)
{
    (void)state;
    struct batch_rule loaded = make(id_a, "temperature", RULE_LT, 50);
    struct rules *rules = load(&loaded, 1);
    struct batch_row row = {.present = 1U << METRIC_HUMIDITY};
    double value;
    assert_false(rule_fires(&rules->rule[0], &row, "{}", 0, &value));
    rules_destroy(&rules);
}

static void nothing_fires_within_its_cooldown(void **state)
{
    (void)state;
    struct batch_rule loaded = make(id_a, "temperature", RULE_GT, 50);
    loaded.last_fired_us = 100 * MINUTE;
    struct rules *rules = load(&loaded, 1);
    assert_false(fires(&rules->rule[0], 60, 100 * MINUTE));
    assert_false(fires(&rules->rule[0], 60, 105 * MINUTE - 1));
    assert_true(fires(&rules->rule[0], 60, 105 * MINUTE));
    rules_destroy(&rules);
}

/* The database may say that it fired at another time, or (the alert lost a race) not at all. */
static void the_answer_to_the_last_pending_alert_counts(void **state)
{
    (void)state;
    struct batch_rule loaded = make(id_a, "temperature", RULE_GT, 50);
    struct rules *rules = load(&loaded, 1);
    rules->rule[0].pending = 2;
    rules->rule[0].last_fired_us = 20 * MINUTE;
    rules_settle(rules, &id_a, 10 * MINUTE);
    assert_true(rules->rule[0].last_fired_us == 20 * MINUTE);
    rules_settle(rules, &id_a, 12 * MINUTE);
    assert_true(rules->rule[0].last_fired_us == 12 * MINUTE);
    rules_settle(rules, &id_a, 1);
    rules_settle(rules, &id_b, 1);
    rules_settle(NULL, &id_a, 1);
    assert_true(rules->rule[0].last_fired_us == 12 * MINUTE);
    rules_destroy(&rules);
}

static void loading_keeps_what_is_pending_and_drops_what_is_gone(void **state)
{
    (void)state;
    struct batch_rule loaded[] = {make(id_a, "temperature", RULE_GT, 50),
                                  make(id_b, "co2", RULE_LT, 1)};
    struct rules *rules = load(loaded, 2);
    rules->rule[0].pending = 1;
    rules->rule[0].last_fired_us = 20 * MINUTE;
    rules->rule[1].last_fired_us = 20 * MINUTE;
    loaded[0].threshold = 70;
    assert_int_equal(rules_load(&rules, loaded, 2), 0);
    assert_true(rules->rule[0].last_fired_us == 20 * MINUTE && rules->rule[0].pending == 1);
    assert_true(rules->rule[0].threshold == 70);
    assert_true(rules->rule[1].last_fired_us == 0);
    assert_int_equal(rules_load(&rules, &loaded[1], 1), 0);
    assert_int_equal(rules->count, 1);
    assert_int_equal(rules_load(&rules, NULL, 0), 0);
    assert_null(rules);
}

static void the_message_says_what_was_compared(void **state)
{
    (void)state;
    char text[200], small[8];
    struct batch_rule loaded = make(id_a, "temperature", RULE_GTE, 50.5);
    struct rules *rules = load(&loaded, 1);
    size_t len = rule_message(&rules->rule[0], 60, text, sizeof text);
    assert_string_equal(text, "temperature >= 50.5 (current: 60)");
    assert_int_equal(len, strlen(text));
    assert_int_equal(rule_message(&rules->rule[0], 60, small, sizeof small), sizeof small - 1);
    rules_destroy(&rules);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_operator_compares),
        cmocka_unit_test(a_metric_without_a_column_is_found_in_the_payload),
        cmocka_unit_test(an_absent_column_does_not_fire),
        cmocka_unit_test(nothing_fires_within_its_cooldown),
        cmocka_unit_test(the_answer_to_the_last_pending_alert_counts),
        cmocka_unit_test(loading_keeps_what_is_pending_and_drops_what_is_gone),
        cmocka_unit_test(the_message_says_what_was_compared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
