/* What is read as a point in time is written and read back as the same. */
#include "proto/check.h"
#include "proto/timestamp.h"
#include <stddef.h>
#include <stdint.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_round_trip(int64_t us)
{
    char text[TIMESTAMP_TEXT_SIZE];
    int64_t back;
    CHECK(us >= TIMESTAMP_MIN && us <= TIMESTAMP_MAX);
    CHECK(timestamp_format(us, text) == TIMESTAMP_TEXT_LEN);
    CHECK(strlen(text) == TIMESTAMP_TEXT_LEN);
    CHECK(timestamp_parse_rfc3339(text, TIMESTAMP_TEXT_LEN, &back) == 0 && back == us);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    char out[TIMESTAMP_TEXT_SIZE];
    int64_t us, query_us, any;
    int strict = timestamp_parse_rfc3339(text, size, &us);
    int lenient = timestamp_parse_query(text, size, &query_us);
    if (strict == 0) {
        check_round_trip(us);
        CHECK(lenient == 0 && query_us == us);
    }
    if (lenient == 0)
        check_round_trip(query_us);
    if (size >= sizeof any) {
        memcpy(&any, data, sizeof any);
        CHECK(timestamp_format(any, out) == TIMESTAMP_TEXT_LEN &&
              strlen(out) == TIMESTAMP_TEXT_LEN);
    }
    return 0;
}
