#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#if defined(CLOCK_BOOTTIME)
#define CLOCK_WITH_SUSPEND CLOCK_BOOTTIME
#else
#define CLOCK_WITH_SUSPEND CLOCK_MONOTONIC
#endif

/* 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z: what four digits of a year can say. */
static const int64_t wall_minimum = -INT64_C(62135596800), wall_maximum = INT64_C(253402300799);

uint64_t clock_milliseconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_WITH_SUSPEND, &now);
    return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

uint64_t clock_nanoseconds(void)
{
    struct timespec now = {0};
    clock_gettime(CLOCK_WITH_SUSPEND, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

int64_t clock_wall(void)
{
    return (int64_t)time(NULL);
}

void clock_text(int64_t wall, char text[32])
{
    if (wall < wall_minimum)
        wall = wall_minimum;
    if (wall > wall_maximum)
        wall = wall_maximum;
    time_t seconds = (time_t)wall;
    struct tm parts = {0};
    gmtime_r(&seconds, &parts);
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", &parts);
}
