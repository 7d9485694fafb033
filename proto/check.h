#pragma once
/*
 * check - what can only be our own bug aborts, in release builds too.
 *
 * What a peer, a client, SQL or a socket sent never reaches CHECK.
 */
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (__builtin_expect(!(condition), 0)) {                                                   \
            fprintf(stderr, "%s:%d: check failed: %s\n", __FILE__, __LINE__, #condition);          \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* Scope cleanup: OWNED(buf) char *p = …; calls buf_cleanup(&p) when p leaves its scope. */
#define OWNED(kind) __attribute__((cleanup(kind##_cleanup)))

static inline void free_cleanup(void *p)
{
    free(*(void **)p);
}

/* Memory for small fixed things at start-up and in tests: aborts when there is none. */
static inline void *xcalloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    CHECK(p != NULL);
    return p;
}
