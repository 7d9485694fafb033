#include "proto/err.h"

const char *err_text(int code)
{
    static const char *const texts[] = {
#define ERR(name, text) text,
#include "proto/err.def"
#undef ERR
    };
    if (code == 0)
        return "success";
    if (code < 0 && code >= -ERR_ORDINALS)
        return texts[-1 - code];
    return "unknown error";
}
