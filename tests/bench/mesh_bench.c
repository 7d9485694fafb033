/*
 * gito-mesh-bench - two mesh threads in one process, frames of items of 100 bytes from one to the
 * other by the loopback, with CURVE: the greatest rate, and one-way latencies; and by TCP alone.
 *
 * usage: gito-mesh-bench [SECONDS of a phase, default 3]. Prints one line of JSON a phase.
 */
#include "tests/bench/plain_tcp.h"
#include "tests/unit/mesh_site.h"
#include "tests/unit/tcp_proxy.h"
#include <sys/resource.h>

#define ITEMS 64
#define ITEM_BYTES 100
#define OUTSTANDING 512
#define SAMPLES 1000000

static struct site *a, *b;
static int64_t samples[SAMPLES];

struct phase {
    const char *name;
    double frames_per_s; /* 0: as many as go */
    size_t items;        /* of a frame */
};

struct result {
    int64_t frames, us, cpu_us;
    size_t samples;
};

static int64_t cpu_us(void)
{
    struct rusage usage;
    CHECK(getrusage(RUSAGE_SELF, &usage) == 0);
    return (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 + usage.ru_utime.tv_usec +
           usage.ru_stime.tv_usec;
}

static void send_one(const struct phase *phase)
{
    static uint8_t bytes[ITEMS * ITEM_BYTES];
    int64_t now = clock_boot_us();
    memcpy(bytes, &now, sizeof now);
    site_send(a, &b->member, MESH_SHARD, 0, bytes, phase->items * ITEM_BYTES);
}

/* Takes what has arrived, or waits for up to `wait_ms`; how many. */
static int64_t take(struct result *result, int wait_ms)
{
    zmq_msg_t message;
    int64_t sent_us, taken = 0;
    for (; site_take(b->shard[0], &message, taken == 0 ? wait_ms : 0); taken++) {
        memcpy(&sent_us, zmq_msg_data(&message), sizeof sent_us);
        zmq_msg_close(&message);
        if (result->samples < SAMPLES)
            samples[result->samples++] = clock_boot_us() - sent_us;
    }
    return taken;
}

static struct result run(const struct phase *phase, double seconds)
{
    struct result result = {0};
    int64_t begin = clock_boot_us(), end = begin + (int64_t)(seconds * 1e6), cpu = cpu_us();
    int64_t sent = 0;
    for (int64_t now = begin; now < end || result.frames < sent; now = clock_boot_us()) {
        double due = phase->frames_per_s * (double)(now - begin) / 1e6;
        while (now < end && sent - result.frames < OUTSTANDING &&
               (phase->frames_per_s == 0 || (double)sent <= due)) {
            send_one(phase);
            sent++;
        }
        result.frames += take(&result, phase->frames_per_s == 0 ? 100 : 1);
    }
    result.us = clock_boot_us() - begin;
    result.cpu_us = cpu_us() - cpu;
    return result;
}

static struct result run_tcp(const struct phase *phase, double seconds)
{
    int64_t begin = clock_boot_us(), cpu = cpu_us();
    size_t frames =
        plain_tcp_run(phase->frames_per_s, seconds, phase->items * ITEM_BYTES, samples, SAMPLES);
    return (struct result){.frames = (int64_t)frames,
                           .samples = frames,
                           .us = clock_boot_us() - begin,
                           .cpu_us = cpu_us() - cpu};
}

static int by_value(const void *left, const void *right)
{
    int64_t x = *(const int64_t *)left, y = *(const int64_t *)right;
    return x < y ? -1 : x > y;
}

static void print(const struct phase *phase, const struct result *result)
{
    qsort(samples, result->samples, sizeof *samples, by_value);
    printf("{\"phase\":\"%s\",\"frames_per_s\":%.0f,\"items_per_s\":%.0f,"
           "\"items_per_cpu_s\":%.0f,\"p50_us\":%ld,\"p99_us\":%ld}\n",
           phase->name, (double)result->frames * 1e6 / (double)result->us,
           (double)result->frames * (double)phase->items * 1e6 / (double)result->us,
           (double)result->frames * (double)phase->items * 1e6 / (double)result->cpu_us,
           (long)samples[result->samples / 2], (long)samples[result->samples * 99 / 100]);
}

int main(int argc, char **argv)
{
    static const struct phase phases[] = {{"greatest rate", 0, ITEMS},
                                          {"200 frames/s", 200, ITEMS},
                                          {"2000 frames/s", 2000, ITEMS},
                                          {"10000 frames/s", 10000, ITEMS},
                                          {"frames of one item", 0, 1}};
    static const struct phase plain = {"TCP alone, 2000 frames/s", 2000, ITEMS};
    double seconds = argc > 1 ? atof(argv[1]) : 3;
    struct result warm = {0};
    zsys_init();
    zsys_handler_set(NULL);
    a = site_start(1, 1, tcp_free_port(), 0);
    b = site_start(2, 2, tcp_free_port(), 0);
    sites_meet(a, b);
    send_one(&phases[0]);
    CHECK(take(&warm, SITE_DEADLINE_MS) == 1);
    for (unsigned i = 0; i < sizeof phases / sizeof *phases; i++) {
        struct result result = run(&phases[i], seconds);
        print(&phases[i], &result);
    }
    struct result limit = run_tcp(&plain, seconds);
    print(&plain, &limit);
    site_stop(a);
    site_stop(b);
    zsys_shutdown();
    return 0;
}
