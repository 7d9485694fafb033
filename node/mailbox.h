#pragma once
/*
 * mailbox - how threads reach each other: one inproc PULL socket a thread, PUSH sockets to it.
 *
 * Data only; a zactor's pipe carries control. Queues have no high-water mark of their own where a
 * credit bounds what can be in them (edge items, requests, batches); where data may be dropped,
 * the sender's socket has one and says so.
 */
#include <czmq.h>
#include <stdbool.h>

/* The thread's own inbox, bound to inproc://name-index. Aborts when the name is taken. */
zsock_t *mailbox_open(const char *name, unsigned index);
/* One that takes at most `frames` from each sender that has a bound too. */
zsock_t *mailbox_open_bounded(const char *name, unsigned index, int frames);
/* A way to post to it; `frames` > 0 bounds what may wait in it. */
zsock_t *mailbox_connect(const char *name, unsigned index, int frames);
/* Copies `len` bytes as one message. False: the bound is reached (never for frames == 0). */
bool mailbox_post(zsock_t *to, const void *data, size_t len);
/* Two pieces as one message, without a bound. */
void mailbox_post_two(zsock_t *to, const void *first, size_t first_len, const void *second,
                      size_t second_len);
/* Hands over a heap object: the receiver owns it. */
void mailbox_give(zsock_t *to, void *object);
/* The next message without waiting; false: none. `zmq_msg_t` is to be closed by the caller. */
bool mailbox_take(zsock_t *from, zmq_msg_t *ret_message);
/* The object of a message that mailbox_give made. */
void *mailbox_object(zmq_msg_t *message);
