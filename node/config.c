#include "node/config.h"
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct setting {
    const char *name, *fallback, *help;
    enum config_kind kind;
    int64_t least, most;
    size_t at;
};

static const struct setting settings[] = {
#define TEXT(field, name, fallback, help)                                                          \
    {name, fallback, help, CONFIG_TEXT, 0, 0, offsetof(struct config, field)},
#define NUMBER(field, name, fallback, min, max, help)                                              \
    {name, #fallback, help, CONFIG_NUMBER, min, max, offsetof(struct config, field)},
#define FLAG(field, name, fallback, help)                                                          \
    {name, #fallback, help, CONFIG_FLAG, 0, 0, offsetof(struct config, field)},
#include "node/config.def"
#undef TEXT
#undef NUMBER
#undef FLAG
};
#define SETTINGS (sizeof settings / sizeof *settings)

static char *trim(char *text)
{
    size_t len = strlen(text);
    while (len > 0 && strchr(" \t\r\n", text[len - 1]) != NULL)
        text[--len] = '\0';
    while (*text == ' ' || *text == '\t')
        text++;
    len = strlen(text);
    if (len >= 2 && (*text == '"' || *text == '\'') && text[len - 1] == *text) {
        text[len - 1] = '\0';
        text++;
    }
    return text;
}

/* NAME=value lines; what the environment has already wins. */
static int read_env_file(const char *path, char *ret_reason, size_t size)
{
    char line[4096];
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        snprintf(ret_reason, size, "ENV_FILE: could not open \"%s\": %s", path, strerror(errno));
        return ERR_CONFIG;
    }
    while (fgets(line, sizeof line, file) != NULL) {
        char *name = trim(line), *equals = strchr(name, '=');
        if (*name == '#' || equals == NULL)
            continue;
        *equals = '\0';
        setenv(trim(name), trim(equals + 1), 0);
    }
    fclose(file);
    return 0;
}

static int read_number(const struct setting *s, const char *text, int64_t *ret, char *ret_reason,
                       size_t size)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || value < s->least || value > s->most) {
        snprintf(ret_reason, size, "%s: \"%s\" is not a number from %" PRId64 " to %" PRId64,
                 s->name, text, s->least, s->most);
        return ERR_CONFIG;
    }
    *ret = value;
    return 0;
}

static int read_flag(const struct setting *s, const char *text, bool *ret, char *ret_reason,
                     size_t size)
{
    static const char *const words[] = {"false", "true", "0", "1", "no", "yes", "off", "on"};
    for (unsigned i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0) {
            *ret = i % 2 == 1;
            return 0;
        }
    snprintf(ret_reason, size, "%s: \"%s\" is neither true nor false", s->name, text);
    return ERR_CONFIG;
}

static int read_setting(const struct setting *s, struct config *config, char *ret_reason,
                        size_t size)
{
    const char *text = getenv(s->name);
    void *field = (char *)config + s->at;
    if (text == NULL || *text == '\0')
        text = s->fallback;
    switch (s->kind) {
    case CONFIG_NUMBER:
        return read_number(s, text, field, ret_reason, size);
    case CONFIG_FLAG:
        return read_flag(s, text, field, ret_reason, size);
    case CONFIG_TEXT:
        break;
    }
    char *copy = strdup(text);
    *(const char **)field = copy;
    return copy != NULL ? 0 : ERR_MEMORY;
}

/* How many of the first characters of `text` are a name. */
static size_t name_length(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len <= 63 && *text != '-' ? len : 0;
}

static bool name_valid(const char *name)
{
    return *name != '\0' && name[name_length(name)] == '\0';
}

/* Names with a comma between each two. */
static bool list_valid(const char *list)
{
    while (*list != '\0') {
        size_t len = name_length(list);
        if (len == 0 || (list[len] != '\0' && (list[len] != ',' || list[len + 1] == '\0')))
            return false;
        list += len + (list[len] == ',');
    }
    return true;
}

static int check_names(const struct config *config, char *ret_reason, size_t size)
{
    const char *name = NULL, *value = NULL, *what = "is not 1 to 63 of a-z, 0-9 and '-'";
    if (!name_valid(config->node_id)) {
        name = "NODE_ID";
        value = config->node_id;
    } else if (!name_valid(config->node_region)) {
        name = "NODE_REGION";
        value = config->node_region;
    } else if (!list_valid(config->cluster_regions)) {
        name = "CLUSTER_REGIONS";
        value = config->cluster_regions;
        what = "is no list of names: a-z, 0-9 and '-', a comma between each two";
    }
    if (name == NULL)
        return 0;
    snprintf(ret_reason, size, "%s: \"%s\" %s", name, value, what);
    return ERR_CONFIG;
}

static int check(struct config *config, char *ret_reason, size_t size)
{
    if (config->node_region[0] == '\0') {
        const char *dash = strrchr(config->node_id, '-');
        size_t len = dash != NULL ? (size_t)(dash - config->node_id) : strlen(config->node_id);
        free((void *)config->node_region);
        config->node_region = strndup(config->node_id, len);
    }
    int rc = check_names(config, ret_reason, size);
    if (rc != 0)
        return rc;
    if (config->advertise_address[0] == '\0') {
        free((void *)config->advertise_address);
        config->advertise_address = strdup(config->bind_address);
    }
    if ((config->tls_cert_file[0] == '\0') != (config->tls_key_file[0] == '\0')) {
        snprintf(ret_reason, size, "TLS_CERT_FILE and TLS_KEY_FILE belong together: set both");
        return ERR_CONFIG;
    }
    if (config->jwt_secret_key[0] != '\0' && strlen(config->jwt_secret_key) < 32) {
        snprintf(ret_reason, size, "JWT_SECRET_KEY: shorter than 32 bytes");
        return ERR_CONFIG;
    }
    return 0;
}

int config_read(struct config *ret_config, char *ret_reason, unsigned long reason_size)
{
    struct config config = {0};
    const char *env_file = getenv("ENV_FILE");
    int rc = env_file != NULL ? read_env_file(env_file, ret_reason, reason_size) : 0;
    for (size_t i = 0; rc == 0 && i < SETTINGS; i++)
        rc = read_setting(&settings[i], &config, ret_reason, reason_size);
    if (rc == 0)
        rc = check(&config, ret_reason, reason_size);
    if (rc != 0) {
        config_free(&config);
        return rc;
    }
    *ret_config = config;
    return 0;
}

void config_free(struct config *self)
{
    for (size_t i = 0; i < SETTINGS; i++)
        if (settings[i].kind == CONFIG_TEXT)
            free(*(void **)((char *)self + settings[i].at));
    memset(self, 0, sizeof *self);
}

void config_help(void)
{
    puts("Settings, from the environment or the file that ENV_FILE names:\n");
    for (size_t i = 0; i < SETTINGS; i++)
        printf("  %-26s %s%s%s%s\n", settings[i].name, settings[i].help,
               settings[i].fallback[0] != '\0' ? " (" : "", settings[i].fallback,
               settings[i].fallback[0] != '\0' ? ")" : "");
}
