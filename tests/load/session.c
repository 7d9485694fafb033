#include "session.h"
#include <inttypes.h>
#include <time.h>

enum { OUT_HIGH = 64 * 1024, FIRST_QOS0 = 0x30, FIRST_QOS1 = 0x32, REASON_FAILURE = 0x80 };

uint64_t session_clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct facts facts_of(struct load *load, const struct connection *connection)
{
    return (struct facts){.conn = connection->number,
                          .dev = load->options.first + connection->number % load->options.devices,
                          .tenants = load->options.tenants,
                          .tenant_uuid = load->options.tenant,
                          .random = &load->random};
}

static struct bytes render(const struct template *template, const struct facts *facts)
{
    struct bytes text = {0};
    if (template == NULL)
        return text;
    uint8_t *start = bytes_room(&text, template_max(template) + 1);
    text.end = (size_t)(template_render(template, facts, start) - start);
    return text;
}

void session_greet(struct load *load, struct connection *connection)
{
    struct facts facts = facts_of(load, connection);
    struct bytes client_id = render(load->client_id, &facts), user = render(load->user, &facts),
                 pass = render(load->pass, &facts);
    struct packet_connect connect = {.v5 = load->options.version == 5,
                                     .clean = !load->options.reconnect,
                                     .keepalive = (uint16_t)load->options.keepalive,
                                     .client_id = client_id.data,
                                     .client_id_len = client_id.end,
                                     .user = user.data,
                                     .user_len = user.end,
                                     .pass = pass.data,
                                     .pass_len = pass.end};
    packet_put_connect(&connection->out, &connect);
    bytes_free(&client_id);
    bytes_free(&user);
    bytes_free(&pass);
    connection->state = CONNECTION_GREETING;
    connection->sent_ns = connection->heard_ns = connection->pinged_ns = load->now_ns;
    load_touch(load, connection);
}

static bool on_connack(struct load *load, struct connection *connection,
                       const struct packet *packet)
{
    struct packet_connack connack;
    if (connection->state != CONNECTION_GREETING ||
        !packet_connack(packet, load->options.version == 5, &connack))
        return false;
    if (connack.code != 0) {
        char why[32];
        snprintf(why, sizeof why, "code %u", connack.code);
        load_error(load, "connection refused", why);
        return false;
    }
    load->dialling--;
    load->counts.up++;
    if (connection->was_up)
        load->counts.reconnected++;
    else
        load->counts.connected++;
    if (connection->was_up && !connack.session_present)
        load->counts.sessions_gone++;
    connection->was_up = true;
    connection->attempts = 0;
    connection->state = CONNECTION_UP;
    connection->receive_maximum = connack.receive_maximum;
    session_resend(load, connection);
    return true;
}

static void on_acknowledged(struct load *load, struct connection *connection,
                            const struct message *message)
{
    struct counts *counts = &load->counts;
    load_gap(load, connection);
    connection->acked_ns = load->now_ns;
    if (load->now_ns - counts->last_ns > counts->ack_gap_ns)
        counts->ack_gap_ns = load->now_ns - counts->last_ns;
    counts->last_ns = counts->progress_ns = load->now_ns;
    counts->acked++;
    histogram_add(&load->latency, load->now_ns - message->due_ns);
    load_wait(load, connection, message->due_ns);
    if (load->ledger != NULL)
        fprintf(load->ledger, "%" PRIu64 " %" PRIu64 "\n", message->dev, message->seq);
}

static bool on_puback(struct load *load, struct connection *connection, const struct packet *packet)
{
    uint16_t id;
    uint8_t reason;
    bool in_order = true;
    if (!packet_puback(packet, &id, &reason))
        return false;
    struct message *message = window_acknowledge(&connection->window, id, &in_order);
    if (message == NULL) {
        load->counts.unknown_acks++;
        return true;
    }
    if (!in_order)
        load->counts.out_of_order++;
    if (reason < REASON_FAILURE) {
        on_acknowledged(load, connection, message);
        return true;
    }
    char why[32];
    snprintf(why, sizeof why, "reason 0x%02x", reason);
    load_error(load, "message refused", why);
    load->counts.refused++;
    load->counts.progress_ns = load->now_ns;
    return true;
}

