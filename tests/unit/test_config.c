#include "node/config.h"
#include "node/redis_url.h"
#include "proto/limits.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
    assert_null(strstr(reason, "secret"));
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
    setenv("ADVERTISE_ADDRESS", "node-1.example_net", 1);
    setenv("BIND_ADDRESS", "::1", 1);
    setenv("WEB_ROOT", "/tmp", 1);
    setenv("DATABASE_URL", "postgresql://a:b@one:5432,two:/gito?target_session_attrs=read-write",
           1);
    setenv("DATABASE_READ_URL", "host=three port=5432 dbname=gito", 1);
    setenv("MQTTS_PORT", "65535", 1); /* off without a certificate */
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
    refused("ENV_FILE", "/tmp");
    refused("RATE_LIMIT_PER_MINUTE", "1\n2");
}

static void regions_are_named_once_and_hold_the_nodes_own(void **state)
{
    (void)state;
    char many[LIMIT_REGIONS * 4 + 8] = "eu";
    for (int i = 0; i < LIMIT_REGIONS; i++)
        snprintf(many + strlen(many), sizeof many - strlen(many), ",r%02d", i);
    refused("CLUSTER_REGIONS", many);
    refused("CLUSTER_REGIONS", "eu,eu");
    refused("CLUSTER_REGIONS", "eu,us,ap,us");
    refused("CLUSTER_REGIONS", "us,eu-west");
    refused("CLUSTER_REGIONS", "e,euu");
}

static void addresses_are_such_as_can_be_listened_on_and_reached(void **state)
{
    (void)state;
    static const char *const no_hosts[] = {"%%",   "a b",   "300.1.1.1", "1.2.3",   "-a",
                                           "a..b", "[eu-1", "[eu]",      "::x",     "[::1]:80",
                                           "::",   "[::]",  "0.0.0.0",   "tcp://a", "[1.2.3.4]"};
    static const char *const hosts[] = {"10.0.0.1", "fd00::1", "[fd00::1]", "eu-1", "a.b.c.", "7a"};
    struct config config;
    for (size_t i = 0; i < sizeof no_hosts / sizeof *no_hosts; i++)
        refused("ADVERTISE_ADDRESS", no_hosts[i]);
    refused("BIND_ADDRESS", "nonsense");
    refused("BIND_ADDRESS", "localhost");
    refused("BIND_ADDRESS", "127.0.0.1:1883");
    refused("BIND_ADDRESS", "[::1]");
    refused("BIND_ADDRESS", "0.0.0.0"); /* and nothing says where others reach it */
    refused("BIND_ADDRESS", "::");
    for (size_t i = 0; i < sizeof hosts / sizeof *hosts; i++) {
        setenv("BIND_ADDRESS", i % 2 == 0 ? "0.0.0.0" : "::", 1);
        setenv("ADVERTISE_ADDRESS", hosts[i], 1);
        read_all(&config);
        assert_string_equal(config.advertise_address, i == 1 ? "[fd00::1]" : hosts[i]);
        config_free(&config);
    }
}

static void no_two_listen_on_one_port(void **state)
{
    (void)state;
    struct config config;
    refused("HTTP_PORT", "1883");
    refused("MESH_PORT", "8080");
    setenv("TLS_CERT_FILE", "/dev/null", 1);
    setenv("TLS_KEY_FILE", "/dev/null", 1);
    refused("MQTTS_PORT", "1883");
    refused("HTTP_PORT", "8883");
    setenv("MQTT_PORT", "0", 1);
    setenv("MQTTS_PORT", "0", 1);
    setenv("MESH_PORT", "0", 1);
    read_all(&config);
    config_free(&config);
}

