#include "node/rest_handlers.h"
#include <string.h>

static const struct database_scope before_tenant = {.tenant = NULL};

void cluster_later(struct call *call)
{
    reply_problem(call->request, 501, "no_cluster",
                  "cluster administration comes with the cluster");
}

static void put_port(struct buf *out, const char *scheme, const char *host, int64_t port)
{
    if (port != 0)
        buf_printf(out, ",\"%s\":\"%s://%s:%ld\"", scheme, scheme, host, (long)port);
}

/* A node that is not in the table is a cluster of one: itself. */
static void put_self(struct buf *out, const struct config *config)
{
    const char *dash = strrchr(config->node_id, '-');
    size_t len = dash != NULL ? (size_t)(dash - config->node_id) : strlen(config->node_id);
    const char *region = config->node_region[0] != '\0' ? config->node_region : config->node_id;
    if (config->node_region[0] != '\0')
        len = strlen(region);
    buf_printf(out,
               "[{\"node_id\":\"%s\",\"region\":\"%.*s\",\"endpoints\":{\"http\":"
               "\"http://%s:%ld\"",
               config->node_id, (int)len, region, config->bind_address, (long)config->http_port);
    put_port(out, "mqtt", config->bind_address, config->mqtt_port);
    if (config->tls_cert_file[0] != '\0')
        put_port(out, "mqtts", config->bind_address, config->mqtts_port);
    buf_puts(out, "}}]");
}

void cluster_endpoints(struct call *call)
{
    static const char sql[] = "SELECT json_agg(json_build_object('node_id', node_id, 'region',"
                              " region, 'endpoints', endpoints) ORDER BY region, node_id)"
                              " FROM cluster_nodes WHERE state = 'active'";
    OWNED(rows) PGresult *rows = NULL;
    int rc = database_once(call->context->database, &before_tenant, sql, 0, NULL, &rows);
    if (rc != 0) {
        call_failed(call, rc);
        return;
    }
    reply_begin(call, 200);
    if (PQgetisnull(rows, 0, 0))
        put_self(&call->request->reply, call->context->config);
    else
        buf_puts(&call->request->reply, PQgetvalue(rows, 0, 0));
    reply_end(call);
}
