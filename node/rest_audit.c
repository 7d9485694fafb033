#include "node/rest_handlers.h"

/* clang-format off */
#define AUDIT_JSON                                                                                 \
    "json_build_object('id', r.id, 'tenant_id', r.tenant_id, 'user_id', r.user_id, 'action',"      \
    " r.action, 'resource_type', r.resource_type, 'resource_id', r.resource_id, 'details',"        \
    " r.details, 'ip_address', r.ip_address, " SQL_TIME_OF(r, created_at) ")"
/* clang-format on */

void audit_list(struct call *call)
{
    static const char sql[] =
        SQL_PAGE(AUDIT_JSON, "audit_logs",
                 "($3::uuid IS NULL OR user_id = $3) AND ($4::text IS NULL OR action = $4)"
                 " AND ($5::text IS NULL OR resource_type = $5)"
                 " AND ($6::timestamptz IS NULL OR created_at >= $6)"
                 " AND ($7::timestamptz IS NULL OR created_at <= $7)",
                 "created_at DESC, id DESC");
    struct call_page page = param_page(call, 50);
    const char *values[] = {page.limit,
                            page.offset,
                            param_id(call, "user_id"),
                            param_text(call, "action"),
                            param_text(call, "resource_type"),
                            param_time_text(call, "from", "start_time"),
                            param_time_text(call, "to", "end_time")};
    OWNED(rows) PGresult *rows = NULL;
    if (call_valid(call) && call_query(call, sql, 7, values, &rows))
        reply_page(call, rows, &page);
}
