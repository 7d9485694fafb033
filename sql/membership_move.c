#include "proto/buf.h"
#include "sql/membership.h"
#include "sql/view_edit.h"
#include <stdlib.h>
#include <string.h>

#define ARRAY_BYTES_MAX (LIMIT_SLOTS * 6 + 16)

/* Slots as an array literal. */
static int write_slots(struct buf *out, const uint16_t *slots, size_t count)
{
    buf_init(out, ARRAY_BYTES_MAX);
    buf_putc(out, '{');
    for (size_t i = 0; i < count; i++)
        buf_printf(out, "%s%u", i > 0 ? "," : "", slots[i]);
    buf_put(out, "}", sizeof "}");
    return buf_failed(out) ? ERR_TOO_LARGE : 0;
}

/* The statement returns slot and epoch of each row that it changed. */
static int change_slots(const struct view_edit *edit, const char *sql, const char *const *values,
                        const uint16_t *slots, size_t count, uint64_t *epochs, int *ret_changed)
{
    PGresult *rows = ask_rows(edit->db, sql, 5, values);
    if (rows == NULL)
        return ask_error(edit->db);
    uint64_t by_slot[LIMIT_SLOTS] = {0};
    for (int row = 0; row < PQntuples(rows); row++)
        by_slot[strtoul(PQgetvalue(rows, row, 0), NULL, 10) % LIMIT_SLOTS] =
            strtoull(PQgetvalue(rows, row, 1), NULL, 10);
    for (size_t i = 0; i < count; i++)
        epochs[i] = by_slot[slots[i] % LIMIT_SLOTS];
    *ret_changed = PQntuples(rows);
    PQclear(rows);
    return 0;
}

struct order {
    const char *node_id;
    int64_t incarnation;
    uint16_t region, target;
    const uint16_t *slots;
    size_t count;
};

/* $1 owner, $2 region, $3 slots, $4 target, $5 version. */
static int execute(struct ask *db, const struct order *order, const char *sql, uint64_t *ret_epochs)
{
    struct view_edit edit;
    struct buf list;
    struct digits region = digits(order->region), target = digits(order->target), version;
    uint64_t epochs[LIMIT_SLOTS];
    int changed = 0;
    if (order->count > LIMIT_SLOTS)
        return ERR_TOO_LARGE;
    int rc = write_slots(&list, order->slots, order->count);
    if (rc == 0)
        rc = view_edit_begin(&edit, db);
    if (rc == 0)
        rc = view_edit_own_row(db, order->node_id, order->incarnation, false);
    if (rc == 0) {
        version = digits(edit.version);
        const char *const values[] = {order->node_id, region.s, (const char *)list.data, target.s,
                                      version.s};
        rc = change_slots(&edit, sql, values, order->slots, order->count, epochs, &changed);
    }
    buf_free(&list);
    if (rc == 0)
        rc = view_edit_finish(&edit, changed > 0);
    if (rc != 0)
        return view_edit_undo(db, rc);
    memcpy(ret_epochs, epochs, order->count * sizeof *epochs);
    return 0;
}

/* Nobody's state changes while the view is locked, so that a target that lives here lives until
 * the commit; one whose lease has run out is about to be declared dead. */
int membership_hand_over(struct ask *db, const char *node_id, int64_t incarnation, uint16_t region,
                         const uint16_t *slots, size_t count, uint16_t target_number,
                         uint64_t *ret_epochs)
{
    const struct order order = {node_id, incarnation, region, target_number, slots, count};
    return execute(db, &order,
                   "UPDATE cluster_slots s SET owner = s.target, target = NULL, state = 'owned',"
                   " epoch = s.epoch + 1, changed = $5 FROM cluster_regions r, cluster_nodes t "
                   "WHERE r.number = $2 AND s.region = r.region AND s.slot = ANY ($3::int[]) "
                   "AND s.owner = $1 AND s.target = t.node_id AND t.number = $4 "
                   "AND t.state = 'active' AND t.lease_until > clock_timestamp() "
                   "RETURNING s.slot, s.epoch",
                   ret_epochs);
}

int membership_keep(struct ask *db, const char *node_id, int64_t incarnation, uint16_t region,
                    const uint16_t *slots, size_t count, uint16_t target_number,
                    uint64_t *ret_epochs)
{
    const struct order order = {node_id, incarnation, region, target_number, slots, count};
    return execute(
        db, &order,
        "UPDATE cluster_slots s SET epoch = s.epoch + 1, changed = $5,"
        " target = CASE WHEN given_up THEN NULL ELSE s.target END,"
        " state = CASE WHEN given_up OR s.target IS NULL THEN 'owned' ELSE 'moving' END "
        "FROM (SELECT s.region, s.slot, t.node_id IS NOT NULL AS given_up FROM cluster_slots s "
        " JOIN cluster_regions r USING (region) LEFT JOIN cluster_nodes t"
        " ON t.node_id = s.target AND t.number = $4"
        " WHERE r.number = $2 AND s.slot = ANY ($3::int[]) AND s.owner = $1) mine "
        "WHERE s.region = mine.region AND s.slot = mine.slot RETURNING s.slot, s.epoch",
        ret_epochs);
}
