#include "actors/rules.h"
#include "proto/check.h"
#include <stdio.h>
#include <stdlib.h>

const char *const rule_operator_symbols[RULE_OPERATORS] = {">", ">=", "<", "<=", "==", "!="};

void rules_destroy(struct rules **self_p)
{
    struct rules *self = *self_p;
    for (uint32_t i = 0; self != NULL && i < self->count; i++)
        free(self->rule[i].name);
    free(self);
    *self_p = NULL;
}

static struct rule *find(struct rules *self, const struct uuid *id)
{
    for (uint32_t i = 0; self != NULL && i < self->count; i++)
        if (uuid_equal(&self->rule[i].id, id))
            return &self->rule[i];
    return NULL;
}

static uint8_t column_of(const char *metric)
{
    uint8_t i = 0;
    while (i < METRICS && strcmp(metric, metric_names[i]) != 0)
        i++;
    return i;
}

int rules_load(struct rules **self_p, const struct batch_rule *loaded, uint32_t count)
{
    struct rules *rules = NULL;
    if (count > 0 && (rules = calloc(1, sizeof *rules + count * sizeof rules->rule[0])) == NULL)
        return ERR_MEMORY;
    for (uint32_t i = 0; i < count; i++) {
        struct rule *r = &rules->rule[i];
        const struct rule *old = find(*self_p, &loaded[i].id);
        *r = (struct rule){
            .id = loaded[i].id,
            .threshold = loaded[i].threshold,
            .cooldown_us = loaded[i].cooldown_us,
            .last_fired_us = loaded[i].last_fired_us,
            .operator= loaded[i].operator,
            .metric = column_of(loaded[i].metric),
            .name = strdup(loaded[i].metric),
        };
        rules->count++;
        if (r->name == NULL) {
            rules_destroy(&rules);
            return ERR_MEMORY;
        }
        if (old != NULL && old->pending > 0) {
            r->last_fired_us = old->last_fired_us;
            r->pending = old->pending;
        }
    }
    rules_destroy(self_p);
    *self_p = rules;
    return 0;
}

struct msg_rule rules_pack(const struct rule *r)
{
    struct msg_rule packed = {.id = r->id,
                              .threshold = r->threshold,
                              .cooldown_us = r->cooldown_us,
                              .last_fired_us = r->last_fired_us,
                              .operator= r->operator};
    CHECK(r->pending == 0);
    snprintf(packed.metric, sizeof packed.metric, "%s", r->name);
    return packed;
}

bool rules_unpack(const struct msg_rule *packed, struct batch_rule *ret_rule)
{
    if (packed->operator>= RULE_OPERATORS || packed->metric[LIMIT_METRIC_NAME_BYTES] != '\0')
        return false;
    *ret_rule = (struct batch_rule){.id = packed->id,
                                    .threshold = packed->threshold,
                                    .cooldown_us = packed->cooldown_us,
                                    .last_fired_us = packed->last_fired_us,
                                    .operator= packed->operator};
    memcpy(ret_rule->metric, packed->metric, sizeof ret_rule->metric);
    return true;
}

static bool compare(enum rule_operator operator, double value, double threshold)
{
    switch (operator) {
    case RULE_GT:
        return value > threshold;
    case RULE_GTE:
        return value >= threshold;
    case RULE_LT:
        return value < threshold;
    case RULE_LTE:
        return value <= threshold;
    case RULE_EQ:
        return value == threshold;
    case RULE_NEQ:
        return value != threshold;
    case RULE_OPERATORS:
        break;
    }
    return false;
}

bool rule_fires(const struct rule *r, const struct batch_row *row, const char *payload,
                int64_t now_us, double *ret_value)
{
    double value;
    if (r->last_fired_us != 0 && now_us < r->last_fired_us + r->cooldown_us)
        return false;
    if (r->metric < METRICS) {
        if (!(row->present & 1U << r->metric))
            return false;
        value = row->value[r->metric];
    } else if (reading_metric(payload, row->payload.len, r->name, strlen(r->name), &value) != 1) {
        return false;
    }
    if (!compare((enum rule_operator)r->operator, value, r->threshold))
        return false;
    *ret_value = value;
    return true;
}

void rules_settle(struct rules *self, const struct uuid *id, int64_t last_fired_us)
{
    struct rule *r = find(self, id);
    if (r == NULL || r->pending == 0)
        return;
    if (--r->pending == 0)
        r->last_fired_us = last_fired_us;
}

size_t rule_message(const struct rule *r, double value, char *out, size_t room)
{
    int n = snprintf(out, room, "%s %s %.15g (current: %.15g)", r->name,
                     rule_operator_symbols[r->operator], r->threshold, value);
    CHECK(n >= 0);
    return (size_t)n < room ? (size_t)n : room - 1;
}
