#include "command.h"
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WORDS_MAX = 12 };

struct words {
    int count;
    const char *at[WORDS_MAX];
};

static struct words split(char *line)
{
    struct words words = {0};
    for (char *word, *rest = line; (word = strtok_r(NULL, " \t\r", &rest)) != NULL;) {
        if (words.count == WORDS_MAX)
            break;
        words.at[words.count++] = word;
    }
    return words;
}

typedef void path_change(struct path *path, const void *context);

static const char *each_from(struct wan *wan, uint8_t from, const char *to, path_change *change,
                             const void *context)
{
    uint8_t only = wan_find(wan, to);
    bool all = strcmp(to, "all") == 0;
    if (!all && only == HOST_NONE)
        return "unknown host";
    for (uint8_t i = 0; i < wan->count; i++) {
        if (i != from && (all || i == only))
            change(&wan->paths[from][i], context);
    }
    return NULL;
}

/* Every path from A to B, either of which may be all. */
static const char *each(struct wan *wan, const char *from, const char *to, path_change *change,
                        const void *context)
{
    uint8_t only = wan_find(wan, from);
    bool all = strcmp(from, "all") == 0;
    if (!all && only == HOST_NONE)
        return "unknown host";
    const char *failed = NULL;
    for (uint8_t i = 0; i < wan->count && failed == NULL; i++) {
        if (all || i == only)
            failed = each_from(wan, i, to, change, context);
    }
    return failed;
}

static const char *change_paths(struct wan *wan, const struct words *words, bool both,
                                path_change *change, const void *context)
{
    if (words->count < 3)
        return "two hosts are needed";
    const char *failed = each(wan, words->at[1], words->at[2], change, context);
    if (failed == NULL && both)
        failed = each(wan, words->at[2], words->at[1], change, context);
    return failed;
}

static void set_cut(struct path *path, const void *cut)
{
    path->cut = *(const bool *)cut;
}

static void set_settings(struct path *path, const void *settings)
{
    path->settings = *(const struct path_settings *)settings;
}

static const char *parse_setting(const char *name, const char *text, struct path_settings *settings)
{
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end != '\0' || !(value >= 0) || !(value <= 1e6))
        return "a setting takes a number from 0 on";
    if (strcmp(name, "delay") == 0)
        settings->delay_ns = (int64_t)(value * 1e6);
    else if (strcmp(name, "jitter") == 0)
        settings->jitter_ns = (int64_t)(value * 1e6);
    else if (strcmp(name, "loss") == 0)
        settings->loss = value / 100;
    else if (strcmp(name, "rate") == 0)
        settings->ns_per_byte = value > 0 ? 8e3 / value : 0;
    else
        return "settings are delay, jitter, loss and rate";
    return NULL;
}

static const char *change_settings(struct wan *wan, const struct words *words, bool both)
{
    struct path_settings settings = {0};
    for (int i = 3; i < words->count; i += 2) {
        if (i + 1 == words->count)
            return "a setting has no value";
        const char *failed = parse_setting(words->at[i], words->at[i + 1], &settings);
        if (failed != NULL)
            return failed;
    }
    return change_paths(wan, words, both, set_settings, &settings);
}

static const char *add_host(struct wan *wan, const struct words *words, char *ret_answer)
{
    if (words->count != 3 && words->count != 4)
        return "host takes a name, an address and perhaps a namespace";
    const char *netns = words->count == 4 ? words->at[3] : NULL;
    const char *failed = wan_add_host(wan, words->at[1], words->at[2], netns);
    if (failed == NULL)
        snprintf(ret_answer, COMMAND_ANSWER_SIZE, "ok /proc/%ld/fd/%d", (long)getpid(),
                 wan->hosts[wan->count - 1].netns);
    return failed;
}

static void add_counts(struct path *path, const void *sum)
{
    struct path *total = *(struct path *const *)sum;
    total->passed += path->passed;
    total->lost += path->lost;
    total->cut_off += path->cut_off;
    total->full += path->full;
}

static const char *count(struct wan *wan, const struct words *words, char *ret_answer)
{
    struct path total = {0}, *sum = &total;
    const char *failed = change_paths(wan, words, false, add_counts, &sum);
    if (failed == NULL)
        snprintf(ret_answer, COMMAND_ANSWER_SIZE,
                 "ok passed %" PRIu64 " lost %" PRIu64 " cut %" PRIu64 " full %" PRIu64,
                 total.passed, total.lost, total.cut_off, total.full);
    return failed;
}

static const char *run(struct wan *wan, const struct words *words, char *ret_answer)
{
    const bool yes = true, no = false;
    const char *verb = words->count > 0 ? words->at[0] : "";
    if (strcmp(verb, "host") == 0)
        return add_host(wan, words, ret_answer);
    if (strcmp(verb, "link") == 0)
        return change_settings(wan, words, true);
    if (strcmp(verb, "path") == 0)
        return change_settings(wan, words, false);
    if (strcmp(verb, "cut") == 0)
        return change_paths(wan, words, true, set_cut, &yes);
    if (strcmp(verb, "heal") == 0)
        return change_paths(wan, words, true, set_cut, &no);
    if (strcmp(verb, "cut-path") == 0)
        return change_paths(wan, words, false, set_cut, &yes);
    if (strcmp(verb, "heal-path") == 0)
        return change_paths(wan, words, false, set_cut, &no);
    if (strcmp(verb, "count") == 0)
        return count(wan, words, ret_answer);
    return "unknown command";
}

void command_run(struct wan *wan, char *line, char ret_answer[COMMAND_ANSWER_SIZE])
{
    struct words words = split(line);
    strcpy(ret_answer, "ok");
    const char *failed = run(wan, &words, ret_answer);
    if (failed != NULL)
        snprintf(ret_answer, COMMAND_ANSWER_SIZE, "error %s", failed);
}
