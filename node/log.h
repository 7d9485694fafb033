#pragma once
/*
 * log - one JSON line an event on standard error: time, level, node, event, then fields.
 *
 * log_event (LEVEL_WARNING, "batch_failed", "reason", "could not commit batch: %s", text) has one
 * formatted field; log_fields takes a ready piece of JSON (`"port":1883,"edges":2`) for more.
 * No secrets, no tokens. Thread-safe: one write() a line.
 */
enum log_level { LEVEL_DEBUG, LEVEL_INFO, LEVEL_WARNING, LEVEL_ERROR };

/* 0, or -1: unknown level name. */
int log_init(const char *level, const char *node_id);
void log_event(enum log_level level, const char *event, const char *field, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
