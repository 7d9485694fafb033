#include "run.h"
#include "session.h"
#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum {
    EVENTS_MAX = 512,
    DIALLING_MAX = 128, /* below the usual listen backlogs */
    NS_PER_US = 1000,
    NS_PER_MS = 1000000,
    PACE_NS = 200 * NS_PER_US, /* at high rates messages leave in small groups this far apart */
    TICK_NS = 50 * NS_PER_MS,
    RETRY_FIRST_NS = 50 * NS_PER_MS,
    RETRY_DOUBLINGS_MAX = 5,
};
#define NS_PER_S INT64_C(1000000000)

volatile int run_interrupts;

static int64_t ns_of(double seconds)
{
    return (int64_t)(seconds * 1e9);
}

/* A connection ended: to be dialled again later, or given up. Counts what it was. */
static void drop(struct load *load, struct connection *connection, const char *what, int error)
{
    struct counts *counts = &load->counts;
    bool again = load->options.reconnect && run_interrupts < 2;
    if (error != 0 && !(error == EPROTO && counts->errors > 0))
        load_error(load, what, strerror(error));
    if (connection->state == CONNECTION_UP) {
        counts->lost++;
        counts->up--;
    } else {
        load->dialling--;
        counts->connect_failed += !again;
    }
    connection_close(connection);
    if (!again) {
        connection->state = CONNECTION_GIVEN_UP;
        return;
    }
    uint32_t doublings = connection->attempts;
    if (doublings > RETRY_DOUBLINGS_MAX)
        doublings = RETRY_DOUBLINGS_MAX;
    connection->retry_ns = load->now_ns + ((int64_t)RETRY_FIRST_NS << doublings);
    connection->target = (connection->target + 1) % load->target_count;
}

static void dial(struct load *load, struct connection *connection)
{
    const struct options *options = &load->options;
    double patience = options->reconnect ? options->redial_timeout : options->connect_timeout;
    connection->deadline_ns = load->now_ns + ns_of(patience);
    load->dialling++;
    int error = connection_dial(connection, &load->targets[connection->target], load->epoll);
    if (error != 0)
        drop(load, connection, "could not connect", error);
}

static void dial_waiting(struct load *load)
{
    static uint32_t cursor;
    uint32_t count = (uint32_t)load->options.connections;
    for (uint32_t i = 0; i < count && load->dialling < DIALLING_MAX; i++) {
        struct connection *connection = &load->connections[cursor++ % count];
        if (connection->state == CONNECTION_DOWN && connection->retry_ns <= load->now_ns)
            dial(load, connection);
    }
}

static void check_silence(struct load *load, struct connection *connection)
{
    int64_t keepalive = (int64_t)load->options.keepalive * NS_PER_S, now = load->now_ns;
    if (keepalive == 0)
        return;
    if (now - connection->heard_ns > keepalive + keepalive / 2) {
        drop(load, connection, "server is silent", ETIMEDOUT);
        return;
    }
    int64_t quiet =
        connection->sent_ns < connection->heard_ns ? connection->sent_ns : connection->heard_ns;
    if (now - quiet > keepalive / 2 && now - connection->pinged_ns > keepalive / 2)
        session_ping(load, connection);
}

/* Now and then: who takes too long, who is silent, who may be dialled. */
static void tick(struct load *load)
{
    static int64_t next_ns;
    if (load->now_ns < next_ns)
        return;
    next_ns = load->now_ns + TICK_NS;
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        bool greeting =
            connection->state == CONNECTION_DIALLING || connection->state == CONNECTION_GREETING;
        if (greeting && load->now_ns > connection->deadline_ns)
            drop(load, connection, "could not connect", ETIMEDOUT);
        else if (connection->state == CONNECTION_UP)
            check_silence(load, connection);
    }
    dial_waiting(load);
}

static bool may_send(const struct load *load)
{
    return load->publishing &&
           (load->options.messages == 0 || load->counts.sent < load->options.messages);
}

