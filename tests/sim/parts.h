#pragma once
/*
 * parts - what the files of the simulator ask of each other.
 */
#include "tests/sim/world.h"

/* ---- client.c ---- */
void clients_init(struct world *self);
void clients_free(struct world *self);
/* Makes a PUBLISH with one sample or several. */
void client_publish(struct world *self, uint32_t client);
/* One sample without a timestamp, hot enough for rules. */
void client_probe(struct world *self, uint32_t client);
/* Sends what its window allows; the unanswered ones first, in order, with DUP. */
void client_send(struct world *self, uint32_t client);
/* The next PUBLISH on its way to the edge, or NULL. */
struct publish *client_next(struct world *self, uint32_t client);
void client_connect(struct world *self, uint32_t client);
void client_disconnect(struct world *self, uint32_t client);
void client_answered(struct world *self, uint32_t client, uint16_t packet_id, uint8_t code);

/* ---- edge.c ---- */
void fifo_put(struct fifo *self, const void *bytes, size_t len);
struct packet *fifo_take(struct fifo *self); /* NULL: empty; to be freed */
void fifo_free(struct fifo *self);
/* Reads clients, answers them, sends frames. */
void edge_step(struct world *self, struct sim_node *node, uint32_t edge);
/* Connected, or no more. */
void edge_tell_presence(struct world *self, struct sim_node *node, const struct client *client);
void edge_watch(struct world *self, struct sim_node *node, uint32_t edge);

/* ---- node.c ---- */
struct sim_node *node_start(struct world *self);
void node_free(struct sim_node **self_p);
uint32_t node_shard_of(const struct sim_node *self, const struct uuid *device);
/* Takes frames, ticks, gives out what was made. */
void node_shard_step(struct world *self, struct sim_node *node, uint32_t shard);
void node_writer_step(struct world *self, struct sim_node *node, uint32_t writer);
/* control tells the shard that a device, or its rules, changed. */
void node_changed(struct world *self, uint32_t device);
void node_crash(struct world *self);
/* Another incarnation starts while the present one goes on, not knowing. */
void node_replace(struct world *self);

/* ---- database.c, database_answer.c ---- */
void db_init(struct world *self);
void db_free(struct database *self);
/* One transaction. 0 or ERR_FENCED with nothing done. */
int db_execute(struct world *self, struct batch *batch, uint64_t incarnation, bool again);
void db_alerts(struct world *self, struct batch *batch);
void db_checks(struct world *self, struct batch *batch);
void db_loads(struct world *self, struct batch *batch);
uint32_t db_find_device(const struct database *self, const struct uuid *id); /* DEVICES: none */
void db_sum_hour(const struct world *self, uint32_t device, int64_t hour_us,
                 struct hour_stats *ret_stats);
int64_t db_newest(const struct database *self, uint32_t device); /* 0: no reading */
/* An operator changes a rule, or removes or makes a device. */
void db_change_rule(struct world *self);
void db_change_device(struct world *self);

/* ---- check.c ---- */
void check_row(struct world *self, const struct batch *batch, const struct batch_row *row);
void check_alert(struct world *self, const struct batch *batch, const struct batch_alert *alert,
                 uint32_t rule);
void check_touch(struct world *self, uint32_t device);
void check_hours(struct world *self, uint32_t device);
void check_answer(struct world *self, const struct publish *publish);
void check_told(struct world *self, const struct msg_event *event, const void *body);
/* What the shards of a node hold is within the credit of its edges. */
void check_held(struct world *self, const struct sim_node *node);
void check_all_answered(struct world *self);
void check_probed(struct world *self, int64_t since_us);
void check_statuses(struct world *self, enum device_status expected);
void check_latest(struct world *self);
void check_empty(struct world *self);
