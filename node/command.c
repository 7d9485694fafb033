#include "node/command.h"
#include "node/config.h"
#include "proto/limits.h"
#include "sql/provision.h"
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#define BENCH_SECONDS_MAX 86400
#define BENCH_ACTORS_MAX 100000000

static const char usage[] =
    "usage: gito-node [COMMAND]\n\n"
    "Without a command it runs a node until SIGTERM.\n"
    "  --check          says what is wrong with the settings, exit status 2, or nothing\n"
    "Commands, by DATABASE_ADMIN_URL:\n"
    "  --migrate        bring the schema up to date\n"
    "  --seed-demo      demo tenant, users, device, service account\n"
    "  --provision --tenant T --devices N --secret-template S\n"
    "  --provision --tenant T --service-account NAME --password PW\n"
    "Measurements:\n"
    "  --bench-writer SECONDS   the writer's own statement, fed from memory\n"
    "  --bench-actors N         memory of N idle device actors\n"
    "  --bench-planner N        slots that move as a region grows to N nodes and one\n"
    "  --help, --version\n\n";

static _Noreturn void refuse(void)
{
    fputs(usage, stderr);
    exit(EXIT_BAD_CONFIG);
}

static int64_t number(const char *option, const char *text, int64_t most)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    if (errno == 0 && end != text && *end == '\0' && value >= 1 && value <= most)
        return value;
    fprintf(stderr, "--%s: \"%s\" is not a number from 1 to %" PRId64 "\n", option, text, most);
    exit(EXIT_BAD_CONFIG);
}

static void take_command(struct command *c, int option)
{
    switch (option) {
    case 'h':
        fputs(usage, stdout);
        config_help();
        exit(0);
    case 'v':
        puts("gito-node " GITO_VERSION);
        exit(0);
    case COMMAND_BENCH_WRITER:
        c->number = number("bench-writer", optarg, BENCH_SECONDS_MAX);
        break;
    case COMMAND_BENCH_ACTORS:
        c->number = number("bench-actors", optarg, BENCH_ACTORS_MAX);
        break;
    case COMMAND_BENCH_PLANNER:
        c->number = number("bench-planner", optarg, LIMIT_NODES);
        break;
    default:
        break;
    }
    c->kind = (enum command_kind)option;
}

static bool take_value(struct command *c, int option)
{
    switch (option) {
    case 'T':
        c->tenant = optarg;
        return true;
    case 'D':
        c->devices = number("devices", optarg, PROVISION_DEVICES_MAX);
        return true;
    case 'S':
        c->secret_template = optarg;
        return true;
    case 'A':
        c->account = optarg;
        return true;
    case 'P':
        c->password = optarg;
        return true;
    default:
        return false;
    }
}

/* Devices or a service account, each with all of its options. */
static bool is_whole(const struct command *c)
{
    bool account = c->account != NULL && c->password != NULL;
    bool devices = c->devices > 0 && c->secret_template != NULL;
    return c->kind != COMMAND_PROVISION || (c->tenant != NULL && account != devices);
}

struct command command_parse(int argc, char **argv)
{
    static const struct option options[] = {{"help", 0, 0, 'h'},
                                            {"version", 0, 0, 'v'},
                                            {"check", 0, 0, COMMAND_CHECK},
                                            {"migrate", 0, 0, COMMAND_MIGRATE},
                                            {"seed-demo", 0, 0, COMMAND_SEED_DEMO},
                                            {"provision", 0, 0, COMMAND_PROVISION},
                                            {"bench-writer", 1, 0, COMMAND_BENCH_WRITER},
                                            {"bench-actors", 1, 0, COMMAND_BENCH_ACTORS},
                                            {"bench-planner", 1, 0, COMMAND_BENCH_PLANNER},
                                            {"tenant", 1, 0, 'T'},
                                            {"devices", 1, 0, 'D'},
                                            {"secret-template", 1, 0, 'S'},
                                            {"service-account", 1, 0, 'A'},
                                            {"password", 1, 0, 'P'},
                                            {0}};
    struct command c = {.kind = COMMAND_RUN};
    for (int o; (o = getopt_long(argc, argv, "h", options, NULL)) != -1;) {
        if (o == '?')
            refuse();
        if (!take_value(&c, o))
            take_command(&c, o);
    }
    if (optind < argc || !is_whole(&c))
        refuse();
    return c;
}
