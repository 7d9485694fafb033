#pragma once
/*
 * parts - what the files of the simulator ask of each other.
 */
#include "tests/sim/world.h"

/* ---- world.c ---- */
void task_add(struct world *self, struct task *task);
void task_remove(struct world *self, const struct task *task);
/* The time goes on to the task that is due first. */
void task_run_next(struct world *self);
/* Due in a moment, if not sooner. */
void task_wake(struct world *self, struct task *task);
int64_t some_delay(struct world *self);
/* Of a process, which may be wrong a bit; NULL: the right one. */
int64_t wall_clock(const struct world *self, const struct process *process);
void fifo_put(struct world *self, struct fifo *fifo, const struct mesh_head *head,
              const struct span *bytes);
/* What it has, if anything; clears it. */
void fifo_put_frame(struct world *self, struct fifo *fifo, const struct mesh_head *head,
                    struct frame *frame);
struct packet *fifo_take(struct world *self, struct fifo *fifo); /* NULL: empty; to be freed */
struct packet *fifo_take_any(struct world *self, struct fifo *fifos, uint32_t count);
void fifo_free(struct world *self, struct fifo *fifos, uint32_t count);
bool fifo_is_empty(const struct fifo *fifos, uint32_t count);

/* ---- client.c ---- */
void clients_init(struct world *self);
void clients_free(struct world *self);
/* One sample without a timestamp, hot enough for rules. */
void client_probe(struct world *self, uint32_t client);
/* Sends what its window allows; the unanswered ones first, in order, with DUP. */
void client_send(struct world *self, uint32_t client);
/* The next PUBLISH on its way to the edge, or NULL. */
struct publish *client_next(struct world *self, uint32_t client);
void client_connect(struct world *self, uint32_t client);
void client_disconnect(struct world *self, uint32_t client);
/* Its node is no more. */
void client_lost(struct world *self, uint32_t client);
void client_answered(struct world *self, uint32_t client, uint16_t packet_id, uint8_t code);

/* ---- process.c ---- */
/* It registers, and runs. */
void process_start(struct world *self, uint8_t place);
bool process_registers(struct world *self, struct process *process);
/* At once; what the database has received of it may still be done. */
void process_end(struct world *self, struct process *process, const char *why);
/* It is neither paused nor cut off any more. */
void process_go_on(struct world *self, struct process *process);
/* Goes on with a stop in order. */
void process_stop(struct world *self, struct process *process);
void process_free(struct world *self, uint32_t id);
void processes_reap(struct world *self);

/* ---- threads.c ---- */
void shard_turn(struct world *self, struct sim_shard *shard);
void writer_turn(struct world *self, struct sim_writer *writer);

/* ---- edge.c, edge_lanes.c ---- */
void edge_turn(struct world *self, struct sim_edge *edge);
void edge_open(struct world *self, struct sim_edge *edge);
void edge_close(struct world *self, struct sim_edge *edge);
void edge_give(struct sim_edge *edge, uint16_t slot, enum msg_kind kind, const void *fixed,
               const struct span *texts, size_t texts_count);
/* False: it was answered before. */
bool edge_answered(struct sim_edge *edge, const struct msg_ref *ref);
void edge_flush(struct world *self, struct sim_edge *edge);
/* The slot as the edge knows it; `device` DEVICES: the tenant's. */
uint16_t edge_slot(const struct world *self, const struct sim_edge *edge, uint32_t tenant,
                   uint32_t device);
void edge_home(struct world *self, struct sim_edge *edge, const struct uuid *id, unsigned region);
/* Who watches a device has asked for it when it was there, and was told where it is at home. */
void edges_watch_made(struct world *self, uint32_t device);
void edge_tell_presence(struct world *self, struct sim_edge *edge, const struct client *client,
                        bool here);
void edge_tell_again(struct world *self, struct sim_edge *edge);

/* ---- mesh.c ---- */
void mesh_turn(struct world *self, struct process *process);
void mesh_give_view(struct world *self, struct process *process, const struct view_node *nodes);
bool mesh_has_waiting(const struct process *process);
void mesh_close(struct world *self, struct process *process);

/* ---- control.c, control_view.c ---- */
void control_open(struct process *process);
void control_close(struct world *self, struct process *process);
void control_turn(struct world *self, struct process *process);
/* The database says that the view has changed. */
void control_notify(struct world *self, struct process *process);
void control_suspect(struct world *self, struct process *process, uint16_t number, uint16_t life,
                     bool suspected);
void control_view_open(struct process *process);
void control_view_close(struct process *process);
void control_take_view(struct world *self, struct process *process);
void control_flush(struct world *self, struct process *process);
void control_tell_device(struct world *self, struct process *process, enum msg_kind kind,
                         uint32_t device);
void control_tell_slot(struct world *self, struct process *process, enum msg_kind kind,
                       uint16_t slot, uint16_t owner, uint32_t epoch);
void control_tell_moved(struct world *self, struct process *process);
/* Edges are to send their clients elsewhere. */
void control_tell_drain(struct process *process);
/* What mutations make it say. */
void control_give_before(struct world *self, struct process *process);
void control_tell_clean(struct world *self, struct process *process);

/* ---- lease.c ---- */
void lease_open(struct world *self, struct process *process);
void lease_turn(struct world *self, struct process *process);
bool lease_thread_may_judge(const struct world *self, const struct process *process);

