/*
 * gito-load - publishes MQTT load at our own nodes and their peers, and counts what comes of it.
 */
#include "run.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

static void on_signal(int number)
{
    (void)number;
    run_interrupts = run_interrupts + 1;
}

static void catch_signals(void)
{
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
}

/* So that what connecting costs the server can be told from what publishing costs it. */
static void wait_for_line(void)
{
    int c;
    do {
        c = getchar();
    } while (c != '\n' && c != EOF);
}

int main(int argc, char **argv)
{
    static struct load load;
    struct options options;
    options_parse(&options, argc, argv);
    load_init(&load, &options);
    catch_signals();
    run_connect(&load);
    if (options.announce && !options.idle) {
        run_announce(&load);
        wait_for_line();
    }
    if (options.idle)
        run_idle(&load);
    else
        run_publish(&load);
    load_report(&load);
    const struct counts *counts = &load.counts;
    bool complete = counts->connected == options.connections && counts->refused == 0 &&
                    (counts->lost == 0 || options.reconnect) && load_unacked(&load) == 0;
    run_farewell(&load);
    if (!load_close(&load)) {
        fprintf(stderr, "gito-load: could not write the ledger or the waits: %s\n",
                strerror(errno));
        return 2;
    }
    return complete ? 0 : 3;
}
