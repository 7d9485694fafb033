/* What all of the simulator needs: tasks and their times, mailboxes, the trace. */
#include "proto/check.h"
#include "tests/sim/parts.h"
#include <stdarg.h>
#include <stdlib.h>

void trace_line(struct world *self, const char *format, ...)
{
    if (self->failure[0] != '\0')
        return;
    GROW(self->lines, self->lines_count, self->lines_cap);
    char *line = self->lines[self->lines_count++];
    va_list args;
    int n = snprintf(line, TRACE_BYTES, "%11.6f ", (double)self->now_us / 1e6);
    va_start(args, format);
    vsnprintf(line + n, TRACE_BYTES - (size_t)n, format, args);
    va_end(args);
}

void fail(struct world *self, const char *format, ...)
{
    va_list args;
    if (self->failure[0] != '\0')
        return; /* the rest of the run is not to be looked at */
    va_start(args, format);
    vsnprintf(self->failure, sizeof self->failure, format, args);
    va_end(args);
}

void trace_print(const struct world *self, uint32_t lines_max)
{
    uint32_t from = self->lines_count > lines_max ? self->lines_count - lines_max : 0;
    for (uint32_t i = from; i < self->lines_count; i++)
        printf("  %s\n", self->lines[i]);
}

/* ---- tasks ---- */

void task_add(struct world *self, struct task *task)
{
    CHECK(self->tasks_count < TASKS);
    self->tasks[self->tasks_count++] = task;
}

void task_remove(struct world *self, const struct task *task)
{
    for (uint32_t i = 0; i < self->tasks_count; i++)
        if (self->tasks[i] == task) {
            memmove(&self->tasks[i], &self->tasks[i + 1],
                    (--self->tasks_count - i) * sizeof(struct task *));
            return;
        }
}

void task_run_next(struct world *self)
{
    struct task *next = self->tasks[0];
    for (uint32_t i = 1; i < self->tasks_count; i++)
        if (self->tasks[i]->due_us < next->due_us)
            next = self->tasks[i];
    if (next->due_us > self->now_us)
        self->now_us = next->due_us;
    next->due_us = INT64_MAX; /* it says when again */
    next->run(self, next);
}

/* Mostly short; now and then it takes long. */
int64_t some_delay(struct world *self)
{
    int64_t lag_us = self->plan.lag_us;
    if (!self->calm && random_below(self, 64) == 0)
        lag_us *= 40;
    return (int64_t)random_below(self, (uint64_t)lag_us + 1);
}

void task_wake(struct world *self, struct task *task)
{
    int64_t due_us = self->now_us + some_delay(self);
    if (due_us < task->due_us)
        task->due_us = due_us;
}

int64_t wall_clock(const struct world *self, const struct process *process)
{
    return self->now_us + self->epoch_us + (process != NULL ? process->clock_us : 0);
}

/* ---- mailboxes ---- */

void fifo_put(struct world *self, struct fifo *fifo, const struct mesh_head *head,
              const struct span *bytes)
{
    struct packet *packet = malloc(sizeof *packet + bytes->len);
    CHECK(packet != NULL);
    packet->next = NULL;
    packet->head = head != NULL ? *head : (struct mesh_head){0};
    packet->len = bytes->len;
    memcpy(packet->bytes, bytes->data, bytes->len);
    if (fifo->last != NULL)
        fifo->last->next = packet;
    else
        fifo->first = packet;
    fifo->last = packet;
    self->under_way++;
}

void fifo_put_frame(struct world *self, struct fifo *fifo, const struct mesh_head *head,
                    struct frame *frame)
{
    if (frame->count == 0)
        return;
    struct span bytes = frame_finish(frame);
    fifo_put(self, fifo, head, &bytes);
    frame_clear(frame);
}

struct packet *fifo_take(struct world *self, struct fifo *fifo)
{
    struct packet *packet = fifo->first;
    if (packet == NULL)
        return NULL;
    if ((fifo->first = packet->next) == NULL)
        fifo->last = NULL;
    self->under_way--;
    return packet;
}

struct packet *fifo_take_any(struct world *self, struct fifo *fifos, uint32_t count)
{
    uint32_t from = (uint32_t)random_below(self, count);
    struct packet *packet = NULL;
    for (uint32_t i = 0; i < count && packet == NULL; i++)
        packet = fifo_take(self, &fifos[(from + i) % count]);
    return packet;
}

void fifo_free(struct world *self, struct fifo *fifos, uint32_t count)
{
    struct packet *packet;
    while ((packet = fifo_take_any(self, fifos, count)) != NULL)
        free(packet);
}

bool fifo_is_empty(const struct fifo *fifos, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (fifos[i].first != NULL)
            return false;
    return true;
}
