#include "proto/timestamp.h"
#include <stdbool.h>
#include <string.h>

#define US_PER_SECOND INT64_C(1000000)
#define US_PER_DAY (86400 * US_PER_SECOND)
/* As seconds, a day of the year 5138; as milliseconds, one of 1973. */
#define EPOCH_MS_MIN INT64_C(100000000000)
#define YEAR_0_US (INT64_C(-719528) * US_PER_DAY)

struct civil {
    uint32_t year, month, day;
};

/* Years are counted from 1 March, so that the leap day is the last of its year, and in eras of 400
 * years (146,097 days), which all have the same shape. 719,468 days lie between 0000-03-01 and the
 * Unix epoch. Both ways are valid for the years 0 to 9999. */
static int64_t days_from_civil(struct civil date)
{
    int64_t year = (int64_t)date.year - (date.month <= 2) + 400;
    int64_t era = year / 400, year_of_era = year % 400;
    int64_t month_from_march = (date.month + 9) % 12;
    int64_t day_of_year = (153 * month_from_march + 2) / 5 + date.day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return (era - 1) * 146097 + day_of_era - 719468;
}

static struct civil civil_from_days(int64_t days)
{
    uint32_t since = (uint32_t)(days + 719468 + 146097); /* from 1 March of the year -400 */
    uint32_t era = since / 146097, day_of_era = since % 146097;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month_from_march = (5 * day_of_year + 2) / 153;
    uint32_t month = month_from_march < 10 ? month_from_march + 3 : month_from_march - 9;
    return (struct civil){
        .year = year_of_era + era * 400 - 400 + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * month_from_march + 2) / 5 + 1,
    };
}

static uint32_t days_of_month(uint32_t year, uint32_t month)
{
    static const uint8_t days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return month == 2 && leap ? 29 : days[month - 1];
}

/* Text being read; a failed step returns false and the whole is refused. */
struct text {
    const char *at, *end;
};

static bool take_digits(struct text *text, int count, uint32_t *ret_value)
{
    uint32_t value = 0;
    if (text->end - text->at < count)
        return false;
    for (int i = 0; i < count; i++) {
        char c = *text->at++;
        if (c < '0' || c > '9')
            return false;
        value = value * 10 + (uint32_t)(c - '0');
    }
    *ret_value = value;
    return true;
}

/* One character out of `set`, or '\0'. */
static char take_one_of(struct text *text, const char *set)
{
    if (text->at == text->end || *text->at == '\0' || strchr(set, *text->at) == NULL)
        return '\0';
    return *text->at++;
}

static bool take_date(struct text *text, int64_t *ret_us)
{
    struct civil date;
    if (!take_digits(text, 4, &date.year) || !take_one_of(text, "-") ||
        !take_digits(text, 2, &date.month) || !take_one_of(text, "-") ||
        !take_digits(text, 2, &date.day))
        return false;
    if (date.month < 1 || date.month > 12 || date.day < 1 ||
        date.day > days_of_month(date.year, date.month))
        return false;
    *ret_us = days_from_civil(date) * US_PER_DAY;
    return true;
}

/* The digits behind a `.`, in microseconds; 0 when there is no `.`. */
static bool take_fraction(struct text *text, uint32_t *ret_us)
{
    uint32_t us = 0, unit = 100000;
    int digits = 0;
    if (take_one_of(text, ".")) {
        uint32_t digit;
        while (digits < 10 && text->at < text->end && *text->at >= '0' && *text->at <= '9') {
            if (!take_digits(text, 1, &digit))
                return false;
            us += digit * unit;
            unit /= 10;
            digits++;
        }
        if (digits < 1 || digits > 9)
            return false;
    }
    *ret_us = us;
    return true;
}

/* `lenient`, here and below: as a query may say it (timestamp.h). */
static bool take_time(struct text *text, bool lenient, int64_t *ret_us)
{
    uint32_t hour, minute, second = 0, fraction_us = 0;
    if (!take_digits(text, 2, &hour) || !take_one_of(text, ":") || !take_digits(text, 2, &minute))
        return false;
    if (take_one_of(text, ":")) {
        if (!take_digits(text, 2, &second) || !take_fraction(text, &fraction_us))
            return false;
    } else if (!lenient) {
        return false;
    }
    if (hour > 23 || minute > 59 || second > 60)
        return false;
    if (second == 60) {
        second = 59;
        fraction_us = 999999;
    }
    *ret_us = ((int64_t)hour * 3600 + minute * 60 + second) * US_PER_SECOND + fraction_us;
    return true;
}

