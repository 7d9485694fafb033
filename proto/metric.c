#include "proto/metric.h"

const char *const metric_names[METRICS] = {
    [METRIC_TEMPERATURE] = "temperature",
    [METRIC_HUMIDITY] = "humidity",
    [METRIC_PRESSURE] = "pressure",
    [METRIC_BATTERY] = "battery",
    [METRIC_RSSI] = "rssi",
};

static enum metric metric_if(enum metric metric, const char *name, size_t len)
{
    return memcmp(metric_names[metric], name, len) == 0 ? metric : METRICS;
}

/* By length first: it runs for each member of each message. */
enum metric metric_find(const char *name, size_t len)
{
    switch (len) {
    case 4:
        return metric_if(METRIC_RSSI, name, len);
    case 7:
        return metric_if(METRIC_BATTERY, name, len);
    case 8:
        return metric_if(name[0] == 'h' ? METRIC_HUMIDITY : METRIC_PRESSURE, name, len);
    case 11:
        return metric_if(METRIC_TEMPERATURE, name, len);
    default:
        return METRICS;
    }
}

bool metric_name_valid(const char *name, size_t len)
{
    if (len < 1 || len > LIMIT_METRIC_NAME_BYTES || metric_name_is_timestamp(name, len))
        return false;
    for (size_t i = 0; i < len; i++)
        if (!metric_character_valid(name[i]))
            return false;
    return true;
}
