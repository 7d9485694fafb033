#pragma once
/*
 * command - what the command line asks the program for.
 *
 * In:    argc, argv.
 * Out:   one command; --help and --version are answered here.
 * Owner: main. Texts point into argv.
 */
#include <stdint.h>

enum exit_status { EXIT_RUN_FAILED = 1, EXIT_BAD_CONFIG = 2 };

/* Letters, or getopt_long could not tell them from its own answers. */
enum command_kind {
    COMMAND_RUN = 'r',
    COMMAND_CHECK = 'c',
    COMMAND_MIGRATE = 'm',
    COMMAND_SEED_DEMO = 's',
    COMMAND_PROVISION = 'p', /* devices, or a service account where `account` is set */
    COMMAND_BENCH_WRITER = 'w',
    COMMAND_BENCH_ACTORS = 'a',
    COMMAND_BENCH_PLANNER = 'n'
};

struct command {
    enum command_kind kind;
    const char *tenant, *secret_template, *account, *password;
    int64_t devices, number; /* number: of seconds, actors, nodes to measure */
};

/* Ends the program with EXIT_BAD_CONFIG where the words are wrong: one line, or the usage. */
struct command command_parse(int argc, char **argv);
