/* Clocks. */
#ifndef KEYWRIGHT_BASE_CLOCK_H
#define KEYWRIGHT_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

/* Milliseconds that only move forward and count suspend. For deadlines and ages. */
uint64_t clock_milliseconds(void);
/* The same clock in nanoseconds, so that one reading begins a measurement and sets a deadline. */
uint64_t clock_nanoseconds(void);
/* Seconds since 1970-01-01 UTC. */
int64_t clock_wall(void);
/* RFC 3339 in UTC, such as 9999-12-31T23:59:59Z; at least 32 bytes at `text`. */
void clock_text(int64_t wall, char text[32]);

/* The same text back, and nothing else that RFC 3339 allows; false for any other text, and for a date that there is not. */
bool clock_parse(const char *text, int64_t *wall);

#endif
