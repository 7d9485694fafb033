/* Whose topics are whose. */
#include "tests/unit/session_client.h"

static void a_service_account_has_its_filters(void **state)
{
    (void)state;
    static const struct {
        const char *publish, *subscribe, *topic;
        bool may_publish, may_subscribe;
    } cases[] = {
        {"#", "#", TENANT "/a", true, true},
        {"#", "#", TENANT "/#", true, true},
        {"#", "#", TENANT, false, false},
        {"#", "#", TENANT "/", false, false},
        {"#", "#", OTHER "/a", false, false},
        {"#", "#", "#", false, false},
        {"#", "#", "+/a", false, false},
        {"#", "#", "+/devices/" DEVICE "/#", false, false},
        {"#", "#", "$SYS/x", false, false},
        {"devices/+/commands", "devices/#", MINE "commands", true, true},
        {"devices/+/commands", "devices/#", MINE "telemetry", false, true},
        {"devices/+/commands", "devices/#", TENANT "/devices/+/telemetry", false, true},
        {"devices/+/commands", "devices/#", TENANT "/+/x", false, false},
        {"devices/+/commands", "devices/+/status", TENANT "/devices/#", false, false},
        {"bad#", "a/#/b", TENANT "/bad#", false, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct principal p = service_principal(cases[i].publish, cases[i].subscribe, false);
        size_t len = strlen(cases[i].topic);
        if ((principal_may_publish(&p, cases[i].topic, len) == 0) != cases[i].may_publish ||
            (principal_may_subscribe(&p, cases[i].topic, len) == 0) != cases[i].may_subscribe)
            fail_msg("case %zu: %s", i, cases[i].topic);
        principal_clear(&p);
        assert_int_equal(principal_may_publish(&p, cases[i].topic, len), ERR_REFUSED);
    }
}

static void a_device_has_its_own_topics(void **state)
{
    (void)state;
    static const struct {
        const char *topic;
        bool may_publish, may_subscribe;
    } cases[] = {
        {MINE "telemetry", true, true},
        {MINE "a/b/c", true, true},
        {MINE "status", false, true},
        {MINE "status/x", false, true},
        {MINE "alerts", false, true},
        {MINE "statuses", true, true},
        {MINE "x/status", true, true},
        {MINE, false, false},
        {TENANT "/devices/" DEVICE, false, false},
        {TENANT "/devices/" DEVICE "x/t", false, false},
        {TENANT "/devices/" TENANT "/t", false, false},
        {OTHER "/devices/" DEVICE "/t", false, false},
        {TENANT "/x/" DEVICE "/t", false, false},
    };
    struct principal p = device_principal();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t len = strlen(cases[i].topic);
        if ((principal_may_publish(&p, cases[i].topic, len) == 0) != cases[i].may_publish ||
            (principal_may_subscribe(&p, cases[i].topic, len) == 0) != cases[i].may_subscribe)
            fail_msg("%s", cases[i].topic);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_service_account_has_its_filters),
        cmocka_unit_test(a_device_has_its_own_topics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
