#include "node/metrics.h"
#include <inttypes.h>
#include <stdatomic.h>

static _Atomic int64_t values[METRIC_IDS];
static _Atomic int64_t pauses[PAUSES_BOUNDS + 1], pauses_us;

static const struct {
    const char *name, *kind, *help;
} descriptions[METRIC_IDS] = {
#define COUNTER(id, name, help) {name, "counter", help},
#define GAUGE(id, name, help) {name, "gauge", help},
#include "node/metrics.def"
#undef COUNTER
#undef GAUGE
};

static void add(_Atomic int64_t *to, int64_t n)
{
    if (n != 0)
        atomic_fetch_add_explicit(to, n, memory_order_relaxed);
}

void metrics_add(enum metric_id id, int64_t n)
{
    add(&values[id], n);
}

int64_t metrics_get(enum metric_id id)
{
    return atomic_load_explicit(&values[id], memory_order_relaxed);
}

void metrics_add_pauses(const struct pauses *now, const struct pauses *told)
{
    for (unsigned i = 0; i <= PAUSES_BOUNDS; i++)
        add(&pauses[i], now->count[i] - told->count[i]);
    add(&pauses_us, now->sum_us - told->sum_us);
}

#define PAUSE "gito_slot_pause_seconds"

/* Each bucket counts what is in those before it as well. */
static void print_pauses(struct buf *out)
{
    int64_t count = 0;
    buf_printf(out, "# HELP " PAUSE " time for which a slot that was given away had no owner\n"
                    "# TYPE " PAUSE " histogram\n");
    for (unsigned i = 0; i < PAUSES_BOUNDS; i++) {
        count += atomic_load_explicit(&pauses[i], memory_order_relaxed);
        buf_printf(out, PAUSE "_bucket{le=\"%g\"} %" PRId64 "\n", (double)pauses_bound_ms[i] / 1e3,
                   count);
    }
    count += atomic_load_explicit(&pauses[PAUSES_BOUNDS], memory_order_relaxed);
    buf_printf(out,
               PAUSE "_bucket{le=\"+Inf\"} %" PRId64 "\n" PAUSE "_sum %.6f\n" PAUSE
                     "_count %" PRId64 "\n",
               count, (double)atomic_load_explicit(&pauses_us, memory_order_relaxed) / 1e6, count);
}

void metrics_print(struct buf *out)
{
    for (unsigned i = 0; i < METRIC_IDS; i++)
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n", descriptions[i].name,
                   descriptions[i].help, descriptions[i].name, descriptions[i].kind,
                   descriptions[i].name, metrics_get((enum metric_id)i));
    print_pauses(out);
}
