/* The simulated PostgreSQL: batches are executed whole, as proto/batch.h says and sql/store does.
 */
#include "actors/hours.h"
#include "cluster/slots.h"
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdlib.h>

static struct uuid number_id(uint32_t kind, uint32_t number)
{
    struct uuid id = {{0}};
    memcpy(id.bytes, &kind, sizeof kind);
    memcpy(id.bytes + 12, &number, sizeof number);
    return id;
}

static void make_rule(struct world *self, struct db_rule *rule, uint32_t device)
{
    *rule = (struct db_rule){.device = device, .exists = true, .active = true};
    rule->id = rule->rule.id = number_id(3, ++self->db.rules_made);
    rule->rule.threshold = (double)random_below(self, 5) * 10;
    rule->rule.cooldown_us = (1 + (int64_t)random_below(self, 10)) * 60000000LL;
    rule->rule.operator=(uint8_t) random_below(self, RULE_OPERATORS);
    bool co2 = random_percent(self, 25);
    strcpy(rule->rule.metric, co2 ? "co2" : "temperature");
    if (co2)
        rule->rule.threshold *= 20;
}

static void init_devices(struct world *self)
{
    struct database *db = &self->db;
    for (uint32_t i = 0; i < TENANTS; i++) {
        db->tenant[i].id = number_id(1, i);
        if (i == 1 && self->plan.regions > 1 && random_percent(self, 60))
            db->tenant[i].region = 1;
    }
    for (uint32_t i = 0; i < DEVICES; i++) {
        uint32_t tenant = i % TENANTS;
        unsigned region = db->tenant[tenant].region;
        bool own = self->plan.regions > 1 && random_percent(self, 30);
        if (own)
            region = (unsigned)random_below(self, self->plan.regions);
        db->device[i] = (struct db_device){
            .id = number_id(2, i), .tenant = tenant, .own_home = own, .exists = true};
        db->device[i].slot = msg_slot(region, slot_of(&db->device[i].id));
        db->device[i].exists = !own || random_percent(self, 60);
        db->newest_row[i] = UINT32_MAX;
    }
    for (uint32_t i = 0; i < RULES; i++)
        make_rule(self, &db->rule[i], i % DEVICES);
}

static void init_members(struct world *self)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        struct db_member *row = &self->db.member[i];
        *row = (struct db_member){.incarnation = random_percent(self, 10) ? 65534 : 0,
                                  .number = MSG_NOBODY,
                                  .region = (uint8_t)(i % self->plan.regions),
                                  .weight = 100};
        if (random_percent(self, 20))
            row->weight = random_percent(self, 50) ? 50 : 200;
        snprintf(row->name, sizeof row->name, "node-%u", (unsigned)i);
    }
}

/* A region has rows for the slots that are used, and some more: the planner has less to do. */
static void init_slots(struct world *self)
{
    struct database *db = &self->db;
    static bool wanted[LIMIT_SLOTS];
    memset(wanted, 0, sizeof wanted);
    for (uint32_t i = 0; i < DEVICES; i++)
        wanted[slot_of(&db->device[i].id)] = true;
    for (uint32_t i = 0; i < TENANTS; i++)
        wanted[slot_of(&db->tenant[i].id)] = true;
    for (unsigned i = 0; i < self->plan.filler_slots; i++)
        wanted[random_below(self, LIMIT_SLOTS)] = true;
    db->slots = xcalloc(self->plan.regions * (size_t)LIMIT_SLOTS, sizeof *db->slots);
    db->slot_index = malloc(LIMIT_REGIONS * LIMIT_SLOTS * sizeof *db->slot_index);
    CHECK(db->slot_index != NULL);
    memset(db->slot_index, 0xff, LIMIT_REGIONS * LIMIT_SLOTS * sizeof *db->slot_index);
    for (unsigned region = 0; region < self->plan.regions; region++)
        for (unsigned i = 0; i < LIMIT_SLOTS; i++) {
            if (!wanted[i])
                continue;
            db->slot_index[msg_slot(region, i)] = db->slots_count;
            db->slots[db->slots_count++] =
                (struct db_slot){.slot = msg_slot(region, i), .owner = NOBODY, .target = NOBODY};
        }
}

void db_init(struct world *self)
{
    self->db.version = 1;
    self->db.made_us = self->now_us;
    self->db.hold_down_us = (int64_t)random_below(self, 8 * 1000000);
    init_devices(self);
    init_members(self);
    init_slots(self);
}

void db_free(struct database *self)
{
    free(self->rows);
    free(self->events);
    free(self->hours);
    free(self->changes);
    free(self->slots);
    free(self->slot_index);
    free(self->old_slots);
}

uint32_t db_find_device(const struct database *self, const struct uuid *id)
{
    uint32_t i = 0;
    while (i < DEVICES && !uuid_equal(&self->device[i].id, id))
        i++;
    return i;
}

/* ---- readings and hours ---- */

