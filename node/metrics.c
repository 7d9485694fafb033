#include "node/metrics.h"
#include <inttypes.h>
#include <stdatomic.h>

static _Atomic int64_t values[METRIC_IDS];

static const struct {
    const char *name, *kind, *help;
} descriptions[METRIC_IDS] = {
#define COUNTER(id, name, help) {name, "counter", help},
#define GAUGE(id, name, help) {name, "gauge", help},
#include "node/metrics.def"
#undef COUNTER
#undef GAUGE
};

void metrics_add(enum metric_id id, int64_t n)
{
    if (n != 0)
        atomic_fetch_add_explicit(&values[id], n, memory_order_relaxed);
}

int64_t metrics_get(enum metric_id id)
{
    return atomic_load_explicit(&values[id], memory_order_relaxed);
}

void metrics_print(struct buf *out)
{
    for (unsigned i = 0; i < METRIC_IDS; i++)
        buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n%s %" PRId64 "\n", descriptions[i].name,
                   descriptions[i].help, descriptions[i].name, descriptions[i].kind,
                   descriptions[i].name, metrics_get((enum metric_id)i));
}
