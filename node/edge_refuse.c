/* A PUBLISH that is refused for its topic leaves a row, as a bad payload does: its publisher's, not
 * that of whom the topic names. It is answered when the row is stored and has its credit until
 * then, so that who is refused all the time fills the database no faster than who is not. */
#include "node/edge_mqtt.h"
#include "proto/topic.h"

#define DEVICES "/devices/"
#define TELEMETRY "/telemetry"
#define HEAD_LEN (UUID_TEXT_LEN + sizeof DEVICES - 1)
#define TAIL_LEN (sizeof TELEMETRY - 1)

static size_t at_most(size_t len, size_t max)
{
    return len < max ? len : max;
}

void edge_reject(struct edge *edge, uint16_t slot, struct msg_reject item,
                 const struct session_message *message, const char *reason)
{
    item.topic_len = (uint16_t)at_most(message->topic.len, 512);
    item.reason_len = (uint16_t)strlen(reason);
    item.payload_len = (uint32_t)at_most(message->payload.len, 1024);
    struct span texts[] = {{message->topic.data, item.topic_len},
                           {reason, item.reason_len},
                           {message->payload.data, item.payload_len}};
    edge_give(edge, slot, MSG_REJECT, &item, texts, 3);
}

void edge_refuse(struct mqtt_conn *conn, const struct session_message *message, uint8_t code,
                 const char *reason)
{
    const struct principal *who = session_principal(conn->session);
    bool is_device = who->kind == PRINCIPAL_DEVICE;
    struct msg_reject item = {.tenant = who->tenant,
                              .ref = conn->ref,
                              .flags = (uint8_t)(message->qos | MSG_LAST),
                              .code = code};
    item.ref.packet_id = message->packet_id;
    if (is_device)
        item.device = who->device;
    edge_reject(conn->edge, edge_slot(conn->edge, &who->tenant, is_device ? &who->device : NULL),
                item, message, reason);
}

bool edge_refuse_names_no_device(const struct session_message *message)
{
    const char *topic = (const char *)message->topic.data, *rest;
    size_t len = message->topic.len, rest_len;
    struct uuid tenant, device;
    if (len < HEAD_LEN + TAIL_LEN ||
        memcmp(topic + UUID_TEXT_LEN, DEVICES, HEAD_LEN - UUID_TEXT_LEN) != 0 ||
        memcmp(topic + len - TAIL_LEN, TELEMETRY, TAIL_LEN) != 0 ||
        memchr(topic + HEAD_LEN, '/', len - HEAD_LEN - TAIL_LEN) != NULL)
        return false;
    return topic_parse_device(topic, len, &tenant, &device, &rest, &rest_len) != 0;
}
