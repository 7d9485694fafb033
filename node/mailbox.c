#include "node/mailbox.h"
#include "proto/check.h"

/* libzmq is built without the thread sanitizer, which so cannot see that who takes a message comes
 * after who posted it: it is told, object by object. */
#ifdef __has_feature
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#define PASS_ON(object) __tsan_release(object)
#define TAKE_UP(object) __tsan_acquire(object)
#else
#define PASS_ON(object) (void)(object)
#define TAKE_UP(object) (void)(object)
#endif

zsock_t *mailbox_open(const char *name, unsigned index)
{
    return mailbox_open_bounded(name, index, 0);
}

zsock_t *mailbox_open_bounded(const char *name, unsigned index, int frames)
{
    zsock_t *sock = zsock_new(ZMQ_PULL);
    CHECK(sock != NULL);
    zsock_set_rcvhwm(sock, frames);
    CHECK(zsock_bind(sock, "inproc://%s-%u", name, index) == 0);
    return sock;
}

zsock_t *mailbox_connect(const char *name, unsigned index, int frames)
{
    zsock_t *sock = zsock_new(ZMQ_PUSH);
    CHECK(sock != NULL);
    zsock_set_sndhwm(sock, frames);
    zsock_set_linger(sock, 0);
    CHECK(zsock_connect(sock, "inproc://%s-%u", name, index) == 0);
    return sock;
}

bool mailbox_post(zsock_t *to, const void *data, size_t len)
{
    int rc = zmq_send(zsock_resolve(to), data, len, ZMQ_DONTWAIT);
    CHECK(rc >= 0 || errno == EAGAIN || errno == ETERM);
    return rc >= 0;
}

void mailbox_post_two(zsock_t *to, const void *first, size_t first_len, const void *second,
                      size_t second_len)
{
    zmq_msg_t message;
    CHECK(zmq_msg_init_size(&message, first_len + second_len) == 0);
    memcpy(zmq_msg_data(&message), first, first_len);
    memcpy((uint8_t *)zmq_msg_data(&message) + first_len, second, second_len);
    if (zmq_msg_send(&message, zsock_resolve(to), ZMQ_DONTWAIT) < 0) {
        CHECK(errno == ETERM || errno == EAGAIN);
        zmq_msg_close(&message);
    }
}

void mailbox_give(zsock_t *to, void *object)
{
    PASS_ON(object);
    CHECK(mailbox_post(to, &object, sizeof object));
}

bool mailbox_take(zsock_t *from, zmq_msg_t *ret_message)
{
    zmq_msg_init(ret_message);
    if (zmq_msg_recv(ret_message, zsock_resolve(from), ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(ret_message);
    return false;
}

void *mailbox_object(zmq_msg_t *message)
{
    void *object;
    CHECK(zmq_msg_size(message) == sizeof object);
    memcpy(&object, zmq_msg_data(message), sizeof object);
    TAKE_UP(object);
    return object;
}
