#include "actors/pace.h"

int64_t pace_wait_us(const struct pace *self, int64_t now_us)
{
    int64_t due_us = self->sent_us + LIMIT_PACE_US;
    return self->dense && now_us < due_us ? due_us - now_us : 0;
}

void pace_sent(struct pace *self, uint32_t rows, int64_t now_us)
{
    self->dense = rows * 1000 >= LIMIT_PACE_ROWS_PER_MS * (now_us - self->sent_us);
    self->sent_us = now_us;
}
