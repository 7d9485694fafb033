/* The header of a first request: no byte behind it is read, and what is made of it is stable. */
#include "node/http_head.h"
#include "proto/check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *head = malloc(size > 0 ? size : 1);
    struct buf once, twice;
    CHECK(head != NULL);
    memcpy(head, data, size);
    buf_init(&once, 1 << 20);
    buf_init(&twice, 1 << 20);
    (void)http_head_has_method(head, size);
    (void)http_head_has_nul(head, size);
    if (size > 0 && http_head_rewrite(head, size, &once) && once.len > 0)
        (void)http_head_rewrite((const char *)once.data, once.len, &twice);
    buf_free(&once);
    buf_free(&twice);
    free(head);
    return 0;
}