bool session_receive(void *context, struct connection *connection, const struct packet *packet)
{
    struct load *load = context;
    char why[32];
    switch (packet->type) {
    case PACKET_CONNACK:
        return on_connack(load, connection, packet);
    case PACKET_PUBACK:
        return on_puback(load, connection, packet);
    case PACKET_DISCONNECT:
        snprintf(why, sizeof why, "reason 0x%02x", packet->len > 0 ? packet->body[0] : 0);
        load_error(load, "server disconnects", why);
        return false;
    default:
        return true; /* PINGRESP, and what an earlier subscription of the session may bring */
    }
}

bool session_has_room(const struct load *load, const struct connection *connection)
{
    if (connection->state != CONNECTION_UP || bytes_len(&connection->out) > OUT_HIGH)
        return false;
    const struct window *window = &connection->window;
    return load->options.qos == 0 || (!window_full(window) && window->unsent == window->next &&
                                      window->in_flight < connection->receive_maximum);
}

/* Rendered behind the most that the fixed header can take, then moved against it. */
static size_t put_publish(struct load *load, struct connection *connection,
                          const struct facts *facts, uint16_t id)
{
    bool v5 = load->options.version == 5, qos1 = load->options.qos == 1;
    size_t most = template_max(load->topic) + template_max(load->payload) + 16;
    uint8_t *start = bytes_room(&connection->out, most);
    uint8_t *body = start + PACKET_HEADER_MAX;
    uint8_t *p = template_render(load->topic, facts, body + 2);
    size_t topic_len = (size_t)(p - body - 2);
    body[0] = (uint8_t)(topic_len >> 8);
    body[1] = (uint8_t)topic_len;
    if (qos1) {
        *p++ = (uint8_t)(id >> 8);
        *p++ = (uint8_t)id;
    }
    if (v5)
        *p++ = 0;
    p = template_render(load->payload, facts, p);
    size_t remaining = (size_t)(p - body);
    uint8_t *behind = packet_header(start, qos1 ? FIRST_QOS1 : FIRST_QOS0, remaining);
    __builtin_memmove(behind, body, remaining);
    size_t len = (size_t)(behind - start) + remaining;
    connection->out.end += len;
    return len;
}

static void advance_device(const struct load *load, struct connection *connection)
{
    connection->next_dev += load->options.connections;
    if (connection->next_dev >= load->options.devices)
        connection->next_dev = connection->number % load->options.devices;
}

void session_publish(struct load *load, struct connection *connection, int64_t due_ns,
                     uint64_t clock_us)
{
    struct facts facts = facts_of(load, connection);
    uint16_t id = 0;
    facts.dev = load->options.first + connection->next_dev;
    facts.seq = load->options.seq_start + load->counts.sent;
    facts.clock_us = clock_us;
    struct message *message = load->options.qos == 1 ? window_add(&connection->window, &id) : NULL;
    size_t len = put_publish(load, connection, &facts, id);
    if (message != NULL) {
        message->due_ns = due_ns;
        message->dev = facts.dev;
        message->seq = facts.seq;
        if (load->options.reconnect)
            window_keep(message, connection->out.data + connection->out.end - len, len);
    } else {
        load->counts.last_ns = load->counts.progress_ns = load->now_ns;
    }
    load->counts.sent++;
    advance_device(load, connection);
    connection->sent_ns = load->now_ns;
    load_touch(load, connection);
}

void session_resend(struct load *load, struct connection *connection)
{
    struct window *window = &connection->window;
    while (window->unsent < window->next && window->in_flight < connection->receive_maximum) {
        struct message *message = window_resend(window);
        if (message == NULL)
            return;
        size_t at = connection->out.end - connection->out.start;
        bytes_put(&connection->out, message->packet, message->packet_len);
        connection->out.data[connection->out.start + at] |= PACKET_DUP;
        load->counts.resent++;
        load_touch(load, connection);
    }
}

void session_ping(struct load *load, struct connection *connection)
{
    static const uint8_t pingreq[] = {0xc0, 0};
    bytes_put(&connection->out, pingreq, sizeof pingreq);
    connection->pinged_ns = connection->sent_ns = load->now_ns;
    load->counts.pings++;
    load_touch(load, connection);
}