static bool take_offset(struct text *text, bool lenient, int64_t *ret_us)
{
    uint32_t hour, minute;
    if (take_one_of(text, "Zz") || (lenient && text->at == text->end)) {
        *ret_us = 0;
        return true;
    }
    char sign = take_one_of(text, lenient ? "+- " : "+-");
    if (sign == '\0' || !take_digits(text, 2, &hour) || !(take_one_of(text, ":") || lenient) ||
        !take_digits(text, 2, &minute) || hour > 23 || minute > 59)
        return false;
    int64_t us = ((int64_t)hour * 3600 + minute * 60) * US_PER_SECOND;
    *ret_us = sign == '-' ? -us : us;
    return true;
}

static int parse_date_time(const char *s, size_t len, bool lenient, int64_t *ret_us)
{
    struct text text = {s, s + len};
    int64_t date_us, time_us, offset_us;
    if (!take_date(&text, &date_us) || !take_one_of(&text, "Tt ") ||
        !take_time(&text, lenient, &time_us) || !take_offset(&text, lenient, &offset_us) ||
        text.at != text.end)
        return ERR_MALFORMED;
    int64_t us = date_us + time_us - offset_us;
    if (us < TIMESTAMP_MIN || us > TIMESTAMP_MAX)
        return ERR_MALFORMED;
    *ret_us = us;
    return 0;
}

int timestamp_parse_rfc3339(const char *s, size_t len, int64_t *ret_us)
{
    return parse_date_time(s, len, false, ret_us);
}

static int parse_date(const char *s, size_t len, int64_t *ret_us)
{
    struct text text = {s, s + len};
    int64_t us;
    if (!take_date(&text, &us) || text.at != text.end || us < TIMESTAMP_MIN)
        return ERR_MALFORMED;
    *ret_us = us;
    return 0;
}

static int parse_epoch(const char *s, size_t len, int64_t *ret_us)
{
    int64_t value = 0;
    if (len == 0)
        return ERR_MALFORMED;
    for (size_t i = 0; i < len; i++) {
        if (s[i] < '0' || s[i] > '9')
            return ERR_MALFORMED;
        value = value * 10 + (s[i] - '0');
        if (value > TIMESTAMP_MAX / 1000)
            return ERR_MALFORMED;
    }
    *ret_us = value * (value < EPOCH_MS_MIN ? US_PER_SECOND : 1000);
    return 0;
}

int timestamp_parse_query(const char *s, size_t len, int64_t *ret_us)
{
    if (parse_epoch(s, len, ret_us) == 0)
        return 0;
    if (parse_date(s, len, ret_us) == 0)
        return 0;
    return parse_date_time(s, len, true, ret_us);
}

static void put_2(char *out, uint32_t value)
{
    out[0] = (char)('0' + value / 10);
    out[1] = (char)('0' + value % 10);
}

size_t timestamp_format(int64_t us, char out[static TIMESTAMP_TEXT_SIZE])
{
    if (us < YEAR_0_US)
        us = YEAR_0_US;
    if (us > TIMESTAMP_MAX)
        us = TIMESTAMP_MAX;
    int64_t since_year_0 = us - YEAR_0_US;
    struct civil date = civil_from_days(since_year_0 / US_PER_DAY + YEAR_0_US / US_PER_DAY);
    int64_t us_of_day = since_year_0 % US_PER_DAY;
    uint32_t second = (uint32_t)(us_of_day / US_PER_SECOND);
    uint32_t fraction = (uint32_t)(us_of_day % US_PER_SECOND);
    memcpy(out, "0000-00-00T00:00:00.000000+00:00", TIMESTAMP_TEXT_LEN + 1);
    put_2(out, date.year / 100);
    put_2(out + 2, date.year % 100);
    put_2(out + 5, date.month);
    put_2(out + 8, date.day);
    put_2(out + 11, second / 3600);
    put_2(out + 14, second / 60 % 60);
    put_2(out + 17, second % 60);
    put_2(out + 20, fraction / 10000);
    put_2(out + 22, fraction / 100 % 100);
    put_2(out + 24, fraction % 100);
    return TIMESTAMP_TEXT_LEN;
}
