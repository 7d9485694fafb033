#pragma once
/*
 * edge_watch - subscriptions of MQTT clients, and what comes to them: as it happens
 * (edge_watch.c), and what was kept until they subscribed (edge_retained.c).
 *
 * Owner: the edge thread; a subscription is its connection's.
 */
#include "node/edge_mqtt.h"

struct subscription {
    struct watch watch; /* first: a watch of the registry is one of these, or a live one */
    struct subscription *next;
    uint32_t subscription_id;
    uint16_t filter_len;
    uint8_t qos;
    bool no_local, retain_as_published;
    bool waits; /* for retained messages, and its turn has not come */
    char filter[];
};

/* edge_watch.c */
/* The device that the filter names; nil: several, or none. */
struct uuid edge_watch_device(const struct subscription *subscription);
/* Delivers an event that was kept. */
void edge_watch_give_retained(const struct subscription *subscription, const struct item *item);

/* edge_retained.c */
void edge_retained_want(struct subscription *subscription);
/* Not all that was kept has come to it. */
bool edge_retained_owes(const struct subscription *subscription);
/* It is about to go. */
void edge_retained_forget(struct subscription *subscription);
/* Its connection is about to go, and all its subscriptions have gone. */
void edge_retained_end(struct mqtt_conn *conn);
