#include "node/rest_bucket.h"
#include "node/rest_params.h"
#include <stdlib.h>
#include <string.h>

#define ORIGIN_US INT64_C(978307200000000)
#define BUCKET_SECONDS_MAX (INT64_C(366) * 86400)

static int64_t unit_seconds(char unit)
{
    switch (unit) {
    case '\0':
    case 's':
        return 1;
    case 'm':
        return 60;
    case 'h':
        return 3600;
    case 'd':
        return 86400;
    default:
        return 0;
    }
}

int bucket_parse(const char *text, int64_t *ret_seconds)
{
    char digits[12];
    int64_t number;
    size_t len = strspn(text, "0123456789");
    if (len == 0 || len >= sizeof digits || (text[len] != '\0' && text[len + 1] != '\0'))
        return ERR_MALFORMED;
    memcpy(digits, text, len);
    digits[len] = '\0';
    int64_t unit = unit_seconds(text[len]);
    if (unit == 0 || rest_params_integer(digits, 1, BUCKET_SECONDS_MAX / unit, &number) != 0)
        return ERR_MALFORMED;
    *ret_seconds = number * unit;
    return 0;
}

/* From the first to the last instant: of a whole hour, both ends included, that is an hour. */
int64_t bucket_automatic(const struct bucket_range *range, int64_t slack_us)
{
    int64_t length = range->end_us - 1 - range->from_us - slack_us;
    if (length <= HOUR_US)
        return 60;
    if (length <= DAY_US)
        return 3600;
    return length <= 7 * DAY_US ? 6 * 3600 : 86400;
}

int64_t bucket_start(int64_t at_us, int64_t width_us)
{
    int64_t past = (at_us - ORIGIN_US) % width_us;
    return at_us - (past < 0 ? past + width_us : past);
}

int64_t bucket_count(const struct bucket_range *range, int64_t seconds)
{
    int64_t width = seconds * SECOND_US;
    int64_t first = bucket_start(range->from_us, width);
    return (bucket_start(range->end_us - 1, width) - first) / width + 1;
}

static int64_t hour_floor(int64_t us)
{
    return us - us % HOUR_US;
}

struct bucket_pieces bucket_split(const struct bucket_range *range, bool use_hours,
                                  int64_t newest_us)
{
    int64_t from = hour_floor(range->from_us + HOUR_US - 1), end = hour_floor(range->end_us);
    if (end > hour_floor(newest_us))
        end = hour_floor(newest_us);
    if (!use_hours || from >= end)
        from = end = range->end_us;
    return (struct bucket_pieces){range->from_us, from, end, range->end_us};
}
