#include "node/config.h"
#include "node/config_check.h"
#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

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

static int read_lines(FILE *file)
{
    char line[4096];
    while (fgets(line, sizeof line, file) != NULL) {
        char *name = trim(line), *equals = strchr(name, '=');
        if (*name == '#' || equals == NULL)
            continue;
        *equals = '\0';
        setenv(trim(name), trim(equals + 1), 0); /* what the environment has already wins */
    }
    return ferror(file) ? errno : 0;
}

/* NAME=value lines of the file that ENV_FILE names, or else of .env, which need not be there; a
 * folder of that name belongs to others (Python's environments are such). */
static int read_env_file(char *ret_reason, size_t size)
{
    struct stat info;
    const char *given = getenv("ENV_FILE"), *path = given;
    if (given == NULL || *given == '\0') {
        path = ".env";
        if (stat(path, &info) != 0 ? errno == ENOENT : S_ISDIR(info.st_mode))
            return 0;
    }
    FILE *file = fopen(path, "re");
    int error = file == NULL ? errno : read_lines(file);
    if (file != NULL)
        fclose(file);
    if (error == 0)
        return 0;
    snprintf(ret_reason, size, "%s\"%s\": %s",
             path == given ? "ENV_FILE: could not read " : "could not read ", path,
             strerror(error));
    return ERR_CONFIG;
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

static void replace(const char **field, char *value)
{
    free((void *)*field);
    *field = value;
}

/* What is not set follows from what is. */
static int derive(struct config *config)
{
    if (config->node_region[0] == '\0') {
        const char *dash = strrchr(config->node_id, '-');
        size_t len = dash != NULL ? (size_t)(dash - config->node_id) : strlen(config->node_id);
        replace(&config->node_region, strndup(config->node_id, len));
    }
    if (config->advertise_address[0] == '\0')
        replace(&config->advertise_address, strdup(config->bind_address));
    return config->node_region != NULL && config->advertise_address != NULL ? 0 : ERR_MEMORY;
}

/* An address goes into URLs, where IPv6 has brackets: it has them from here on. */
static int bracket(const char **address)
{
    char *text = NULL;
    if (strchr(*address, ':') == NULL || **address == '[')
        return 0;
    if (asprintf(&text, "[%s]", *address) < 0)
        return ERR_MEMORY;
    replace(address, text);
    return 0;
}

/* A value may hold anything, but what is said of it is one line. */
static void make_one_line(char *text)
{
    for (; *text != '\0'; text++)
        if (iscntrl((unsigned char)*text))
            *text = ' ';
}

int config_read(struct config *ret_config, char *ret_reason, unsigned long reason_size)
{
    struct config config = {0};
    int rc = read_env_file(ret_reason, reason_size);
    for (size_t i = 0; rc == 0 && i < SETTINGS; i++)
        rc = read_setting(&settings[i], &config, ret_reason, reason_size);
    if (rc == 0)
        rc = derive(&config);
    if (rc == 0)
        rc = config_check(&config, ret_reason, reason_size);
    if (rc == 0)
        rc = bracket(&config.advertise_address);
    if (rc == ERR_MEMORY)
        snprintf(ret_reason, reason_size, "%s", err_text(rc));
    if (rc != 0) {
        make_one_line(ret_reason);
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
    puts("Settings, from the environment, else from the file that ENV_FILE names (.env):\n");
    for (size_t i = 0; i < SETTINGS; i++)
        printf("  %-26s %s%s%s%s\n", settings[i].name, settings[i].help,
               settings[i].fallback[0] != '\0' ? " (" : "", settings[i].fallback,
               settings[i].fallback[0] != '\0' ? ")" : "");
}
