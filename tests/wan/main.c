/*
 * gito-wan - a wide area network between network namespaces, for tests of a cluster.
 */
#include "command.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

enum { EVENTS_MAX = HOSTS_MAX + 1, STANDARD_INPUT = HOST_NONE, LINE_SIZE = 512, SLACK_NS = 1000 };
#define IDLE_NS INT64_C(1000000000)

struct input {
    char data[LINE_SIZE];
    size_t len;
};

static void help(void)
{
    puts("usage: gito-wan [--seed N] | --check\n\n"
         "Carries packets between network namespaces with delay, jitter, loss, rates and cuts;\n"
         "needs root. Ends with its input. --check tells whether this machine can, and why not.\n"
         "Each line of input is a command, answered by a line:\n\n" COMMAND_HELP);
}

/* Whole lines are commands; false at the end of the input, or of patience with a line. */
static bool read_commands(struct wan *wan, struct input *input)
{
    ssize_t n = read(STDIN_FILENO, input->data + input->len, LINE_SIZE - input->len);
    if (n <= 0)
        return n < 0 && errno == EINTR;
    input->len += (size_t)n;
    for (char *end; (end = memchr(input->data, '\n', input->len)) != NULL;) {
        char answer[COMMAND_ANSWER_SIZE];
        *end = '\0';
        command_run(wan, input->data, answer);
        puts(answer);
        input->len -= (size_t)(end + 1 - input->data);
        memmove(input->data, end + 1, input->len);
    }
    fflush(stdout);
    return input->len < LINE_SIZE;
}

static struct timespec until_due(const struct wan *wan)
{
    int64_t due_ns = agenda_due_ns(&wan->agenda), wait_ns = IDLE_NS;
    if (due_ns != INT64_MAX)
        wait_ns = due_ns - wan_clock();
    if (wait_ns < 0)
        wait_ns = 0;
    if (wait_ns > IDLE_NS)
        wait_ns = IDLE_NS;
    return (struct timespec){.tv_sec = wait_ns / 1000000000, .tv_nsec = wait_ns % 1000000000};
}

static void run(struct wan *wan)
{
    struct input input = {.len = 0};
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        struct timespec wait = until_due(wan);
        int n = epoll_pwait2(wan->epoll, events, EVENTS_MAX, &wait, NULL);
        wan_deliver(wan); /* what is due goes before what only came now */
        for (int i = 0; i < n; i++) {
            if (events[i].data.u32 != STANDARD_INPUT)
                wan_take(wan, (uint8_t)events[i].data.u32);
            else if (!read_commands(wan, &input))
                return;
        }
        wan_deliver(wan);
    }
}

static int check(void)
{
    struct host host;
    const char *failed = host_open(&host, "check", "198.18.0.1", NULL);
    if (failed != NULL) {
        puts(failed);
        return 1;
    }
    host_close(&host);
    return 0;
}

int main(int argc, char **argv)
{
    static struct wan wan;
    uint64_t seed = 1;
    if (argc == 2 && strcmp(argv[1], "--check") == 0)
        return check();
    if (argc == 3 && strcmp(argv[1], "--seed") == 0) {
        seed = strtoull(argv[2], NULL, 10);
    } else if (argc != 1) {
        help();
        return argc == 2 && strcmp(argv[1], "--help") == 0 ? 0 : 2;
    }
    struct epoll_event input = {.events = EPOLLIN, .data.u32 = STANDARD_INPUT};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, STDIN_FILENO, &input) != 0) {
        fprintf(stderr, "gito-wan: could not wait for its input: %s\n", strerror(errno));
        return 2;
    }
    prctl(PR_SET_TIMERSLACK, SLACK_NS);
    wan_init(&wan, seed, epoll);
    run(&wan);
    wan_free(&wan);
    close(epoll);
    return 0;
}
