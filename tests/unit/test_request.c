/* What is asked of the query threads holds nothing that nobody gives back. */
#include "node/request.h"
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define LOGINS 1000

/* As the login of a service account whose password is changed meanwhile: it was right, and is not
 * let in. */
static void an_answer_that_nobody_took_is_given_back(void **state)
{
    (void)state;
    const char *const filters[] = {"a/#", "b/+/c"};
    size_t before = 0;
    for (unsigned i = 0; i < LOGINS; i++) {
        struct request *request = request_new(REQUEST_LOGIN);
        assert_non_null(request);
        request->principal = (struct principal){
            .kind = PRINCIPAL_SERVICE, .filters = principal_filters_new(filters, 2, filters, 2)};
        assert_non_null(request->principal.filters);
        request_destroy(&request);
        assert_null(request);
        if (i == LOGINS / 2)
            before = mallinfo2().uordblks;
    }
    assert_int_equal(mallinfo2().uordblks, before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_answer_that_nobody_took_is_given_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