/* Closed loop: as many new messages as the connection takes; at QoS 0 a window's worth. */
static void fill(struct load *load, struct connection *connection)
{
    uint64_t clock_us = session_clock_us();
    int64_t now = load_clock(load);
    for (uint64_t i = 0; i < load->options.window; i++) {
        if (!may_send(load) || !session_has_room(load, connection))
            return;
        session_publish(load, connection, now, clock_us);
    }
}

static void fill_all(struct load *load)
{
    for (uint32_t i = 0; i < load->options.connections; i++)
        fill(load, &load->connections[i]);
}

/* Open loop: what is due by now goes to the connections in turn, past those without room. */
static void publish_due(struct load *load)
{
    static uint32_t cursor;
    static uint64_t given; /* to the connection at the cursor, in a row */
    struct counts *counts = &load->counts;
    uint32_t count = (uint32_t)load->options.connections, without_room = 0;
    double period_ns = 1e9 / load->options.rate;
    counts->due = (uint64_t)((double)(load->now_ns - counts->first_ns) / period_ns) + 1;
    uint64_t clock_us = session_clock_us();
    while (may_send(load) && counts->sent < counts->due && without_room < count) {
        struct connection *connection = &load->connections[cursor % count];
        bool room = session_has_room(load, connection);
        if (room) {
            int64_t due_ns = counts->first_ns + (int64_t)((double)counts->sent * period_ns);
            session_publish(load, connection, due_ns, clock_us);
            given++;
        }
        without_room = room ? 0 : without_room + 1;
        if (!room || given >= load->options.burst) {
            cursor++;
            given = 0;
        }
    }
}

static void flush_dirty(struct load *load)
{
    for (uint32_t i = 0; i < load->dirty_count; i++) {
        struct connection *connection = load->dirty[i];
        connection->dirty = false;
        if (connection->fd < 0)
            continue;
        int error = connection_flush(connection, load->epoll, &load->counts.bytes_out);
        if (error != 0)
            drop(load, connection, "could not send", error);
    }
    load->dirty_count = 0;
}

static void on_event(struct load *load, struct connection *connection, uint32_t events)
{
    int error = 0;
    if (connection->fd < 0)
        return;
    if (connection->state == CONNECTION_DIALLING) {
        error = connection_dialled(connection);
        if (error != 0)
            drop(load, connection, "could not connect", error);
        else
            session_greet(load, connection);
        return;
    }
    if (events & EPOLLOUT)
        load_touch(load, connection);
    if ((events & ~(uint32_t)EPOLLOUT) == 0)
        return;
    connection->heard_ns = load_clock(load); /* late in a large turn it is later */
    error = connection_receive(connection, session_receive, load);
    if (error != 0) {
        drop(load, connection, "connection lost", error);
        return;
    }
    if (connection->window.unsent < connection->window.next)
        session_resend(load, connection);
    if (load->publishing && load->options.rate <= 0 && load->options.qos == 1)
        fill(load, connection);
}

/* One wait of at most `wait_ns`, what came of it, and the bytes it made. */
static void turn(struct load *load, int64_t wait_ns)
{
    struct epoll_event events[EVENTS_MAX];
    flush_dirty(load);
    if (wait_ns > TICK_NS)
        wait_ns = TICK_NS;
    struct timespec wait = {.tv_nsec = wait_ns > 0 ? (long)wait_ns : 0};
    int n = epoll_pwait2(load->epoll, events, EVENTS_MAX, &wait, NULL);
    load_clock(load);
    for (int i = 0; i < n; i++)
        on_event(load, events[i].data.ptr, events[i].events);
    tick(load);
}

void run_connect(struct load *load)
{
    int64_t end_ns = load_clock(load) + ns_of(load->options.connect_timeout);
    while (run_interrupts == 0 && load->now_ns < end_ns &&
           load->counts.connected + load->counts.connect_failed < load->options.connections) {
        dial_waiting(load);
        turn(load, TICK_NS);
    }
    if (load->counts.connected < load->options.connections && load->counts.errors == 0)
        load_error(load, "could not connect", "not all connections were accepted in time");
}

