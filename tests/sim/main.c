/*
 * gito-sim - whole clusters on one thread, each from one seed. README.md says what is checked.
 *
 * Without arguments: 1,000 seeds, 50 a test, and each mutation until the checker finds it, a test
 * each; tests run in processes of their own, as many at once as there are processors. The last line
 * counts them. Exit status 1: a test failed.
 */
#include "proto/check.h"
#include "tests/sim/world.h"
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define GROUP 50
#define MUTATION_SEEDS_MAX 1000
#define JOBS_MAX 64
#define LINES_SHOWN 60 /* of the trace of one seed of many */

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
    bool plain, mutated, statistics; /* which parts run */
};

/* A group of seeds, or a mutation. */
struct job {
    uint64_t from, count;
    enum mutation mutation;
    bool to_be_found;
    pid_t pid; /* 0: not started, or over */
    FILE *output;
};

static struct world world;
static struct sim_stats sum;
static sigjmp_buf aborted;

static void on_abort(int signal_number)
{
    (void)signal_number;
    snprintf(world.failure, sizeof world.failure, "a check of the product failed");
    siglongjmp(aborted, 1);
}

static bool run_seed(uint64_t seed, enum mutation mutation, bool tracing)
{
    if (sigsetjmp(aborted, 1) != 0)
        return false;
    bool ok = world_run(&world, seed, mutation, tracing);
    sum.steps += world.stats.steps;
    sum.moves += world.stats.moves;
    sum.deaths += world.stats.deaths;
    sum.checked += world.stats.checked;
    return ok;
}

/* Once more, to see how. */
static void tell_failure(uint64_t seed, enum mutation mutation, uint32_t lines)
{
    run_seed(seed, mutation, true);
    printf("seed %" PRIu64 ": %s\n", seed, world.failure);
    trace_print(&world, lines);
    printf("again: gito-sim --seed %" PRIu64 "%s%s\n", seed, mutation ? " --mutation " : "",
           mutation ? mutations[mutation].name : "");
}

/* False at the first seed that fails. */
static bool run_seeds(const struct job *job, bool statistics)
{
    for (uint64_t seed = job->from; seed < job->from + job->count; seed++)
        if (!run_seed(seed, job->mutation, false)) {
            tell_failure(seed, job->mutation, job->count == 1 ? UINT32_MAX : LINES_SHOWN);
            return false;
        }
    if (statistics)
        printf("seeds from %" PRIu64 ": %" PRIu64 " steps, %" PRIu64 " moves, %" PRIu64
               " deaths, %" PRIu64 " watched\n",
               job->from, sum.steps, sum.moves, sum.deaths, sum.checked);
    return true;
}

/* True when the checker finds it. */
static bool run_mutation(const struct job *job)
{
    const char *name = mutations[job->mutation].name;
    for (uint64_t seed = job->from; seed < job->from + MUTATION_SEEDS_MAX; seed++)
        if (!run_seed(seed, job->mutation, false)) {
            printf("%-22s found: seed %" PRIu64 ": %s\n", name, seed, world.failure);
            return true;
        }
    printf("%-22s NOT FOUND: %s\n", name, mutations[job->mutation].text);
    return false;
}

/* ---- processes ---- */

static void start_job(struct job *job, bool statistics)
{
    job->output = tmpfile();
    CHECK(job->output != NULL);
    fflush(stdout);
    job->pid = fork();
    CHECK(job->pid >= 0);
    if (job->pid > 0)
        return;
    CHECK(dup2(fileno(job->output), STDOUT_FILENO) >= 0);
    CHECK(dup2(fileno(job->output), STDERR_FILENO) >= 0);
    bool ok = job->to_be_found ? run_mutation(job) : run_seeds(job, statistics);
    fflush(stdout);
    _exit(ok ? 0 : 1);
}

static void show(struct job *job)
{
    char line[1024];
    rewind(job->output);
    while (fgets(line, sizeof line, job->output) != NULL)
        fputs(line, stdout);
    fclose(job->output);
}

/* Waits for one; true: it passed. */
static bool finish_job(struct job *jobs, uint32_t count)
{
    int status;
    pid_t pid = wait(&status);
    CHECK(pid > 0);
    for (uint32_t i = 0; i < count; i++)
        if (jobs[i].pid == pid) {
            jobs[i].pid = 0;
            if (WIFSIGNALED(status))
                printf("seeds from %" PRIu64 ": signal %d\n", jobs[i].from, WTERMSIG(status));
            show(&jobs[i]);
        }
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static unsigned run_jobs(struct job *jobs, uint32_t count, bool statistics)
{
    long at_once = sysconf(_SC_NPROCESSORS_ONLN), running = 0;
    unsigned passed = 0;
    for (uint32_t i = 0; i < count; i++) {
        for (; running >= at_once; running--)
            passed += finish_job(jobs, count);
        start_job(&jobs[i], statistics);
        running++;
    }
    for (; running > 0; running--)
        passed += finish_job(jobs, count);
    return passed;
}

/* ---- arguments ---- */

static int usage(void)
{
    printf("gito-sim [--seeds N] [--seed S] [--mutation NAME] [--mutations] [--statistics]\n");
    for (int i = 1; i < MUTATIONS; i++)
        printf("  %-22s %s\n", mutations[i].name, mutations[i].text);
    return 2;
}

static bool read_value(struct options *options, const char *name, const char *value)
{
    options->mutated = false;
    if (strcmp(name, "--seeds") == 0) {
        options->seeds = strtoull(value, NULL, 10);
    } else if (strcmp(name, "--seed") == 0) {
        options->seed = strtoull(value, NULL, 10);
        options->seeds = 1;
    } else if (strcmp(name, "--mutation") == 0) {
        for (int m = 1; m < MUTATIONS; m++)
            if (strcmp(value, mutations[m].name) == 0)
                options->mutation = (enum mutation)m;
        return options->mutation != MUTATION_NONE;
    } else {
        return false;
    }
    return true;
}

static bool read_options(int argc, char **argv, struct options *options)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutations") == 0)
            options->plain = false;
        else if (strcmp(argv[i], "--statistics") == 0)
            options->statistics = true;
        else if (i + 1 == argc || !read_value(options, argv[i], argv[i + 1]))
            return false;
        else
            i++;
    }
    return true;
}

static uint32_t make_jobs(const struct options *options, struct job *jobs)
{
    uint32_t count = 0;
    uint64_t group = GROUP;
    while (options->seeds / group >= JOBS_MAX - MUTATIONS)
        group *= 2;
    for (int m = 1; options->mutated && m < MUTATIONS; m++)
        jobs[count++] =
            (struct job){.from = options->seed, .mutation = (enum mutation)m, .to_be_found = true};
    for (uint64_t done = 0; options->plain && done < options->seeds; done += group)
        jobs[count++] =
            (struct job){.from = options->seed + done,
                         .count = options->seeds - done < group ? options->seeds - done : group,
                         .mutation = options->mutation};
    return count;
}

int main(int argc, char **argv)
{
    struct options options = {.seed = 1, .seeds = 1000, .plain = true, .mutated = true};
    struct job jobs[JOBS_MAX];
    if (!read_options(argc, argv, &options))
        return usage();
    signal(SIGABRT, on_abort);
    uint32_t count = make_jobs(&options, jobs);
    unsigned passed = run_jobs(jobs, count, options.statistics);
    printf("a test is a group of up to %d seeds, or a mutation that is found\n", GROUP);
    printf("%u passed, %u failed\n", passed, count - passed);
    return passed == count ? 0 : 1;
}
