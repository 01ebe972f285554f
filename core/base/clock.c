#include "base/clock.h"

#include <stdio.h>
#include <string.h>
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
    /* Not %Y, which writes the year 1 as "1". */
    unsigned year = (unsigned)(parts.tm_year + 1900);
    for (size_t i = 4; i > 0; i--, year /= 10)
        text[i - 1] = (char)('0' + year % 10);
    strftime(text + 4, 32 - 4, "-%m-%dT%H:%M:%SZ", &parts);
}

bool clock_parse(const char *text, int64_t *wall)
{
    static const char form[] = "dddd-dd-ddTdd:dd:ddZ";
    char again[32];
    unsigned parts[6] = {0};
    size_t part = 0;
    for (size_t i = 0; i < sizeof(form); i++) {
        const bool digit = text[i] >= '0' && text[i] <= '9';
        if (form[i] == 'd' ? !digit : text[i] != form[i])
            return false;
        if (digit)
            parts[part] = parts[part] * 10 + (unsigned)(text[i] - '0');
        else
            part++;
    }
    struct tm broken = {.tm_year = (int)parts[0] - 1900,
                        .tm_mon = (int)parts[1] - 1,
                        .tm_mday = (int)parts[2],
                        .tm_hour = (int)parts[3],
                        .tm_min = (int)parts[4],
                        .tm_sec = (int)parts[5]};
    const int64_t seconds = (int64_t)timegm(&broken);
    /* timegm takes the 31st of June for the first of July: written again it shows. */
    clock_text(seconds, again);
    if (memcmp(again, text, sizeof(form)) != 0)
        return false;
    *wall = seconds;
    return true;
}
