#pragma once
/*
 * rules - the active rules of one device, and when each fired last.
 *
 * In:    what the database holds (batch_rule), a reading, the time.
 * Out:   the rules that fire.
 * Owner: the device's actor. NULL stands for "no rules".
 * Holds: within a rule's cooldown at most one alert is asked for; the database has the last word
 *        (rules_settle).
 */
#include "proto/batch.h"

struct rule {
    struct uuid id;
    double threshold;
    int64_t cooldown_us, last_fired_us; /* 0: never */
    uint32_t pending;                   /* alerts asked for and not answered yet */
    uint8_t operator;                   /* enum rule_operator */
    uint8_t metric;                     /* column, or METRICS: by `name` */
    char *name;                         /* owned */
};

struct rules {
    uint32_t count;
    struct rule rule[];
};

extern const char *const rule_operator_symbols[RULE_OPERATORS];

/* Replaces *self_p by what was loaded; a rule with an alert pending keeps its own last_fired.
 * 0 or ERR_MEMORY with nothing changed. */
int rules_load(struct rules **self_p, const struct batch_rule *loaded, uint32_t count) MUST_CHECK;
void rules_destroy(struct rules **self_p);
/* A rule as it is given to another node. None of its alerts may be pending. */
struct msg_rule rules_pack(const struct rule *r);
/* And back: what rules_load() takes. False: it is malformed. */
bool rules_unpack(const struct msg_rule *packed, struct batch_rule *ret_rule);

/* Does rule `r` fire on this reading at now_us? Sets *ret_value; does not mark it fired. */
bool rule_fires(const struct rule *r, const struct batch_row *row, const char *payload,
                int64_t now_us, double *ret_value);
/* The answer to a pending alert of rule `id`. */
void rules_settle(struct rules *self, const struct uuid *id, int64_t last_fired_us);
/* `temperature > 50 (current: 60)`; returns its length. */
size_t rule_message(const struct rule *r, double value, char *out, size_t room);
