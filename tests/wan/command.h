#pragma once
/*
 * command - what is told to the WAN while it runs, a line each.
 */
#include "wan.h"

#define COMMAND_HELP                                                                               \
    "  host NAME ADDRESS [NETNS]   a host 198.18.0.N with TUN device `wan`: in a new namespace, "  \
    "or one of\n"                                                                                  \
    "                              ip netns, or of a path; answer: ok PATH of the namespace\n"     \
    "  link A B [delay MS] [jitter MS] [loss PERCENT] [rate MBIT]   both ways; what is not\n"      \
    "                              named is none: no delay, no loss, as fast as it can\n"          \
    "  path A B ...                the same from A to B alone\n"                                   \
    "  cut A B, heal A B           both ways; what is on its way is lost as well\n"                \
    "  cut-path A B, heal-path A B from A to B alone\n"                                            \
    "  count A B                   answer: ok passed N lost N cut N full N, of A to B\n"           \
    "A and B are hosts, or `all` of them.\n"

enum { COMMAND_ANSWER_SIZE = 256 };

/* Carries `line` out (and takes it apart); the answer is one line, "ok …" or "error …". */
void command_run(struct wan *wan, char *line, char ret_answer[COMMAND_ANSWER_SIZE]);