static bool has_key(const struct database *self, uint32_t device, const struct batch_row *row)
{
    for (uint32_t i = self->newest_row[device]; i != UINT32_MAX; i = self->rows[i].next)
        if (self->rows[i].seq == row->seq && self->rows[i].timestamp_us == row->timestamp_us)
            return true;
    return false;
}

static void store_row(struct world *self, const struct batch *batch, const struct batch_row *row,
                      uint32_t device)
{
    struct database *db = &self->db;
    GROW(db->rows, db->rows_count, db->rows_cap);
    db->rows[db->rows_count] = (struct db_row){
        .device = device,
        .sample = (uint32_t)((uint64_t)row->seq >> 32),
        .timestamp_us = row->timestamp_us,
        .seq = row->seq,
        .next = db->newest_row[device],
        .must = check_must(self, device),
    };
    db->newest_row[device] = db->rows_count++;
    if (row->timestamp_us > db->newest_us[device])
        db->newest_us[device] = row->timestamp_us;
    check_order(self, row);
    check_row(self, batch, row);
}

static void store_rows(struct world *self, struct batch *batch, bool again)
{
    struct database *db = &self->db;
    bool keyless = again && self->mutation == MUTATION_retry_without_key;
    for (uint32_t i = 0; i < batch->rows_count; i++) {
        struct batch_row *row = &batch->rows[i];
        uint32_t device = db_find_device(db, &row->device);
        uint32_t sample = (uint32_t)((uint64_t)row->seq >> 32);
        row->bad = sample < self->samples_count && self->samples[sample].refused;
        if (!row->bad && (keyless || !has_key(db, device, row)))
            store_row(self, batch, row, device);
    }
}

static void count_in(const struct sample *sample, struct hour_stats *stats)
{
    stats->samples++;
    for (unsigned m = 0; m < METRICS; m++) {
        if (!(sample->present & 1U << m))
            continue;
        double value = sample->value[m];
        if (stats->metric[m].count++ == 0) {
            stats->metric[m].min = stats->metric[m].max = value;
        } else {
            stats->metric[m].min = value < stats->metric[m].min ? value : stats->metric[m].min;
            stats->metric[m].max = value > stats->metric[m].max ? value : stats->metric[m].max;
        }
        stats->metric[m].sum += value;
    }
}

static void find_last(const struct world *self, uint32_t device, int64_t hour_us, unsigned m,
                      struct hour_stats *stats)
{
    int64_t newest = 0, newest_seq = 0;
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next) {
        const struct db_row *row = &self->db.rows[i];
        const struct sample *sample = &self->samples[row->sample];
        if (hour_of(row->timestamp_us) != hour_us || !(sample->present & 1U << m) ||
            row->timestamp_us < newest || (row->timestamp_us == newest && row->seq < newest_seq))
            continue;
        newest = row->timestamp_us;
        newest_seq = row->seq;
        stats->metric[m].last = sample->value[m];
    }
}

void db_sum_hour(const struct world *self, uint32_t device, int64_t hour_us,
                 struct hour_stats *ret_stats)
{
    *ret_stats = (struct hour_stats){0};
    for (uint32_t i = self->db.newest_row[device]; i != UINT32_MAX; i = self->db.rows[i].next)
        if (hour_of(self->db.rows[i].timestamp_us) == hour_us)
            count_in(&self->samples[self->db.rows[i].sample], ret_stats);
    for (unsigned m = 0; m < METRICS; m++)
        if (ret_stats->metric[m].count > 0)
            find_last(self, device, hour_us, m, ret_stats);
}

static struct db_hour *hour_row(struct database *db, uint32_t device, int64_t hour_us)
{
    for (uint32_t i = 0; i < db->hours_count; i++)
        if (db->hours[i].device == device && db->hours[i].hour_us == hour_us)
            return &db->hours[i];
    GROW(db->hours, db->hours_count, db->hours_cap);
    struct db_hour *hour = &db->hours[db->hours_count++];
    hour->device = device;
    hour->hour_us = hour_us;
    return hour;
}

/* First those with sums, then those to rebuild: whatever their order in the batch. */
static void store_hours(struct world *self, const struct batch *batch, bool rebuild)
{
    for (uint32_t i = 0; i < batch->rollups_count; i++) {
        const struct batch_rollup *rollup = &batch->rollups[i];
        struct hour_stats stats = rollup->stats;
        uint32_t device = db_find_device(&self->db, &rollup->device);
        if (rollup->rebuild != rebuild)
            continue;
        if (rebuild)
            db_sum_hour(self, device, rollup->hour_us, &stats);
        if ((rebuild && stats.samples == 0) ||
            (rebuild && self->mutation == MUTATION_rebuild_skipped))
            continue;
        hour_row(&self->db, device, rollup->hour_us)->stats = stats;
    }
}

/* ---- devices ---- */

