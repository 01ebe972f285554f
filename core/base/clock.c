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

/*
 * The calendar is reckoned here: the C library's of Windows ends in the year 3000. A year begins in March, so that the leap day is its
 * last; the days are those since 0000-03-01.
 */
enum { DAY = 86400, DAYS_TO_1970 = 719468, DAYS_OF_400_YEARS = 146097 };

static int64_t days_of(int64_t year, int64_t month, int64_t day)
{
    const int64_t years = month > 2 ? year : year - 1, months = (month + 9) % 12;
    return years * 365 + years / 4 - years / 100 + years / 400 + (153 * months + 2) / 5 + day - 1;
}

void clock_text(int64_t wall, char text[32])
{
    if (wall < wall_minimum)
        wall = wall_minimum;
    if (wall > wall_maximum)
        wall = wall_maximum;
    const int64_t seconds =
        wall + (int64_t)DAYS_TO_1970 * DAY; /* never negative: the year 1 is after March of the year 0 */
    const int64_t days = seconds / DAY, second = seconds % DAY;
    /* Within 400 years, which repeat; each of them is as long as it is, but for the leap days before it. */
    const int64_t inner = days % DAYS_OF_400_YEARS;
    const int64_t year = (inner - inner / 1460 + inner / 36524 - inner / 146096) / 365;
    const int64_t of_year = inner - (365 * year + year / 4 - year / 100), months = (5 * of_year + 2) / 153;
    const int64_t month = months < 10 ? months + 3 : months - 9;
    snprintf(text, 32, "%04u-%02u-%02uT%02u:%02u:%02uZ",
             (unsigned)(year + days / DAYS_OF_400_YEARS * 400 + (month <= 2 ? 1 : 0)), (unsigned)month,
             (unsigned)(of_year - (153 * months + 2) / 5 + 1), (unsigned)(second / 3600), (unsigned)(second / 60 % 60),
             (unsigned)(second % 60));
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
    /* What would be a date before the first, or of no month, is none that clock_text writes. */
    const int64_t month = parts[1] >= 1 && parts[1] <= 12 ? parts[1] : 1;
    const int64_t days = days_of(parts[0], month, parts[2]) - DAYS_TO_1970;
    const int64_t seconds = days * DAY + parts[3] * INT64_C(3600) + parts[4] * INT64_C(60) + parts[5];
    /* The 31st of June was taken for the first of July: written again it shows. */
    clock_text(seconds, again);
    if (memcmp(again, text, sizeof(form)) != 0)
        return false;
    *wall = seconds;
    return true;
}