static bool stalled(const struct load *load)
{
    return load->now_ns - load->counts.progress_ns > ns_of(load->options.stall);
}

/* Nobody left who could carry anything. */
static bool deserted(const struct load *load)
{
    return load->counts.up == 0 && load->dialling == 0 && !load->options.reconnect;
}

static int64_t wait_for_rate(struct load *load)
{
    double period_ns = 1e9 / load->options.rate;
    int64_t next_ns = load->counts.first_ns + (int64_t)((double)load->counts.due * period_ns);
    int64_t wait_ns = next_ns - load_clock(load);
    return wait_ns > PACE_NS ? wait_ns : PACE_NS;
}

static void publish_until(struct load *load, int64_t end_ns)
{
    load->publishing = true;
    if (load->options.rate <= 0)
        fill_all(load);
    while (run_interrupts == 0 && load->now_ns < end_ns && may_send(load) && !stalled(load) &&
           !deserted(load)) {
        int64_t wait_ns = TICK_NS;
        if (load->options.rate > 0) {
            publish_due(load);
            flush_dirty(load);
            wait_ns = wait_for_rate(load);
        } else if (load->options.qos == 0) {
            fill_all(load);
            wait_ns = load->dirty_count > 0 ? 0 : TICK_NS;
        }
        turn(load, wait_ns);
    }
    load->publishing = false;
}

/* At QoS 0 there is nothing to wait for but our own buffers. */
static bool settled(const struct load *load)
{
    if (load_unacked(load) > 0)
        return false;
    for (uint32_t i = 0; i < load->options.connections; i++) {
        if (bytes_len(&load->connections[i].out) > 0)
            return false;
    }
    return true;
}

static void begin_counting(struct load *load)
{
    struct counts *counts = &load->counts;
    counts->first_ns = counts->last_ns = counts->progress_ns = load_clock(load);
    for (uint32_t i = 0; i < load->options.connections; i++)
        load->connections[i].acked_ns = counts->first_ns;
}

/* Who still waits has waited until now. */
static void end_counting(struct load *load)
{
    struct counts *counts = &load->counts;
    if (load_unacked(load) > 0 && load->now_ns - counts->last_ns > counts->ack_gap_ns)
        counts->ack_gap_ns = load->now_ns - counts->last_ns;
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->window.unacked == 0)
            continue;
        load_gap(load, connection);
        load_wait(load, connection, window_due_ns(&connection->window));
    }
}

void run_publish(struct load *load)
{
    begin_counting(load);
    double seconds = load->options.seconds > 0 ? load->options.seconds : 1e8;
    publish_until(load, load->counts.first_ns + ns_of(seconds));
    int64_t end_ns = load_clock(load) + ns_of(load->options.drain);
    flush_dirty(load);
    while (!settled(load) && load->now_ns < end_ns && run_interrupts < 2 && !deserted(load))
        turn(load, TICK_NS);
    end_counting(load);
}

void run_announce(const struct load *load)
{
    printf("connected %llu\n", (unsigned long long)load->counts.up);
    fflush(stdout);
}

void run_idle(struct load *load)
{
    run_announce(load);
    struct counts *counts = &load->counts;
    counts->first_ns = load_clock(load);
    double seconds = load->options.seconds > 0 ? load->options.seconds : 1e8;
    int64_t end_ns = counts->first_ns + ns_of(seconds);
    while (run_interrupts == 0 && load->now_ns < end_ns && !deserted(load))
        turn(load, TICK_NS);
    counts->last_ns = load->now_ns;
}

void run_farewell(struct load *load)
{
    static const uint8_t disconnect[] = {0xe0, 0};
    for (uint32_t i = 0; i < load->options.connections; i++) {
        struct connection *connection = &load->connections[i];
        if (connection->state == CONNECTION_UP) {
            bytes_put(&connection->out, disconnect, sizeof disconnect);
            load_touch(load, connection);
        }
    }
    flush_dirty(load);
}
