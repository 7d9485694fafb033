/*
 * gito-sim - whole systems on one thread, each from one seed. README.md says what is checked.
 *
 * Without arguments: 4,000 seeds, 100 a test, and each mutation until the checker finds it, a test
 * each. The last line counts the tests. Exit status 1: a test failed.
 */
#include "proto/check.h"
#include "tests/sim/world.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define GROUP 100
#define MUTATION_SEEDS_MAX 1000

static const struct {
    const char *name, *text;
} mutations[MUTATIONS] = {
#define MUTATION(name, text) [MUTATION_##name] = {#name, text},
#include "tests/sim/mutation.def"
#undef MUTATION
};

struct options {
    uint64_t seed, seeds;
    enum mutation mutation;
    bool plain, mutated; /* which parts run */
};

static struct world world;
static sigjmp_buf mutated;

/* Of a run without a mutation, it is the end. A wrong environment may as well meet a CHECK. */
static void on_abort(int signal_number)
{
    (void)signal_number;
    if (world.mutation != MUTATION_NONE) {
        snprintf(world.failure, sizeof world.failure, "a check of the product failed");
        siglongjmp(mutated, 1);
    }
    printf("seed %" PRIu64 " aborted\n", world.seed);
    trace_print(&world);
    fflush(stdout);
    _exit(1);
}

static void tell_failure(void)
{
    printf("seed %" PRIu64 ": %s\n", world.seed, world.failure);
    trace_print(&world);
    printf("again: gito-sim --seed %" PRIu64 "%s%s\n", world.seed,
           world.mutation ? " --mutation " : "",
           world.mutation ? mutations[world.mutation].name : "");
}

/* False at the first seed that fails. */
static bool run_seeds(uint64_t from, uint64_t count, enum mutation mutation)
{
    if (sigsetjmp(mutated, 1) != 0) {
        tell_failure();
        return false;
    }
    for (uint64_t seed = from; seed < from + count; seed++)
        if (!world_run(&world, seed, mutation)) {
            tell_failure();
            return false;
        }
    return true;
}

/* True when the checker finds it. */
static bool run_mutation(enum mutation mutation, uint64_t from)
{
    if (sigsetjmp(mutated, 1) == 0)
        for (uint64_t seed = from; seed < from + MUTATION_SEEDS_MAX; seed++)
            if (!world_run(&world, seed, mutation))
                break;
    bool found = world.failure[0] != '\0';
    printf("%-22s %s", mutations[mutation].name, found ? "found: " : "NOT FOUND: ");
    if (found)
        printf("seed %" PRIu64 ": %s\n", world.seed, world.failure);
    else
        printf("%s\n", mutations[mutation].text);
    return found;
}

static int usage(void)
{
    printf("gito-sim [--seeds N] [--seed S] [--mutation NAME] [--mutations]\n");
    for (int i = 1; i < MUTATIONS; i++)
        printf("  %-22s %s\n", mutations[i].name, mutations[i].text);
    return 2;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--mutations") == 0) {
            options->plain = false;
            continue;
        }
        if (value == NULL)
            return false;
        if (strcmp(argv[i], "--seeds") == 0) {
            options->seeds = strtoull(value, NULL, 10);
            options->mutated = false;
        } else if (strcmp(argv[i], "--seed") == 0) {
            options->seed = strtoull(value, NULL, 10);
            options->seeds = 1;
            options->mutated = false;
        } else if (strcmp(argv[i], "--mutation") == 0) {
            for (int m = 1; m < MUTATIONS; m++)
                if (strcmp(value, mutations[m].name) == 0)
                    options->mutation = (enum mutation)m;
            if (options->mutation == MUTATION_NONE)
                return false;
            options->mutated = false;
        } else {
            return false;
        }
        i++;
    }
    return true;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .seeds = 4000, .plain = true, .mutated = true};
    unsigned passed = 0, failed = 0;
    if (!read_options(argc, argv, &options))
        return usage();
    signal(SIGABRT, on_abort);
    for (uint64_t done = 0; options.plain && done < options.seeds; done += GROUP) {
        uint64_t count = options.seeds - done < GROUP ? options.seeds - done : GROUP;
        bool ok = run_seeds(options.seed + done, count, options.mutation);
        passed += ok;
        failed += !ok;
    }
    for (int m = 1; options.mutated && m < MUTATIONS; m++) {
        bool ok = run_mutation((enum mutation)m, options.seed);
        passed += ok;
        failed += !ok;
    }
    printf("a test is a group of up to %d seeds, or a mutation that is found\n", GROUP);
    printf("%u passed, %u failed\n", passed, failed);
    return failed == 0 ? 0 : 1;
}
