/* The libwebsockets context of an edge, in the edge's own libev loop, and what it listens on. */
#include "node/edge_inside.h"
#include "node/log.h"

static void on_lws_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");
    if (strstr(line, "adopt_socket_readbuf") != NULL)
        return; /* it tells each adoption, as an error */
    log_event(level & LLL_ERR ? LEVEL_ERROR : LEVEL_WARNING, "libwebsockets", "text", "%.*s",
              (int)len, line);
}

static struct lws_context *make_context(struct edge *self)
{
    void *loops[] = {self->loop};
    struct lws_context_creation_info info = {
        .options = LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_LIBEV |
                   LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT,
        .foreign_loops = loops,
        .pt_serv_buf_size = 65536,
        .user = self,
        .server_string = "gito",
        .timeout_secs = 10, /* TLS handshakes, HTTP headers */
        .max_http_header_data = 16384,
    };
    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    return lws_create_context(&info);
}

static struct lws_vhost *listen_on(struct edge *self, const char *name, int64_t port,
                                   const struct lws_protocols *protocols, uint64_t options,
                                   bool tls)
{
    const struct config *config = self->config;
    bool everywhere = strcmp(config->bind_address, "0.0.0.0") == 0;
    /* With IPv6, libwebsockets would listen on `::` for an address of IPv4. */
    if (strchr(config->bind_address, ':') == NULL)
        options |= LWS_SERVER_OPTION_DISABLE_IPV6;
    struct lws_context_creation_info info = {
        .vhost_name = name,
        .port = (int)port,
        .iface = everywhere ? NULL : config->bind_address,
        .protocols = protocols,
        .options = options | (config->edges > 1 ? LWS_SERVER_OPTION_ALLOW_LISTEN_SHARE : 0),
        .keepalive_timeout = 60,
        .timeout_secs = 10,
    };
    if (options & LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG) {
        info.listen_accept_role = "raw-skt";
        info.listen_accept_protocol = "mqtt";
    }
    if (tls) {
        info.options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT; /* or the vhost speaks plain TCP */
        info.ssl_cert_filepath = config->tls_cert_file;
        info.ssl_private_key_filepath = config->tls_key_file;
    }
    struct lws_vhost *vhost = lws_create_vhost(self->lws, &info);
    if (vhost != NULL && port == CONTEXT_PORT_NO_LISTEN_SERVER)
        return vhost; /* edge_front listens for it */
    if (vhost == NULL)
        log_event(LEVEL_ERROR, "listen_failed", "reason", "could not listen on %s port %d (%s)",
                  config->bind_address, (int)port, name);
    else
        log_event(LEVEL_INFO, "listening", "port", "%d (%s)", (int)port, name);
    return vhost;
}

/* MQTT over WebSocket has one path. */
static int mqtt_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                         size_t len)
{
    char path[16];
    if (reason == LWS_CALLBACK_FILTER_PROTOCOL_CONNECTION &&
        (lws_hdr_copy(wsi, path, sizeof path, WSI_TOKEN_GET_URI) < 0 || strcmp(path, "/mqtt") != 0))
        return -1;
    return edge_mqtt_callback(wsi, reason, user, in, len);
}

/* A WebSocket that names no sub-protocol belongs to the vhost's first, as all of HTTP does. */
static int web_callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                        size_t len)
{
    switch ((int)reason) {
    case LWS_CALLBACK_ESTABLISHED:
        edge_http_end(user); /* the place was an exchange's before the upgrade */
        return edge_live_callback(wsi, reason, user, in, len);
    case LWS_CALLBACK_ADD_HEADERS:
        return edge_live_answer_protocol(wsi, in);
    case LWS_CALLBACK_RECEIVE:
    case LWS_CALLBACK_SERVER_WRITEABLE:
    case LWS_CALLBACK_CLOSED:
        return edge_live_callback(wsi, reason, user, in, len);
    default:
        return edge_http_callback(wsi, reason, user, in, len);
    }
}

int edge_listen(struct edge *self)
{
    static struct lws_protocols mqtt[] = {{.name = "mqtt", .callback = edge_mqtt_callback}, {0}};
    static struct lws_protocols http[] = {{.name = "http", .callback = web_callback},
                                          {.name = "mqtt", .callback = mqtt_callback},
                                          {0}};
    const struct config *config = self->config;
    const uint64_t raw = LWS_SERVER_OPTION_ADOPT_APPLY_LISTEN_ACCEPT_CONFIG;
    mqtt[0].per_session_data_size = http[1].per_session_data_size = edge_mqtt_conn_size();
    mqtt[0].rx_buffer_size = http[1].rx_buffer_size = 65536;
    http[0].per_session_data_size =
        edge_http_size() > edge_live_size() ? edge_http_size() : edge_live_size();
    self->lws = make_context(self);
    if (self->lws == NULL) {
        log_event(LEVEL_ERROR, "context_failed", "reason",
                  "could not start libwebsockets (is libwebsockets-evlib-ev installed?)");
        return ERR_CONFIG;
    }
    if (config->mqtt_port != 0 &&
        listen_on(self, "mqtt", config->mqtt_port, mqtt, raw, false) == NULL)
        return ERR_CONFIG;
    if (config->mqtts_port != 0 && config->tls_cert_file[0] != '\0' &&
        listen_on(self, "mqtts", config->mqtts_port, mqtt, raw, true) == NULL)
        return ERR_CONFIG;
    struct lws_vhost *vhost =
        listen_on(self, "http", CONTEXT_PORT_NO_LISTEN_SERVER, http, 0, false);
    return vhost != NULL ? edge_front_open(self, vhost) : ERR_CONFIG;
}
