#include "load.h"
#include <inttypes.h>
#include <sys/resource.h>

static double cpu_seconds(const struct timeval *time)
{
    return (double)time->tv_sec + (double)time->tv_usec / 1e6;
}

static void report_latency(const struct histogram *latency)
{
    printf("\"puback_us\":{\"p50\":%.1f,\"p90\":%.1f,\"p99\":%.1f,\"p999\":%.1f,\"max\":%.1f,"
           "\"mean\":%.1f},",
           histogram_quantile_us(latency, 0.5), histogram_quantile_us(latency, 0.9),
           histogram_quantile_us(latency, 0.99), histogram_quantile_us(latency, 0.999),
           (double)latency->max_ns / 1e3, histogram_mean_us(latency));
}

static void report_connections(const struct counts *counts)
{
    printf("\"connected\":%" PRIu64 ",\"connect_failed\":%" PRIu64 ",\"connections_lost\":%" PRIu64
           ",\"reconnected\":%" PRIu64 ",\"sessions_gone\":%" PRIu64 ",",
           counts->connected, counts->connect_failed, counts->lost, counts->reconnected,
           counts->sessions_gone);
}

void load_report(struct load *self)
{
    const struct counts *counts = &self->counts;
    uint64_t done = self->options.qos == 0 ? counts->sent : counts->acked;
    double seconds = (double)(counts->last_ns - counts->first_ns) / 1e9;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    double cpu = cpu_seconds(&usage.ru_utime) + cpu_seconds(&usage.ru_stime);
    printf("{\"sent\":%" PRIu64 ",\"acked\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"unacked\":%" PRIu64 ",\"resent\":%" PRIu64 ",\"due\":%" PRIu64
           ",\"seconds\":%.3f,\"rate\":%.1f,",
           counts->sent, counts->acked, counts->refused, load_unacked(self), counts->resent,
           counts->due, seconds, seconds > 0 ? (double)done / seconds : 0);
    report_latency(&self->latency);
    report_connections(counts);
    printf("\"ack_gap_ms\":%.1f,\"connection_gap_ms\":%.1f,\"unknown_acks\":%" PRIu64
           ",\"out_of_order\":%" PRIu64 ",\"bytes_out\":%" PRIu64
           ",\"cpu_seconds\":%.3f,\"cpu_us_per_message\":%.3f,"
           "\"seq_first\":%" PRIu64 ",\"seq_next\":%" PRIu64 ",\"errors\":%" PRIu64
           ",\"first_error\":\"%s\"}\n",
           (double)counts->ack_gap_ns / 1e6, (double)counts->connection_gap_ns / 1e6,
           counts->unknown_acks, counts->out_of_order, counts->bytes_out, cpu,
           done > 0 ? cpu * 1e6 / (double)done : 0, self->options.seq_start,
           self->options.seq_start + counts->sent, counts->errors, counts->first_error);
    fflush(stdout);
}
