#include "node/config.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define KEY "0123456789abcdef0123456789abcdef"

static int clear(void **state)
{
    (void)state;
    clearenv();
    return 0;
}

static void refused(const char *name, const char *value)
{
    struct config config;
    char reason[256] = "";
    setenv(name, value, 1);
    assert_int_equal(config_read(&config, reason, sizeof reason), ERR_CONFIG);
    assert_non_null(strstr(reason, name));
    assert_null(strchr(reason, '\n'));
    unsetenv(name);
}

static void read_all(struct config *ret_config)
{
    char reason[256] = "";
    int rc = config_read(ret_config, reason, sizeof reason);
    if (rc != 0)
        fail_msg("%s", reason);
}

static void nothing_set_gives_the_defaults(void **state)
{
    (void)state;
    struct config config;
    read_all(&config);
    assert_string_equal(config.node_id, "eu-1");
    assert_string_equal(config.node_region, "eu");
    assert_string_equal(config.bind_address, "127.0.0.1");
    assert_int_equal(config.mqtt_port, 1883);
    assert_int_equal(config.http_port, 8080);
    assert_int_equal(config.rate_limit, 1000);
    assert_true(config.smtp_use_tls);
    config_free(&config);
}

static void the_environment_is_read(void **state)
{
    (void)state;
    struct config config;
    setenv("NODE_ID", "us-west-12", 1);
    setenv("HTTP_PORT", "65535", 1);
    setenv("SMTP_USE_TLS", "No", 1);
    setenv("CLUSTER_REGIONS", "eu,us-west", 1);
    setenv("JWT_SECRET_KEY", KEY, 1);
    setenv("MQTT_PORT", "", 1); /* empty is not set */
    read_all(&config);
    assert_string_equal(config.node_region, "us-west");
    assert_string_equal(config.cluster_regions, "eu,us-west");
    assert_int_equal(config.http_port, 65535);
    assert_int_equal(config.mqtt_port, 1883);
    assert_false(config.smtp_use_tls);
    assert_string_equal(config.jwt_secret_key, KEY);
    config_free(&config);
}

static void a_wrong_value_is_one_line_that_names_it(void **state)
{
    (void)state;
    static const char *const numbers[] = {"x", "80x", "-1", "65536", "1e3", "99999999999999999999"};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        refused("MQTT_PORT", numbers[i]);
    refused("HTTP_PORT", "0");
    refused("SMTP_USE_TLS", "maybe");
    refused("NODE_ID", "EU-1");
    refused("NODE_ID", "-eu");
    refused("NODE_ID", "eu_1");
    refused("NODE_REGION", "Eu");
    refused("NODE_REGION", "a,b");
    refused("CLUSTER_REGIONS", "eu,");
    refused("CLUSTER_REGIONS", ",eu");
    refused("CLUSTER_REGIONS", "eu, us");
    refused("CLUSTER_REGIONS", "eu,-us");
    refused("NODE_WEIGHT", "10001");
    refused("JWT_SECRET_KEY", "short");
    refused("TLS_CERT_FILE", "/x");
    refused("ENV_FILE", "/nothing/there");
}

static void the_environment_wins_over_the_file(void **state)
{
    (void)state;
    struct config config;
    char path[] = "/tmp/test-config-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "w");
    fputs("# comment=1\n\n NODE_ID = \"ap-2\" \nMQTT_PORT=2000\r\nHTTP_PORT='2001'\nnonsense\n"
          "REDIS_URL=redis://h:1/?a=b\n",
          file);
    fclose(file);
    setenv("ENV_FILE", path, 1);
    setenv("MQTT_PORT", "3000", 1);
    read_all(&config);
    unlink(path);
    assert_string_equal(config.node_id, "ap-2");
    assert_int_equal(config.mqtt_port, 3000);
    assert_int_equal(config.http_port, 2001);
    assert_string_equal(config.redis_url, "redis://h:1/?a=b");
    config_free(&config);
    config_free(&config); /* twice is once */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_set_gives_the_defaults, clear),
        cmocka_unit_test_setup(the_environment_is_read, clear),
        cmocka_unit_test_setup(a_wrong_value_is_one_line_that_names_it, clear),
        cmocka_unit_test_setup(the_environment_wins_over_the_file, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
