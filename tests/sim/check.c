/* The promises. A check that fails stops the run, and says which promise was broken. */
#include "proto/check.h"
#include "actors/hours.h"
#include "tests/sim/parts.h"
#include <inttypes.h>

/* ---- after each transaction ---- */

/* P2, and that what is stored is what was sent. */
void check_row(struct world *self, const struct batch *batch, const struct batch_row *row)
{
    uint32_t index = (uint32_t)((uint64_t)row->seq >> 32);
    if (index >= self->samples_count) {
        fail(self, "a reading was stored that nobody sent");
        return;
    }
    struct sample *sample = &self->samples[index];
    if (++sample->stored > 1)
        fail(self, "P2: sample %u of client %u was stored twice", index, sample->client);
    if (db_find_device(&self->db, &row->device) != sample->device ||
        (sample->own_us != 0 && sample->own_us != row->timestamp_us) ||
        row->present != sample->present ||
        memcmp(row->value, sample->value, sizeof row->value) != 0 ||
        row->payload.len != strlen(sample->payload) ||
        memcmp(batch_text_of(batch, row->payload), sample->payload, row->payload.len) != 0)
        fail(self, "sample %u was stored otherwise than it was sent", index);
}

static bool is_cause(const struct world *self, const struct batch *batch,
                     const struct batch_row *row, const struct batch_alert *alert)
{
    double value;
    if (!uuid_equal(&row->device, &alert->device) ||
        reading_metric(batch_text_of(batch, row->payload), row->payload.len,
                       batch_text_of(batch, alert->metric), alert->metric.len, &value) != 1 ||
        value != alert->value)
        return false;
    uint32_t device = db_find_device(&self->db, &row->device);
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next)
        if (self->db.rows[i].seq == row->seq && self->db.rows[i].timestamp_us == row->timestamp_us)
            return true;
    return false;
}

/* P3: a cooldown apart, and together with a reading that caused it. */
void check_alert(struct world *self, const struct batch *batch, const struct batch_alert *alert,
                 uint32_t rule)
{
    const struct db_rule *r = &self->db.rule[rule];
    for (uint32_t i = 0; i < self->db.events_count; i++) {
        const struct db_event *event = &self->db.events[i];
        if (uuid_equal(&event->rule, &r->id) &&
            event->fired_at_us + r->rule.cooldown_us > alert->fired_at_us)
            fail(self, "P3: rule %u fired twice within its cooldown", rule);
    }
    uint32_t i = 0;
    while (i < batch->rows_count && !is_cause(self, batch, &batch->rows[i], alert))
        i++;
    if (i == batch->rows_count)
        fail(self, "P3: rule %u fired without its reading in the same transaction", rule);
}

/* Its actor knows when it fired last, from its load, its own alerts or a snapshot; of a change it
 * may not have heard yet. */
void check_alert_refused(struct world *self, const struct batch_alert *alert, uint32_t rule)
{
    const struct db_rule *r = &self->db.rule[rule];
    if (r->active && !r->changed && r->rule.last_fired_us != 0 && !self->plan.skewed)
        fail(self, "rule %u was asked for within its cooldown, %" PRId64 " us after it fired", rule,
             alert->fired_at_us - r->rule.last_fired_us);
}

/* devices.latest is a reading that is stored, or about to be in a later batch: never. */
void check_touch(struct world *self, uint32_t device)
{
    const struct db_device *d = &self->db.device[device];
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        const struct db_row *row = &self->db.rows[i];
        if (row->timestamp_us == d->latest_us &&
            strcmp(self->samples[row->sample].payload, d->latest) == 0)
            return;
    }
    if (strcmp(d->latest, "{\"rssi\":-1000}") != 0) /* refused: nobody can know before */
        fail(self, "latest of device %u is no reading of it", device);
}

static bool same_last(const struct world *self, uint32_t device, int64_t hour_us, unsigned m,
                      double last, double expected)
{
    if (last == expected)
        return true;
    /* Readings of one timestamp have no order: any of the newest may be the last. */
    int64_t newest = 0;
    bool found = false;
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        const struct db_row *row = &self->db.rows[i];
        const struct sample *sample = &self->samples[row->sample];
        if (hour_of(row->timestamp_us) != hour_us || !(sample->present & 1U << m) ||
            row->timestamp_us < newest)
            continue;
        found = (row->timestamp_us == newest && found) || sample->value[m] == last;
        newest = row->timestamp_us;
    }
    return found;
}

static bool same_stats(const struct world *self, const struct db_hour *hour,
                       const struct hour_stats *expected)
{
    bool same = hour->stats.samples == expected->samples;
    for (unsigned m = 0; m < METRICS && same; m++) {
        same = hour->stats.metric[m].count == expected->metric[m].count;
        if (!same || expected->metric[m].count == 0)
            continue;
        same = hour->stats.metric[m].min == expected->metric[m].min &&
               hour->stats.metric[m].max == expected->metric[m].max &&
               hour->stats.metric[m].sum == expected->metric[m].sum &&
               same_last(self, hour->device, hour->hour_us, m, hour->stats.metric[m].last,
                         expected->metric[m].last);
    }
    return same;
}

