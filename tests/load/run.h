#pragma once
/*
 * run - the loop: dial, wait for readiness, publish as fast as acknowledged or at a rate, drain.
 */
#include "load.h"

/* Set by a signal: 1 stops publishing, 2 does not wait for acknowledgements either. */
extern volatile int run_interrupts;

/* Until every connection is up or given up, or --connect-timeout has passed. */
void run_connect(struct load *load);
/* Prints "connected N". */
void run_announce(const struct load *load);
/* Until the load's end, then until all is acknowledged or --drain has passed. */
void run_publish(struct load *load);
/* Until --seconds have passed (0: for ever) or a signal. */
void run_idle(struct load *load);
/* Says DISCONNECT on what is still up. */
void run_farewell(struct load *load);
