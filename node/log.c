#include "node/log.h"
#include "proto/buf.h"
#include "proto/timestamp.h"
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static const char *const level_names[] = {"debug", "info", "warning", "error"};
static enum log_level lowest = LEVEL_INFO;
static char node_name[64] = "-";

int log_init(const char *level, const char *node_id)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof *level_names; i++)
        if (strcmp(level, level_names[i]) == 0) {
            lowest = (enum log_level)i;
            snprintf(node_name, sizeof node_name, "%s", node_id);
            return 0;
        }
    return -1;
}

static size_t put_escaped(char *out, size_t room, const char *text)
{
    size_t at = 0;
    for (; *text != '\0' && at + 7 < room; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out[at++] = '\\';
            out[at++] = (char)c;
        } else if (c < 0x20) {
            at += (size_t)snprintf(out + at, room - at, "\\u%04x", c);
        } else {
            out[at++] = (char)c;
        }
    }
    return at;
}

void log_event(enum log_level level, const char *event, const char *field, const char *format, ...)
{
    if (level < lowest)
        return;
    char text[1024], line[2600], stamp[40];
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    stamp[timestamp_format(ts.tv_sec * 1000000L + ts.tv_nsec / 1000, stamp)] = '\0';
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    size_t at = (size_t)snprintf(
        line, 256, "{\"time\":\"%s\",\"level\":\"%s\",\"node\":\"%s\",\"event\":\"%s\",\"%s\":\"",
        stamp, level_names[level], node_name, event, field);
    at += put_escaped(line + at, sizeof line - at - 4, text);
    memcpy(line + at, "\"}\n", 3);
    if (write(STDERR_FILENO, line, at + 3) < 0)
        return; /* nowhere left to say it */
}