static const struct db_hour *find_hour(const struct database *db, uint32_t device, int64_t hour_us)
{
    for (uint32_t i = 0; i < db->hours_count; i++)
        if (db->hours[i].device == device && db->hours[i].hour_us == hour_us)
            return &db->hours[i];
    return NULL;
}

static void check_hour(struct world *self, uint32_t device, int64_t hour_us)
{
    const struct db_hour *row = find_hour(&self->db, device, hour_us);
    struct hour_stats expected;
    if (hour_us >= hour_of(self->db.newest_us[device]))
        return;
    db_sum_hour(self, device, hour_us, &expected);
    if (expected.samples > 0 && (row == NULL || !same_stats(self, row, &expected)))
        fail(self, "hour %" PRId64 " of device %u %s", (int64_t)(hour_us / HOUR_US), device,
             row == NULL ? "has no row" : "is summed up wrong");
}

/* Every hour before that of the newest reading has its row, and it says what the readings say. */
void check_hours(struct world *self, uint32_t device)
{
    int64_t done = 0;
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        int64_t hour_us = hour_of(self->db.rows[i].timestamp_us);
        if (hour_us != done)
            check_hour(self, device, hour_us);
        done = hour_us;
    }
}

/* Of those that a transaction can have changed. */
void check_batch_hours(struct world *self, const struct batch *batch, const int64_t *former_us)
{
    int64_t done = 0;
    uint32_t done_device = DEVICES;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        uint32_t device = db_find_device(&self->db, &batch->rows[i].device);
        int64_t hour_us = hour_of(batch->rows[i].timestamp_us);
        if (device == done_device && hour_us == done)
            continue;
        check_hour(self, device, hour_us);
        if (device != done_device && former_us[device] != 0)
            check_hour(self, device, hour_of(former_us[device]));
        done = hour_us;
        done_device = device;
    }
}

/* ---- what leaves the node ---- */

/* P1. One PUBACK is for a whole array: it does not tell that the database refused a part. */
void check_answer(struct world *self, const struct publish *publish)
{
    if ((publish->kind == PUBLISH_BAD || publish->kind == PUBLISH_RETAINED) && publish->done == 0)
        fail(self, "P1: packet %u was acknowledged, and is not stored", publish->packet_id);
    for (uint32_t i = 0; i < publish->count && publish->code == 0; i++) {
        const struct sample *sample = &self->samples[publish->first + i];
        if (sample->stored == 0 && !(sample->refused && i + 1 < publish->count))
            fail(self, "P1: sample %u was acknowledged, and is not stored", publish->first + i);
    }
}

/* ---- when all is quiet ---- */

void check_all_answered(struct world *self)
{
    for (uint32_t c = 0; c < CLIENTS; c++)
        for (uint32_t i = 0; i < self->client[c].count; i++) {
            const struct publish *publish = &self->client[c].publishes[i];
            if (!publish->answered)
                fail(self, "client %u: packet %u is never answered", c, publish->packet_id);
            else if (publish->packet_id != 0)
                check_answer(self, publish);
        }
}

static bool compares(const struct batch_rule *rule, double value)
{
    const bool results[RULE_OPERATORS] = {
        [RULE_GT] = value > rule->threshold,  [RULE_GTE] = value >= rule->threshold,
        [RULE_LT] = value < rule->threshold,  [RULE_LTE] = value <= rule->threshold,
        [RULE_EQ] = value == rule->threshold, [RULE_NEQ] = value != rule->threshold,
    };
    return results[rule->operator];
}

/* Every device sent one reading (client_probe) after all cooldowns: its rules, as they are in the
 * database now, have fired or not. */
void check_probed(struct world *self, int64_t since_us)
{
    for (uint32_t i = 0; i < RULES; i++) {
        const struct db_rule *rule = &self->db.rule[i];
        bool co2 = strcmp(rule->rule.metric, "co2") == 0;
        bool expected = rule->active && compares(&rule->rule, co2 ? 799 : 49.75);
        if (rule->exists && expected != (rule->rule.last_fired_us >= since_us))
            fail(self, "rule %u of device %u %s", i, rule->device,
                 expected ? "did not fire" : "fired, and should not have");
    }
}

void check_status(struct world *self, uint32_t device, enum device_status expected)
{
    if (self->db.device[device].status != expected)
        fail(self, "device %u has status %d, not %d", device, self->db.device[device].status,
             expected);
}

/* Readings that lie ahead of the time may have been the newest of an incarnation that crashed
 * before it wrote `latest`: those runs are not asked. */
void check_latest(struct world *self)
{
    for (uint32_t i = 0; i < DEVICES; i++)
        if (!self->plan.future && !self->plan.refusing &&
            self->db.device[i].latest_us != self->db.newest_us[i])
            fail(self, "latest of device %u is not its newest reading", i);
}
