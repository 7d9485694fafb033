#include "options.h"
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum kind { WORD, WHOLE, REAL, FLAG };

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    double low, high;
    const char *help;
};

#define AT(member) offsetof(struct options, member)

static const struct option table[] = {
    {"host", WORD, AT(host), 0, 0, "server, or several as HOST[:PORT],HOST[:PORT] in turn"},
    {"port", WHOLE, AT(port), 1, 65535, "port of a server that names none (1883)"},
    {"any-host", FLAG, AT(any_host), 0, 0, "allow servers that are not on loopback"},
    {"together", FLAG, AT(together), 0, 0, "all begin at the first server of --host, none in turn"},
    {"mqtt", WHOLE, AT(version), 3, 5, "3: MQTT 3.1.1, 5: MQTT 5 (3)"},
    {"connections", WHOLE, AT(connections), 1, 1e6, "number of connections (1)"},
    {"devices", WHOLE, AT(devices), 1, 1e12, "devices, dealt in turn to connections (connections)"},
    {"first", WHOLE, AT(first), 0, 1e12, "number of the first device (0)"},
    {"tenant", WORD, AT(tenant), 0, 0, "uuid that {tenant} gives"},
    {"tenants", WHOLE, AT(tenants), 1, 1e12, "without --tenant: device d is of tenant d mod N (1)"},
    {"user", WORD, AT(user), 0, 0, "user name template"},
    {"pass", WORD, AT(pass), 0, 0, "password template"},
    {"client-id", WORD, AT(client_id), 0, 0, "client id template (load-{pid}-{conn})"},
    {"topic", WORD, AT(topic), 0, 0, "topic template ({tenant}/devices/{device}/telemetry)"},
    {"payload", WORD, AT(payload), 0, 0, "payload template (five metrics, seq and t_us)"},
    {"qos", WHOLE, AT(qos), 0, 1, "0 or 1 (1)"},
    {"window", WHOLE, AT(window), 1, 16384, "unacknowledged messages a connection may have (20)"},
    {"rate", REAL, AT(rate), 0, 1e7, "messages/s in total (0: as fast as acknowledged)"},
    {"burst", WHOLE, AT(burst), 1, 1000,
     "with --rate: due messages to one connection in a row (1)"},
    {"seconds", REAL, AT(seconds), 0, 1e7, "end after this time"},
    {"messages", WHOLE, AT(messages), 0, 1e15, "end after so many messages"},
    {"drain", REAL, AT(drain), 0, 1e6, "seconds to wait for the last acknowledgements (10)"},
    {"stall", REAL, AT(stall), 0, 1e6, "end when nothing was acknowledged for so long (60)"},
    {"connect-timeout", REAL, AT(connect_timeout), 0, 1e6, "seconds to get connected (30)"},
    {"redial-timeout", REAL, AT(redial_timeout), 0.1, 1e6,
     "with --reconnect: seconds a try to connect may take (5)"},
    {"keepalive", WHOLE, AT(keepalive), 0, 65535, "seconds, 0: off (60)"},
    {"reconnect", FLAG, AT(reconnect), 0, 0, "keep the session, reconnect, resend with DUP=1"},
    {"idle", FLAG, AT(idle), 0, 0, "connect, print \"connected N\", stay"},
    {"announce", FLAG, AT(announce), 0, 0, "print \"connected N\", publish after a line of input"},
    {"ledger", WORD, AT(ledger), 0, 0, "file for a line `device seq` per acknowledged message"},
    {"waits", WORD, AT(waits), 0, 0,
     "file for a line `device ms` per connection: the longest wait of a message of it"},
    {"seq-start", WHOLE, AT(seq_start), 0, 1e15, "first {seq} (0)"},
    {"seed", WHOLE, AT(seed), 0, 1e15, "of the random numbers (1)"},
};

static const struct options defaults = {
    .host = "127.0.0.1",
    .port = 1883,
    .version = 3,
    .connections = 1,
    .tenants = 1,
    .client_id = "load-{pid}-{conn}",
    .topic = "{tenant}/devices/{device}/telemetry",
    .payload = "{\"temperature\":{rand:15:35:2},\"humidity\":{rand:20:80:1},"
               "\"pressure\":{rand:980:1040:1},\"battery\":{rand:20:100},"
               "\"rssi\":{rand:-110:-40},\"seq\":{seq},\"t_us\":{t_us}}",
    .qos = 1,
    .window = 20,
    .burst = 1,
    .drain = 10,
    .stall = 60,
    .connect_timeout = 30,
    .redial_timeout = 5,
    .keepalive = 60,
    .seed = 1,
};

static void help(void)
{
    puts("usage: gito-load [--OPTION VALUE]...   publishes MQTT load, prints one JSON object\n");
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        printf("  --%-16s %s\n", table[i].name, table[i].help);
    puts("\ntemplates: {conn} {dev} {seq} {pid} numbers, {device} {tenant} uuids,\n"
         "  {t_us} clock in us modulo 10^10, {clock_us} clock in us,\n"
         "  {rand:LO:HI[:DECIMALS[:PPM:SPIKE]]} random, SPIKE instead PPM times in a million.\n"
         "  In credentials {dev} and {device} are the first device of the connection.\n"
         "SIGTERM and SIGINT stop publishing, wait for the acknowledgements of what is sent\n"
         "(--drain) and report; a second one does not wait.\n"
         "exit: 0 all acknowledged, 2 wrong usage, 3 something was lost, refused or not "
         "acknowledged");
}

static void wrong(const char *name, const char *why)
{
    fprintf(stderr, "gito-load: --%s %s\n", name, why);
    exit(2);
}

static void assign(const struct option *option, struct options *options, const char *value)
{
    void *place = (char *)options + option->offset;
    if (option->kind == FLAG) {
        *(bool *)place = true;
        return;
    }
    if (option->kind == WORD) {
        *(const char **)place = value;
        return;
    }
    char *end;
    errno = 0;
    double number = strtod(value, &end);
    if (end == value || *end != '\0' || errno != 0 || !(number >= option->low) ||
        !(number <= option->high))
        wrong(option->name, "takes a number within its range");
    if (option->kind == REAL)
        *(double *)place = number;
    else
        *(uint64_t *)place = (uint64_t)number;
}

static const struct option *find(const char *argument)
{
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        if (strncmp(argument, "--", 2) == 0 && strcmp(argument + 2, table[i].name) == 0)
            return &table[i];
    }
    if (strcmp(argument, "--help") == 0) {
        help();
        exit(0);
    }
    fprintf(stderr, "gito-load: unknown option '%s'; see --help\n", argument);
    exit(2);
}

static void check(const struct options *options)
{
    if (!options->idle && options->messages == 0 && options->seconds <= 0)
        wrong("seconds", "or --messages is needed: a load has an end");
    if (options->tenant != NULL && strlen(options->tenant) != 36)
        wrong("tenant", "takes a uuid of 36 characters");
    if (options->version == 4)
        wrong("mqtt", "is 3 (for 3.1.1) or 5");
    if (options->pass != NULL && options->user == NULL)
        wrong("pass", "needs --user");
}

void options_parse(struct options *ret_options, int argc, char **argv)
{
    struct options options = defaults;
    for (int i = 1; i < argc; i++) {
        const struct option *option = find(argv[i]);
        const char *value = NULL;
        if (option->kind != FLAG) {
            if (++i == argc)
                wrong(option->name, "needs a value");
            value = argv[i];
        }
        assign(option, &options, value);
    }
    check(&options);
    if (options.devices == 0)
        options.devices = options.connections;
    *ret_options = options;
}