/* ---- call.c ---- */
void call_init(struct world *self, struct call *call, struct thread *thread);
/* Wakes its thread when it is answered. */
void call_send(struct world *self, struct call *call,
               int (*execute)(struct world *world, struct call *self));
bool call_took_answer(struct call *call, int *ret_rc);
void call_orphan(struct world *self, struct call *call);
/* Of all incarnations of a place. */
void end_sessions(struct world *self, uint8_t place);

/* ---- membership.c: 0 or an error of sql/membership.h ---- */
bool member_lives(const struct db_member *self);
/* The fence lets this incarnation write. */
bool member_is_served(const struct db_member *self, int64_t incarnation);
void member_register(struct world *self, struct process *process);
int member_renew(struct world *self, const struct process *process);
int member_leave(struct world *self, const struct process *process);
void member_read(struct world *self, int64_t since, struct view_read *ret_read);
int64_t member_expiry_us(const struct world *self, uint8_t place);
int member_bury(struct world *self, const struct process *process);
int member_vote(struct world *self, const struct process *process, uint16_t number,
                int64_t incarnation);
/* MOVES_HAND_OVER, MOVES_KEEP. */
int member_move(struct world *self, const struct process *process, const struct moves_order *order,
                uint64_t *ret_epochs);
void member_rebalance(struct world *self);
void member_drain(struct world *self, uint8_t place);
void member_cancel_drain(struct world *self, uint8_t place);
void member_evict(struct world *self, uint8_t place);

/* ---- membership_plan.c ---- */
struct db_slot *slot_row(struct database *db, uint16_t slot);
/* How many rows it changed. `hold_down_us` INT64_MAX: time alone makes no region fail over. */
uint32_t plan_apply(struct world *self, int64_t hold_down_us, uint32_t failed_over);
/* What the planner is asked; placement->slots are to be freed. */
void plan_load(const struct world *self, int64_t hold_down_us, struct placement_node *nodes,
               struct placement *placement);
/* When the region's slots may go to others' nodes; 0: now; INT64_MAX: it is waited for. */
int64_t plan_failover_us(const struct world *self, unsigned region, int64_t hold_down_us);
/* Slots of it have no living owner, and some node could take them. */
bool plan_is_orphaned(const struct world *self, unsigned region);

/* ---- database.c, database_answer.c ---- */
void db_init(struct world *self);
void db_free(struct database *self);
/* One transaction. 0 or ERR_FENCED with nothing done. */
int db_execute(struct world *self, struct process *process, struct batch *batch, bool again);
void db_alerts(struct world *self, const struct process *process, struct batch *batch);
void db_checks(struct world *self, struct batch *batch);
void db_loads(struct world *self, struct batch *batch);
uint32_t db_find_device(const struct database *self, const struct uuid *id); /* DEVICES: none */
void db_sum_hour(const struct world *self, uint32_t device, int64_t hour_us,
                 struct hour_stats *ret_stats);
/* An operator changes a rule, or removes or makes a device. */
void db_change_rule(struct world *self);
void db_change_device(struct world *self, uint32_t device);

/* ---- check.c: readings, alerts, hours, statuses ---- */
void check_row(struct world *self, const struct batch *batch, const struct batch_row *row);
void check_alert(struct world *self, const struct batch *batch, const struct batch_alert *alert,
                 uint32_t rule);
void check_alert_refused(struct world *self, const struct batch_alert *alert, uint32_t rule);
void check_touch(struct world *self, uint32_t device);
void check_hours(struct world *self, uint32_t device);
/* `former_us`: of each device's newest reading before the transaction. */
void check_batch_hours(struct world *self, const struct batch *batch, const int64_t *former_us);
void check_answer(struct world *self, const struct publish *publish);
void check_all_answered(struct world *self);
void check_probed(struct world *self, int64_t since_us);
void check_status(struct world *self, uint32_t device, enum device_status expected);
void check_latest(struct world *self);

/* ---- check_cluster.c: owners, moves, what is held ---- */
void check_owner(struct world *self, const struct process *process, uint16_t slot,
                 const char *what);
void check_plan(struct world *self, const struct placement *placement);
void check_buried(struct world *self, uint8_t place);
void check_condemned(struct world *self, uint8_t place);
void check_ended(struct world *self, struct process *process, const char *why);
/* After each step. */
void check_step(struct world *self);
/* All slots have living owners, and enough of them; nothing moves. */
void check_settled(struct world *self);
/* Why a slot is not served as it should be, or NULL. */
const char *unrest_of_slot(const struct world *self, const struct db_slot *row);
void check_empty(struct world *self);

/* ---- check_watch.c: what watchers are told, in which order readings come ---- */
void check_told(struct world *self, const struct sim_edge *edge, const struct msg_event *event,
                const void *body);
/* Edges that are to be told of a row that commits now. */
uint64_t check_must(const struct world *self, uint32_t device);
void check_order(struct world *self, const struct batch_row *row);
/* Something that watchers may miss readings by. */
void check_disturbed(struct world *self);
/* All is quiet: from now on every edge that runs is to be told of everything. */
void check_establish(struct world *self);
void check_all_told(struct world *self);

/* ---- faults.c ---- */
void faults_init(struct world *self);
/* No fault any more, and what was cut is whole. */
void faults_heal(struct world *self);
/* If nobody is there to stay, somebody comes. */
void faults_need_somebody(struct world *self);

/* ---- run.c ---- */
/* Nothing is on its way. */
bool world_is_settled(const struct world *self);
