#include "proto/number.h"
#include "proto/check.h"
#include <float.h>
#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

/* 19 digits always fit 64 bits; 15 always survive decimal -> double -> decimal (DBL_DIG). */
enum { MANTISSA_DIGITS = 19, EXACT_POWER = 22 };

/* The parts of a number's text, leading zeros left out. */
struct parts {
    uint64_t mantissa; /* the first MANTISSA_DIGITS digits */
    int digits;        /* from the first that is not 0, also those past the mantissa */
    int exponent;      /* value = mantissa * 10^exponent while digits <= MANTISSA_DIGITS */
    bool negative;
    bool exponent_past_bound;
};

static inline bool is_digit(const char *at, const char *end)
{
    return at < end && *at >= '0' && *at <= '9';
}

static inline const char *read_digits(const char *at, const char *end, struct parts *parts)
{
    for (; is_digit(at, end); at++) {
        if (parts->digits < MANTISSA_DIGITS)
            parts->mantissa = parts->mantissa * 10 + (uint64_t)(*at - '0');
        if (parts->digits > 0 || *at != '0')
            parts->digits++;
    }
    return at;
}

/* Behind the `e`; NULL when no digit is there. */
static const char *read_exponent(const char *at, const char *end, struct parts *parts)
{
    bool negative = at < end && *at == '-';
    int exponent = 0;
    if (at < end && (*at == '-' || *at == '+'))
        at++;
    if (!is_digit(at, end))
        return NULL;
    for (; is_digit(at, end); at++)
        if (exponent <= NUMBER_EXPONENT_MAX)
            exponent = exponent * 10 + (*at - '0');
    parts->exponent_past_bound = exponent > NUMBER_EXPONENT_MAX;
    parts->exponent += negative ? -exponent : exponent;
    return at;
}

/* RFC 8259, clause 6: [ minus ] int [ frac ] [ exp ]. The character behind it, or NULL. */
static const char *read_parts(const char *s, const char *end, struct parts *parts)
{
    const char *at = s;
    if (at < end && *at == '-') {
        parts->negative = true;
        at++;
    }
    if (!is_digit(at, end))
        return NULL;
    at = *at == '0' ? at + 1 : read_digits(at, end, parts);
    if (at < end && *at == '.') {
        const char *fraction = at + 1;
        at = read_digits(fraction, end, parts);
        if (at == fraction)
            return NULL;
        /* Cut: a text this long is refused anyway, and an int must hold the sum. */
        parts->exponent -= at - fraction <= NUMBER_TEXT_MAX ? (int)(at - fraction) : 0;
    }
    if (at < end && (*at == 'e' || *at == 'E'))
        at = read_exponent(at + 1, end, parts);
    return at;
}

static locale_t c_locale;

static void make_c_locale(void)
{
    c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    CHECK(c_locale != (locale_t)0);
}

static double parse_slowly(const char *s, size_t len)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    char text[NUMBER_TEXT_MAX + 1];
    pthread_once(&once, make_c_locale);
    memcpy(text, s, len);
    text[len] = '\0';
    return strtod_l(text, NULL, c_locale);
}

/* Both operands are exact, so the one rounding is IEEE 754's own. */
static inline double scale_exactly(const struct parts *parts)
{
    static const double powers[EXACT_POWER + 1] = {
        1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
        1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
    };
    double mantissa = (double)parts->mantissa;
    double value = parts->exponent < 0 ? mantissa / powers[-parts->exponent]
                                       : mantissa * powers[parts->exponent];
    return parts->negative ? -value : value;
}

int number_parse(const char *s, const char *end, struct number *ret_number)
{
    struct parts parts = {0};
    const char *behind = read_parts(s, end, &parts);
    if (behind == NULL)
        return ERR_MALFORMED;
    size_t len = (size_t)(behind - s);
    if (len > NUMBER_TEXT_MAX || parts.exponent_past_bound)
        return ERR_TOO_LARGE;
    bool exact = parts.digits <= MANTISSA_DIGITS && parts.mantissa <= UINT64_C(1) << 53 &&
                 parts.exponent >= -EXACT_POWER && parts.exponent <= EXACT_POWER;
    double value = exact ? scale_exactly(&parts) : parse_slowly(s, len);
    *ret_number = (struct number){
        .value = value,
        /* Below DBL_MIN a double has fewer digits than 15. */
        .restorable = parts.digits <= DBL_DIG && (parts.digits == 0 || fabs(value) >= DBL_MIN),
        .len = len,
    };
    return 0;
}
