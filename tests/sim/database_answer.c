/* What the simulated PostgreSQL answers: alerts, checks and loads. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

static uint32_t find_rule(const struct database *self, const struct uuid *id)
{
    uint32_t i = 0;
    while (i < RULES && !(self->rule[i].exists && uuid_equal(&self->rule[i].id, id)))
        i++;
    return i;
}

static bool is_done(const struct database *self, const struct uuid *event)
{
    for (uint32_t i = 0; i < self->events_count; i++)
        if (uuid_equal(&self->events[i].id, event))
            return true;
    return false;
}

static bool is_first(const struct batch *batch, uint32_t alert)
{
    for (uint32_t i = 0; i < alert; i++)
        if (uuid_equal(&batch->alerts[i].rule, &batch->alerts[alert].rule))
            return false;
    return true;
}

static bool may_fire(const struct world *self, const struct db_rule *rule,
                     const struct batch_alert *alert)
{
    if (self->mutation == MUTATION_cooldown_ignored)
        return true;
    return rule->active &&
           (rule->rule.last_fired_us == 0 ||
            rule->rule.last_fired_us + rule->rule.cooldown_us <= alert->fired_at_us);
}

void db_alerts(struct world *self, const struct process *process, struct batch *batch)
{
    struct database *db = &self->db;
    for (uint32_t i = 0; i < batch->alerts_count; i++) {
        struct batch_alert *alert = &batch->alerts[i];
        uint32_t index = find_rule(db, &alert->rule);
        alert->fired = is_done(db, &alert->event);
        if (index == RULES)
            continue;
        struct db_rule *rule = &db->rule[index];
        check_owner(self, process, db->device[rule->device].slot, "an alert");
        if (!alert->fired && is_first(batch, i) && may_fire(self, rule, alert)) {
            check_alert(self, batch, alert, index);
            GROW(db->events, db->events_count, db->events_cap);
            db->events[db->events_count++] =
                (struct db_event){alert->event, rule->id, rule->device, alert->fired_at_us};
            rule->rule.last_fired_us = alert->fired_at_us;
            alert->fired = true;
            trace(self, "rule %u of device %u fires", index, rule->device);
        } else if (!alert->fired && is_first(batch, i)) {
            check_alert_refused(self, alert, index);
        }
    }
    for (uint32_t i = 0; i < batch->alerts_count; i++) {
        uint32_t index = find_rule(db, &batch->alerts[i].rule);
        batch->alerts[i].last_fired_us = index < RULES ? db->rule[index].rule.last_fired_us : 0;
    }
}

static const struct db_row *find_stored(const struct world *self, const struct batch_check *check,
                                        const char *payload)
{
    uint32_t device = db_find_device(&self->db, &check->device);
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        const struct db_row *row = &self->db.rows[i];
        const struct sample *sample = &self->samples[row->sample];
        if (row->sample == check->message_key &&
            (check->timestamp_us == 0 || row->timestamp_us == check->timestamp_us) &&
            row->timestamp_us >= check->since_us && strlen(sample->payload) == check->payload.len &&
            memcmp(sample->payload, payload, check->payload.len) == 0)
            return row;
    }
    return NULL;
}

void db_checks(struct world *self, struct batch *batch)
{
    for (uint32_t i = 0; i < batch->checks_count; i++) {
        struct batch_check *check = &batch->checks[i];
        const struct db_row *row = find_stored(self, check, batch_text_of(batch, check->payload));
        check->stored = row != NULL;
        check->stored_us = row != NULL ? row->timestamp_us : 0;
        if (self->mutation == MUTATION_check_never)
            check->stored = false;
        if (self->mutation == MUTATION_check_always)
            check->stored = true;
        trace(self, "check of sample %u: %s", check->message_key,
              check->stored ? "stored" : "not stored");
    }
}

static void load_rules(struct world *self, struct batch *batch, struct batch_load *load,
                       uint32_t device)
{
    load->rules_at = batch->rules_count;
    for (uint32_t i = 0; i < RULES; i++) {
        const struct db_rule *rule = &self->db.rule[i];
        if (!rule->exists || !rule->active || rule->device != device)
            continue;
        struct batch_rule *added = batch_add_rules(batch);
        CHECK(added != NULL);
        *added = rule->rule;
        if (self->mutation == MUTATION_cooldown_ignored)
            added->last_fired_us = 0;
        load->rules_count++;
    }
}

void db_loads(struct world *self, struct batch *batch)
{
    batch->rules_count = 0;
    for (uint32_t i = 0; i < batch->loads_count; i++) {
        struct batch_load *load = &batch->loads[i];
        uint32_t index = db_find_device(&self->db, &load->device);
        load->found = index < DEVICES && self->db.device[index].exists;
        trace(self, "load of device %u: %s", index, load->found ? "found" : "missing");
        if (!load->found)
            continue;
        const struct db_device *device = &self->db.device[index];
        load->tenant = self->db.tenant[device->tenant].id;
        load->region = (uint8_t)(device->slot >> MSG_SLOT_BITS);
        load->status = device->status;
        load->connected = device->connected && self->mutation != MUTATION_connection_forgotten;
        load->last_seen_us = device->last_seen_us;
        load->newest_us = self->db.newest_us[index];
        load->rules_count = 0;
        load_rules(self, batch, load, index);
    }
}
