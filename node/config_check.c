#include "node/config_check.h"
#include "node/config.h"
#include "node/redis_url.h"
#include "proto/limits.h"
#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <libpq-fe.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_MAX_LEN 63
#define HOST_MAX_LEN 253 /* RFC 1035, 2.3.4, as text */

struct complaint {
    char *text;
    size_t size;
};

static int __attribute__((format(printf, 2, 3)))
wrong(const struct complaint *self, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(self->text, self->size, format, args);
    va_end(args);
    return ERR_CONFIG;
}

/* ---- names ---- */

/* How many of the first characters of `text` are a name. */
static size_t name_length(const char *text)
{
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len <= NAME_MAX_LEN && *text != '-' ? len : 0;
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

/* How often the list has the name; `ret_names` is how many names it has. */
static unsigned list_count(const char *list, const char *name, size_t name_len, unsigned *ret_names)
{
    unsigned found = 0;
    *ret_names = 0;
    for (const char *at = list; *at != '\0'; ++*ret_names) {
        size_t len = strcspn(at, ",");
        found += len == name_len && memcmp(at, name, len) == 0;
        at += len + (at[len] == ',');
    }
    return found;
}

static int check_regions(const struct config *config, const struct complaint *out)
{
    const char *list = config->cluster_regions, *own = config->node_region;
    unsigned names;
    if (!list_valid(list))
        return wrong(out,
                     "CLUSTER_REGIONS: \"%s\" is no list of names: a-z, 0-9 and '-', a comma "
                     "between each two",
                     list);
    for (const char *at = list; *at != '\0';) {
        size_t len = strcspn(at, ",");
        if (list_count(list, at, len, &names) > 1)
            return wrong(out, "CLUSTER_REGIONS: \"%s\" names %.*s twice", list, (int)len, at);
        at += len + (at[len] == ',');
    }
    if (*list == '\0') /* the node's own */
        return 0;
    if (list_count(list, own, strlen(own), &names) == 0)
        return wrong(out, "CLUSTER_REGIONS: \"%s\" lacks this node's own region, %s", list, own);
    if (names > LIMIT_REGIONS)
        return wrong(out, "CLUSTER_REGIONS: \"%s\" has more than %d names", list, LIMIT_REGIONS);
    return 0;
}

static int check_names(const struct config *config, const struct complaint *out)
{
    const char *what = "is not 1 to 63 of a-z, 0-9 and '-'";
    if (!name_valid(config->node_id))
        return wrong(out, "NODE_ID: \"%s\" %s", config->node_id, what);
    if (!name_valid(config->node_region))
        return wrong(out, "NODE_REGION: \"%s\" %s", config->node_region, what);
    return check_regions(config, out);
}

/* ---- addresses ---- */

/* IPv4 or IPv6, without brackets. `ret_any`: it stands for all of a machine's addresses. */
static bool address_parse(const char *text, bool *ret_any)
{
    static const unsigned char nothing[16];
    unsigned char bytes[16];
    int family = strchr(text, ':') != NULL ? AF_INET6 : AF_INET;
    if (inet_pton(family, text, bytes) != 1)
        return false;
    *ret_any = memcmp(bytes, nothing, family == AF_INET6 ? 16 : 4) == 0;
    return true;
}

/* Names of hosts, whose last part is no number: that would be an address, and a wrong one. */
static bool host_valid(const char *text)
{
    const char *last = strrchr(text, '.');
    last = last != NULL ? last + 1 : text;
    if (strlen(text) > HOST_MAX_LEN || !isalnum((unsigned char)*text) || strstr(text, "..") != NULL)
        return false;
    for (const char *c = text; *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && strchr("-_.", *c) == NULL)
            return false;
    return last[strspn(last, "0123456789")] != '\0' || *last == '\0';
}

static int check_addresses(const struct config *config, const struct complaint *out)
{
    const char *bind = config->bind_address, *known = config->advertise_address;
    size_t len = strlen(known);
    char plain[HOST_MAX_LEN + 3];
    bool any = false;
    if (!address_parse(bind, &any))
        return wrong(out, "BIND_ADDRESS: \"%s\" is no address of IPv4 or IPv6", bind);
    if (any && strcmp(known, bind) == 0)
        return wrong(out,
                     "ADVERTISE_ADDRESS: must be set with BIND_ADDRESS %s: others cannot reach "
                     "this node there",
                     bind);
    bool brackets = len > 2 && known[0] == '[' && known[len - 1] == ']';
    snprintf(plain, sizeof plain, "%.*s", (int)(brackets ? len - 2 : len), known + brackets);
    any = false;
    if ((brackets && strchr(plain, ':') == NULL) ||
        (!address_parse(plain, &any) && !host_valid(known)))
        return wrong(out, "ADVERTISE_ADDRESS: \"%s\" is neither an address nor a host's name",
                     known);
    if (any)
        return wrong(out, "ADVERTISE_ADDRESS: others cannot reach this node at %s", known);
    return 0;
}

/* A port that is 0 is off, or the system's choice. */
static int check_ports(const struct config *config, const struct complaint *out)
{
    const struct {
        const char *name;
        int64_t port;
    } ports[] = {{"MQTT_PORT", config->mqtt_port},
                 {"MQTTS_PORT", config->tls_cert_file[0] != '\0' ? config->mqtts_port : 0},
                 {"HTTP_PORT", config->http_port},
                 {"MESH_PORT", config->mesh_port}};
    for (size_t i = 0; i < sizeof ports / sizeof *ports; i++)
        for (size_t k = 0; k < i; k++)
            if (ports[i].port != 0 && ports[i].port == ports[k].port)
                return wrong(out, "%s: %d is %s too", ports[i].name, (int)ports[i].port,
                             ports[k].name);
    return 0;
}

/* ---- servers ---- */

/* libpq looks at ports only when it connects: `list` may have one for each host, or empty ones. */
static bool ports_valid(const char *list)
{
    for (; *list != '\0'; list += *list == ',') {
        size_t len = strspn(list, "0123456789");
        long port = len > 0 && len <= 5 ? atol(list) : 0;
        if ((list[len] != '\0' && list[len] != ',') || port > 65535 || (len > 0 && port < 1))
            return false;
        list += len;
    }
    return true;
}

static bool database_valid(const char *url)
{
    PQconninfoOption *options = PQconninfoParse(url, NULL);
    bool valid = options != NULL;
    for (PQconninfoOption *o = options; o != NULL && o->keyword != NULL; o++)
        if (strcmp(o->keyword, "port") == 0 && o->val != NULL)
            valid &= ports_valid(o->val);
    PQconninfoFree(options);
    return valid;
}

static int check_servers(const struct config *config, const struct complaint *out)
{
    const struct {
        const char *name, *url;
    } databases[] = {{"DATABASE_URL", config->database_url},
                     {"DATABASE_READ_URL", config->database_read_url},
                     {"DATABASE_ADMIN_URL", config->database_admin_url}};
    for (size_t i = 0; i < sizeof databases / sizeof *databases; i++)
        if (!database_valid(databases[i].url))
            return wrong(out, "%s: is not postgresql://user:password@host:port/database",
                         databases[i].name);
    struct redis_url ignored;
    if (config->redis_url[0] != '\0' && !redis_url_parse(config->redis_url, &ignored))
        return wrong(out, "REDIS_URL: is not redis://[[user]:password@]host[:port]");
    return 0;
}

/* ---- files ---- */

static int check_file(const char *name, const char *path, bool folder, const struct complaint *out)
{
    struct stat info;
    if (*path == '\0')
        return 0;
    if (stat(path, &info) != 0 || access(path, folder ? R_OK | X_OK : R_OK) != 0)
        return wrong(out, "%s: could not read \"%s\": %s", name, path, strerror(errno));
    if (S_ISDIR(info.st_mode) != folder)
        return wrong(out, "%s: \"%s\" is %s folder", name, path, folder ? "no" : "a");
    return 0;
}

static int check_files(const struct config *config, const struct complaint *out)
{
    if ((config->tls_cert_file[0] == '\0') != (config->tls_key_file[0] == '\0'))
        return wrong(out, "TLS_CERT_FILE and TLS_KEY_FILE belong together: set both");
    int rc = check_file("TLS_CERT_FILE", config->tls_cert_file, false, out);
    if (rc == 0)
        rc = check_file("TLS_KEY_FILE", config->tls_key_file, false, out);
    if (rc == 0)
        rc = check_file("WEB_ROOT", config->web_root, true, out);
    if (rc == 0)
        rc = check_file("SMTP_CA_FILE", config->smtp_ca_file, false, out);
    return rc;
}

int config_check(const struct config *config, char *ret_reason, size_t size)
{
    const struct complaint out = {ret_reason, size};
    int rc = check_names(config, &out);
    if (rc == 0)
        rc = check_addresses(config, &out);
    if (rc == 0)
        rc = check_ports(config, &out);
    if (rc == 0)
        rc = check_servers(config, &out);
    if (rc == 0)
        rc = check_files(config, &out);
    if (rc == 0 && config->jwt_secret_key[0] != '\0' && strlen(config->jwt_secret_key) < 32)
        rc = wrong(&out, "JWT_SECRET_KEY: shorter than 32 bytes");
    return rc;
}