static void store_touches(struct world *self, const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->touches_count; i++) {
        const struct batch_touch *touch = &batch->touches[i];
        uint32_t index = db_find_device(&self->db, &touch->device);
        struct db_device *device = &self->db.device[index];
        if (!device->exists)
            continue;
        for (uint32_t j = 0; j < i; j++)
            if (uuid_equal(&batch->touches[j].device, &touch->device))
                fail(self, "two touches of device %u in one transaction", index);
        device->status = touch->status;
        device->connected = touch->connected;
        if (touch->last_seen_us > device->last_seen_us)
            device->last_seen_us = touch->last_seen_us;
        if (touch->latest_us != 0 && touch->latest_us >= device->latest_us) {
            CHECK(touch->latest.len < TEXT_BYTES);
            device->latest_us = touch->latest_us;
            memcpy(device->latest, batch_text_of(batch, touch->latest), touch->latest.len);
            device->latest[touch->latest.len] = '\0';
            check_touch(self, index);
        }
    }
}

/* A packet id is a client's for its whole life, whichever connection it came by. */
static void note_done(struct world *self, const struct msg_ref *ref)
{
    CHECK(ref->conn < CLIENTS);
    const struct client *client = &self->client[ref->conn];
    if (ref->packet_id != 0 && ref->packet_id <= client->count)
        client->publishes[ref->packet_id - 1].done++;
}

/* Nothing is written but by the owner of its slot. */
static void check_owners(struct world *self, const struct process *process,
                         const struct batch *batch)
{
    for (uint32_t i = 0; i < batch->rows_count; i++)
        check_owner(self, process, batch->rows[i].ref.slot, "a reading");
    for (uint32_t i = 0; i < batch->rejects_count; i++)
        check_owner(self, process, batch->rejects[i].ref.slot, "a refusal");
    for (uint32_t i = 0; i < batch->retains_count; i++)
        check_owner(self, process, batch->retains[i].ref.slot, "a retained message");
    for (uint32_t i = 0; i < batch->touches_count; i++) {
        uint32_t device = db_find_device(&self->db, &batch->touches[i].device);
        check_owner(self, process, self->db.device[device].slot, "a status");
    }
}

static void store(struct world *self, const struct process *process, struct batch *batch,
                  bool again)
{
    check_owners(self, process, batch);
    store_rows(self, batch, again);
    store_hours(self, batch, false);
    store_hours(self, batch, true);
    db_alerts(self, process, batch);
    for (uint32_t i = 0; i < batch->rejects_count; i++)
        note_done(self, &batch->rejects[i].ref);
    for (uint32_t i = 0; i < batch->retains_count; i++)
        note_done(self, &batch->retains[i].ref);
    store_touches(self, batch);
}

int db_execute(struct world *self, struct process *process, struct batch *batch, bool again)
{
    bool writes = batch->rows_count + batch->rollups_count + batch->alerts_count +
                      batch->touches_count + batch->rejects_count + batch->retains_count >
                  0;
    if (writes && !member_is_served(&self->db.member[process->place], process->incarnation) &&
        self->mutation != MUTATION_fence_off)
        return ERR_FENCED;
    int64_t former_us[DEVICES];
    memcpy(former_us, self->db.newest_us, sizeof former_us);
    if (writes)
        store(self, process, batch, again);
    db_checks(self, batch);
    db_loads(self, batch);
    if (!self->plan.refusing)
        check_batch_hours(self, batch, former_us);
    return 0;
}

/* ---- operators ---- */

static void changed(struct world *self, uint32_t device)
{
    struct database *db = &self->db;
    GROW(db->changes, db->changes_count, db->changes_cap);
    db->changes[db->changes_count++] = (uint8_t)device;
}

void db_change_rule(struct world *self)
{
    struct db_rule *rule = &self->db.rule[random_below(self, RULES)];
    uint32_t device = rule->device;
    if (!rule->exists) {
        if (!self->db.device[device].exists)
            return;
        make_rule(self, rule, device);
    } else if (random_percent(self, 30)) {
        rule->exists = false;
    } else if (random_percent(self, 30)) {
        rule->active = !rule->active;
    } else {
        rule->rule.threshold = (double)random_below(self, 5) * 10;
        rule->rule.cooldown_us = (1 + (int64_t)random_below(self, 10)) * 60000000LL;
    }
    rule->changed = true;
    trace(self, "a rule of device %u changes", device);
    changed(self, device);
}

void db_change_device(struct world *self, uint32_t device)
{
    struct db_device *row = &self->db.device[device];
    row->exists = !row->exists;
    trace(self, "device %u is %s", device, row->exists ? "made" : "deleted");
    row->status = STATUS_OFFLINE;
    row->connected = false;
    row->last_seen_us = row->latest_us = 0; /* telemetry stays */
    for (uint32_t i = 0; i < RULES; i++)
        if (self->db.rule[i].device == device)
            self->db.rule[i].exists = false;
    changed(self, device);
    if (row->exists)
        edges_watch_made(self, device);
}