static void an_address_of_a_server_is_one(void **state)
{
    (void)state;
    static const char *const names[] = {"DATABASE_URL", "DATABASE_READ_URL", "DATABASE_ADMIN_URL"};
    static const char *const wrong[] = {"nonsense", "http://x", "postgresql://a:secret@h:abc/db",
                                        "host=h port=0", "postgresql://h:5432,i:70000/db"};
    static const char *const no_redis[] = {
        "nonsense",       "http://a",           "redis://",           "rediss://a",
        "redis://a:",     "redis://a:0",        "redis://a:65536",    "redis://localhost:abc",
        "redis://a:1x/0", "redis://:secret@/0", "redis://:secret@%/", "redis://a:99999999999"};
    for (size_t n = 0; n < sizeof names / sizeof *names; n++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
            refused(names[n], wrong[i]);
    for (size_t i = 0; i < sizeof no_redis / sizeof *no_redis; i++)
        refused("REDIS_URL", no_redis[i]);
}

static void the_parts_of_a_redis_url(void **state)
{
    (void)state;
    struct redis_url url;
    assert_true(redis_url_parse("redis://cache-1.local", &url));
    assert_string_equal(url.host, "cache-1.local");
    assert_string_equal(url.password, "");
    assert_int_equal(url.port, 6379);
    assert_true(redis_url_parse("redis://user:p@s:s@127.0.0.1:6380/0", &url));
    assert_string_equal(url.host, "127.0.0.1");
    assert_string_equal(url.password, "p@s:s");
    assert_int_equal(url.port, 6380);
    assert_string_equal(url.user, "user");
    assert_true(redis_url_parse("redis://alone@h/", &url));
    assert_string_equal(url.user, "");
    assert_string_equal(url.password, "alone");
}

static void files_are_there_and_can_be_read(void **state)
{
    (void)state;
    refused("WEB_ROOT", "/nope");
    refused("WEB_ROOT", "/dev/null");
    refused("SMTP_CA_FILE", "/nope");
    refused("SMTP_CA_FILE", "/tmp");
    setenv("TLS_CERT_FILE", "/dev/null", 1);
    refused("TLS_KEY_FILE", "/nope");
    setenv("TLS_KEY_FILE", "/dev/null", 1);
    refused("TLS_CERT_FILE", "/nope");
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

static void without_env_file_the_folders_own_is_read(void **state)
{
    (void)state;
    struct config config;
    char folder[] = "/tmp/test-config-XXXXXX", reason[256];
    assert_non_null(mkdtemp(folder));
    assert_int_equal(chdir(folder), 0);
    read_all(&config); /* there is none */
    config_free(&config);
    assert_int_equal(mkdir(".env", 0700), 0);
    read_all(&config); /* a folder is none */
    config_free(&config);
    assert_int_equal(rmdir(".env"), 0);
    FILE *file = fopen(".env", "w");
    fputs("NODE_ID=ap-2\nHTTP_PORT=2001\nMQTT_PORT=none\n", file);
    fclose(file);
    setenv("HTTP_PORT", "3001", 1);
    assert_int_equal(config_read(&config, reason, sizeof reason), ERR_CONFIG);
    setenv("MQTT_PORT", "3000", 1);
    read_all(&config);
    assert_string_equal(config.node_id, "ap-2");
    assert_int_equal(config.http_port, 3001);
    config_free(&config);
    clearenv();
    setenv("ENV_FILE", "/dev/null", 1); /* instead of it */
    read_all(&config);
    assert_string_equal(config.node_id, "eu-1");
    config_free(&config);
    unlink(".env");
    assert_int_equal(chdir("/"), 0);
    rmdir(folder);
}

int main(void)
{
    assert_int_equal(chdir("/"), 0); /* away from any .env */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(nothing_set_gives_the_defaults, clear),
        cmocka_unit_test_setup(the_environment_is_read, clear),
        cmocka_unit_test_setup(a_wrong_value_is_one_line_that_names_it, clear),
        cmocka_unit_test_setup(regions_are_named_once_and_hold_the_nodes_own, clear),
        cmocka_unit_test_setup(addresses_are_such_as_can_be_listened_on_and_reached, clear),
        cmocka_unit_test_setup(no_two_listen_on_one_port, clear),
        cmocka_unit_test_setup(an_address_of_a_server_is_one, clear),
        cmocka_unit_test(the_parts_of_a_redis_url),
        cmocka_unit_test_setup(files_are_there_and_can_be_read, clear),
        cmocka_unit_test_setup(the_environment_wins_over_the_file, clear),
        cmocka_unit_test_setup(without_env_file_the_folders_own_is_read, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
